#![forbid(unsafe_code)]
//! The command line: one file per verb, no logic. A verb parses, calls, prints and returns a status
//! (`docs/exit-codes.md`).

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod demo;
mod doctor;
mod events;
mod host;
mod out;
mod policy;
mod redact;
mod run;

#[derive(Debug, Parser)]
#[command(
    name = "keyblind",
    version,
    about = "Run agent tools blind to your keys",
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run a command: scrubbed variables, confined, its output redacted, every refusal recorded
    Run(Box<run::Args>),
    /// Show, check and explain policy
    Policy(policy::Args),
    /// Redact secrets from standard input
    Redact(redact::Args),
    /// Read what was recorded
    Events(events::Args),
    /// Serve the runs of this machine with what only root can give, and say what is enforced
    Host(host::Args),
    /// Say what this host offers and what a run is held to here, and try it
    Doctor(doctor::Args),
    /// Let a hostile tool loose on fake keys, bare and supervised
    Demo(demo::Args),
}

/// Parses the command line, runs the verb and returns its status.
pub fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => match cli.verb {
            Verb::Run(args) => run::main(*args),
            Verb::Policy(args) => policy::main(args),
            Verb::Redact(args) => redact::main(args),
            Verb::Events(args) => events::main(args),
            Verb::Host(args) => host::main(args),
            Verb::Doctor(args) => doctor::main(args),
            Verb::Demo(args) => demo::main(args),
        },
        Err(error) => out::usage(&error),
    }
}
