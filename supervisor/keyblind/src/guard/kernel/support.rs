//! Can this host have a kernel tier?

use std::io;
use std::path::Path;

use keyblind_abi::{FIELDS, Offsets};

use super::btf::Btf;
use super::error::Refusal;
use super::object::{self, Kind};

const BTF: &str = "/sys/kernel/btf/vmlinux";
const MODULES: &str = "/sys/kernel/security/lsm";
const LOCKDOWN: &str = "/sys/kernel/security/lockdown";
const SYMBOLS: &str = "/proc/kallsyms";

/// What is needed to load, as found on this kernel.
#[derive(Debug)]
pub struct Support {
    /// Where fields lie.
    pub offsets: Offsets,
}

/// Looks for everything that can be known without loading a program. Whether the kernel takes one only a load proves:
/// [`Kernel::start`](super::Kernel::start) does that.
pub fn support() -> Result<Support, Refusal> {
    if object::object().is_none() {
        return Err(Refusal::NotBuilt);
    }
    listed(Path::new(MODULES))?;
    if std::fs::read_to_string(LOCKDOWN).is_ok_and(|text| text.contains("[confidentiality]")) {
        return Err(Refusal::Lockdown);
    }
    if !std::fs::read_to_string("/proc/self/mounts").is_ok_and(|mounts| has_cgroup2(&mounts)) {
        return Err(Refusal::NoCgroup2);
    }
    let bytes = std::fs::read(BTF).map_err(|source| Refusal::NoBtf { path: BTF.into(), source })?;
    let btf = Btf::parse(&bytes)?;
    for program in object::PROGRAMS {
        let function = match program.kind {
            Kind::Lsm => format!("bpf_lsm_{}", program.name),
            Kind::End => program.name.to_owned(),
        };
        if !btf.has_function(&function) {
            return Err(Refusal::HookMissing { function });
        }
    }
    // Kernels without this function check for recursion in every program, and skip it.
    let entered = "__bpf_prog_enter_recur";
    if !btf.has_function(entered) && !has_symbol(Path::new(SYMBOLS), entered) {
        return Err(Refusal::SkipsOnRecursion);
    }
    if !nix::unistd::geteuid().is_root() {
        return Err(Refusal::NotRoot);
    }
    Ok(Support { offsets: resolve(&btf)? })
}

fn listed(path: &Path) -> Result<(), Refusal> {
    let active = std::fs::read_to_string(path)
        .map_err(|source| Refusal::NoSecurityfs { path: path.to_path_buf(), source })?;
    let active = active.trim().to_owned();
    if active.split(',').any(|module| module == "bpf") { Ok(()) } else { Err(Refusal::NotListed { active }) }
}

fn has_cgroup2(mounts: &str) -> bool {
    mounts.lines().any(|line| line.split(' ').nth(2) == Some("cgroup2"))
}

fn has_symbol(path: &Path, name: &str) -> bool {
    std::fs::read(path).is_ok_and(|bytes| {
        let lines = bytes.split(|byte| *byte == b'\n');
        let mut names = lines.filter_map(|line| line.split(u8::is_ascii_whitespace).nth(2));
        names.any(|found| found == name.as_bytes())
    })
}

/// The offsets of all fields. A field that is nowhere is a refusal: a program that reads another in its place would
/// guard nothing.
fn resolve(btf: &Btf<'_>) -> Result<Offsets, Refusal> {
    let mut offsets = Offsets::UNRESOLVED;
    for (slot, (structure, members)) in offsets.at.iter_mut().zip(FIELDS) {
        let found = members.iter().find_map(|path| btf.offset(structure, path));
        let member = || members.first().map(|path| path.join(".")).unwrap_or_default();
        *slot = found.ok_or_else(|| Refusal::FieldMissing { structure, member: member() })?;
    }
    offsets.path_trusted = u64::from(btf.offset("file", &["__f_path"]).is_none());
    Ok(offsets)
}

/// What a failed load means.
pub(super) fn refused(error: &aya::programs::ProgramError) -> Option<Refusal> {
    use aya::programs::ProgramError;
    let denied = |source: &io::Error| {
        source.kind() == io::ErrorKind::PermissionDenied && source.raw_os_error() == Some(1)
    };
    match error {
        ProgramError::LoadError { io_error, .. } if denied(io_error) => {
            Some(Refusal::Refused { source: io::Error::from_raw_os_error(1) })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bpf_must_be_a_word_of_the_list() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("lsm");
        std::fs::write(&path, "lockdown,capability,bpf\n")?;
        assert!(listed(&path).is_ok());
        std::fs::write(&path, "lockdown,capability,notbpf\n")?;
        let refusal = listed(&path).unwrap_err();
        assert!(refusal.to_string().contains("lsm=lockdown,capability,notbpf,bpf"), "{refusal}");
        assert!(matches!(listed(&dir.path().join("none")), Err(Refusal::NoSecurityfs { .. })));
        Ok(())
    }

    #[test]
    fn a_hybrid_host_has_a_version_2_mount() {
        assert!(has_cgroup2("cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n"));
        assert!(!has_cgroup2("cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n"));
    }

    #[test]
    fn this_host_s_own_fields_are_found_where_it_has_type_information() {
        let Ok(bytes) = std::fs::read(BTF) else { return };
        let btf = Btf::parse(&bytes).unwrap();
        let offsets = resolve(&btf).unwrap();
        assert_eq!(offsets.at[Offsets::SB_DEVICE], btf.offset("super_block", &["s_dev"]).unwrap());
        assert_ne!(offsets.at[Offsets::FILE_DENTRY], 0);
    }
}
