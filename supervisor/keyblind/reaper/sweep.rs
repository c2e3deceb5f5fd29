//! What is left of a run when its supervisor was killed: a cgroup and, in place, a directory for temporary files.

use crate::{SUPERVISOR, sys};

const CGROUPS: i32 = 4;
const SCRATCHES: i32 = 5;

/// Waits for the supervisor to end, and removes the cgroup and the directory of those names from the directories
/// behind descriptors 4 and 5. They need not exist: this process starts before they are made. If the supervisor
/// said that it has tidied up itself, there is nothing to do.
pub fn sweep(cgroup: &[u8], scratch: &[u8]) -> ! {
    let mut word = [0u8; 1];
    loop {
        match sys::read(SUPERVISOR, &mut word) {
            sys::EINTR => {}
            0 => break,
            _ => sys::exit(0),
        }
    }
    if cgroup.len() > 1 {
        end_cgroup(cgroup);
    }
    if scratch.len() > 1 {
        // A run that is still dying may create another file after the directory was emptied.
        for _ in 0..1000 {
            let directory = sys::openat(SCRATCHES as isize, scratch, sys::O_DIRECTORY_CLOEXEC | sys::O_NOFOLLOW);
            if directory < 0 {
                break;
            }
            empty(directory as i32, 0);
            sys::close(directory as i32);
            if remove(SCRATCHES, scratch, sys::AT_REMOVEDIR) == 0 {
                break;
            }
            pause();
        }
    }
    sys::exit(0)
}

fn end_cgroup(name: &[u8]) {
    let cgroup = sys::openat(CGROUPS as isize, name, sys::O_DIRECTORY_CLOEXEC);
    if cgroup < 0 {
        return;
    }
    let kill = sys::openat(cgroup, b"cgroup.kill\0", sys::O_CLOEXEC | sys::O_WRONLY);
    if kill >= 0 {
        sys::write(kill as i32, b"1");
        sys::close(kill as i32);
    }
    // rmdir fails with EBUSY until the last process is gone, so it is the test as well.
    for _ in 0..1000 {
        if remove(CGROUPS, name, sys::AT_REMOVEDIR) == 0 {
            return;
        }
        pause();
    }
}

/// Removes `name`, which ends in a NUL byte, from the directory.
fn remove(directory: i32, name: &[u8], flags: usize) -> isize {
    // SAFETY: every name here is an argument of this process or a record of getdents64, both NUL-terminated.
    unsafe { sys::unlinkat(directory, name.as_ptr(), flags) }
}

fn pause() {
    sys::poll(&mut [], 5);
}

/// Removes everything below the open directory `dir`, following no link. Depth is bounded, so that a run cannot
/// end this process by nesting directories: what is deeper stays, and stays visible.
fn empty(dir: i32, depth: u32) {
    if depth > 64 {
        return;
    }
    let again = sys::openat(dir as isize, b".\0", sys::O_DIRECTORY_CLOEXEC);
    if again < 0 {
        return;
    }
    // A directory that its owner may not write to keeps what is in it.
    sys::fchmodat(again as i32, b".\0", 0o700);
    let mut entries = [0u8; 2048];
    loop {
        let filled = sys::getdents(again as i32, &mut entries);
        if filled <= 0 {
            break;
        }
        let mut at = 0;
        while at + 19 < filled as usize {
            let length = usize::from(u16::from_ne_bytes([entries[at + 16], entries[at + 17]]));
            if length < 20 {
                break;
            }
            let name = &entries[at + 19..(at + length).min(entries.len())];
            at += length;
            if name.starts_with(b".\0") || name.starts_with(b"..\0") || remove(dir, name, 0) == 0 {
                continue;
            }
            let flags = sys::O_DIRECTORY_CLOEXEC | sys::O_NOFOLLOW;
            let mut inner = sys::openat(again, name, flags);
            if inner < 0 {
                // Only directories fail to be unlinked, and this one was closed to its owner. A link that took its
                // place meanwhile would lead to something of the same user's, whose mode is changed and no more.
                sys::fchmodat(again as i32, name, 0o700);
                inner = sys::openat(again, name, flags);
            }
            if inner >= 0 {
                empty(inner as i32, depth + 1);
                sys::close(inner as i32);
            }
            remove(dir, name, sys::AT_REMOVEDIR);
        }
    }
    sys::close(again as i32);
}
