//! The unwinder that backtraces of a panic need, linked into the binary where the compiler has it as an archive. As a
//! shared library it is loaded by each run, and its constructor asks the processor for its features, which a virtual
//! machine answers slowly: together 0.1 ms of a start (Debian 12 in KVM).

use std::path::Path;
use std::process::Command;

/// GCC's archive of the unwinder.
const ARCHIVE: &str = "libgcc_eh.a";

/// Links it. Without the archive the shared library is used, as any Rust program does.
pub(crate) fn link() {
    println!("cargo::rerun-if-changed=build/unwinder.rs");
    let Ok(answer) = Command::new("cc").arg(format!("-print-file-name={ARCHIVE}")).output() else { return };
    let path = String::from_utf8_lossy(&answer.stdout);
    // A compiler that does not have it repeats the bare name.
    if let Some(directory) = Path::new(path.trim()).parent().filter(|directory| directory.is_absolute()) {
        println!("cargo::rustc-link-search=native={}", directory.display());
        println!("cargo::rustc-link-lib=static:-bundle=gcc_eh");
    }
}
