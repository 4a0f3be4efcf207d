//! The result of a check as plain data, for a page. It has cells: it is for the person who has the file.

use super::assign::Assignment;
use super::checked::Checked;
use super::preview::Preview;
use super::tell::{Excerpt, Tone, fault, known, pretty, verdict};
use super::{Look, profile};
use calls::dialect::{Compression, Encoding};
use config::Config;
use ingester::Settings;

/// The first calls, and the first refused rows.
const SHOWN_MAX: usize = 5;

/// The beginning of a file, and the key that it is read under.
pub(crate) struct Sample<'a> {
    pub(crate) key: &'a str,
    pub(crate) bytes: &'a [u8],
    /// Whether these are all bytes of the file.
    pub(crate) is_whole: bool,
}

/// The result for a file, as one mapping reads it.
pub(crate) struct View {
    pub(crate) tone: Tone,
    pub(crate) verdict: String,
    /// Who reads the file, and how it is written.
    pub(crate) known: Vec<String>,
    pub(crate) fault: Option<String>,
    pub(crate) columns: Vec<ColumnView>,
    /// Rows under [`HEADINGS`](profile::HEADINGS).
    pub(crate) profile: Vec<[String; 6]>,
    pub(crate) warnings: Vec<String>,
    /// The first calls, indented.
    pub(crate) calls: Vec<String>,
    pub(crate) refused: Vec<RefusedView>,
    pub(crate) account: Vec<(String, u64)>,
}

/// A column, and its first values.
pub(crate) struct ColumnView {
    pub(crate) name: String,
    /// The field; `None` if it is not sent.
    pub(crate) path: Option<String>,
    pub(crate) cell: &'static str,
    /// Before and after; there is no cell for a constant.
    pub(crate) values: Vec<(Option<String>, String)>,
}

/// A refused row.
pub(crate) struct RefusedView {
    pub(crate) message: String,
    pub(crate) before: String,
    /// The cell at fault.
    pub(crate) marked: Option<String>,
    pub(crate) behind: String,
}

impl Sample<'_> {
    /// Checks the sample: once for each mapping that reads its key.
    ///
    /// # Errors
    /// In words, when no source takes the key.
    pub(crate) fn views(&self, settings: &Settings, config: &Config) -> Result<Vec<View>, String> {
        let assignment = Assignment::with(settings.clone(), config.clone());
        let look = Look { key: self.key, collection: None, show: SHOWN_MAX, values: true };
        let views = assignment.of(self.key)?.into_iter().map(|assigned| {
            let checked = look.read(&mut self.rows(), (settings, assigned), |_, _| Ok(()));
            checked.map(|checked| View::of(self.without_cut(checked))).map_err(|error| format!("{error:#}"))
        });
        views.collect()
    }

    /// The whole lines. (A quoted line break at the very end gives one row that is not in the file.)
    fn rows(&self) -> &[u8] {
        if self.is_whole {
            return self.bytes;
        }
        let end = self.bytes.iter().rposition(|byte| *byte == b'\n').map_or(self.bytes.len(), |at| at + 1);
        &self.bytes[..end]
    }

    /// The result without the fault that the cut itself makes.
    fn without_cut(&self, checked: Checked) -> Checked {
        let is_cut_within = checked.header.as_ref().is_some_and(|header| {
            header.dialect.compression != Compression::None
                || matches!(header.dialect.encoding, Encoding::Utf16Le | Encoding::Utf16Be)
        });
        if self.is_whole || !is_cut_within || checked.account.rows == 0 {
            return checked;
        }
        Checked { fault: None, fault_code: None, fault_at: None, ..checked }
    }
}

impl View {
    fn of(checked: Checked) -> View {
        let (tone, verdict) = verdict(&checked);
        let of_columns = checked.warnings.iter().map(|warning| warning.message.clone());
        let profiled = checked.profile.iter().flat_map(|profile| &profile.columns).enumerate();
        View {
            tone,
            verdict,
            known: known(&checked),
            fault: fault(&checked),
            columns: columns(&checked),
            profile: profiled.map(|(at, column)| profile::line(column, checked.values.get(at))).collect(),
            warnings: of_columns.chain(checked.account.warnings()).collect(),
            calls: checked.first_calls.iter().map(|call| pretty(call)).collect(),
            refused: refused(&checked),
            account: account(&checked),
        }
    }
}

fn columns(checked: &Checked) -> Vec<ColumnView> {
    let nothing = Preview::default();
    let preview = checked.preview.as_ref().unwrap_or(&nothing);
    let of_table = checked.columns.iter().enumerate().filter(|(_, column)| !column.name.ends_with("[]"));
    let view = |(at, column): (usize, &calls::columns::Column)| ColumnView {
        name: column.name.clone(),
        path: column.path.clone(),
        cell: if column.path.is_some() { column.cell.as_str() } else { "" },
        values: preview.of(at).iter().map(|pair| (pair.before.clone(), pair.after.clone())).collect(),
    };
    of_table.map(view).collect()
}

fn refused(checked: &Checked) -> Vec<RefusedView> {
    let view = |(refusal, record): &(calls::refusal::RowRefusal, Vec<u8>)| {
        let Excerpt { before, marked, behind } = Excerpt::of(refusal, record);
        RefusedView { message: refusal.message.clone(), before, marked, behind }
    };
    checked.first_refused.iter().map(view).collect()
}

fn account(checked: &Checked) -> Vec<(String, u64)> {
    let account = &checked.account;
    let mut lines = vec![
        ("rows".to_owned(), account.rows),
        ("calls".to_owned(), checked.calls),
        ("refused".to_owned(), account.rejected),
    ];
    lines.extend(account.rejected_by.iter().map(|(code, rows)| (format!("refused: {code}"), *rows)));
    let others = [
        ("blank, dropped", account.blank_rows),
        ("headers, dropped", account.repeated_headers),
        ("skipped by filters", account.skipped_rows),
    ];
    lines.extend(others.into_iter().filter(|(_, rows)| *rows > 0).map(|(name, rows)| (name.to_owned(), rows)));
    lines
}
