//! The last minutes: calls that the receiver took or refused, files, exports.

use super::html::{badge, prose, text, time};
use super::{Parameters, Shared, view as answer};
use crate::check::pretty;
use crate::serve::feed::Entry;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Entries that are shown.
const SHOWN_MAX: usize = 200;

/// What is wanted of the entries.
#[derive(Debug, Default)]
struct Wanted<'a> {
    seer: &'a str,
    source: &'a str,
    kind: &'a str,
    /// In lower case.
    words: String,
    is_refused: bool,
    is_raw: bool,
}

pub(super) async fn view(State(system): Shared, headers: HeaderMap, parameters: Parameters) -> Response {
    let get = |name: &str| parameters.get(name).map(String::as_str).unwrap_or_default();
    let wanted = Wanted {
        seer: get("by"),
        source: get("source"),
        kind: get("kind"),
        words: get("q").trim().to_lowercase(),
        is_refused: get("refused") == "1",
        is_raw: get("raw") == "1",
    };
    answer(&headers, &system, "Live", || content(&system.feed.entries(), &wanted))
}

fn content(entries: &[Entry], wanted: &Wanted<'_>) -> String {
    let mut out = String::from("<h1>Live</h1>");
    filters(&mut out, entries, wanted);
    let shown: Vec<&Entry> = entries.iter().filter(|entry| wanted.takes(entry)).take(SHOWN_MAX).collect();
    let _ = write!(out, "<ol class=\"live\" id=\"entries\">");
    shown.iter().for_each(|entry| row(&mut out, entry, wanted.is_raw));
    out.push_str("</ol>");
    if shown.is_empty() {
        let words = if entries.is_empty() {
            "Nothing was received in the last minutes. Drop a file, or send a call to the receiver."
        } else {
            "Nothing of the last minutes is like this."
        };
        let _ = write!(out, "<p class=\"empty\">{words}</p>");
    }
    out
}

fn filters(out: &mut String, entries: &[Entry], wanted: &Wanted<'_>) {
    let values =
        |of: fn(&Entry) -> &str| entries.iter().map(of).filter(|value| !value.is_empty()).collect::<BTreeSet<_>>();
    let select = |out: &mut String, name: &str, words: &str, chosen: &str, values: BTreeSet<&str>| {
        let _ = write!(out, "<label>{words} <select name=\"{name}\"><option value=\"\">all</option>");
        for value in values.into_iter().chain((!chosen.is_empty()).then_some(chosen)).collect::<BTreeSet<_>>() {
            let selected = if value == chosen { " selected" } else { "" };
            let _ = write!(out, "<option{selected}>{}</option>", text(value));
        }
        out.push_str("</select></label>");
    };
    let checked = |is: bool| if is { " checked" } else { "" };
    out.push_str("<form class=\"filters\" method=\"get\" action=\"/live\">");
    let words = text(&wanted.words);
    let _ =
        write!(out, "<label>search <input type=\"search\" name=\"q\" value=\"{words}\" placeholder=\"key /\"></label>");
    select(out, "by", "seen by", wanted.seer, values(|entry| entry.seer.as_str()));
    select(out, "source", "source", wanted.source, values(|entry| &entry.source));
    select(out, "kind", "kind", wanted.kind, values(|entry| &entry.kind));
    let _ = write!(
        out,
        "<label><input type=\"checkbox\" name=\"refused\" value=\"1\"{}> refusals only</label>\
         <label><input type=\"checkbox\" name=\"raw\" value=\"1\"{}> raw</label>\
         <button>Show</button><button type=\"button\" id=\"pause\" hidden aria-pressed=\"false\">Pause</button></form>",
        checked(wanted.is_refused),
        checked(wanted.is_raw)
    );
}

fn row(out: &mut String, entry: &Entry, is_raw: bool) {
    let tone = if entry.is_refused { "bad" } else { entry.seer.as_str() };
    let kind = if entry.kind.is_empty() { String::new() } else { badge(tone, &entry.kind) };
    let head = format!(
        "{} <span class=\"seer\">{}</span> {kind} <span class=\"source\">{}</span> <span class=\"title\">{}</span>",
        time(entry.at_ms),
        entry.seer.as_str(),
        text(&entry.source),
        prose(&entry.title)
    );
    if entry.whole.is_empty() {
        let _ = write!(out, "<li><div class=\"note\">{head}</div></li>");
        return;
    }
    let json = if is_raw { entry.whole.clone() } else { pretty(&entry.whole) };
    let raw = if is_raw { " class=\"raw\"" } else { "" };
    let _ = write!(
        out,
        "<li><details id=\"entry-{}\"><summary>{head}</summary><pre{raw}>{}</pre></details></li>",
        entry.number,
        text(&json)
    );
}

impl Wanted<'_> {
    fn takes(&self, entry: &Entry) -> bool {
        let is = |wanted: &str, own: &str| wanted.is_empty() || wanted == own;
        let has_words = || {
            let has = |text: &str| text.to_lowercase().contains(&self.words);
            self.words.is_empty() || has(&entry.title) || has(&entry.whole)
        };
        is(self.seer, entry.seer.as_str())
            && is(self.source, &entry.source)
            && is(self.kind, &entry.kind)
            && (!self.is_refused || entry.is_refused)
            && has_words()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::feed::Seer;
    use serde_json::json;

    #[test]
    fn entries_are_found_by_source_kind_words_and_refusal() {
        let entry = |kind: &str, event: &str, is_refused: bool| Entry {
            number: 1,
            at_ms: 0,
            seer: Seer::Receiver,
            source: "shop".to_owned(),
            kind: kind.to_owned(),
            title: event.to_owned(),
            whole: json!({"event": event}).to_string(),
            is_refused,
        };
        let entries =
            [entry("track", "Order <1>", false), entry("page", "Home", false), entry("refused", "no key", true)];
        let count = |wanted: Wanted<'_>| content(&entries, &wanted).matches("<li>").count();
        assert_eq!(count(Wanted::default()), 3);
        assert_eq!(count(Wanted { kind: "page", ..Wanted::default() }), 1);
        assert_eq!(count(Wanted { source: "other", ..Wanted::default() }), 0);
        assert_eq!(count(Wanted { words: "order".to_owned(), ..Wanted::default() }), 1);
        assert_eq!(count(Wanted { is_refused: true, ..Wanted::default() }), 1);
        assert!(content(&entries, &Wanted::default()).contains("Order &lt;1&gt;"));
    }
}
