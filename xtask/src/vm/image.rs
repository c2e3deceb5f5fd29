//! The guest's disk: an ext4 image with the product, the test programs, and enough of this host's programs to try
//! attacks with. All of it is what this host has, with its libraries: what is tested is the binary that was built.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::store;
use crate::shell::{self, Error, Result};

/// Where the product and the programs of the tests are in the guest.
pub(super) const HOME: &str = "/opt/keyblind";

/// Programs of this host; one that it lacks is left out, and the tests that need it say so. busybox stands in for
/// ordinary commands.
const PROGRAMS: &[&str] = &[
    "bash",
    "sh",
    "base64",
    "basename",
    "cat",
    "chmod",
    "chown",
    "cp",
    "cut",
    "date",
    "dd",
    "dirname",
    "du",
    "echo",
    "env",
    "expr",
    "false",
    "find",
    "grep",
    "gzip",
    "head",
    "id",
    "install",
    "ln",
    "ls",
    "mkdir",
    "mkfifo",
    "mknod",
    "mktemp",
    "mount",
    "mv",
    "nproc",
    "od",
    "paste",
    "perl",
    "printenv",
    "printf",
    "ps",
    "pwd",
    "python3",
    "readlink",
    "rev",
    "rm",
    "rmdir",
    "sed",
    "seq",
    "setpriv",
    "setsid",
    "sha256sum",
    "shuf",
    "sleep",
    "sort",
    "split",
    "stat",
    "stdbuf",
    "stty",
    "sync",
    "tac",
    "tail",
    "tar",
    "tee",
    "test",
    "timeout",
    "top",
    "touch",
    "tr",
    "true",
    "truncate",
    "tty",
    "umount",
    "uname",
    "uniq",
    "unshare",
    "wc",
    "which",
    "xargs",
    "xxd",
    "yes",
    "git",
    "git-upload-pack",
    "strace",
    "mke2fs",
    "mkfs.btrfs",
    "mkfs.vfat",
    "tune2fs",
    "chattr",
];
const SEARCHED: &[&str] = &["/usr/bin", "/bin", "/usr/sbin", "/sbin"];
/// Directories of this host that programs read. Names below them that no test needs are left out.
const DIRECTORIES: &[&str] = &["/usr/share/git-core", "/lib/terminfo"];
const LEFT_OUT: &[&str] =
    &["test", "idlelib", "lib2to3", "ensurepip", "tkinter", "dist-packages", "site-packages"];

/// Merged directories, as on any current Debian.
const LINKS: &[(&str, &str)] =
    &[("bin", "usr/bin"), ("sbin", "usr/sbin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")];
const MOUNT_POINTS: &[&str] =
    &["dev", "proc", "sys", "run", "tmp", "root", "home", "etc", "mnt", "var/tmp", "var/lib", "var/log"];
const FILES: &[(&str, &str)] = &[
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n\
         jo:x:1000:1000::/home/jo:/bin/bash\n",
    ),
    ("etc/group", "root:x:0:\ntty:x:5:\nnogroup:x:65534:\njo:x:1000:\n"),
    ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
    ("etc/hosts", "127.0.0.1 localhost\n"),
    ("etc/hostname", "guest\n"),
];

/// A file that goes into the image: from this host's path to the guest's.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub(super) from: PathBuf,
    pub(super) to: String,
}

/// Returns the disk that holds `programs` and their surroundings, made if it is not below `top` yet.
pub(super) fn get(top: &Path, programs: &[Program]) -> Result<PathBuf> {
    let host: Vec<Program> = PROGRAMS
        .iter()
        .filter_map(|name| find(name).map(|from| Program { from, to: format!("/usr/bin/{name}") }))
        .collect();
    let all: Vec<&Program> = host.iter().chain(programs).collect();
    let mut contents = Vec::new();
    for program in &all {
        contents.push((&program.to, read(&program.from)?));
    }
    let key = store::key((contents, super::GUEST, PROGRAMS, DIRECTORIES, LEFT_OUT, FILES));
    let disks = top.join("disks");
    let disk = disks.join(format!("disk-{key:016x}.ext4"));
    if !disk.exists() {
        let scratch = store::Scratch::new(top)?;
        let root = scratch.path("root");
        stage(&root, &all)?;
        store::filled(&disk, |place| format(&root, place))?;
        store::prune(&disks, "disk-", 4);
    }
    Ok(disk)
}

/// Where this host keeps a program that packages bring, whatever PATH says.
fn find(name: &str) -> Option<PathBuf> {
    SEARCHED.iter().map(|dir| Path::new(dir).join(name)).find(|path| path.is_file())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|source| Error::File { path: path.to_path_buf(), source })
}

fn trouble(path: &Path) -> impl Fn(std::io::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::File { path: path.clone(), source }
}

/// Lays the guest's root out below `root`.
fn stage(root: &Path, programs: &[&Program]) -> Result<()> {
    for dir in LINKS.iter().map(|(_, target)| target).chain(MOUNT_POINTS) {
        std::fs::create_dir_all(root.join(dir)).map_err(trouble(root))?;
    }
    for (link, target) in LINKS {
        symlink(target, root.join(link)).map_err(trouble(root))?;
    }
    for (path, text) in FILES {
        std::fs::write(root.join(path), text).map_err(trouble(root))?;
    }
    let guest = root.join("sbin/guest");
    std::fs::write(&guest, super::GUEST).map_err(trouble(&guest))?;
    executable(&guest)?;
    let mut loaded: Vec<PathBuf> = Vec::new();
    for program in programs {
        copy(&program.from, &inside(root, Path::new(&program.to)))?;
        loaded.push(program.from.clone());
    }
    for dir in DIRECTORIES.iter().map(PathBuf::from).chain(python()) {
        tree(root, &dir, &mut loaded)?;
    }
    for library in libraries(&loaded)? {
        copy(&library, &inside(root, &library))?;
    }
    busybox(root)
}

fn inside(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// Copies one file, following links, with the directories above it. What is there already stays.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        return Ok(());
    }
    if let Some(dir) = to.parent() {
        std::fs::create_dir_all(dir).map_err(trouble(dir))?;
    }
    std::fs::copy(from, to).map(drop).map_err(trouble(from))
}

/// Copies a directory if it is there, and adds the libraries in it to `loaded`.
fn tree(root: &Path, dir: &Path, loaded: &mut Vec<PathBuf>) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Ok(()) };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            if !LEFT_OUT.iter().any(|left| name == *left) {
                tree(root, &path, loaded)?;
            }
        } else if path.is_file() {
            copy(&path, &inside(root, &path))?;
            if path.extension().is_some_and(|extension| extension == "so") {
                loaded.push(path);
            }
        }
    }
    Ok(())
}

/// The directory of Python's own modules.
fn python() -> Option<PathBuf> {
    let mut python = Command::new(find("python3")?);
    python.args(["-I", "-c", "import sysconfig; print(sysconfig.get_path('stdlib'))"]);
    Some(PathBuf::from(shell::stdout(&mut python).ok()?.trim()))
}

/// Every library that one of these files is linked with, the loader among them.
fn libraries(files: &[PathBuf]) -> Result<BTreeSet<PathBuf>> {
    // ldd(1) ends with 1 when one of the files is not dynamic, and still lists the others.
    let mut ldd = Command::new("ldd");
    ldd.args(files).env("LC_ALL", "C");
    let output = ldd.output().map_err(|source| shell::start_error(&ldd, source))?;
    let found = parse_ldd(&String::from_utf8_lossy(&output.stdout));
    if found.is_empty() {
        return Err(Error::Said(
            "ldd names no library of any program; is this host's libc another?".to_owned(),
        ));
    }
    Ok(found)
}

/// The paths in ldd's lines `name => /path (address)` and `/path (address)`.
fn parse_ldd(text: &str) -> BTreeSet<PathBuf> {
    let paths = text.lines().filter_map(|line| {
        let line = line.strip_prefix('\t')?;
        let place = line.split_once(" => ").map_or(line, |(_, place)| place);
        let (path, _) = place.rsplit_once(" (")?;
        path.starts_with('/').then(|| PathBuf::from(path))
    });
    paths.collect()
}

/// busybox, under its own name and under that of each command that no program of the host brings.
fn busybox(root: &Path) -> Result<()> {
    let from = find("busybox").ok_or_else(|| Error::Said("busybox is not installed".to_owned()))?;
    copy(&from, &root.join("usr/bin/busybox"))?;
    for name in shell::stdout(Command::new(from).arg("--list"))?.lines() {
        let link = root.join("usr/bin").join(name);
        if !link.exists() && !root.join("usr/sbin").join(name).exists() {
            symlink("busybox", &link).map_err(trouble(&link))?;
        }
    }
    Ok(())
}

fn executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).map_err(trouble(path))
}

/// Makes an ext4 file system of what is below `root`, with room to work in.
fn format(root: &Path, place: &Path) -> Result<()> {
    const SIZE: u64 = 1 << 30;
    let file = std::fs::File::create(place).and_then(|file| file.set_len(SIZE));
    file.map_err(trouble(place))?;
    let mke2fs =
        find("mke2fs").ok_or_else(|| Error::Said("mke2fs (e2fsprogs) is not installed".to_owned()))?;
    let mut mke2fs = Command::new(mke2fs);
    mke2fs.args(["-q", "-F", "-t", "ext4", "-m", "0", "-E", "lazy_itable_init=1,nodiscard", "-d"]);
    shell::run(mke2fs.arg(root).arg(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_the_loader_are_read_from_ldd() {
        let text = "/bin/x:\n\tlinux-vdso.so.1 (0x00007fff)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x0007)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007)\n/bin/y:\n\tnot a dynamic executable\n\
                    \tlibz.so.1 => not found\n";
        let found: Vec<_> = parse_ldd(text).into_iter().collect();
        assert_eq!(
            found,
            [Path::new("/lib/x86_64-linux-gnu/libc.so.6"), Path::new("/lib64/ld-linux-x86-64.so.2")]
        );
    }

    #[test]
    fn a_tree_is_copied_without_what_no_test_needs() -> Result<()> {
        let dir = tempfile::tempdir().unwrap();
        let (host, root) = (dir.path().join("host"), dir.path().join("root"));
        for path in ["a/x.py", "a/native.so", "test/y.py"] {
            let path = host.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        let mut loaded = Vec::new();
        tree(&root, &host, &mut loaded)?;
        assert!(inside(&root, &host.join("a/x.py")).exists());
        assert!(!inside(&root, &host.join("test")).exists());
        assert_eq!(loaded, [host.join("a/native.so")]);
        Ok(())
    }
}
