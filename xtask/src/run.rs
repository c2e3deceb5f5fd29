//! `cargo xtask run`.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use crate::build;
use crate::shell::{self, Result};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What follows `keyblind`, for instance `run -- env`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

/// Replaces this process, so that signals, the terminal and the exit status are keyblind's own.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let mut command = Command::new(build::build(false)?);
    command.args(&args.args);
    let source = command.exec();
    Err(shell::start_error(&command, source))
}
