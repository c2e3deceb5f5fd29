//! The run's tree, built in the child. The law of `child.rs` holds here as well.

use std::ffi::{CStr, CString};
use std::ptr;

use super::child::{Report, errno};
use super::prepared::{Identity, Mount, Prepared};
use super::step::Step;

/// Where the new root is assembled. Nothing that a run sees comes from the host's procfs, so covering it hides no
/// source of a bind; and it exists on every host.
const BASE: &CStr = c"/proc";

/// What is mounted without a word about it: no set-user-ID, no device.
const PLAIN: libc::c_ulong = libc::MS_NOSUID | libc::MS_NODEV;

/// Builds the tree and makes it the root. On return the host's root is detached.
pub(super) fn build(report: Report, prepared: &Prepared) {
    let owner = match prepared.identity {
        Identity::Switch { uid, gid } => Some((uid, gid)),
        Identity::Mapped { .. } | Identity::Same => None,
    };
    // SAFETY: NUL-terminated strings throughout.
    unsafe {
        // Private, not slave: a mount that the host makes later must not appear here.
        let result = libc::mount(ptr::null(), c"/".as_ptr(), ptr::null(), libc::MS_REC | libc::MS_PRIVATE, ptr::null());
        report.check(Step::Private, 0, result.into());
        report.check(Step::Root, 0, tmpfs(BASE, c"mode=755,size=4m").into());
        report.check(Step::Root, 1, libc::chdir(BASE.as_ptr()).into());
        for (index, mount) in prepared.mounts.iter().enumerate() {
            if apply(mount, owner) < 0 {
                report.check(Step::Mount, index, -1);
            }
        }
        // Old and new root stacked on one place: pivot_root(2), "pivot_root(".", ".")".
        report.check(Step::PivotRoot, 0, libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()));
        report.check(Step::PivotRoot, 1, libc::umount2(c".".as_ptr(), libc::MNT_DETACH).into());
        report.check(Step::PivotRoot, 2, libc::chdir(c"/".as_ptr()).into());
        report.check(Step::PivotRoot, 3, attributes(c"/", libc::MOUNT_ATTR_RDONLY, 0).into());
    }
}

/// The path of the new root that `at` names, relative to the working directory, which is that root.
fn inside(at: &CString) -> *const libc::c_char {
    // SAFETY: plan makes every path absolute, so there is a byte to skip; "/" itself becomes the empty string and is
    // never used.
    unsafe { at.as_ptr().add(1) }
}

/// Applies one step. Returns a negative number with errno set when it fails.
unsafe fn apply(mount: &Mount, owner: Option<(u32, u32)>) -> libc::c_int {
    // SAFETY: every pointer is to a NUL-terminated string that outlives the call.
    unsafe {
        match mount {
            Mount::Dir { at, mode, own } => match libc::mkdir(inside(at), *mode) {
                0 => give(inside(at), *own, owner),
                _ if errno() == libc::EEXIST => 0,
                failed => failed,
            },
            Mount::File { at, mode, own } => {
                let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY | libc::O_CLOEXEC | libc::O_NOFOLLOW;
                let fd = libc::open(inside(at), flags, *mode);
                if fd < 0 {
                    return if errno() == libc::EEXIST { 0 } else { fd };
                }
                libc::close(fd);
                give(inside(at), *own, owner)
            }
            Mount::Link { target, at } => libc::symlink(target.as_ptr(), inside(at)),
            Mount::Tmpfs { at, options, own } => match tmpfs_at(inside(at), options) {
                0 => give(inside(at), *own, owner),
                failed => failed,
            },
            Mount::Bind { from, at, writable } => {
                if bind(from, at, libc::MS_REC) < 0 {
                    return -1;
                }
                let read_only = if *writable { 0 } else { libc::MOUNT_ATTR_RDONLY };
                set(inside(at), libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | read_only, libc::AT_RECURSIVE)
            }
            Mount::Device { from, at } => {
                if bind(from, at, 0) < 0 {
                    return -1;
                }
                set(inside(at), libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC, 0)
            }
            Mount::Cover { tripwire, at } => {
                libc::mount(inside(tripwire), inside(at), ptr::null(), libc::MS_BIND, ptr::null())
            }
            Mount::Proc { at } => special(at, c"proc", PLAIN | libc::MS_NOEXEC, ptr::null()),
            Mount::Devpts { at } => special(
                at,
                c"devpts",
                libc::MS_NOSUID | libc::MS_NOEXEC,
                c"newinstance,ptmxmode=0666,mode=620".as_ptr().cast(),
            ),
            Mount::Mqueue { at } => special(at, c"mqueue", PLAIN | libc::MS_NOEXEC, ptr::null()),
            Mount::Overlay { options, at } => special(at, c"overlay", PLAIN, options.as_ptr().cast()),
            Mount::ReadOnly { at } => set(inside(at), libc::MOUNT_ATTR_RDONLY, 0),
        }
    }
}

unsafe fn give(path: *const libc::c_char, own: bool, owner: Option<(u32, u32)>) -> libc::c_int {
    match owner {
        // SAFETY: the caller passes a NUL-terminated path.
        Some((uid, gid)) if own => unsafe { libc::lchown(path, uid, gid) },
        _ => 0,
    }
}

unsafe fn bind(from: &CStr, at: &CString, flags: libc::c_ulong) -> libc::c_int {
    // SAFETY: NUL-terminated strings.
    unsafe { libc::mount(from.as_ptr(), inside(at), ptr::null(), libc::MS_BIND | flags, ptr::null()) }
}

unsafe fn tmpfs(at: &CStr, options: &CStr) -> libc::c_int {
    // SAFETY: NUL-terminated strings.
    unsafe { tmpfs_at(at.as_ptr(), options) }
}

unsafe fn tmpfs_at(at: *const libc::c_char, options: &CStr) -> libc::c_int {
    // SAFETY: NUL-terminated strings.
    unsafe { libc::mount(c"tmpfs".as_ptr(), at, c"tmpfs".as_ptr(), PLAIN, options.as_ptr().cast()) }
}

unsafe fn special(at: &CString, kind: &CStr, flags: libc::c_ulong, data: *const libc::c_void) -> libc::c_int {
    // SAFETY: NUL-terminated strings.
    unsafe { libc::mount(kind.as_ptr(), inside(at), kind.as_ptr(), flags, data) }
}

unsafe fn attributes(path: &CStr, set_bits: u64, flags: libc::c_int) -> libc::c_int {
    // SAFETY: a NUL-terminated path.
    unsafe { set(path.as_ptr(), set_bits, flags) }
}

/// mount_setattr(2), Linux 5.12: the only call that makes a tree of mounts read-only in one step.
unsafe fn set(path: *const libc::c_char, set_bits: u64, flags: libc::c_int) -> libc::c_int {
    let change = libc::mount_attr { attr_set: set_bits, attr_clr: 0, propagation: 0, userns_fd: 0 };
    // SAFETY: the structure outlives the call and its size is passed.
    unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path,
            flags,
            &change,
            size_of::<libc::mount_attr>(),
        ) as libc::c_int
    }
}
