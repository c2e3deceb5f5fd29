//! The kernel programs, if `cargo xtask build` has built them: the object from `ebpf/keyblind.o` in the directory that
//! cargo builds into, or from `$KEYBLIND_PROBES`. Without it the binary says that it was built without probes.
//!
//! Beside it lies `addresses.o`, whose programs every run loads for itself. Of that only the instructions are taken, as
//! what a start needs is a few system calls and no reader of object files.

use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use object::{Object, ObjectSection, ObjectSymbol, RelocationTarget};

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
    let addresses = object.with_file_name("addresses.o");
    let code = if addresses.exists() { code(&std::fs::read(addresses)?)? } else { "None".to_owned() };
    std::fs::write(out.join("addresses.in"), code)?;
    if object.exists() {
        std::fs::copy(&object, out.join("keyblind.o"))?;
        println!("cargo::rustc-cfg=probes");
    }
    Ok(())
}

/// Maps, in the order in which the loader makes them.
const MAPS: [&str; 3] = ["NETWORKS", "COUNTS", "REPORTS"];
const PROGRAMS: [&str; 4] = ["connect4", "connect6", "sendmsg4", "sendmsg6"];

/// The programs as an expression: of each its instructions, and which of them refer to which map.
fn code(bytes: &[u8]) -> Result<String, Box<dyn Error>> {
    let file = object::File::parse(bytes)?;
    let mut text = "Some([\n".to_owned();
    for name in PROGRAMS {
        let section = file.section_by_name(&format!("cgroup/{name}")).ok_or("a program is missing")?;
        let (words, rest) = section.data()?.as_chunks::<8>();
        if !rest.is_empty() {
            return Err("a program is not whole instructions".into());
        }
        text += "Code { words: &[";
        for word in words {
            write!(text, "{:#x},", u64::from_le_bytes(*word))?;
        }
        text += "], maps: &[";
        for (offset, relocation) in section.relocations() {
            let RelocationTarget::Symbol(symbol) = relocation.target() else {
                return Err("a reference that is to no symbol".into());
            };
            let symbol = file.symbol_by_index(symbol)?;
            let map = MAPS.iter().position(|map| symbol.name() == Ok(map));
            let map = map.ok_or("a reference that is to no map: is a function not inlined?")?;
            write!(text, "({}, {map}),", offset / 8)?;
        }
        text += "] },\n";
    }
    Ok(text + "])\n")
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
