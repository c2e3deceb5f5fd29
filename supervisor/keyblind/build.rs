//! Builds what the binary carries ready-made: the kernel programs where they are there, the seccomp programs compiled from
//! `policies/seccomp.toml`, the built-in policies as lists of tokens, and the reaper, a static program of its own
//! without a standard library.
//!
//! Compiling the programs here rather than in each run takes libseccomp off the start path and off the list of
//! things that a host must have installed; it takes the TOML parser off the start path as well.

#[path = "build/policy.rs"]
mod policy;
#[path = "build/probes.rs"]
mod probes;
#[path = "build/reaper.rs"]
mod reaper;
#[path = "build/seccomp.rs"]
mod seccomp;
#[path = "build/unwinder.rs"]
mod unwinder;

use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let arch = std::env::var("CARGO_CFG_TARGET_ARCH")?;
    if arch != "x86_64" {
        return Err(format!("keyblind is built for x86_64 so far, not for {arch}").into());
    }
    seccomp::build(&out)?;
    policy::build(&out)?;
    probes::build(&out)?;
    unwinder::link();
    reaper::build(&out)
}
