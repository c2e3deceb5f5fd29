//! `cargo xtask ci`.

use std::process::ExitCode;

use crate::shell::{self, Result};
use crate::{build, test, tidy};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Cheapest first, so that a red run is red early; the tests' closing line comes last.
pub(crate) fn main(_args: &Args) -> Result<ExitCode> {
    shell::run(&mut shell::cargo(&["fmt", "--all", "--check"]))?;
    let mut lints = shell::cargo(&["clippy", "--quiet", "--workspace", "--all-targets", "--locked"]);
    shell::run(lints.args(["--", "-D", "warnings"]))?;
    // The README's transcript is compared with what the release binary says.
    build::build(false)?;
    let tidied = tidy::main(&tidy::Args::default())?;
    let tested = test::main(&test::Args::default())?;
    Ok(if tidied == ExitCode::SUCCESS { tested } else { tidied })
}
