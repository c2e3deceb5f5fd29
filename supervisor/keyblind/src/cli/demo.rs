//! `keyblind demo`.

use std::process::ExitCode;

use super::out;
use crate::demo::{DemoError, Outcome, show};

/// Something was not held.
const NOT_HELD: u8 = 1;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn main(_args: Args) -> ExitCode {
    match show(&mut |line| out::line(line)) {
        Ok(Outcome::Held) => ExitCode::SUCCESS,
        Ok(Outcome::NotHeld) => ExitCode::from(NOT_HELD),
        Err(error @ DemoError::Output(_)) => out::fail(out::USAGE, error),
        Err(error) => out::fail(crate::run::REFUSED, error),
    }
}
