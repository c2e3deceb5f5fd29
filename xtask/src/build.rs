//! `cargo xtask build`.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::shell::{self, Result};
use crate::{probes, setup};

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Build without optimisation
    #[arg(long)]
    debug: bool,
    /// Leave the kernel programs out, and with them the kernel tier
    #[arg(long)]
    without_probes: bool,
}

pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let (binary, probes) = if args.without_probes {
        for (_, object) in probes::OBJECTS {
            let object = shell::target_dir()?.join("ebpf").join(object);
            if let Err(source) = std::fs::remove_file(&object)
                && source.kind() != std::io::ErrorKind::NotFound
            {
                return Err(shell::Error::File { path: object, source });
            }
        }
        (workspace(args.debug)?, "without probes: no kernel tier")
    } else {
        setup::check(setup::For::Build)?;
        probes::build()?;
        (workspace(args.debug)?, "with probes")
    };
    shell::say(format_args!("built {} {probes}", binary.display()));
    Ok(ExitCode::SUCCESS)
}

/// Builds the kernel programs, then the product that carries them, and returns where that is. What the build needs
/// and this machine lacks is an error that names the package, before a compiler gets to say it in its own way.
/// Without what the kernel programs need it says so and leaves them out, as the other tiers work without.
pub(crate) fn build(debug: bool) -> Result<PathBuf> {
    setup::check(setup::For::Build)?;
    if let Err(error) = probes::build() {
        if probes::can_build() {
            return Err(error);
        }
        shell::warn(format_args!("xtask: going on without probes: {error}"));
    }
    workspace(debug)
}

fn workspace(debug: bool) -> Result<PathBuf> {
    setup::check(setup::For::Build)?;
    let mut command = shell::cargo(&["build", "--package", "keyblind", "--bin", "keyblind"]);
    if !debug {
        command.arg("--release");
    }
    shell::run(&mut command)?;
    Ok(shell::target_dir()?.join(if debug { "debug" } else { "release" }).join("keyblind"))
}
