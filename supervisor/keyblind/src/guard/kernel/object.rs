//! The kernel programs as the binary carries them.

/// Bytes at an address at which an ELF file may be read in place.
#[cfg(probes)]
#[repr(C, align(8))]
struct Aligned<T: ?Sized>(T);

#[cfg(probes)]
static OBJECT: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/keyblind.o")));

/// The object, or `None` where the binary was built without probes.
#[cfg(probes)]
pub fn object() -> Option<&'static [u8]> {
    Some(&OBJECT.0)
}

/// The object, or `None` where the binary was built without probes.
#[cfg(not(probes))]
pub fn object() -> Option<&'static [u8]> {
    None
}

/// How a program is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// To the LSM hook of this name.
    Lsm,
    /// To the end of the kernel function of this name.
    End,
}

/// A program of the object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Program {
    /// Its name, and that of the hook.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

const fn program(name: &'static str, kind: Kind) -> Program {
    Program { name, kind }
}

/// All programs. Each is required: a kernel without one of these hooks is refused.
pub(super) const PROGRAMS: &[Program] = &[
    program("bpf", Kind::Lsm),
    program("bprm_committed_creds", Kind::Lsm),
    program("file_open", Kind::Lsm),
    program("file_receive", Kind::Lsm),
    program("inode_create", Kind::Lsm),
    program("inode_link", Kind::Lsm),
    program("inode_mkdir", Kind::Lsm),
    program("inode_mknod", Kind::Lsm),
    program("inode_rename", Kind::Lsm),
    program("inode_rmdir", Kind::Lsm),
    program("inode_symlink", Kind::Lsm),
    program("inode_unlink", Kind::Lsm),
    program("ptrace_access_check", Kind::Lsm),
    program("task_kill", Kind::Lsm),
    program("unix_stream_connect", Kind::Lsm),
    program("vfs_rename", Kind::End),
];

/// The maps that user space works with, by their names in the object.
pub(super) const MAPS: &[&str] = &[
    "STATE",
    "CLOCK",
    "SCOPES",
    "LABELS",
    "KEYS",
    "GUARDS",
    "NAMES",
    "SLOT_NAMES",
    "ARMED",
    "ADDRESSES",
    "COUNTERS",
    "DENIALS",
    "FLAGS",
];

/// The frozen global that the loader fills in.
pub(super) const OFFSETS: &str = "OFFSETS";

#[cfg(test)]
#[cfg(probes)]
mod tests {
    use std::collections::BTreeSet;

    use object::{Object, ObjectSection, ObjectSymbol};

    use super::*;

    fn file() -> object::File<'static> {
        object::File::parse(object().unwrap()).unwrap()
    }

    #[test]
    fn the_object_is_aligned_and_for_the_kernel() {
        assert_eq!(object().unwrap().as_ptr().align_offset(8), 0);
        assert_eq!(file().architecture(), object::Architecture::Bpf);
    }

    #[test]
    fn its_programs_are_those_that_are_attached() {
        let section = |program: &Program| match program.kind {
            Kind::Lsm => format!("lsm/{}", program.name),
            Kind::End => format!("fexit/{}", program.name),
        };
        let expected: BTreeSet<_> = PROGRAMS.iter().map(section).collect();
        let file = file();
        let prefixes = ["lsm/", "fexit/", "cgroup/"];
        let found: BTreeSet<_> = file
            .sections()
            .filter_map(|section| section.name().ok().map(str::to_owned))
            .filter(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
            .collect();
        assert_eq!(found, expected);
        for program in PROGRAMS {
            assert!(file.symbols().any(|symbol| symbol.name() == Ok(program.name)), "{}", program.name);
        }
    }

    #[test]
    fn its_licence_its_maps_and_its_globals_are_what_the_loader_expects() {
        let file = file();
        let licence = file.section_by_name("license").unwrap();
        assert_eq!(licence.data().unwrap(), b"Dual MIT/GPL\0");
        let in_maps = |symbol: &object::Symbol<'_, '_>| {
            let section = symbol.section_index().and_then(|index| file.section_by_index(index).ok());
            section.is_some_and(|section| matches!(section.name(), Ok("maps" | ".maps")))
        };
        let found: BTreeSet<_> = file
            .symbols()
            .filter(|symbol| in_maps(symbol) && !symbol.name().unwrap_or("").is_empty())
            .map(|symbol| symbol.name().unwrap().to_owned())
            .collect();
        assert_eq!(found, MAPS.iter().map(|name| (*name).to_owned()).collect());
        let symbol = file.symbols().find(|symbol| symbol.name() == Ok(OFFSETS)).unwrap();
        let section = file.section_by_index(symbol.section_index().unwrap()).unwrap();
        assert_eq!(section.name(), Ok(".rodata"));
        assert_eq!(symbol.size(), size_of::<keyblind_abi::Offsets>() as u64);
    }

    #[test]
    fn it_has_type_information_and_carries_no_debug_information() {
        let file = file();
        assert!(file.section_by_name(".BTF").is_some_and(|section| section.size() > 0));
        assert!(file.sections().all(|section| !section.name().unwrap_or("").starts_with(".debug")));
    }
}
