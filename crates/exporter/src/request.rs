//! The events that invoke the exporter.

use export::cut::Flush;
use protocol::id::Nonce;
use serde_json::Value;

/// The request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Export the waiting events.
    Tick {
        /// All of them, or only those that fill objects.
        flush: Flush,
        /// The event's own time, in epoch milliseconds.
        time_ms: Option<i64>,
    },
    /// Abandon the plans for a removed destination.
    Abandon {
        /// Its name.
        destination: String,
        /// Only the plans for this former bucket, with its prefix as the settings wrote it.
        bucket: Option<String>,
    },
    /// Close a plan whose document is missing.
    Forget {
        /// The plan.
        plan: Nonce,
    },
    /// Find out whether destinations can be written to, and only through their external ids.
    Validate {
        /// Their names. An empty list means all.
        destinations: Vec<String>,
    },
}

/// An event that asks for nothing that the exporter does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the exporter does not know this event ({0}); it takes a scheduled event, {{}}, {{\"flush\": \"all\"}}, \
     {{\"flush\": \"full\"}}, {{\"abandon\": {{\"destination\": NAME}}}}, {{\"abandon\": {{\"plan\": NONCE}}}} and \
     {{\"validate\": [NAME, …]}}"
)]
pub struct Unknown(String);

impl Request {
    /// Reads an event.
    ///
    /// # Errors
    /// When it asks for nothing that is known.
    pub fn parse(event: &Value) -> Result<Request, Unknown> {
        let Some(fields) = event.as_object() else { return Err(Unknown("not an object".to_owned())) };
        if let Some(plan) = fields.get("abandon").and_then(|abandon| abandon.get("plan")) {
            let plan = plan.as_str().and_then(|plan| plan.parse().ok());
            return plan
                .map(|plan| Request::Forget { plan })
                .ok_or_else(|| Unknown("abandon names no plan".to_owned()));
        }
        if let Some(abandon) = fields.get("abandon") {
            let name = abandon.get("destination").and_then(Value::as_str);
            let name = name.ok_or_else(|| Unknown("abandon names no destination".to_owned()))?;
            let bucket = match abandon.get("bucket") {
                None => None,
                Some(Value::String(bucket)) => Some(bucket.trim_end_matches('/').to_owned()),
                Some(_) => return Err(Unknown("the bucket of abandon is not a string".to_owned())),
            };
            return Ok(Request::Abandon { destination: name.to_owned(), bucket });
        }
        if let Some(validate) = fields.get("validate") {
            return names(validate).map(|destinations| Request::Validate { destinations });
        }
        let time_ms = time_ms(fields.get("time"))?;
        let scheduled = fields.get("detail-type").and_then(Value::as_str) == Some("Scheduled Event");
        let flush = match fields.get("flush").and_then(Value::as_str) {
            Some("all") => Flush::All,
            Some("full") => Flush::Full,
            Some(other) => return Err(Unknown(format!("flush is {other:?}"))),
            None if scheduled || fields.keys().all(|name| name == "time") => Flush::All,
            None => return Err(Unknown(fields.keys().take(5).cloned().collect::<Vec<_>>().join(", "))),
        };
        Ok(Request::Tick { flush, time_ms })
    }
}

fn names(validate: &Value) -> Result<Vec<String>, Unknown> {
    let list = validate.as_array().map(|list| list.iter().map(|name| name.as_str().map(str::to_owned)));
    list.and_then(Iterator::collect).ok_or_else(|| Unknown("validate is not a list of names".to_owned()))
}

fn time_ms(time: Option<&Value>) -> Result<Option<i64>, Unknown> {
    let Some(time) = time else { return Ok(None) };
    let parsed = time.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let timestamp = parsed.ok_or_else(|| Unknown(format!("time is {time}")))?;
    Ok(Some(timestamp.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_kind_of_event_is_recognised() {
        let check = |event: Value, expected: Request| assert_eq!(Request::parse(&event), Ok(expected));
        let all = |time_ms| Request::Tick { flush: Flush::All, time_ms };
        check(json!({}), all(None));
        check(json!({"flush": "all"}), all(None));
        check(
            json!({"detail-type": "Scheduled Event", "source": "aws.events", "time": "2019-05-11T20:40:00Z"}),
            all(Some(1_557_607_200_000)),
        );
        check(
            json!({"flush": "full", "time": "2019-05-11T20:40:00Z"}),
            Request::Tick { flush: Flush::Full, time_ms: Some(1_557_607_200_000) },
        );
        let abandon =
            |bucket: Option<&str>| Request::Abandon { destination: "old".into(), bucket: bucket.map(Into::into) };
        check(json!({"abandon": {"destination": "old"}}), abandon(None));
        check(json!({"abandon": {"destination": "old", "bucket": "b/p/"}}), abandon(Some("b/p")));
        check(json!({"validate": ["a", "b"]}), Request::Validate { destinations: vec!["a".into(), "b".into()] });
        check(json!({"validate": []}), Request::Validate { destinations: vec![] });
    }

    #[test]
    fn an_unknown_event_is_refused_with_the_known_ones() {
        for event in [
            json!([]),
            json!({"Records": []}),
            json!({"flush": "some"}),
            json!({"abandon": "old"}),
            json!({"abandon": {"destination": "old", "bucket": 1}}),
            json!({"abandon": {"plan": "all"}}),
            json!({"validate": "a"}),
            json!({"flush": "all", "time": "noon"}),
        ] {
            let words = Request::parse(&event).unwrap_err().to_string();
            assert!(words.contains("{\"flush\": \"full\"}"), "{words}");
        }
    }
}
