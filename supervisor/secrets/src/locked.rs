//! Values in locked memory.
#![expect(unsafe_code, clippy::multiple_unsafe_ops_per_block, reason = "mapping memory by hand is the point")]

use std::fmt;
use std::io;
use std::ops::Range;
use std::ptr::{self, NonNull};

/// Named values in one locked mapping. `Debug` shows names and lengths; there is no `Display`, no `Clone`.
pub struct Locked {
    memory: NonNull<u8>,
    size: usize,
    kind: Kind,
    values: Vec<(String, Range<usize>)>,
}

/// What the memory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// memfd_secret(2), Linux 5.14 (on by default since 6.5): out of the kernel's own mappings as well.
    MemfdSecret,
    /// mlock(2), not dumped, not inherited by fork.
    Mlock,
}

/// Why values could not be locked in.
#[derive(Debug, thiserror::Error)]
pub enum LockedError {
    /// The kernel gave no memory.
    #[error("cannot lock {size} bytes of memory for secret values; raise `ulimit -l`")]
    Memory {
        /// Size of the mapping.
        size: usize,
        /// The system's answer.
        source: io::Error,
    },
}

// SAFETY: the mapping is owned by this value alone and only handed out as shared slices.
unsafe impl Send for Locked {}
// SAFETY: nothing changes the mapping after construction, so that slices of it may be read from any thread.
unsafe impl Sync for Locked {}

impl Locked {
    /// Copies the values in. The callers' copies are theirs to wipe; [`wipe`](Self::wipe) does it.
    pub fn new<'a>(values: impl IntoIterator<Item = (String, &'a [u8])>) -> Result<Self, LockedError> {
        let values: Vec<(String, &[u8])> = values.into_iter().collect();
        let used: usize = values.iter().map(|(_, value)| value.len()).sum();
        let page = page_size();
        let size = used.max(1).div_ceil(page) * page;
        let (memory, kind) = map(size).map_err(|source| LockedError::Memory { size, source })?;
        let mut ranges = Vec::with_capacity(values.len());
        let mut at = 0;
        for (name, value) in values {
            // SAFETY: the mapping holds `used` bytes, of which `at` are taken; source and target do not overlap.
            unsafe { ptr::copy_nonoverlapping(value.as_ptr(), memory.as_ptr().add(at), value.len()) };
            ranges.push((name, at..at + value.len()));
            at += value.len();
        }
        Ok(Self { memory, size, kind, values: ranges })
    }

    /// What kind of memory was had.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.values.iter().map(|(name, range)| {
            // SAFETY: every range lies inside the mapping, which lives as long as `self` and is not written to.
            let value =
                unsafe { std::slice::from_raw_parts(self.memory.as_ptr().add(range.start), range.len()) };
            (name.as_str(), value)
        })
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Overwrites a copy of a value, in a way that the compiler does not take for a dead store.
    pub fn wipe(copy: &mut [u8]) {
        for byte in copy {
            // SAFETY: a valid reference.
            unsafe { ptr::write_volatile(byte, 0) };
        }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // SAFETY: the mapping is valid for `size` bytes and nobody else has it.
        Self::wipe(unsafe { std::slice::from_raw_parts_mut(self.memory.as_ptr(), self.size) });
        // SAFETY: no slice of the mapping outlives `self`, which ends here.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), self.size) };
    }
}

impl fmt::Debug for Locked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.values.iter().map(|(name, range)| (name, range.len()))).finish()
    }
}

fn page_size() -> usize {
    // SAFETY: no pointers.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

fn map(size: usize) -> io::Result<(NonNull<u8>, Kind)> {
    if let Some(memory) = map_secret(size) {
        return Ok((memory, Kind::MemfdSecret));
    }
    // SAFETY: a new private mapping; nothing else refers to it.
    unsafe {
        let memory = libc::mmap(
            ptr::null_mut(),
            size,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        let memory = checked(memory)?;
        let failed = [
            libc::mlock(memory.as_ptr().cast(), size),
            libc::madvise(memory.as_ptr().cast(), size, libc::MADV_DONTDUMP),
            libc::madvise(memory.as_ptr().cast(), size, libc::MADV_DONTFORK),
        ]
        .iter()
        .any(|result| *result != 0);
        if failed {
            let error = io::Error::last_os_error();
            libc::munmap(memory.as_ptr().cast(), size);
            return Err(error);
        }
        Ok((memory, Kind::Mlock))
    }
}

/// `None` where the kernel has no memfd_secret, or it does not fit the limit of locked memory.
fn map_secret(size: usize) -> Option<NonNull<u8>> {
    const FD_CLOEXEC: libc::c_long = 0o200_0000;
    // SAFETY: plain numbers; the descriptor is closed below, the mapping keeps the memory.
    unsafe {
        let fd =
            i32::try_from(libc::syscall(libc::SYS_memfd_secret, FD_CLOEXEC)).ok().filter(|fd| *fd >= 0)?;
        let mapped = if libc::ftruncate(fd, libc::off_t::try_from(size).ok()?) == 0 {
            libc::mmap(ptr::null_mut(), size, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, fd, 0)
        } else {
            libc::MAP_FAILED
        };
        libc::close(fd);
        let memory = checked(mapped).ok()?;
        // A shared mapping would be inherited, and this one must not be.
        if libc::madvise(memory.as_ptr().cast(), size, libc::MADV_DONTFORK) != 0 {
            libc::munmap(memory.as_ptr().cast(), size);
            return None;
        }
        Some(memory)
    }
}

fn checked(memory: *mut libc::c_void) -> io::Result<NonNull<u8>> {
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(memory.cast()).ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_and_debug_shows_none() {
        let long = vec![b'x'; 10_000];
        let locked = Locked::new([
            ("A".to_owned(), b"first".as_slice()),
            ("B".to_owned(), &long),
            ("C".to_owned(), b""),
        ])
        .expect("memory");
        let all: Vec<_> = locked.iter().collect();
        assert_eq!(all, [("A", b"first".as_slice()), ("B", &long), ("C", b"")]);
        assert_eq!(format!("{locked:?}"), r#"{"A": 5, "B": 10000, "C": 0}"#);
    }

    #[test]
    fn a_fork_does_not_inherit_the_values() {
        let locked = Locked::new([("A".to_owned(), b"value".as_slice())]).expect("memory");
        let address = locked.memory.as_ptr();
        // SAFETY: the child makes raw system calls only.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // A read of memory that is not there is answered EFAULT here instead of by a signal.
            // SAFETY: a bad address is what is tested; write reports it.
            let seen = unsafe {
                let mut pipe = [0; 2];
                libc::pipe(pipe.as_mut_ptr());
                libc::write(pipe[1], address.cast(), 5)
            };
            // SAFETY: ends the child without running the test harness's own exit.
            unsafe { libc::_exit(i32::from(seen >= 0)) };
        }
        let mut status = 0;
        // SAFETY: a child of ours and a valid status.
        unsafe { libc::waitpid(child, &mut status, 0) };
        assert_eq!(status, 0, "the child could read the value");
    }

    #[test]
    fn wiping_leaves_nothing() {
        let mut copy = *b"secret";
        Locked::wipe(&mut copy);
        assert_eq!(copy, [0; 6]);
    }
}
