//! Who is a child of whom, read from procfs: the kernel's `children` file is a build option that this host may lack.

use crate::{number, sys};

/// Calls `visit(pid, name)` for every process whose parent is `parent`.
pub fn each_child_of(parent: i32, mut visit: impl FnMut(i32, &[u8])) {
    let proc = sys::openat(sys::AT_FDCWD, b"/proc\0", sys::O_DIRECTORY_CLOEXEC);
    if proc < 0 {
        return;
    }
    let mut entries = [0u8; 4096];
    loop {
        let filled = sys::getdents(proc as i32, &mut entries);
        if filled <= 0 {
            break;
        }
        let mut at = 0;
        // struct linux_dirent64: inode 8, offset 8, record length 2, type 1, name.
        while at + 19 < filled as usize {
            let length = usize::from(u16::from_ne_bytes([entries[at + 16], entries[at + 17]]));
            if length < 20 {
                break;
            }
            let name = &entries[at + 19..(at + length).min(entries.len())];
            if name[0].is_ascii_digit() {
                visit_if_child(proc, name, parent, &mut visit);
            }
            at += length;
        }
    }
    sys::close(proc as i32);
}

fn visit_if_child(proc: isize, pid: &[u8], parent: i32, visit: &mut impl FnMut(i32, &[u8])) {
    let digits = pid.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut path = [0u8; 24];
    if digits > 16 {
        return;
    }
    path[..digits].copy_from_slice(&pid[..digits]);
    path[digits..digits + 6].copy_from_slice(b"/stat\0");
    let file = sys::openat(proc, &path[..digits + 6], sys::O_CLOEXEC);
    if file < 0 {
        return;
    }
    let mut stat = [0u8; 256];
    let filled = sys::pread(file as i32, &mut stat).clamp(0, 256) as usize;
    sys::close(file as i32);
    // "pid (name) state ppid …": the name may hold anything, a parenthesis included, so the last one counts.
    let stat = &stat[..filled];
    let Some(open) = stat.iter().position(|byte| *byte == b'(') else { return };
    let Some(close) = stat.iter().rposition(|byte| *byte == b')') else { return };
    if close + 4 < stat.len() && open < close && number(&stat[close + 4..]) == parent {
        visit(number(pid), &stat[open + 1..close]);
    }
}
