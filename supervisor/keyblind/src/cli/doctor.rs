//! `keyblind doctor`.

use std::path::PathBuf;
use std::process::ExitCode;

use super::out;
use crate::doctor::{Options, examine, inside};
use crate::trial::sweep;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// One JSON object instead of the page
    #[arg(long)]
    json: bool,
    /// Policy file, as `run --policy` takes it
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Who runs it, when root starts it, as `run --user` takes it
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// What the self-test executes inside a run
    #[arg(long, hide = true, num_args = 0.., value_name = "ATTEMPT")]
    inside: Option<Vec<String>>,
    /// What removes the fakes if nobody else does
    #[arg(long, hide = true, value_name = "DIR")]
    sweep: Option<PathBuf>,
}

pub(crate) fn main(args: Args) -> ExitCode {
    if let Some(attempts) = args.inside {
        return out::page(inside(&attempts).trim_end());
    }
    if let Some(place) = args.sweep {
        sweep(&place);
        return ExitCode::SUCCESS;
    }
    let report = examine(&Options { policy: args.policy, user: args.user });
    let page = if args.json { report.json() } else { report.to_string() };
    match out::line(page.trim_end()) {
        Ok(()) => ExitCode::from(report.status()),
        Err(error) => out::fail(out::USAGE, format_args!("cannot write to stdout: {error}")),
    }
}
