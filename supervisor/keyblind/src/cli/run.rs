//! `keyblind run`.

use std::process::ExitCode;

use super::out;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn main(_args: Args) -> ExitCode {
    out::fail(out::REFUSED, "run: not built yet")
}
