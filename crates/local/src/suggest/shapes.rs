//! What the cells of a column look like.

use super::sample::Column;

/// Whole numbers of more digits are ids.
const NUMBER_DIGITS_MAX: usize = 15;
/// Digits of a group of thousands.
const THOUSANDS: usize = 3;

/// What all filled cells of a column are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Empty,
    Email,
    /// Digits with a leading zero somewhere, or many of them: a text.
    Code,
    Integer,
    Number,
    /// A number with a decimal comma.
    CommaNumber,
    Boolean,
    /// `J` and `N`, `ja` and `nein`: the cells for true and for false.
    YesNo(&'static str, &'static str),
    Time(TimeShape),
    /// Dates of which the rows do not say whether day or month stands first: both formats.
    EitherDate {
        day_first: String,
        month_first: String,
    },
    Text,
}

/// What the times of a column look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TimeShape {
    /// Whether they are days.
    pub(super) is_day: bool,
    /// Whether they say no zone.
    pub(super) is_zoneless: bool,
    /// The strftime format; `None` for ISO 8601.
    pub(super) format: Option<String>,
}

/// The shape of a column.
pub(super) fn of(column: &Column) -> Shape {
    let cells: Vec<&str> = column.filled().collect();
    let all = |is: fn(&str) -> bool| cells.iter().all(|cell| is(cell));
    if cells.is_empty() {
        Shape::Empty
    } else if all(is_email) {
        Shape::Email
    } else if all(is_digits) && (cells.iter().any(|cell| is_code(cell))) {
        Shape::Code
    } else if all(is_integer) {
        Shape::Integer
    } else if all(is_number) {
        Shape::Number
    } else if all(is_comma_number) && !all(|cell| has_decimals(cell, THOUSANDS)) {
        Shape::CommaNumber
    } else if all(|cell| ["true", "false", "yes", "no", "t", "f", "y", "n"].contains(&cell.to_lowercase().as_str())) {
        Shape::Boolean
    } else if let Some((yes, no)) = YES_NO.iter().find(|(yes, no)| cells.iter().all(|cell| cell == yes || cell == no)) {
        Shape::YesNo(yes, no)
    } else {
        time(&cells).unwrap_or(Shape::Text)
    }
}

const YES_NO: [(&str, &str); 4] = [("J", "N"), ("ja", "nein"), ("Ja", "Nein"), ("oui", "non")];

fn is_email(cell: &str) -> bool {
    cell.split_once('@').is_some_and(|(name, host)| {
        !name.is_empty() && host.contains('.') && !host.contains('@') && !cell.contains(char::is_whitespace)
    })
}

fn is_digits(cell: &str) -> bool {
    !cell.is_empty() && cell.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_code(cell: &str) -> bool {
    cell.len() > NUMBER_DIGITS_MAX || (cell.len() > 1 && cell.starts_with('0'))
}

fn is_integer(cell: &str) -> bool {
    let digits = cell.strip_prefix('-').unwrap_or(cell);
    is_digits(digits) && !is_code(digits)
}

fn is_number(cell: &str) -> bool {
    match cell.split_once('.') {
        Some((whole, decimals)) => is_integer(whole) && is_digits(decimals),
        None => is_integer(cell),
    }
}

/// `1.234,56`, `1234,5`, `12`.
fn is_comma_number(cell: &str) -> bool {
    let (whole, decimals) = cell.split_once(',').map_or((cell, None), |(whole, decimals)| (whole, Some(decimals)));
    let mut groups = whole.strip_prefix('-').unwrap_or(whole).split('.');
    let first = groups.next().unwrap_or_default();
    let mut has_groups = false;
    let are_thousands = groups.all(|group| {
        has_groups = true;
        group.len() == THOUSANDS && is_digits(group)
    });
    is_digits(first)
        && are_thousands
        && (!has_groups || first.len() <= THOUSANDS)
        && (!is_code(first) || first == "0")
        && decimals.is_none_or(is_digits)
}

fn has_decimals(cell: &str, count: usize) -> bool {
    cell.split_once(',').is_some_and(|(_, decimals)| decimals.len() == count)
}

/// The order of three numbers in a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Iso,
    DayFirst(char),
    MonthFirst(char),
    /// The rows do not say it.
    Either(char),
}

fn time(cells: &[&str]) -> Option<Shape> {
    let parts: Vec<Parts<'_>> = cells.iter().map(|cell| Parts::of(cell)).collect::<Option<_>>()?;
    let first = parts.first()?;
    let is_alike = |one: &Parts<'_>| one.separator == first.separator && one.clock == first.clock;
    if !parts.iter().all(is_alike) {
        return None;
    }
    let day_first = parts.iter().any(|one| one.numbers[0] > 12);
    let order = match first.separator {
        '-' if parts.iter().all(|one| one.numbers[0] > 999) => Order::Iso,
        '-' => return None,
        '.' => Order::DayFirst('.'),
        other if day_first => Order::DayFirst(other),
        other if parts.iter().any(|one| one.numbers[1] > 12) => Order::MonthFirst(other),
        other => Order::Either(other),
    };
    let clock = first.clock.format();
    let day_first = |separator: char| format!("%d{separator}%m{separator}%Y");
    let month_first = |separator: char| format!("%m{separator}%d{separator}%Y");
    let date = match order {
        Order::Iso => None,
        Order::DayFirst(separator) => Some(day_first(separator)),
        Order::MonthFirst(separator) => Some(month_first(separator)),
        Order::Either(separator) => {
            let [day_first, month_first] = [day_first(separator), month_first(separator)];
            return Some(Shape::EitherDate {
                day_first: format!("{day_first}{clock}"),
                month_first: format!("{month_first}{clock}"),
            });
        }
    };
    let is_zoneless = parts.iter().any(|one| one.zone.is_empty());
    let format = match date {
        Some(_) if !is_zoneless => return None,
        Some(date) => Some(format!("{date}{clock}")),
        None => None,
    };
    let shape = TimeShape { is_day: first.clock == Clock::None, is_zoneless, format };
    Some(Shape::Time(shape))
}

/// The time of day, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clock {
    None,
    Minutes,
    Seconds,
}

impl Clock {
    fn format(self) -> &'static str {
        match self {
            Clock::None => "",
            Clock::Minutes => " %H:%M",
            Clock::Seconds => " %H:%M:%S",
        }
    }
}

/// A cell, taken apart as a date.
struct Parts<'a> {
    separator: char,
    numbers: [u32; 3],
    clock: Clock,
    zone: &'a str,
}

impl<'a> Parts<'a> {
    fn of(cell: &'a str) -> Option<Parts<'a>> {
        let date_end = cell.find(['T', ' ']).unwrap_or(cell.len());
        let (date, rest) = cell.split_at(date_end);
        let separator = date.chars().find(|c| !c.is_ascii_digit())?;
        if !['-', '.', '/'].contains(&separator) {
            return None;
        }
        let numbers: Vec<u32> = date.split(separator).map(|part| part.parse().ok()).collect::<Option<_>>()?;
        let numbers: [u32; 3] = numbers.try_into().ok()?;
        let has_year = numbers[0] > 999 || numbers[2] > 999;
        let rest = rest.get(1..).unwrap_or_default();
        let clock_end = rest.find(|c: char| !c.is_ascii_digit() && c != ':' && c != '.').unwrap_or(rest.len());
        let (time, zone) = rest.split_at(clock_end);
        let clock = match time.split(':').count() {
            1 if time.is_empty() => Clock::None,
            2 => Clock::Minutes,
            3 => Clock::Seconds,
            _ => return None,
        };
        has_year.then_some(Parts { separator, numbers, clock, zone: zone.trim() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(cells: &[&str]) -> Shape {
        of(&Column { name: String::new(), cells: cells.iter().map(|cell| (*cell).to_owned()).collect() })
    }

    fn time(is_day: bool, is_zoneless: bool, format: Option<&str>) -> Shape {
        Shape::Time(TimeShape { is_day, is_zoneless, format: format.map(str::to_owned) })
    }

    #[test]
    fn all_filled_cells_make_the_shape() {
        for (cells, expected) in [
            (&["", "NULL"][..], Shape::Empty),
            (&["a@example.com", ""], Shape::Email),
            (&["a@example.com", "b"], Shape::Text),
            (&["12", "-3", "0"], Shape::Integer),
            (&["12", "0012"], Shape::Code),
            (&["12345678901234567"], Shape::Code),
            (&["12", "1.50"], Shape::Number),
            (&["1.234,56", "7"], Shape::CommaNumber),
            (&["0,5"], Shape::CommaNumber),
            (&["1,234"], Shape::Text),
            (&["1.23,5"], Shape::Text),
            (&["yes", "No"], Shape::Boolean),
            (&["J", "N", "J"], Shape::YesNo("J", "N")),
            (&["Ada", "7"], Shape::Text),
        ] {
            assert_eq!(shape(cells), expected, "{cells:?}");
        }
    }

    #[test]
    fn times_have_their_format_if_the_rows_say_it() {
        for (cells, expected) in [
            (&["2025-12-31", "2025-01-01"][..], time(true, true, None)),
            (&["2025-12-31T10:00:00Z"], time(false, false, None)),
            (&["2025-12-31 10:00:00 +0100"], time(false, false, None)),
            (&["2025-12-31 10:00"], time(false, true, None)),
            (&["01.02.2025"], time(true, true, Some("%d.%m.%Y"))),
            (&["01/02/2025", "31/01/2025"], time(true, true, Some("%d/%m/%Y"))),
            (&["01/31/2025 09:05"], time(false, true, Some("%m/%d/%Y %H:%M"))),
            (
                &["01/02/2025 10:00", "02/02/2025 11:00"],
                Shape::EitherDate { day_first: "%d/%m/%Y %H:%M".to_owned(), month_first: "%m/%d/%Y %H:%M".to_owned() },
            ),
            (&["31.12.2025", "2025-12-31"], Shape::Text),
            (&["05/02"], Shape::Text),
        ] {
            assert_eq!(shape(cells), expected, "{cells:?}");
        }
    }
}
