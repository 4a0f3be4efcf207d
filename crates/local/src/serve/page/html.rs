//! Parts of HTML.

use crate::serve::buckets::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
use crate::serve::settings::LOCAL_KEY;
use crate::serve::system::System;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use protocol::ledger::rfc3339;
use standins::installation::SOURCE_BUCKET;
use std::fmt::Write as _;

/// The views: path, name, and what changes them.
const VIEWS: [(&str, &str, &str); 4] =
    [("/", "Drop", ""), ("/files", "Files", "files"), ("/live", "Live", "live"), ("/exports", "Exports", "exports")];

/// Columns of numbers, which stand on the right.
const NUMBERS: [&str; 9] = ["Rows", "Sent", "Rejected", "Size", "Took", "Events", "filled", "empty", "bytes"];

/// Characters that stay in the value of a parameter.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'/');

/// Text in HTML.
pub(super) fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Text in HTML, with the words between backticks as code.
pub(super) fn prose(words: &str) -> String {
    let parts: Vec<&str> = words.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return text(words);
    }
    let part = |(at, part): (usize, &&str)| match at % 2 {
        1 => format!("<code>{}</code>", text(part)),
        _ => text(part),
    };
    parts.iter().enumerate().map(part).collect()
}

/// The value of a parameter.
pub(super) fn value(text: &str) -> String {
    utf8_percent_encode(text, VALUE).to_string()
}

/// A time in UTC. The script shows it in the zone of the browser.
pub(super) fn time(ms: i64) -> String {
    let at = rfc3339(ms);
    let short = at.get(..19).unwrap_or_default().replace('T', " ");
    format!("<time datetime=\"{at}\">{short} UTC</time>")
}

/// A word in a colour.
pub(super) fn badge(tone: &str, word: &str) -> String {
    format!("<span class=\"badge {tone}\">{}</span>", text(&word.replace('_', " ")))
}

/// A link to the bytes of an object.
pub(super) fn download(bucket: &str, key: &str, words: &str) -> String {
    format!("<a download href=\"/download?bucket={}&amp;key={}\">{}</a>", value(bucket), value(key), text(words))
}

/// A button that sends something, and works without a script.
pub(super) fn button(action: &str, words: &str) -> String {
    format!("<form method=\"post\" action=\"{}\"><button>{}</button></form>", text(action), text(words))
}

/// Whether a column is of numbers.
pub(super) fn is_number(name: &str) -> bool {
    NUMBERS.contains(&name)
}

/// The head of a table.
pub(super) fn heads(names: &[&str]) -> String {
    let cell = |name: &&str| {
        let class = if is_number(name) { " class=\"number\"" } else { "" };
        format!("<th scope=\"col\"{class}>{}</th>", text(name))
    };
    let cells = names.iter().map(cell).collect::<String>();
    format!("<thead><tr>{cells}</tr></thead>")
}

/// A page with its content.
pub(super) fn whole(system: &System, name: &str, content: &str, seen: u64) -> String {
    let mut links = String::new();
    for (number, (path, own, _)) in VIEWS.iter().enumerate() {
        let current = if *own == name { " aria-current=\"page\"" } else { "" };
        let _ = write!(links, "<a href=\"{path}\"{current} accesskey=\"{0}\" title=\"key {0}\">{own}</a>", number + 1);
    }
    let on = VIEWS.iter().find(|(_, own, _)| *own == name).map_or("", |(_, _, on)| on);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <title>{name} · segment-s3</title><link rel=\"icon\" href=\"data:,\">\
         <link rel=\"stylesheet\" href=\"/style.css\"><script src=\"/page.js\" defer></script></head>\
         <body><a class=\"skip\" href=\"#view\">to the content</a>\
         <header><span class=\"brand\">segment-s3 <small>on this machine</small></span><nav>{links}</nav></header>\
         <main id=\"view\" data-on=\"{on}\" data-seen=\"{seen}\">{content}</main>{}</body></html>\n",
        footer(system)
    )
}

/// Where the parts listen, and how a tool uses them.
fn footer(system: &System) -> String {
    let (s3, receiver) = (text(&system.s3.url()), text(&system.receiver_url));
    format!(
        "<footer><details><summary>S3 <code>{s3}</code> · receiver <code>{receiver}</code></summary>\
         <p>Drop a file with any tool for S3:</p>\
         <pre>export AWS_ACCESS_KEY_ID={ACCESS_KEY_ID} AWS_SECRET_ACCESS_KEY={SECRET_ACCESS_KEY} AWS_REGION=us-east-1\n\
         aws --endpoint-url {s3} s3 cp track_1.csv s3://{SOURCE_BUCKET}/</pre>\
         <p>Send a call as a library of Segment does. Without a setting or a configuration the write key is \
         <code>{LOCAL_KEY}</code>:</p>\
         <pre>curl -u {LOCAL_KEY}: {receiver}/v1/track -d '{{\"userId\":\"u1\",\"event\":\"Signed Up\"}}'</pre>\
         <p>Nothing leaves this machine.</p></details></footer>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_values_cannot_leave_their_place() {
        assert_eq!(text("<a href=\"x\">&'"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
        assert_eq!(prose("a `<b>` c"), "a <code>&lt;b&gt;</code> c");
        assert_eq!(prose("a ` b"), "a ` b");
        assert_eq!(value("a b/ü&c=\"1\".csv"), "a%20b/%C3%BC%26c%3D%221%22.csv");
    }
}
