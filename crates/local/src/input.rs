//! A file, and the machine that reads it.

use anyhow::Context;
use calls::batches::Envelope;
use calls::call::MessageIds;
use calls::pipeline::Pipeline;
use calls::profile::Detail;
use calls::reading::Reading;
use calls::refusal::Position;
use calls::subject::Subject;
use calls::translator::Translator;
use protocol::id::StreamId;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// Opens a file, or standard input. Returns its size too, if it is known.
pub(crate) fn open(path: &Path) -> anyhow::Result<(Box<dyn Read>, Option<u64>)> {
    if path == Path::new("-") {
        return Ok((Box::new(std::io::stdin().lock()), None));
    }
    let file = File::open(path).context("failed to open it")?;
    let metadata = file.metadata().context("failed to read its size")?;
    anyhow::ensure!(!metadata.is_dir(), "it is a folder: name the files in it");
    Ok((Box::new(file), Some(metadata.len())))
}

/// The machine that reads a file as the ingester does. Ids derive from bucket and version, which do not exist here.
/// `detail`: what is profiled.
pub(crate) fn machine(subject: &Subject, reading: &Reading, detail: Option<Detail>) -> Pipeline {
    let mut translator = Translator::new(subject, reading, MessageIds::new(StreamId::new([0; 16])));
    if let Some(detail) = detail {
        translator = translator.with_profile(detail);
    }
    Pipeline::new(translator, Envelope::of(subject), Position::START)
}

/// Reads something, unless there is nothing more.
pub(crate) fn read(input: &mut dyn Read, chunk: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match input.read(chunk) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}
