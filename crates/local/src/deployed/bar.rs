//! Progress on a terminal. Elsewhere nothing is shown.

use crate::words::visible;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const BYTES: &str = "  {msg}  {wide_bar}  {percent:>3} %  {decimal_bytes} of {decimal_total_bytes}  {decimal_bytes_per_sec}  {eta} left";
const ROWS: &str = "  {wide_bar}  {percent:>3} %  {human_pos} of {human_len} rows  {msg}";

/// A bar on standard error, which is gone in the end.
pub(super) struct Bar(ProgressBar);

impl Bar {
    fn new(length: u64, template: &str) -> Bar {
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template(template).map(|style| style.progress_chars("█▓░"));
        Bar(style.map_or(bar.clone(), |style| bar.with_style(style)))
    }

    /// A bar of the bytes of a file.
    pub(super) fn of_bytes(name: &str, size: u64) -> Bar {
        let bar = Bar::new(size, BYTES);
        bar.0.set_message(visible(name));
        bar
    }

    /// A bar of rows, whose number is told later.
    pub(super) fn of_rows() -> Bar {
        Bar::new(0, ROWS)
    }

    /// So many bytes are sent.
    pub(super) fn at(&self, bytes: u64) {
        self.0.set_position(bytes);
    }

    /// So many rows are settled, of so many.
    pub(super) fn rows(&self, settled: u64, all: u64, words: &str) {
        self.0.set_length(all);
        self.0.set_position(settled);
        self.0.set_message(words.to_owned());
    }

    /// Writes something above the bar.
    pub(super) fn above(&self, write: impl FnOnce()) {
        self.0.suspend(write);
    }

    pub(super) fn clear(&self) {
        self.0.finish_and_clear();
    }
}
