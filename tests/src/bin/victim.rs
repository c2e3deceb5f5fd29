#![forbid(unsafe_code)]
//! Holds a value in every place where a process of the host can hold one: `victim VALUE SOCKET`, with the value also in
//! its variables. Prints the value's address and the descriptor of a memory file, then waits for the end of stdin.

use std::error::Error;
use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::os::unix::net::{SocketAddr, UnixListener};

use keyblind_tests::raw::{Arg, call};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let value = args.next().ok_or("no value")?;
    let socket = args.next().ok_or("no socket")?;
    let name = format!("kb-{}", std::process::id());
    let c_name = CString::new(name.clone())?;

    let memory = nix::sys::memfd::memfd_create(c_name.as_c_str(), nix::sys::memfd::MFdFlags::empty())?;
    let memory = File::from(memory);
    memory.write_all_at(value.as_bytes(), 0)?;

    // Any process of the same user may look, as on a host without Yama: the attack is to be proven bare.
    const ANY: i64 = -1;
    call(libc::SYS_prctl, [Arg::Int(i64::from(libc::PR_SET_PTRACER)), Arg::Int(ANY)]).ok();

    serve(UnixListener::bind(&socket)?, value.clone());
    serve(UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?, value.clone());
    let segment = share(&value)?;
    let key = key(&c_name, &value)?;
    let shm = format!("/dev/shm/{name}");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(&shm)?.write_all(value.as_bytes())?;
    let queue = queue(&c_name, &value)?;

    let mut out = std::io::stdout();
    writeln!(out, "{} {}", value.as_ptr() as u64, memory.as_raw_fd())?;
    out.flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;

    const REMOVE: i64 = 0;
    const UNLINK: i64 = 9;
    call(libc::SYS_keyctl, [Arg::Int(UNLINK), Arg::Int(key), Arg::Int(USER_KEYRING)])?;
    call(libc::SYS_shmctl, [Arg::Int(segment), Arg::Int(REMOVE), Arg::Int(0)])?;
    std::fs::remove_file(shm)?;
    call(libc::SYS_mq_unlink, [Arg::In(c_name.as_bytes_with_nul())])?;
    drop((memory, queue));
    Ok(())
}

const USER_KEYRING: i64 = -4;

/// Tells every caller of `listener` the value.
fn serve(listener: UnixListener, value: String) {
    std::thread::spawn(move || {
        for mut peer in listener.incoming().flatten() {
            drop(peer.write_all(value.as_bytes()));
        }
    });
}

/// A System V segment whose key is the process id.
fn share(value: &str) -> Result<i64, Box<dyn Error>> {
    const CREATE_PRIVATE: i64 = 0o1000 | 0o600;
    let key = i64::from(std::process::id());
    let id = call(libc::SYS_shmget, [Arg::Int(key), Arg::Int(4096), Arg::Int(CREATE_PRIVATE)])?;
    let address = call(libc::SYS_shmat, [Arg::Int(id), Arg::Int(0), Arg::Int(0)])?;
    let memory = File::options().write(true).open("/proc/self/mem")?;
    memory.write_all_at(value.as_bytes(), u64::try_from(address)?)?;
    Ok(id)
}

/// A key in the user's keyring, readable by the user. It expires, should this program be killed.
fn key(name: &CString, value: &str) -> Result<i64, Box<dyn Error>> {
    const SET_PERMISSION: i64 = 5;
    const SET_TIMEOUT: i64 = 15;
    const ALL_FOR_POSSESSOR_AND_USER: i64 = 0x3f3f_0000;
    let (kind, bytes) = (c"user", value.as_bytes());
    let length = i64::try_from(bytes.len())?;
    let id = call(
        libc::SYS_add_key,
        [
            Arg::In(kind.to_bytes_with_nul()),
            Arg::In(name.as_bytes_with_nul()),
            Arg::In(bytes),
            Arg::Int(length),
            Arg::Int(USER_KEYRING),
        ],
    )?;
    call(libc::SYS_keyctl, [Arg::Int(SET_PERMISSION), Arg::Int(id), Arg::Int(ALL_FOR_POSSESSOR_AND_USER)])?;
    call(libc::SYS_keyctl, [Arg::Int(SET_TIMEOUT), Arg::Int(id), Arg::Int(60)])?;
    Ok(id)
}

/// A POSIX message queue with the value as its first message.
fn queue(name: &CString, value: &str) -> Result<i64, Box<dyn Error>> {
    let flags = i64::from(libc::O_CREAT | libc::O_RDWR);
    let name = name.as_bytes_with_nul();
    let queue = call(libc::SYS_mq_open, [Arg::In(name), Arg::Int(flags), Arg::Int(0o600), Arg::Int(0)])?;
    let (bytes, length) = (value.as_bytes(), i64::try_from(value.len())?);
    call(
        libc::SYS_mq_timedsend,
        [Arg::Int(queue), Arg::In(bytes), Arg::Int(length), Arg::Int(0), Arg::Int(0)],
    )?;
    Ok(queue)
}
