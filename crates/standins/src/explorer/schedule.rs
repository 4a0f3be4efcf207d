//! A schedule: the list of choices that make one history, and how it is written.

use std::fmt;
use std::str::FromStr;

/// The fate of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// It is carried out and answered.
    Answered,
    /// It is never carried out, and its connection breaks.
    Lost,
    /// It is carried out, and its connection breaks before the answer.
    Unanswered,
    /// Its connection breaks; it is carried out later, perhaps after its sender has given up.
    Late,
    /// Its sender crashes before it is carried out.
    Crash,
}

impl Fate {
    const NAMES: [(Fate, &'static str); 5] = [
        (Fate::Answered, ""),
        (Fate::Lost, "!lost"),
        (Fate::Unanswered, "!unanswered"),
        (Fate::Late, "!late"),
        (Fate::Crash, "!crash"),
    ];

    /// True if the request takes effect at once.
    pub(crate) fn takes_effect(self) -> bool {
        matches!(self, Fate::Answered | Fate::Unanswered)
    }
}

/// One choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Choice {
    /// This run continues: its oldest request meets this fate.
    Run(usize, Fate),
    /// The late request of this number, counted in the order in which they became late, is carried out now.
    Land(usize),
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Choice::Land(late) => write!(f, "+{late}"),
            Choice::Run(run, fate) => {
                let letter = char::from(b'a' + u8::try_from(*run).unwrap_or(25).min(25));
                let name = Fate::NAMES.iter().find(|(named, _)| named == fate).map_or("", |(_, name)| name);
                write!(f, "{letter}{name}")
            }
        }
    }
}

/// A list of choices, for example `a12 b!lost b3 +0`: run `a` does twelve requests, the next request of `b` is lost,
/// `b` does three, and the first late request lands. After the end of the list, the runs continue in sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule(pub Vec<Choice>);

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for same in self.0.chunk_by(|one, next| one == next && matches!(one, Choice::Run(_, Fate::Answered))) {
            let Some(choice) = same.first() else { continue };
            let count = if same.len() > 1 { same.len().to_string() } else { String::new() };
            write!(f, "{separator}{choice}{count}")?;
            separator = " ";
        }
        Ok(())
    }
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Schedule, String> {
        let mut choices = Vec::new();
        for word in text.split_whitespace() {
            let wrong = || format!("`{word}` is no choice; write a schedule as `a12 b!lost b3 +0`");
            if let Some(late) = word.strip_prefix('+') {
                choices.push(Choice::Land(late.parse().map_err(|_| wrong())?));
                continue;
            }
            let mut letters = word.chars();
            let run = letters.next().filter(char::is_ascii_lowercase).ok_or_else(wrong)?;
            let run = usize::from(u8::try_from(run).map_err(|_| wrong())? - b'a');
            let rest = letters.as_str();
            if let Some((fate, _)) = Fate::NAMES.iter().find(|(_, name)| *name == rest) {
                choices.push(Choice::Run(run, *fate));
            } else {
                let count: usize = rest.parse().map_err(|_| wrong())?;
                choices.extend(std::iter::repeat_n(Choice::Run(run, Fate::Answered), count));
            }
        }
        Ok(Schedule(choices))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_round_trips() {
        let text = "a12 b!lost b3 c!crash a!late +0 a!unanswered a";
        let schedule: Schedule = text.parse().unwrap();
        assert_eq!(schedule.0.len(), 12 + 1 + 3 + 1 + 1 + 1 + 1 + 1);
        assert_eq!(schedule.to_string(), text);
        assert!("a12 7".parse::<Schedule>().is_err());
    }
}
