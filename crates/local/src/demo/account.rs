//! Whether rows, calls and log lines add up. Each figure is counted at its source, and compared with the ingester's
//! report.

use super::name_of;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The figures to compare.
pub(super) struct Books<'a> {
    /// Each dropped file, with its number of records if that is known without the ingester.
    pub(super) dropped: Vec<(String, Option<u64>)>,
    /// The ingester's reports, one for each mapping that reads a file.
    pub(super) objects: &'a [Value],
    /// The calls that Segment received, and the objects with their collection.
    pub(super) received: Vec<&'a Map<String, Value>>,
    /// The lines of all log objects.
    pub(super) logged: Vec<&'a Map<String, Value>>,
}

/// A line of the account.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) holds: bool,
    pub(super) text: String,
}

pub(super) fn id_of(call: &Map<String, Value>) -> Option<&str> {
    call.get("messageId").and_then(Value::as_str)
}

impl Books<'_> {
    /// The account, in the order of the way through.
    pub(super) fn checks(&self) -> [Check; 4] {
        [self.files(), self.rows(), self.segment(), self.logs()]
    }

    fn files(&self) -> Check {
        // A file has a report for each mapping that reads it.
        let is_finished = |(name, _): &&(String, Option<u64>)| {
            let mut reports = self.of_file(name).peekable();
            reports.peek().is_some() && reports.all(|object| object["outcome"] == "finished")
        };
        let finished = self.dropped.iter().filter(is_finished).count();
        let dropped = self.dropped.len();
        let holds = finished == dropped;
        let text = if holds {
            format!("{finished} files finished")
        } else {
            format!("{finished} of {dropped} files finished")
        };
        Check { holds, text }
    }

    fn rows(&self) -> Check {
        let (rows, acknowledged, rejected) = (self.sum("rows"), self.sum("acknowledged"), self.sum("rejected"));
        let mut text = format!("{rows} rows = {acknowledged} acknowledged + {rejected} rejected");
        let skipped = self.sum("skipped_rows");
        if skipped > 0 {
            text.push_str(&format!("; mappings skipped {skipped} more"));
        }
        let mut holds = rows == acknowledged + rejected;
        for (name, records) in &self.dropped {
            let mut read: Vec<u64> =
                self.of_file(name).map(|object| figure(object, "rows") + figure(object, "skipped_rows")).collect();
            if read.is_empty() {
                read.push(0);
            }
            for read in read {
                if let Some(records) = records.filter(|records| *records != read) {
                    holds = false;
                    text.push_str(&format!("; {name} holds {records}, and {read} were read"));
                }
            }
        }
        Check { holds, text }
    }

    fn segment(&self) -> Check {
        let (calls, objects) = (self.calls().count() as u64, self.received.len() as u64 - self.calls().count() as u64);
        let mut text = format!("Segment received {calls} calls and {objects} objects");
        let holds = (calls, objects) == self.acknowledged();
        if !holds {
            let (calls, objects) = self.acknowledged();
            text.push_str(&format!("; {calls} and {objects} were acknowledged"));
        }
        Check { holds, text }
    }

    fn logs(&self) -> Check {
        let (calls, lines) = (self.acknowledged().0, self.logged.len());
        let mut text = format!("each of the {calls} acknowledged calls is found once in the logs ({lines} lines)");
        let (received, logged) = (by_id(self.calls()), by_id(self.logged.iter().copied()));
        let holds = received == logged && lines as u64 == calls && self.calls().count() == lines;
        if !holds {
            let fewer = |one: &BTreeMap<_, u64>, other: &BTreeMap<_, u64>| {
                one.iter().map(|(id, times)| times.saturating_sub(other.get(id).copied().unwrap_or(0))).sum::<u64>()
            };
            let (missing, surplus) = (fewer(&received, &logged), fewer(&logged, &received));
            text.push_str(&format!("; {missing} are missing, {surplus} are too many"));
        }
        Check { holds, text }
    }

    /// Objects have no kind.
    fn calls(&self) -> impl Iterator<Item = &Map<String, Value>> {
        self.received.iter().copied().filter(|received| received.contains_key("type"))
    }

    /// The calls and objects of the acknowledged rows. Where rows of a group are one call, `calls` has their number.
    fn acknowledged(&self) -> (u64, u64) {
        let (of_objects, of_calls): (Vec<_>, Vec<_>) =
            self.objects.iter().partition(|object| object["kind"] == "object");
        let sent = |object: &&Value| object["calls"].as_u64().unwrap_or(figure(object, "acknowledged"));
        (of_calls.iter().map(sent).sum(), of_objects.iter().map(sent).sum())
    }

    /// The reports of a file.
    fn of_file<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'b Value> {
        self.objects.iter().filter(move |object| name_of(object) == name)
    }

    fn sum(&self, name: &str) -> u64 {
        self.objects.iter().map(|object| figure(object, name)).sum()
    }
}

fn figure(object: &Value, name: &str) -> u64 {
    object[name].as_u64().unwrap_or(0)
}

/// How often there is each id. (A file may bring its own, and may bring one twice.)
fn by_id<'a>(calls: impl Iterator<Item = &'a Map<String, Value>>) -> BTreeMap<Option<&'a str>, u64> {
    let mut times = BTreeMap::new();
    for call in calls {
        *times.entry(id_of(call)).or_default() += 1;
    }
    times
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn file(name: &str, kind: &str, rows: u64, rejected: u64) -> Value {
        let object = format!("s3://source/{name}");
        json!({"object": object, "outcome": "finished", "kind": kind, "rows": rows,
            "acknowledged": rows - rejected, "rejected": rejected})
    }

    /// The checks for three rows of calls, of which one is refused, and one object.
    fn holds(
        change: impl FnOnce(&mut Vec<(String, Option<u64>)>, &mut Vec<Value>, &mut Vec<Value>, &mut Vec<Value>),
    ) -> [bool; 4] {
        let mut dropped = vec![("track_1.csv".to_owned(), Some(3)), ("object_rooms_1.csv".to_owned(), Some(1))];
        let mut objects = vec![file("track_1.csv", "track", 3, 1), file("object_rooms_1.csv", "object", 1, 0)];
        let call = |id: &str| json!({"type": "track", "messageId": id});
        let mut received = vec![call("a"), call("b"), json!({"id": "1", "collection": "rooms"})];
        let mut logged = vec![call("b"), call("a")];
        change(&mut dropped, &mut objects, &mut received, &mut logged);
        let (received, logged): (Vec<_>, Vec<_>) =
            (received.into_iter().map(fields).collect(), logged.into_iter().map(fields).collect());
        let books =
            Books { dropped, objects: &objects, received: received.iter().collect(), logged: logged.iter().collect() };
        books.checks().map(|check| check.holds)
    }

    #[test]
    fn the_account_closes_and_each_loss_is_reported() {
        assert_eq!(holds(|_, _, _, _| {}), [true; 4]);
        assert_eq!(holds(|_, objects, _, _| objects[0]["outcome"] = json!("stopped")), [false, true, true, true]);
        assert_eq!(holds(|dropped, _, _, _| dropped.push(("page_1.csv".to_owned(), None))), [false, true, true, true]);
        assert_eq!(holds(|dropped, _, _, _| dropped[0].1 = Some(4)), [true, false, true, true]);
        assert_eq!(holds(|dropped, _, _, _| dropped[0].1 = None), [true; 4], "what cannot be counted is believed");
        assert_eq!(holds(|_, objects, _, _| objects[0]["rejected"] = json!(0)), [true, false, true, true]);
        assert_eq!(holds(|_, objects, _, _| objects[0]["skipped_rows"] = json!(1)), [true, false, true, true]);
        assert_eq!(holds(|_, objects, _, _| objects[0]["calls"] = json!(1)), [true, true, false, false]);
        let second = |objects: &mut Vec<Value>, rows| {
            let mut report = file("track_1.csv", "track", rows, 0);
            report["skipped_rows"] = json!(3 - rows);
            objects.push(report);
        };
        assert_eq!(holds(|_, objects, _, _| second(objects, 0)), [true; 4], "another mapping skips all rows");
        assert_eq!(holds(|_, objects, _, _| second(objects, 2)), [true, true, false, false], "or makes calls");
        assert_eq!(holds(|_, _, received, _| drop(received.pop())), [true, true, false, true], "the object");
        assert_eq!(holds(|_, _, received, _| drop(received.remove(0))), [true, true, false, false], "a call");
        assert_eq!(holds(|_, _, _, logged| drop(logged.pop())), [true, true, true, false]);
        assert_eq!(holds(|_, _, _, logged| logged.push(logged[0].clone())), [true, true, true, false]);
        assert_eq!(holds(|_, _, _, logged| logged[0] = logged[1].clone()), [true, true, true, false]);
    }
}
