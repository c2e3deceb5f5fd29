//! Entries of a process's directory in procfs.

/// An entry, as far as the verdict tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// `environ`.
    Environ,
    /// What a C library, a JVM or a sanitizer reads about itself: `maps`, `smaps`, `auxv`, `stat`, `status` …
    Layout,
    /// Content or control of memory: `mem`, `pagemap`, `stack`, `syscall` …
    Memory,
    /// `fdinfo` and the directories of descriptors and mapped files.
    Descriptors,
    /// `cmdline`, `comm`, `exe` and everything else.
    Other,
}

/// Whose entry it is, seen from the process that opens it.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// Its own thread group.
    Own = 0,
    /// Another process of the same scope.
    SameRun = 1,
    /// Anything else, or a process that is gone.
    Foreign = 2,
}

impl Entry {
    /// The entry that a name, padded with zeros, stands for. The first sixteen bytes tell all of them apart.
    #[inline(always)]
    pub fn of(first: u64, second: u64) -> Self {
        const fn word(name: &[u8; 8]) -> u64 {
            u64::from_ne_bytes(*name)
        }
        const MAP_FILES: (u64, u64) = (word(b"map_file"), word(b"s\0\0\0\0\0\0\0"));
        const SMAPS_ROLLUP: (u64, u64) = (word(b"smaps_ro"), word(b"llup\0\0\0\0"));
        const NUMA_MAPS: (u64, u64) = (word(b"numa_map"), word(b"s\0\0\0\0\0\0\0"));
        const CLEAR_REFS: (u64, u64) = (word(b"clear_re"), word(b"fs\0\0\0\0\0\0"));
        match (first, second) {
            MAP_FILES => return Self::Memory,
            CLEAR_REFS => return Self::Memory,
            SMAPS_ROLLUP | NUMA_MAPS => return Self::Layout,
            _ => {}
        }
        if second != 0 {
            return Self::Other;
        }
        const ENVIRON: u64 = word(b"environ\0");
        const MAPS: u64 = word(b"maps\0\0\0\0");
        const SMAPS: u64 = word(b"smaps\0\0\0");
        const AUXV: u64 = word(b"auxv\0\0\0\0");
        const STAT: u64 = word(b"stat\0\0\0\0");
        const STATM: u64 = word(b"statm\0\0\0");
        const STATUS: u64 = word(b"status\0\0");
        const MEM: u64 = word(b"mem\0\0\0\0\0");
        const PAGEMAP: u64 = word(b"pagemap\0");
        const STACK: u64 = word(b"stack\0\0\0");
        const SYSCALL: u64 = word(b"syscall\0");
        const FD: u64 = word(b"fd\0\0\0\0\0\0");
        const FDINFO: u64 = word(b"fdinfo\0\0");
        match first {
            ENVIRON => Self::Environ,
            MAPS | SMAPS | AUXV | STAT | STATM | STATUS => Self::Layout,
            MEM | PAGEMAP | STACK | SYSCALL => Self::Memory,
            FD | FDINFO => Self::Descriptors,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_whole() {
        let check = |name: &str, expect| {
            let mut bytes = [0u8; 16];
            bytes[..name.len()].copy_from_slice(name.as_bytes());
            let word = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
            assert_eq!(Entry::of(word(0), word(8)), expect, "{name}");
        };
        check("environ", Entry::Environ);
        check("environx", Entry::Other);
        check("environ12", Entry::Other);
        for name in ["maps", "smaps", "smaps_rollup", "numa_maps", "auxv", "stat", "statm", "status"] {
            check(name, Entry::Layout);
        }
        for name in ["mem", "pagemap", "stack", "syscall", "map_files", "clear_refs"] {
            check(name, Entry::Memory);
        }
        check("fd", Entry::Descriptors);
        check("fdinfo", Entry::Descriptors);
        for name in ["cmdline", "comm", "exe", "mounts", "me", "maps2", "map_filesx"] {
            check(name, Entry::Other);
        }
    }
}
