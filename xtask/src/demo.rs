//! `cargo xtask demo`.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use crate::shell::{self, Result};
use crate::{build, setup};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Install what is missing without asking
    #[arg(long)]
    yes: bool,
    /// Options of `keyblind demo`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    setup::install(setup::For::Demo, args.yes)?;
    let mut command = Command::new(build::build(false)?);
    command.arg("demo").args(&args.args);
    let source = command.exec();
    Err(shell::start_error(&command, source))
}
