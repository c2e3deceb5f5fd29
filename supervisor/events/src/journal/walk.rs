//! Opens directories and files so that nobody can lead the writer elsewhere: one component at a time, none
//! of them a symbolic link, from the root (or the working directory) down.
//!
//! openat2(2) with RESOLVE_NO_SYMLINKS would do it in one call, but its error names no component, and
//! container filters of before Linux 5.6 refuse it.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, mkdirat};
use nix::unistd::geteuid;

use super::JournalError;

const DIRECTORY: OFlag =
    OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// Opens `path` without following a symbolic link. Directories missing below `base` are made, for the
/// owner alone; without a base all must be there. `log` and `fix` are for the error.
pub(super) fn directory(
    path: &Path,
    base: Option<&Path>,
    log: &Path,
    fix: &'static str,
) -> Result<OwnedFd, JournalError> {
    let root = if path.is_absolute() { "/" } else { "." };
    let failed = |action, path: &Path, source| JournalError::Os { action, path: path.to_owned(), source };
    let mut at = open(root, DIRECTORY, Mode::empty()).map_err(|e| failed("open", Path::new(root), e))?;
    let mut walked = PathBuf::new();
    for component in path.components() {
        walked.push(component);
        let name = match component {
            Component::RootDir | Component::CurDir | Component::Prefix(_) => continue,
            Component::ParentDir => OsStr::new(".."),
            Component::Normal(name) => name,
        };
        let mut next = openat(&at, name, DIRECTORY, Mode::empty());
        let ours = base.is_some_and(|base| walked.starts_with(base) && walked != base);
        if ours && matches!(next, Err(Errno::ENOENT)) {
            match mkdirat(&at, name, Mode::S_IRWXU) {
                // Another run was faster.
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(source) => return Err(failed("create the directory", &walked, source)),
            }
            next = openat(&at, name, DIRECTORY, Mode::empty());
        }
        at = match next {
            Ok(next) => next,
            Err(Errno::ENOENT) => {
                return Err(JournalError::Missing { log: log.to_owned(), component: walked, fix });
            }
            Err(Errno::ENOTDIR | Errno::ELOOP) => {
                let found = fstatat(&at, name, AtFlags::AT_SYMLINK_NOFOLLOW).map(|s| kind(&s));
                return Err(JournalError::Kind {
                    log: log.to_owned(),
                    component: walked,
                    found: found.unwrap_or("thing that went away"),
                    wanted: "directory",
                    fix,
                });
            }
            Err(source) => return Err(failed("open", &walked, source)),
        };
    }
    Ok(at)
}

/// Opens the directory that `file` is in; it must exist.
pub(super) fn existing(file: &Path) -> Result<OwnedFd, JournalError> {
    let fix = "name a file in an existing directory by a path without links, or a descriptor as fd:N";
    directory(file.parent().unwrap_or(Path::new("")), None, file, fix)
}

/// That `directory` belongs to the effective user and that nobody else can put names into it.
pub(super) fn check_own_directory(directory: &OwnedFd, path: &Path) -> Result<(), JournalError> {
    let stat = fstat(directory).map_err(|source| os("examine", path, source))?;
    check_owner(&stat, path)?;
    if stat.st_mode & 0o022 != 0 {
        return Err(JournalError::Mode { path: path.to_owned(), mode: stat.st_mode & 0o7777, fix: "700" });
    }
    Ok(())
}

/// Opens the log `path`, of which `directory` holds the last component, for appending; made if missing.
/// Returns it with its device and inode number.
pub(super) fn log_file(directory: &OwnedFd, path: &Path) -> Result<(File, (u64, u64)), JournalError> {
    let name = path.file_name().unwrap_or(OsStr::new("."));
    // Looked at before it is opened: opening a FIFO or a device has effects on whoever is at its other end.
    match fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(stat) => check_file(&stat, path)?,
        Err(Errno::ENOENT) => {}
        Err(source) => return Err(os("examine", path, source)),
    }
    // Reading is needed to see whether the last line is whole.
    let flags = OFlag::O_RDWR
        | OFlag::O_APPEND
        | OFlag::O_CREAT
        | OFlag::O_NOFOLLOW
        | OFlag::O_NONBLOCK
        | OFlag::O_NOCTTY
        | OFlag::O_CLOEXEC;
    let file = openat(directory, name, flags, Mode::S_IRUSR | Mode::S_IWUSR);
    let file = file.map_err(|source| os("open", path, source))?;
    let stat = fstat(&file).map_err(|source| os("examine", path, source))?;
    check_file(&stat, path)?;
    Ok((File::from(file), (stat.st_dev, stat.st_ino)))
}

fn check_file(stat: &FileStat, path: &Path) -> Result<(), JournalError> {
    let found = kind(stat);
    if found != "regular file" {
        return Err(JournalError::Kind {
            log: path.to_owned(),
            component: path.to_owned(),
            found,
            wanted: "regular file",
            fix: "move it away, or name another file, or a descriptor as fd:N",
        });
    }
    check_owner(stat, path)?;
    if stat.st_nlink > 1 {
        return Err(JournalError::HardLink { path: path.to_owned(), links: stat.st_nlink });
    }
    if stat.st_mode & 0o077 != 0 {
        return Err(JournalError::Mode { path: path.to_owned(), mode: stat.st_mode & 0o7777, fix: "600" });
    }
    Ok(())
}

fn check_owner(stat: &FileStat, path: &Path) -> Result<(), JournalError> {
    let ours = geteuid().as_raw();
    if stat.st_uid == ours {
        return Ok(());
    }
    Err(JournalError::Owner { path: path.to_owned(), owner: stat.st_uid, ours })
}

fn os(action: &'static str, path: &Path, source: Errno) -> JournalError {
    JournalError::Os { action, path: path.to_owned(), source }
}

fn kind(stat: &FileStat) -> &'static str {
    match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFREG => "regular file",
        SFlag::S_IFDIR => "directory",
        SFlag::S_IFLNK => "symbolic link",
        SFlag::S_IFIFO => "FIFO",
        SFlag::S_IFSOCK => "socket",
        SFlag::S_IFCHR | SFlag::S_IFBLK => "device",
        _ => "thing of unknown kind",
    }
}
