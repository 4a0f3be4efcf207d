//! One row of a file that a mapping reads.

use crate::call::{Encoder, Row};
use crate::columns::ColumnPlan;
use crate::dialect::Dialect;
use crate::mapping::Mapper;
use crate::profile::Profiler;
use crate::refusal::{Span, WarningCode};
use crate::rows::Cell;
use crate::warnings::Note;

use super::records::{Quotes, is_blank, note_shape, sound};
use super::{Dropped, Translated};

/// A row as it stands in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct SourceRow<'a> {
    pub(super) text: &'a [u8],
    pub(super) cells: &'a [Cell],
    pub(super) quotes: Quotes,
    pub(super) span: Span,
    /// How many lines it takes.
    pub(super) lines: u64,
}

/// What reads such rows.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub(super) mapper: &'a mut Mapper,
    pub(super) plan: &'a ColumnPlan,
    pub(super) dialect: Dialect,
    pub(super) encoder: &'a mut Encoder,
    pub(super) profiler: Option<&'a mut Profiler>,
}

impl SourceRow<'_> {
    /// Whether it has nothing but delimiters and blanks. A constant would make a call of it.
    pub(super) fn is_blank(&self) -> bool {
        self.quotes.is_sound() && is_blank(self.text, self.cells)
    }

    /// Appends the call of a row that makes one by itself.
    #[inline(never)]
    pub(super) fn translate(self, reader: Reader<'_>, calls: &mut Vec<u8>, records: &mut Vec<u8>) -> Translated {
        let SourceRow { text, cells, quotes, span, lines } = self;
        let Reader { mapper, plan, dialect, encoder, profiler } = reader;
        if self.is_blank() {
            encoder.notes.clear();
            return Translated::Dropped { span, reason: Dropped::Blank };
        }
        let is_sound = sound(text, cells, quotes, plan);
        if let (Ok(()), Some(profiler)) = (&is_sound, profiler) {
            profiler.row(text, cells, span.start);
        }
        if is_sound.is_ok() && !mapper.passes(text, cells) {
            encoder.notes.clear();
            return Translated::Dropped { span, reason: Dropped::Skipped };
        }
        records.extend_from_slice(text);
        let begin = calls.len();
        let written = is_sound.and_then(|()| {
            note_shape(text, cells, plan, &mut encoder.notes);
            let made = mapper.make(text, cells, true, &plan.names, &mut encoder.notes)?;
            encoder.append(plan, Row::new(made.text, made.cells, span.start), calls)
        });
        match written {
            Ok(timestamp) => Translated::Call { span, len: calls.len() - begin, timestamp },
            Err(flaw) => {
                omit_nothing(&mut encoder.notes);
                Translated::Refused(flaw.at(span, cells, plan, dialect, lines))
            }
        }
    }
}

/// Takes back the notes of cells that are omitted: the row is not sent without them, but refused.
pub(super) fn omit_nothing(notes: &mut Vec<Note>) {
    notes.retain(|note| note.code != WarningCode::CellOmitted);
}
