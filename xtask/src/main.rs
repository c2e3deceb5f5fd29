#![forbid(unsafe_code)]
//! `cargo xtask`: everything a contributor or CI does here, one file per verb. The CI files only call verbs.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod build;
mod ci;
mod demo;
mod probes;
mod run;
mod setup;
mod shell;
mod test;
mod tidy;
mod vm;

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    about = "Set up, build, test and measure keyblind",
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Install what this machine lacks, after saying what
    Setup(setup::Args),
    /// Build the kernel programs and the keyblind binary that carries them
    Build(build::Args),
    /// Build, then start `keyblind ARGS`
    Run(run::Args),
    /// Set up, build, then show a hostile tool bare and supervised
    Demo(demo::Args),
    /// Run every test ring that this machine can run
    Test(test::Args),
    /// Run tests on other kernels, in virtual machines
    Vm(vm::Args),
    /// Measure, print the table and keep the last one
    Bench(bench::Args),
    /// Check what a compiler cannot: documents against code, file sizes, fences
    Tidy(tidy::Args),
    /// Formatting, lints, tidy and tests, as CI runs them
    Ci(ci::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Setup(args) => setup::main(&args),
        Verb::Build(args) => build::main(&args),
        Verb::Run(args) => run::main(&args),
        Verb::Demo(args) => demo::main(&args),
        Verb::Test(args) => test::main(&args),
        Verb::Vm(args) => vm::main(&args),
        Verb::Bench(args) => bench::main(&args),
        Verb::Tidy(args) => tidy::main(&args),
        Verb::Ci(args) => ci::main(&args),
    };
    match done {
        Ok(status) => status,
        Err(error) => {
            shell::warn(format_args!("xtask: {error}"));
            ExitCode::FAILURE
        }
    }
}
