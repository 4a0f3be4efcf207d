//! Seeded lines of events, as the ingester and the receiver keep them.

use crate::rows::{self, Dice, EVENTS, PLANS};
use anyhow::Context;
use export::received::{Stamp, append_own_call};
use protocol::id::SourceId;
use standins::installation::SOURCE_ID;
use std::path::Path;

/// 2019-05-11.
pub(crate) const RECEIVED_MS: i64 = 1_557_606_747_940;

/// In the message ids.
const STREAM: &str = "6f3a51d2c09e4b778a1f0c63d5e2b948";

/// Makes one piece after the other.
pub(crate) struct Lines {
    dice: Dice,
    stamp: Stamp,
    made: u64,
}

impl Lines {
    pub(crate) fn new() -> anyhow::Result<Lines> {
        let source: SourceId = SOURCE_ID.parse().context("no id of a source")?;
        Ok(Lines { dice: Dice::new(2), stamp: Stamp::new(RECEIVED_MS, &source), made: 0 })
    }

    /// Lines of about so many bytes together, at least one.
    pub(crate) fn piece(&mut self, bytes: usize) -> Vec<u8> {
        let mut piece = Vec::with_capacity(bytes + 1_024);
        loop {
            let before = piece.len();
            self.append(&mut piece);
            if before > 0 && piece.len() > bytes {
                piece.truncate(before);
                return piece;
            }
            if piece.len() >= bytes {
                return piece;
            }
        }
    }

    fn append(&mut self, out: &mut Vec<u8>) {
        let Lines { dice, made, .. } = self;
        let number = *made;
        *made += 1;
        let start = format!("{{\"type\":\"track\",\"messageId\":\"s3-{STREAM}-{}\",\"timestamp\":\"", number * 157);
        let time = rows::time(dice);
        let (event, plan, user) = (dice.pick(&EVENTS), dice.pick(&PLANS), rows::user(dice, number));
        let (revenue, cents, name) = (dice.below(1_000), dice.below(100), rows::name(dice));
        let (ip, device) = (rows::ip(dice), rows::uuid(dice));
        let call = format!(
            "{start}{time}\",\"event\":\"{event}\",\"userId\":\"{user}\",\"properties\":{{\
             \"plan\":\"{plan}\",\"revenue\":{revenue}.{cents:02},\"name\":\"{name}\"}},\"context\":{{\
             \"ip\":\"{ip}\",\"device\":{{\"advertisingId\":\"{device}\"}},\
             \"library\":{{\"name\":\"segment-s3\",\"version\":\"0.2.0\"}}}}}}"
        );
        append_own_call(out, call.as_bytes(), Some(start.len()..start.len() + time.len()), &self.stamp);
    }
}

/// Writes them as files `0000000.json` and so on, for programs that read files.
pub(crate) fn write(folder: &Path, files: u64, bytes: usize) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut lines = Lines::new()?;
    for number in 0..files {
        std::fs::write(folder.join(format!("{number:07}.json")), lines.piece(bytes))?;
    }
    Ok(())
}
