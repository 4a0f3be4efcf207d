//! `docs/mapping.md`: every document on the page is checked, and makes the calls that stand below it.

use calls::batches::Envelope;
use calls::call::MessageIds;
use calls::pipeline::{Next, Pipeline};
use calls::refusal::Position;
use calls::subject::SubjectOf;
use calls::translator::Translator;
use config::Config;
use protocol::id::StreamId;
use protocol::reading::Reading;
use serde_json::Value;
use std::path::Path;

/// A block of the page, with its language.
struct Block {
    language: String,
    text: String,
}

#[test]
fn every_document_of_the_guide_is_checked_and_makes_the_calls_below_it() {
    let blocks = blocks();
    let mut documents = 0;
    for window in blocks.windows(3) {
        let [document, file, calls] = window else { continue };
        if document.language != "toml" {
            continue;
        }
        documents += 1;
        let languages = (file.language.as_str(), calls.language.as_str());
        assert_eq!(languages, ("csv", "json"), "a document has its file and its calls below it: {}", document.text);
        let config = Config::parse(&document.text, &Reading::default()).unwrap_or_else(|faults| {
            panic!("{}: {}", document.text, faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        });
        let expected: Vec<Value> = calls.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let made: Vec<Value> = config.mappings.iter().flat_map(|rule| made(&rule.reading, &file.text)).collect();
        assert_eq!(made.len(), expected.len(), "{}: {made:#?}", document.text);
        for (made, expected) in made.into_iter().zip(expected) {
            assert_eq!(stripped(made, &expected), expected, "{}", document.text);
        }
    }
    assert_eq!(documents, blocks.iter().filter(|block| block.language == "toml").count());
    assert!(documents >= 13, "{documents}");
}

/// The calls of a file.
fn made(reading: &Reading, file: &str) -> Vec<Value> {
    let subject = reading.subject("file.csv", None).unwrap();
    let translator = Translator::new(&subject, reading, MessageIds::new(StreamId::new([0; 16])));
    let mut machine = Pipeline::new(translator, Envelope::of(&subject), Position::START);
    machine.push(file.as_bytes());
    machine.finish();
    let mut calls = Vec::new();
    while let Next::Batch(batch) = machine.next_batch() {
        assert!(batch.refused.is_empty(), "{:?}", batch.refused);
        calls.extend((0..batch.calls.len()).map(|at| serde_json::from_slice(batch.call(at)).unwrap()));
    }
    assert!(machine.fault().is_none(), "{:?}", machine.fault());
    calls
}

/// A call without the fields that the page leaves out.
fn stripped(mut call: Value, expected: &Value) -> Value {
    let fields = call.as_object_mut().unwrap();
    fields.remove("context");
    if expected.get("messageId").is_none() {
        fields.remove("messageId");
    }
    call
}

fn blocks() -> Vec<Block> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/mapping.md");
    let page = std::fs::read_to_string(page).unwrap();
    let parts = page.split("```").skip(1).step_by(2);
    parts
        .map(|part| {
            let (language, text) = part.split_once('\n').unwrap();
            Block { language: language.to_owned(), text: text.to_owned() }
        })
        .collect()
}
