//! `reaper/` → a static ELF of a few kilobytes, compiled by the same rustc for the bare machine: no C library, no
//! allocator, nothing to initialise. It is pid 1 of every run, so its start and its memory are paid each time.

use std::error::Error;
use std::path::Path;
use std::process::Command;

pub(crate) fn build(out: &Path) -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=reaper");
    println!("cargo::rerun-if-changed=build/reaper.rs");
    let rustc = std::env::var_os("RUSTC").ok_or("RUSTC is not set")?;
    let target = std::env::var("TARGET")?;
    let status = Command::new(rustc)
        .args([
            "reaper/main.rs",
            "--crate-name",
            "keyblind_reaper",
            "--crate-type",
            "bin",
            "--edition",
            "2024",
        ])
        .args(["--target", &target])
        .args([
            "-C",
            "panic=abort",
            "-C",
            "opt-level=s",
            "-C",
            "strip=symbols",
            "-C",
            "overflow-checks=no",
            "-C",
            "lto=fat",
        ])
        .args(["-C", "relocation-model=static", "-C", "linker=cc"])
        .args(["-C", "link-arg=-nostartfiles", "-C", "link-arg=-nostdlib", "-C", "link-arg=-static"])
        .args(["-C", "link-arg=-no-pie", "-C", "link-arg=-Wl,--build-id=none,-z,noexecstack,-z,norelro"])
        .args(["-D", "warnings"])
        .arg("-o")
        .arg(out.join("reaper"))
        .status()?;
    if status.success() { Ok(()) } else { Err("rustc could not build reaper/main.rs; see above".into()) }
}
