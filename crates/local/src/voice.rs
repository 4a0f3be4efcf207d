//! Output for people: colours on a terminal, plain text elsewhere. A closed pipe is ignored.

use std::fmt::{Arguments, Display};
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// True once standard output could not be written, for another reason than a closed pipe.
static IS_LOST: AtomicBool = AtomicBool::new(false);

/// Writes to standard output. The work goes on if that fails, for example on a full disk: [`is_lost`] says so in the end.
pub(crate) fn say(text: Arguments<'_>) {
    let mut out = Patient::new(io::stdout().lock());
    let written = out.write_fmt(text).and_then(|()| out.flush());
    if let Err(error) = written
        && !IS_LOST.swap(true, Ordering::Relaxed)
    {
        warn(format_args!("segment-s3: failed to write to standard output: {error}"));
    }
}

/// The same with an end of line.
pub(crate) fn say_line(text: impl Display) {
    say(format_args!("{text}\n"));
}

/// Writes a line to standard error, if that can be written.
pub(crate) fn warn(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// True if something that was said could not be written.
pub(crate) fn is_lost() -> bool {
    IS_LOST.load(Ordering::Relaxed)
}

/// How words are painted on one stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Voice {
    coloured: bool,
}

impl Voice {
    /// Colours if `stream` is a terminal, and `NO_COLOR` (no-color.org) does not forbid them.
    pub(crate) fn of(stream: &impl IsTerminal) -> Self {
        Self { coloured: stream.is_terminal() && std::env::var_os("NO_COLOR").is_none() }
    }

    /// No colours.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self { coloured: false }
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.coloured { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    pub(crate) fn strong(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(crate) fn careful(self, text: &str) -> String {
        self.paint("33", text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.paint("31", text)
    }
}

/// Writes until the reader closes the pipe, then ignores all output.
#[derive(Debug)]
pub(crate) struct Patient<W> {
    to: W,
    read: bool,
}

impl<W: Write> Patient<W> {
    pub(crate) fn new(to: W) -> Self {
        Self { to, read: true }
    }

    fn unless_gone<T>(&mut self, done: io::Result<T>, instead: T) -> io::Result<T> {
        match done {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.read = false;
                Ok(instead)
            }
            done => done,
        }
    }
}

impl<W: Write> Write for Patient<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let done = if self.read { self.to.write(bytes) } else { Ok(bytes.len()) };
        self.unless_gone(done, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let done = if self.read { self.to.flush() } else { Ok(()) };
        self.unless_gone(done, ())
    }
}
