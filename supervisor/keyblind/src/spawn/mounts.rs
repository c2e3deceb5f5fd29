//! The run's tree, built in the child. The law of `child.rs` holds here as well.

use std::ffi::CStr;
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
        let result = libc::mount(
            ptr::null(),
            c"/".as_ptr(),
            ptr::null(),
            libc::MS_REC | libc::MS_PRIVATE,
            ptr::null(),
        );
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
        report.check(Step::PivotRoot, 3, set(c"/", libc::MOUNT_ATTR_RDONLY, 0).into());
    }
}

/// The path of the new root that `at` names, relative to the working directory, which is that root.
fn inside(at: &CStr) -> &CStr {
    // Plan makes every path absolute; an empty path, which nothing can be mounted on, is the answer to any other.
    at.to_bytes_with_nul()
        .strip_prefix(b"/")
        .and_then(|rest| CStr::from_bytes_with_nul(rest).ok())
        .unwrap_or(c"")
}

/// Applies one step. Returns a negative number with errno set when it fails.
fn apply(mount: &Mount, owner: Option<(u32, u32)>) -> libc::c_int {
    match mount {
        // SAFETY: a NUL-terminated path.
        Mount::Dir { at, mode, own } => match unsafe { libc::mkdir(inside(at).as_ptr(), *mode) } {
            0 => give(inside(at), *own, owner),
            _ if errno() == libc::EEXIST => 0,
            failed => failed,
        },
        Mount::File { at, mode, own } => file(inside(at), *mode, *own, owner),
        // SAFETY: NUL-terminated strings.
        Mount::Link { target, at } => unsafe { libc::symlink(target.as_ptr(), inside(at).as_ptr()) },
        Mount::Tmpfs { at, options, own } => match tmpfs(inside(at), options) {
            0 => give(inside(at), *own, owner),
            failed => failed,
        },
        Mount::Bind { from, at, writable } => match bind_as(owner, from, inside(at)) {
            0 => {
                let read_only = if *writable { 0 } else { libc::MOUNT_ATTR_RDONLY };
                set(
                    inside(at),
                    libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | read_only,
                    libc::AT_RECURSIVE,
                )
            }
            failed => failed,
        },
        Mount::Device { from, at } => match bind(from, inside(at), 0) {
            0 => set(inside(at), libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC, 0),
            failed => failed,
        },
        Mount::Cover { tripwire, at } => match bind(inside(tripwire), inside(at), 0) {
            0 => set(inside(at), libc::MOUNT_ATTR_RDONLY, 0),
            failed => failed,
        },
        Mount::Frozen { at } => match bind(inside(at), inside(at), libc::MS_REC) {
            0 => set(inside(at), libc::MOUNT_ATTR_RDONLY, libc::AT_RECURSIVE),
            failed => failed,
        },
        Mount::Proc { at } => special(inside(at), c"proc", PLAIN | libc::MS_NOEXEC, c""),
        Mount::Devpts { at } => {
            let options = c"newinstance,ptmxmode=0666,mode=620";
            special(inside(at), c"devpts", libc::MS_NOSUID | libc::MS_NOEXEC, options)
        }
        Mount::Mqueue { at } => special(inside(at), c"mqueue", PLAIN | libc::MS_NOEXEC, c""),
        Mount::Overlay { from, options, at } => match bind_as(owner, from, inside(at)) {
            // The lower directory is what was just bound: reached with the user's rights, and no other by now.
            0 => special(inside(at), c"overlay", PLAIN, options),
            failed => failed,
        },
        // SAFETY: a NUL-terminated path.
        Mount::Detach { at } => unsafe { libc::umount2(inside(at).as_ptr(), libc::MNT_DETACH) },
    }
}

fn file(at: &CStr, mode: u32, own: bool, owner: Option<(u32, u32)>) -> libc::c_int {
    let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY | libc::O_CLOEXEC | libc::O_NOFOLLOW;
    // SAFETY: a NUL-terminated path; the descriptor is closed at once.
    unsafe {
        match libc::open(at.as_ptr(), flags, mode) {
            fd if fd >= 0 => {
                libc::close(fd);
                give(at, own, owner)
            }
            _ if errno() == libc::EEXIST => 0,
            failed => failed,
        }
    }
}

fn give(path: &CStr, own: bool, owner: Option<(u32, u32)>) -> libc::c_int {
    match owner {
        // SAFETY: a NUL-terminated path.
        Some((uid, gid)) if own => unsafe { libc::lchown(path.as_ptr(), uid, gid) },
        _ => 0,
    }
}

fn bind(from: &CStr, at: &CStr, flags: libc::c_ulong) -> libc::c_int {
    // SAFETY: NUL-terminated strings.
    unsafe { libc::mount(from.as_ptr(), at.as_ptr(), ptr::null(), libc::MS_BIND | flags, ptr::null()) }
}

/// Binds a tree of the host, looked up with the rights of the run's user: root would follow a link of that user's to
/// where the user may not go. The source is opened once, so that nothing can change between look-up and bind.
fn bind_as(owner: Option<(u32, u32)>, from: &CStr, at: &CStr) -> libc::c_int {
    let Some((uid, gid)) = owner else { return bind(from, at, libc::MS_REC) };
    const OPEN_TREE_CLONE: libc::c_uint = 1;
    const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 4;
    let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC as libc::c_uint | libc::AT_RECURSIVE as libc::c_uint;
    // SAFETY: NUL-terminated strings and plain numbers; the descriptor is closed again. setfsuid(2) takes and gives
    // back the capabilities that pass over file permissions, and none other.
    unsafe {
        libc::syscall(libc::SYS_setfsgid, gid);
        libc::syscall(libc::SYS_setfsuid, uid);
        let tree = libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, from.as_ptr(), flags) as libc::c_int;
        let failed = errno();
        libc::syscall(libc::SYS_setfsuid, 0);
        libc::syscall(libc::SYS_setfsgid, 0);
        if tree < 0 {
            *libc::__errno_location() = failed;
            return -1;
        }
        let moved = libc::syscall(
            libc::SYS_move_mount,
            tree,
            c"".as_ptr(),
            libc::AT_FDCWD,
            at.as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH,
        ) as libc::c_int;
        libc::close(tree);
        moved
    }
}

fn tmpfs(at: &CStr, options: &CStr) -> libc::c_int {
    special(at, c"tmpfs", PLAIN, options)
}

/// A file system that has no source.
fn special(at: &CStr, kind: &CStr, flags: libc::c_ulong, options: &CStr) -> libc::c_int {
    // SAFETY: NUL-terminated strings.
    unsafe { libc::mount(kind.as_ptr(), at.as_ptr(), kind.as_ptr(), flags, options.as_ptr().cast()) }
}

/// mount_setattr(2), Linux 5.12: the only call that makes a tree of mounts read-only in one step.
fn set(path: &CStr, set_bits: u64, flags: libc::c_int) -> libc::c_int {
    let change = libc::mount_attr { attr_set: set_bits, attr_clr: 0, propagation: 0, userns_fd: 0 };
    // SAFETY: the structure outlives the call and its size is passed.
    unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &change,
            size_of::<libc::mount_attr>(),
        ) as libc::c_int
    }
}
