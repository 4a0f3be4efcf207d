//! Moments in received calls, and the correction of the sender's clock.

use serde_json::Value;

const DAY_MS: i64 = 86_400_000;

/// A clock that differs from ours by no more is right; the difference is the way of the call.
const CLOCK_ERROR_MS_MAX: i64 = DAY_MS;

/// A device keeps a call for no longer before it sends it.
const KEPT_MS_MAX: i64 = 366 * DAY_MS;

/// A smaller number counts seconds: as milliseconds it would lie before March 1973, as seconds it lies before 5138.
const SECONDS_MAX: f64 = 1e11;

/// The epoch milliseconds of a time in a call: ISO 8601, RFC 2822, or a number of seconds or milliseconds since the
/// epoch. Without a zone it is UTC, without a time midnight.
pub(crate) fn moment(value: Option<&Value>) -> Option<i64> {
    match value? {
        Value::Number(number) => unix(number.as_f64()?),
        Value::String(text) => of_text(text.trim()),
        _ => None,
    }
}

fn of_text(text: &str) -> Option<i64> {
    // A number in a query is text. No other form of a time has so many digits alone.
    if text.len() >= 9 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return unix(text.parse().ok()?);
    }
    let timestamp = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let civil: jiff::civil::DateTime = text.parse().ok()?;
        let zoned = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        Some(zoned.timestamp())
    });
    let timestamp = timestamp.or_else(|| Some(jiff::fmt::rfc2822::parse(text).ok()?.timestamp()));
    Some(timestamp?.as_millisecond())
}

/// Seconds or milliseconds since the epoch, as milliseconds; `None` beyond the calendar.
fn unix(number: f64) -> Option<i64> {
    let ms = if number.abs() < SECONDS_MAX { (number * 1_000.0).round() } else { number.round() };
    let calendar = jiff::Timestamp::MIN.as_millisecond() as f64..=jiff::Timestamp::MAX.as_millisecond() as f64;
    calendar.contains(&ms).then_some(ms as i64)
}

/// The time of a call by our clock. An implausible time of sending corrects nothing.
pub(crate) fn corrected(original_ms: i64, sent_ms: Option<i64>, received_ms: i64) -> i64 {
    match sent_ms {
        Some(sent_ms) if is_plausible(original_ms, sent_ms, received_ms) => {
            original_ms.saturating_add(received_ms.saturating_sub(sent_ms))
        }
        _ => original_ms,
    }
}

/// Whether `sentAt` may be a reading of the clock that the call's own time is from.
///
/// Either that clock is right. Then the call may be of any time, for example of an import. Or the clock is wrong, for
/// example after the battery was empty. Then the call is about as old as the device keeps calls. Zero values of
/// languages (the years 1 and 1970) and constants are neither.
fn is_plausible(original_ms: i64, sent_ms: i64, received_ms: i64) -> bool {
    let is_right = received_ms.abs_diff(sent_ms) <= CLOCK_ERROR_MS_MAX.unsigned_abs();
    let kept_ms = sent_ms.saturating_sub(original_ms);
    is_right || (-CLOCK_ERROR_MS_MAX..=KEPT_MS_MAX).contains(&kept_ms)
}

/// Epoch milliseconds as `2019-05-11T20:32:27.940Z`. A time beyond the calendar becomes its first or last time.
pub(crate) fn iso(ms: i64) -> String {
    let edge = if ms < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    format!("{:.3}", jiff::Timestamp::from_millisecond(ms).unwrap_or(edge))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn the_size_of_a_number_gives_its_unit() {
        let check = |value: Value, expected: Option<&str>| {
            assert_eq!(moment(Some(&value)).map(iso).as_deref(), expected, "{value}");
        };
        let at = Some("2019-05-11T20:32:27.940Z");
        check(json!(1_557_606_747_940_i64), at);
        check(json!(1_557_606_747.94), at);
        check(json!("1557606747940"), at);
        check(json!("Sat, 11 May 2019 22:32:27 +0200"), Some("2019-05-11T20:32:27.000Z"));
        check(json!(0), Some("1970-01-01T00:00:00.000Z"));
        for unreadable in [json!(1e300), json!("2019"), json!("123456"), json!(true), json!({}), json!("soon")] {
            check(unreadable, None);
        }
    }

    #[test]
    fn an_implausible_sent_at_corrects_nothing() {
        let ms = |text: &str| moment(Some(&json!(text))).unwrap();
        let received_ms = ms("2026-11-26T12:00:01Z");
        let check = |original: &str, sent: &str, expected: &str| {
            assert_eq!(iso(corrected(ms(original), Some(ms(sent)), received_ms)), expected, "{original} {sent}");
        };
        let now = "2026-11-26T12:00:00.000Z";
        // Zero values and constants.
        for sent in ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "9999-12-30T00:00:00Z", "2040-01-01T00:00:00Z"] {
            check(now, sent, now);
        }
        // A right clock: the call may be of any time.
        check("2015-01-01T00:00:00Z", now, "2015-01-01T00:00:01.000Z");
        check("2031-01-01T00:00:00Z", now, "2031-01-01T00:00:01.000Z");
        // A wrong clock, which both are from.
        check("1970-01-01T00:10:00Z", "1970-01-01T00:11:00Z", "2026-11-26T11:59:01.000Z");
        check("2037-06-01T00:00:00Z", "2037-06-03T00:00:00Z", "2026-11-24T12:00:01.000Z");
    }

    proptest! {
        #[test]
        fn the_correction_is_the_difference_of_two_readings_or_nothing(
            original_ms in any::<i64>(), sent_ms in any::<Option<i64>>(), received_ms in 0..4_000_000_000_000_i64,
        ) {
            let at = corrected(original_ms, sent_ms, received_ms);
            let shifted = sent_ms.map(|sent_ms| original_ms.saturating_add(received_ms.saturating_sub(sent_ms)));
            prop_assert!(at == original_ms || Some(at) == shifted);
        }

        #[test]
        fn our_own_form_of_a_time_is_read_back(ms in -62_135_596_800_000_i64..253_402_300_799_999) {
            prop_assert_eq!(moment(Some(&Value::from(iso(ms)))), Some(ms));
        }
    }
}
