//! `keyblind host`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use super::out;
use crate::registrar::client::{self, ClientError};
use crate::registrar::protocol::{RunStatus, ServiceStatus};
use crate::registrar::server::{self, Options};
use crate::registrar::{PINS, SOCKET};
use crate::run::REFUSED;

/// The answer is no: nobody serves.
const NO: u8 = 1;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve this machine's runs, in the foreground, until a signal or `down`
    Up {
        /// Policy file, where /etc/keyblind/policy.toml does not forbid another
        #[arg(long, value_name = "FILE")]
        policy: Option<PathBuf>,
        /// Where kernel programs are pinned
        #[arg(long, value_name = "DIR", default_value = PINS)]
        pins: PathBuf,
        /// Where runs find it
        #[arg(long, value_name = "PATH", default_value = SOCKET)]
        socket: PathBuf,
    },
    /// End the service and take back all that it made
    Down {
        /// End the runs that it serves; else they are in the way
        #[arg(long)]
        end_runs: bool,
        /// Where it listens
        #[arg(long, value_name = "PATH", default_value = SOCKET)]
        socket: PathBuf,
    },
    /// Say what is enforced, and for whom: root sees all runs, others their own
    Status {
        /// One JSON object instead of the page
        #[arg(long)]
        json: bool,
        /// Where it listens
        #[arg(long, value_name = "PATH", default_value = SOCKET)]
        socket: PathBuf,
    },
}

pub(crate) fn main(args: Args) -> ExitCode {
    match args.verb {
        Verb::Up { policy, pins, socket } => up(&Options { policy, pins, socket }),
        Verb::Down { end_runs, socket } => match client::down(&socket, end_runs) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => refused(&error),
        },
        Verb::Status { json, socket } => match client::status(&socket) {
            Ok((service, runs)) if json => out::page(as_json(&service, &runs)),
            Ok((service, runs)) => out::page(page(&service, &runs).trim_end()),
            Err(error) => refused(&error),
        },
    }
}

fn up(options: &Options) -> ExitCode {
    let ready = |summary: &str| {
        out::note(format_args!("host serves at {}", options.socket.display()));
        summary.lines().for_each(out::note);
    };
    match server::up(options, ready) {
        Ok(ended) => {
            if ended.left > 0 {
                let left = ended.left;
                out::note(format_args!(
                    "{left} runs go on in their scopes; the next `keyblind host up` adopts them"
                ));
            }
            ExitCode::SUCCESS
        }
        Err(error) => out::fail(REFUSED, brief(&error.to_string())),
    }
}

/// Nobody serves: the answer to the question. Everything else is a failure.
fn refused(error: &ClientError) -> ExitCode {
    match (error, client::other_holder()) {
        (ClientError::Absent { socket }, Some(pid)) => out::fail(
            NO,
            format_args!(
                "a keyblind host (process {pid}) serves this machine, but not at {socket}; say --socket"
            ),
        ),
        (ClientError::Absent { .. }, None) => out::fail(NO, error),
        _ => out::fail(REFUSED, brief(&error.to_string())),
    }
}

/// At most three lines.
fn brief(message: &str) -> String {
    message.lines().take(3).collect::<Vec<_>>().join("\n")
}

fn page(service: &ServiceStatus, runs: &[RunStatus]) -> String {
    let mut page = format!(
        "host      up, process {}, keyblind {}\npolicy    {} (generation {})\n",
        service.pid, service.version, service.policy, service.generation
    );
    if !service.stale.is_empty() {
        page.push_str(&format!("          {}\n", service.stale));
    }
    for report in &service.layers {
        let state = if report.enforced { "enforced" } else { "NOT ENFORCED" };
        page.push_str(&format!("{:<30}  {state:<13}  {}\n", report.layer.name(), report.why));
    }
    for slice in &service.slices {
        page.push_str(&format!("slice     {slice}\n"));
    }
    let (all, refused, lost) = (service.runs, service.refused, service.lost);
    page.push_str(&format!("runs      {all}, clients turned away {refused}, events lost {lost}\n"));
    for run in runs {
        let adopted = if run.adopted { "  adopted" } else { "" };
        let command = keyblind_events::printable(&run.command);
        page.push_str(&format!(
            "  {:<16} session {:<16} user {:<6} {:>4} processes  {command}{adopted}\n",
            run.run, run.session, run.uid, run.processes
        ));
    }
    page
}

fn as_json(service: &ServiceStatus, runs: &[RunStatus]) -> Value {
    let layers: Vec<Value> = service
        .layers
        .iter()
        .map(|report| json!({"layer": report.layer.name(), "enforced": report.enforced, "why": report.why}))
        .collect();
    let runs: Vec<Value> = runs
        .iter()
        .map(|run| {
            json!({
                "run": run.run.as_str(), "session": run.session.as_str(), "uid": run.uid, "command": run.command,
                "began": run.began, "processes": run.processes, "adopted": run.adopted,
            })
        })
        .collect();
    json!({
        "pid": service.pid, "version": service.version, "since": service.since, "policy": service.policy,
        "generation": service.generation, "stale": service.stale, "layers": layers, "slices": service.slices,
        "runs_in_all": service.runs, "refused": service.refused, "lost": service.lost, "runs": runs,
    })
}
