//! Colours where somebody looks, plain text elsewhere.

use std::io::IsTerminal;

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
