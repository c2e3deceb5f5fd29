//! `cargo xtask build`.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::setup;
use crate::shell::{self, Result};

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Build without optimisation
    #[arg(long)]
    debug: bool,
}

pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let binary = build(args.debug)?;
    shell::say(format_args!(
        "built {} without probes: the BPF-LSM tier is not in this version",
        binary.display()
    ));
    Ok(ExitCode::SUCCESS)
}

/// Builds the product and returns where it is. What the build needs and this machine lacks is an error
/// that names the package, before a compiler gets to say it in its own way.
pub(crate) fn build(debug: bool) -> Result<PathBuf> {
    setup::check(setup::For::Build)?;
    let mut command = shell::cargo(&["build", "--package", "keyblind", "--bin", "keyblind"]);
    if !debug {
        command.arg("--release");
    }
    shell::run(&mut command)?;
    Ok(shell::target_dir()?.join(if debug { "debug" } else { "release" }).join("keyblind"))
}
