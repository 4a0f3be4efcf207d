//! How far a long file is, on a terminal.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// A file that is through before this shows nothing.
const PATIENCE: Duration = Duration::from_millis(500);
const EACH: Duration = Duration::from_millis(100);
const BAR_CHARS: u64 = 30;

/// One line on standard error that is written over and over, and gone in the end.
pub(super) struct Progress {
    name: String,
    /// The size of the file, where it is known.
    size: Option<u64>,
    begun: Instant,
    shown: Option<Instant>,
    terminal: bool,
}

impl Progress {
    pub(super) fn new(name: &str, size: Option<u64>) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { name: crate::words::visible(name), size, begun: Instant::now(), shown: None, terminal }
    }

    pub(super) fn at(&mut self, bytes: u64, rows: u64) {
        let now = Instant::now();
        let due = match self.shown {
            None => now - self.begun >= PATIENCE,
            Some(shown) => now - shown >= EACH,
        };
        if !self.terminal || !due {
            return;
        }
        self.shown = Some(now);
        let line = line(&self.name, bytes, self.size, rows, now - self.begun);
        // A failed write to the terminal is ignored.
        let _ = write!(std::io::stderr(), "\r\u{1b}[K{line}");
    }

    pub(super) fn clear(&mut self) {
        if self.shown.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\u{1b}[K");
        }
    }
}

fn line(name: &str, bytes: u64, size: Option<u64>, rows: u64, taken: Duration) -> String {
    let a_second = u128::from(bytes) * 1_000 / taken.as_millis().max(1);
    let speed = super::tell::bytes(u64::try_from(a_second).unwrap_or(u64::MAX));
    let rows = crate::words::grouped(rows);
    match size.filter(|size| *size > 0) {
        Some(size) => {
            let bytes = bytes.min(size);
            let filled = usize::try_from(bytes * BAR_CHARS / size).unwrap_or(0);
            let open = usize::try_from(BAR_CHARS).unwrap_or(0).saturating_sub(filled);
            let percent = bytes * 100 / size;
            format!("{name}  {}{}  {percent:>3} %  {rows} rows  {speed}/s", "█".repeat(filled), "░".repeat(open))
        }
        None => format!("{name}  {}  {rows} rows  {speed}/s", super::tell::bytes(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_grows_with_the_bytes_that_are_read() {
        let second = Duration::from_secs(1);
        let bars = |bytes| line("f", bytes, Some(1_000_000), 1_234, second).matches('█').count();
        assert_eq!([bars(0), bars(500_000), bars(1_000_000), bars(2_000_000)], [0, 15, 30, 30]);
        let text = line("track_1.csv", 250_000, Some(1_000_000), 1_234, second);
        assert!(text.ends_with(" 25 %  1,234 rows  250.0 kB/s"), "{text}");
        let text = line("track_1.csv", 250_000, None, 1_234, second);
        assert_eq!(text, "track_1.csv  250.0 kB  1,234 rows  250.0 kB/s");
    }
}
