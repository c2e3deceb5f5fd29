//! `cargo xtask vm`: tests on kernels other than the host's.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crate::shell::{self, Error, Result};
use crate::{build, setup};

mod apt;
mod artifacts;
mod bench;
mod boot;
mod cpio;
mod image;
mod job;
mod kernels;
mod modules;
mod ring;
mod selftest;
mod store;

pub(crate) use bench::rows as bench;
pub(crate) use ring::ring;

/// The first program of the initramfs, and the first of the disk.
const INIT: &str = include_str!("guest/init.sh");
const GUEST: &str = include_str!("guest/guest.sh");

/// A whole ring in one guest; emulated, and beside other work.
const LIMIT: Duration = Duration::from_secs(900);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which kernel to boot; each is fetched once and kept below the target directory
    #[arg(long, value_enum, default_value_t)]
    kernel: Choice,
    /// Boot without `bpf` among the security modules; without --kernel, the kernel 6.12
    #[arg(long)]
    no_bpf: bool,
    /// Boot a guest that panics and one that hangs, and fail unless both are noticed
    #[arg(long, conflicts_with_all = ["no_bpf", "run", "add", "filter"])]
    self_test: bool,
    /// Run this line of sh as root instead of the ring
    #[arg(long, value_name = "SCRIPT", conflicts_with = "filter")]
    run: Option<String>,
    /// Put a program of this host, with its libraries, into the guest's /opt/keyblind/added
    #[arg(long, value_name = "FILE", requires = "run")]
    add: Vec<PathBuf>,
    /// Run only the tests whose name contains this
    filter: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Choice {
    #[value(name = "6.1")]
    V6_1,
    #[value(name = "6.12")]
    V6_12,
    #[value(name = "7.2")]
    V7_2,
    /// Each of them, and 6.12 once more without `bpf`
    #[default]
    All,
}

pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    setup::check(setup::For::Vm)?;
    if args.self_test {
        return selftest::main();
    }
    let boots = ring::boots(args.kernel, args.no_bpf);
    let tried = match &args.run {
        Some(script) => ring::script(&boots, script, &args.add)?,
        None => ring::tests(&boots, args.filter.as_deref(), &build::build(false)?)?,
    };
    Ok(if tried.broken || tried.output.contains("\ntest result: FAILED") {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Why this machine cannot boot test kernels, or `None` if it can.
pub(crate) fn absent() -> Option<String> {
    if !cfg!(target_arch = "x86_64") {
        return Some("the test kernels are for x86_64".to_owned());
    }
    setup::check(setup::For::Vm).err().map(|error| error.to_string())
}

/// Where kernels and disks are kept.
fn top() -> Result<PathBuf> {
    let top = shell::target_dir()?.join("vm");
    match std::fs::create_dir_all(&top) {
        Ok(()) => Ok(top),
        Err(source) => Err(Error::File { path: top, source }),
    }
}
