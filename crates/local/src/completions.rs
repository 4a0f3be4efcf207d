//! `segment-s3 completions`: the completions for a shell.

use crate::voice::Patient;
use clap::Command;
use clap_complete::{Shell, generate};
use std::io::{self, Write as _};

const NAME: &str = "segment-s3";

/// Writes the script of a shell to standard output. A closed pipe is ignored, as everywhere.
pub(crate) fn run(shell: Shell, command: &mut Command) -> io::Result<()> {
    let mut script = Vec::new();
    generate(shell, command, NAME, &mut script);
    let mut script = String::from_utf8_lossy(&script).into_owned();
    if shell == Shell::Bash {
        // clap_complete writes the states of its script with two spellings of a hyphen in the program's name, so no option of
        // a subcommand would be found.
        script = script.replace("segment__subcmd__s3", "segment__s3");
    }
    let mut out = Patient::new(io::stdout());
    out.write_all(script.as_bytes())?;
    out.flush()
}
