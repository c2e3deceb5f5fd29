//! The only place that writes to the operator's stdout and stderr.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

/// Usage error, or an input that cannot be read.
pub(crate) const USAGE: u8 = 2;

/// Writes `text` and a newline to stdout. A closed pipe is not an error: the reader has seen enough.
pub(crate) fn line(text: impl Display) -> io::Result<()> {
    match writeln!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Writes `keyblind: message` to stderr and returns `status`. A stderr that is gone changes nothing:
/// the status still says it.
pub(crate) fn fail(status: u8, message: impl Display) -> ExitCode {
    drop(writeln!(io::stderr().lock(), "keyblind: {message}"));
    ExitCode::from(status)
}

/// Prints clap's answer: help and version on stdout with status 0, mistakes on stderr with [`USAGE`].
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    let status = if error.use_stderr() { USAGE } else { 0 };
    drop(error.print());
    ExitCode::from(status)
}

/// Writes a note to stderr, after the command's own output.
pub(crate) fn note(message: impl Display) {
    // As in `fail`: there is nobody else to tell.
    drop(writeln!(io::stderr().lock(), "keyblind: {message}"));
}

/// Writes a whole answer to stdout; a stdout that fails is the status.
pub(crate) fn page(text: impl Display) -> ExitCode {
    match line(text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(USAGE, format_args!("cannot write to stdout: {error}")),
    }
}
