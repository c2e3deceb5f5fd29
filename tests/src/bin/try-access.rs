#![forbid(unsafe_code)]
//! Tries one access per argument and prints what the kernel said: `ACCESS: ok`, with what was read below it, or
//! `ACCESS: EACCES`. It knows nothing of policy: bare, what it tries succeeds. The words of an access are joined by
//! colons: `read:/etc/hostname`, `kill:4711:9`.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::os::unix::net::{SocketAddr, UnixStream};
use std::process::ExitCode;

use keyblind_tests::raw::{Arg, call};
use nix::errno::Errno;

/// No access that a test tries reads more.
const MOST: usize = 1 << 20;

fn main() -> ExitCode {
    let mut out = io::stdout();
    for access in std::env::args().skip(1) {
        let words: Vec<&str> = access.split(':').collect();
        let said = match attempt(&words) {
            Ok(read) => [b": ok\n".as_slice(), &read].concat(),
            Err(errno) => format!(": {errno:?}").into_bytes(),
        };
        if out.write_all(&[access.as_bytes(), &said, b"\n"].concat()).is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// What was read, which for many accesses is nothing.
fn attempt(words: &[&str]) -> Result<Vec<u8>, Errno> {
    match words {
        ["read", path] => slurp(File::open(path)),
        ["reopen", path] => reopen(path),
        ["openat2", path] => openat2(path),
        ["handle", path] => by_handle(path),
        ["mem", pid, address] => memory(pid, address),
        ["vm-read", pid, address] => vm_read(int(pid)?, int(address)?),
        ["write", path, text] => {
            OpenOptions::new()
                .append(true)
                .create(true)
                .open(path)
                .map_err(said)?
                .write_all(text.as_bytes())
                .map_err(said)?;
            Ok(Vec::new())
        }
        ["read-fd", fd] => {
            let mut bytes = vec![0; MOST];
            let length = bytes.len();
            let got = call(
                libc::SYS_pread64,
                [Arg::Int(int(fd)?), Arg::Out(&mut bytes), size(length), Arg::Int(0)],
            )?;
            bytes.truncate(usize::try_from(got).unwrap_or(0));
            Ok(bytes)
        }
        ["write-fd", fd, text] => {
            done(call(libc::SYS_write, [Arg::Int(int(fd)?), Arg::In(text.as_bytes()), size(text.len())]))
        }
        ["list", path] => {
            let names = fs::read_dir(path).map_err(said)?.flatten().map(|entry| entry.file_name());
            Ok(names.map(|name| format!("{}\n", name.display())).collect::<String>().into_bytes())
        }
        ["unix", path] => slurp(UnixStream::connect(path)),
        ["abstract", name] => {
            let address = SocketAddr::from_abstract_name(name).map_err(said)?;
            slurp(UnixStream::connect_addr(&address))
        }
        ["tcp", address, port] => slurp(TcpStream::connect(format!("{address}:{port}"))),
        ["kill", pid, signal] => done(call(libc::SYS_kill, [Arg::Int(int(pid)?), Arg::Int(int(signal)?)])),
        ["ptrace", pid] => {
            const SEIZE: i64 = 0x4206;
            done(call(libc::SYS_ptrace, [Arg::Int(SEIZE), Arg::Int(int(pid)?), Arg::Int(0), Arg::Int(0)]))
        }
        ["pidfd-getfd", pid, fd] => pidfd_getfd(int(pid)?, int(fd)?),
        ["shm", key] => shared_memory(int(key)?),
        ["mq", name] => message(name),
        ["key", name] => key(name),
        ["tiocsti", path, text] => type_in(path, text),
        [simple] => refused_by_name(simple),
        _ => Err(Errno::EINVAL),
    }
}

fn said(error: io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw)
}

fn done(returned: Result<i64, Errno>) -> Result<Vec<u8>, Errno> {
    returned.map(|_| Vec::new())
}

fn int(word: &str) -> Result<i64, Errno> {
    word.parse().or(Err(Errno::EINVAL))
}

fn size<'a>(length: usize) -> Arg<'a> {
    Arg::Int(i64::try_from(length).unwrap_or(0))
}

fn c_string(word: &str) -> Result<CString, Errno> {
    CString::new(word).or(Err(Errno::EINVAL))
}

fn slurp(source: io::Result<impl Read>) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::new();
    source.map_err(said)?.take(MOST as u64).read_to_end(&mut bytes).map_err(said)?;
    Ok(bytes)
}

/// A path descriptor grants nothing; opening it again through procfs would.
fn reopen(path: &str) -> Result<Vec<u8>, Errno> {
    let name = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path).map_err(said)?;
    slurp(File::open(format!("/proc/self/fd/{}", name.as_raw_fd())))
}

fn openat2(path: &str) -> Result<Vec<u8>, Errno> {
    let path = c_string(path)?;
    // struct open_how: flags, mode, resolve; all zero is O_RDONLY without restrictions.
    let how = [0_u8; 24];
    let at = Arg::Int(i64::from(libc::AT_FDCWD));
    let fd =
        call(libc::SYS_openat2, [at, Arg::In(path.as_bytes_with_nul()), Arg::In(&how), size(how.len())])?;
    attempt(&["read-fd", &fd.to_string()])
}

/// A file by its handle instead of any name.
fn by_handle(path: &str) -> Result<Vec<u8>, Errno> {
    const HANDLE_BYTES: u32 = 128;
    let path = c_string(path)?;
    let mut handle = vec![0_u8; 8 + HANDLE_BYTES as usize];
    handle[..4].copy_from_slice(&HANDLE_BYTES.to_ne_bytes());
    let mut mount = [0_u8; 4];
    let at = Arg::Int(i64::from(libc::AT_FDCWD));
    let name = Arg::In(path.as_bytes_with_nul());
    call(libc::SYS_name_to_handle_at, [at, name, Arg::Out(&mut handle), Arg::Out(&mut mount), Arg::Int(0)])?;
    let at = Arg::Int(i64::from(libc::AT_FDCWD));
    let fd = call(libc::SYS_open_by_handle_at, [at, Arg::Out(&mut handle), Arg::Int(0)])?;
    attempt(&["read-fd", &fd.to_string()])
}

/// What the tests plant in memory is this long.
const VALUE: usize = 32;

fn memory(pid: &str, address: &str) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; VALUE];
    let address = u64::try_from(int(address)?).or(Err(Errno::EINVAL))?;
    File::open(format!("/proc/{pid}/mem")).map_err(said)?.read_exact_at(&mut bytes, address).map_err(said)?;
    Ok(bytes)
}

fn vm_read(pid: i64, address: i64) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; VALUE];
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).or(Err(Errno::EINVAL))?);
    let base = usize::try_from(address).or(Err(Errno::EINVAL))?;
    let remote = [nix::sys::uio::RemoteIoVec { base, len: VALUE }];
    nix::sys::uio::process_vm_readv(pid, &mut [io::IoSliceMut::new(&mut bytes)], &remote)?;
    Ok(bytes)
}

fn pidfd_getfd(pid: i64, fd: i64) -> Result<Vec<u8>, Errno> {
    let process = call(libc::SYS_pidfd_open, [Arg::Int(pid), Arg::Int(0)])?;
    let copy = call(libc::SYS_pidfd_getfd, [Arg::Int(process), Arg::Int(fd), Arg::Int(0)])?;
    attempt(&["read-fd", &copy.to_string()])
}

fn shared_memory(key: i64) -> Result<Vec<u8>, Errno> {
    const READ_ONLY: i64 = 0o10000;
    let id = call(libc::SYS_shmget, [Arg::Int(key), Arg::Int(0), Arg::Int(0)])?;
    let address = call(libc::SYS_shmat, [Arg::Int(id), Arg::Int(0), Arg::Int(READ_ONLY)])?;
    memory("self", &address.to_string())
}

fn message(name: &str) -> Result<Vec<u8>, Errno> {
    let name = c_string(name)?;
    let queue = call(
        libc::SYS_mq_open,
        [Arg::In(name.as_bytes_with_nul()), Arg::Int(i64::from(libc::O_RDONLY)), Arg::Int(0), Arg::Int(0)],
    )?;
    let mut bytes = vec![0; 65536];
    let length = bytes.len();
    let got = call(
        libc::SYS_mq_timedreceive,
        [Arg::Int(queue), Arg::Out(&mut bytes), size(length), Arg::Int(0), Arg::Int(0)],
    )?;
    bytes.truncate(usize::try_from(got).unwrap_or(0));
    Ok(bytes)
}

fn key(name: &str) -> Result<Vec<u8>, Errno> {
    const USER_KEYRING: i64 = -4;
    const SEARCH: i64 = 10;
    const READ: i64 = 11;
    let name = c_string(name)?;
    let (kind, name) = (Arg::In(c"user".to_bytes_with_nul()), Arg::In(name.as_bytes_with_nul()));
    let id = call(libc::SYS_keyctl, [Arg::Int(SEARCH), Arg::Int(USER_KEYRING), kind, name, Arg::Int(0)])?;
    let mut bytes = vec![0; VALUE];
    call(libc::SYS_keyctl, [Arg::Int(READ), Arg::Int(id), Arg::Out(&mut bytes), size(VALUE)])?;
    Ok(bytes)
}

/// Types `text` into a terminal as its user would.
fn type_in(path: &str, text: &str) -> Result<Vec<u8>, Errno> {
    let terminal =
        OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOCTTY).open(path).map_err(said)?;
    let (fd, request) = (i64::from(terminal.as_raw_fd()), i64::try_from(libc::TIOCSTI).unwrap_or(0));
    for byte in text.bytes() {
        call(libc::SYS_ioctl, [Arg::Int(fd), Arg::Int(request), Arg::In(&[byte])])?;
    }
    Ok(Vec::new())
}

/// System calls that have no object: whether they are there at all.
fn refused_by_name(name: &str) -> Result<Vec<u8>, Errno> {
    const NEW_USER: i64 = 0x1000_0000;
    let mut buffer = [0_u8; 256];
    done(match name {
        "unshare-user" => call(libc::SYS_unshare, [Arg::Int(NEW_USER)]),
        "unshare-user-high-bits" => call(libc::SYS_unshare, [Arg::Int(NEW_USER | (1 << 32))]),
        "mount" => {
            let (source, target) = (c"tmpfs".to_bytes_with_nul(), c"/tmp".to_bytes_with_nul());
            call(
                libc::SYS_mount,
                [Arg::In(source), Arg::In(target), Arg::In(source), Arg::Int(0), Arg::Int(0)],
            )
        }
        "open-tree" => {
            const CLONE: i64 = 1;
            let at = i64::from(libc::AT_FDCWD);
            call(libc::SYS_open_tree, [Arg::Int(at), Arg::In(c"/".to_bytes_with_nul()), Arg::Int(CLONE)])
        }
        "bpf" => {
            // BPF_MAP_CREATE of an array with one entry.
            for (at, value) in [(0, 2_u32), (4, 4), (8, 4), (12, 1)] {
                buffer[at..at + 4].copy_from_slice(&value.to_ne_bytes());
            }
            call(libc::SYS_bpf, [Arg::Int(0), Arg::In(&buffer), Arg::Int(72)])
        }
        "perf-event-open" => {
            // PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK, of this process, user mode only.
            const EXCLUDE_KERNEL_AND_HYPERVISOR: u64 = 0x60;
            buffer[..4].copy_from_slice(&1_u32.to_ne_bytes());
            buffer[4..8].copy_from_slice(&128_u32.to_ne_bytes());
            buffer[40..48].copy_from_slice(&EXCLUDE_KERNEL_AND_HYPERVISOR.to_ne_bytes());
            call(
                libc::SYS_perf_event_open,
                [Arg::In(&buffer), Arg::Int(0), Arg::Int(-1), Arg::Int(-1), Arg::Int(0)],
            )
        }
        "io-uring" => call(libc::SYS_io_uring_setup, [Arg::Int(4), Arg::Out(&mut buffer)]),
        "userfaultfd" => {
            const USER_MODE_ONLY: i64 = 1;
            call(libc::SYS_userfaultfd, [Arg::Int(USER_MODE_ONLY)])
        }
        "add-key" => {
            const PROCESS_KEYRING: i64 = -2;
            let name = c"keyblind-try".to_bytes_with_nul();
            let kind = c"user".to_bytes_with_nul();
            call(
                libc::SYS_add_key,
                [Arg::In(kind), Arg::In(name), Arg::In(b"x"), Arg::Int(1), Arg::Int(PROCESS_KEYRING)],
            )
        }
        "unknown-call" => call(9999, []),
        "raw-socket" => call(libc::SYS_socket, [Arg::Int(2), Arg::Int(3), Arg::Int(1)]),
        _ => return Err(Errno::EINVAL),
    })
}
