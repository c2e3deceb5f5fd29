//! Kernel modules: which ones a boot needs, in the order in which they can be loaded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::store;
use crate::shell::{self, Error, Result};

/// What the guest's disk needs before its root can be mounted.
const EARLY: &[&str] = &["virtio_pci", "virtio_blk"];
/// What tests load by name later: file systems with traps of their own, and what they stand on.
const LATE: &[&str] = &["loop", "overlay", "btrfs", "vfat", "nls_cp437", "nls_ascii", "nls_utf8", "fuse"];

/// One module, unpacked.
#[derive(Debug)]
pub(super) struct Module {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

/// The modules of one kernel, each after those that it depends on.
#[derive(Debug)]
pub(super) struct Modules {
    /// To be loaded before the root is mounted.
    pub(super) early: Vec<Module>,
    /// To be there for tests.
    pub(super) late: Vec<Module>,
}

/// Changes when other modules are asked for.
pub(super) fn list_hash() -> u64 {
    store::key((EARLY, LATE))
}

/// Reads the modules below `dir`. A name that the kernel has built in is no module, and is left out.
pub(super) fn read(dir: &Path) -> Result<Modules> {
    let mut files = BTreeMap::new();
    find(dir, &mut files)?;
    let mut seen = Vec::new();
    let early = closure(EARLY, &files, &mut seen)?;
    let late = closure(LATE, &files, &mut seen)?;
    Ok(Modules { early, late })
}

/// Every module file below `dir`, by its name in the kernel's spelling.
fn find(dir: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    let trouble = |source| Error::File { path: dir.to_path_buf(), source };
    for entry in std::fs::read_dir(dir).map_err(trouble)? {
        let entry = entry.map_err(trouble)?;
        let path = entry.path();
        if entry.file_type().map_err(trouble)?.is_dir() {
            find(&path, files)?;
        } else if let Some((name, _)) = entry.file_name().to_string_lossy().split_once(".ko") {
            files.insert(name.replace('-', "_"), path);
        }
    }
    Ok(())
}

/// The named modules with their dependencies first, without those already `seen`.
fn closure(names: &[&str], files: &BTreeMap<String, PathBuf>, seen: &mut Vec<String>) -> Result<Vec<Module>> {
    let mut found = Vec::new();
    for name in names {
        let name = name.replace('-', "_");
        let Some(path) = files.get(&name).filter(|_| !seen.contains(&name)) else { continue };
        seen.push(name.clone());
        let bytes = unpacked(path)?;
        let needs = depends(&bytes);
        let needs: Vec<&str> = needs.iter().map(String::as_str).collect();
        found.extend(closure(&needs, files, seen)?);
        found.push(Module { name, bytes });
    }
    Ok(found)
}

fn unpacked(path: &Path) -> Result<Vec<u8>> {
    if path.extension().is_some_and(|extension| extension == "xz") {
        let mut xz = Command::new("xz");
        xz.args(["--decompress", "--stdout"]).arg(path);
        let output = xz.output().map_err(|source| shell::start_error(&xz, source))?;
        if !output.status.success() {
            return Err(Error::Failed { line: shell::line(&xz), status: output.status });
        }
        return Ok(output.stdout);
    }
    std::fs::read(path).map_err(|source| Error::File { path: path.to_path_buf(), source })
}

/// The names after `depends=` and in `softdep=pre:` of a module's `.modinfo` section, whose entries end with a NUL.
fn depends(module: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    for entry in module.split(|byte| *byte == 0) {
        let Ok(entry) = std::str::from_utf8(entry) else { continue };
        if let Some(list) = entry.strip_prefix("depends=") {
            names.extend(list.split(',').filter(|name| !name.is_empty()).map(str::to_owned));
        } else if let Some(list) = entry.strip_prefix("softdep=pre:") {
            let before = list.split("post:").next().unwrap_or_default();
            names.extend(before.split_whitespace().map(str::to_owned));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(info: &str) -> Vec<u8> {
        [b"\x7fELF\xff\xfe\0", info.replace(';', "\0").as_bytes(), b"\0\x01"].concat()
    }

    #[test]
    fn dependencies_are_read_from_a_module() {
        let bytes = module("license=GPL;depends=jbd2,mbcache;softdep=pre: crc32c post: other;name=x");
        assert_eq!(depends(&bytes), ["jbd2", "mbcache", "crc32c"]);
        assert_eq!(depends(&module("depends=;name=x")), Vec::<String>::new());
    }

    #[test]
    fn what_is_depended_on_comes_first_and_once() -> Result<()> {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, info: &str| {
            let path = dir.path().join("kernel").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, module(info)).unwrap();
        };
        write("fs/overlay.ko", "depends=base-x,built_in");
        write("fs/vfat.ko", "depends=base_x");
        write("lib/base-x.ko", "depends=");
        let modules = read(dir.path())?;
        assert!(modules.early.is_empty());
        let names: Vec<_> = modules.late.iter().map(|module| module.name.as_str()).collect();
        assert_eq!(names, ["base_x", "overlay", "vfat"]);
        Ok(())
    }
}
