//! The kernel programs, if `cargo xtask build` has built them: the object from `ebpf/keyblind.o` in the directory that
//! cargo builds into, or from `$KEYBLIND_PROBES`. Without it the binary says that it was built without probes.

use std::error::Error;
use std::path::{Path, PathBuf};

pub(crate) fn build(out: &Path) -> Result<(), Box<dyn Error>> {
    println!("cargo::rustc-check-cfg=cfg(probes)");
    println!("cargo::rerun-if-changed=build/probes.rs");
    println!("cargo::rerun-if-env-changed=KEYBLIND_PROBES");
    let object = match std::env::var_os("KEYBLIND_PROBES") {
        Some(path) => PathBuf::from(path),
        None => target_dir(out)?.join("ebpf/keyblind.o"),
    };
    // The directory, not the file: cargo takes a file that is missing for one that has just changed.
    if let Some(dir) = object.parent() {
        std::fs::create_dir_all(dir)?;
        println!("cargo::rerun-if-changed={}", dir.display());
    }
    if object.exists() {
        std::fs::copy(&object, out.join("keyblind.o"))?;
        println!("cargo::rustc-cfg=probes");
    }
    Ok(())
}

/// The directory that cargo builds into. Its name is nowhere else than in the path of our own part of it,
/// `TARGET[/TRIPLE]/PROFILE/build/PACKAGE/out`; a mark of cargo stands in it.
fn target_dir(out: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let tagged = out.ancestors().find(|dir| dir.join("CACHEDIR.TAG").exists());
    Ok(tagged
        .or_else(|| out.ancestors().nth(4))
        .ok_or("OUT_DIR has no target directory above it")?
        .to_path_buf())
}
