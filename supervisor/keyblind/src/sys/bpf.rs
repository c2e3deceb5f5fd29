//! The few commands of bpf(2) that a run's start needs. What is larger goes through aya.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

const MAP_CREATE: libc::c_int = 0;
const MAP_UPDATE: libc::c_int = 2;
const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
/// `BPF_F_ALLOW_MULTI`
const ALLOW_MULTI: u32 = 2;

/// `BPF_PROG_TYPE_CGROUP_SOCK_ADDR`.
const CGROUP_SOCK_ADDR: u32 = 18;
/// `BPF_PSEUDO_MAP_FD`, as the source register of the instruction that loads 64 bits.
const MAP_FD: u64 = 1 << 12;

/// What kind of map to make.
#[derive(Debug, Clone, Copy)]
pub(crate) enum MapKind {
    /// `BPF_MAP_TYPE_ARRAY`.
    Array = 2,
    /// `BPF_MAP_TYPE_LPM_TRIE`.
    Trie = 11,
    /// `BPF_MAP_TYPE_RINGBUF`.
    Ring = 27,
}

/// `BPF_MAP_CREATE`. A trie must not be allocated beforehand.
pub(crate) fn map(kind: MapKind, key: u32, value: u32, entries: u32) -> io::Result<OwnedFd> {
    const NO_PREALLOC: u32 = 1;
    let flags = if matches!(kind, MapKind::Trie) { NO_PREALLOC } else { 0 };
    // SAFETY: numbers only.
    unsafe { call(MAP_CREATE, &[kind as u32, key, value, entries, flags]) }.map(super::own)
}

/// `BPF_MAP_UPDATE_ELEM`. The map must have been made with keys of `K` bytes and values of `V`.
pub(crate) fn update<const K: usize, const V: usize>(
    map: impl AsFd,
    key: &[u8; K],
    value: &[u8; V],
) -> io::Result<()> {
    #[repr(C)]
    struct Update {
        map: u64,
        key: u64,
        value: u64,
        flags: u64,
    }
    let attr = Update {
        map: number(map.as_fd().as_raw_fd()).into(),
        key: key.as_ptr().addr() as u64,
        value: value.as_ptr().addr() as u64,
        flags: 0,
    };
    // SAFETY: both outlive the call, and are as long as the caller says that the map has it.
    unsafe { call(MAP_UPDATE, &attr) }.map(drop)
}

/// An instruction pair that loads the address of a map.
pub(crate) fn refer(word: u64, map: impl AsFd) -> u64 {
    word & 0xffff_ffff | MAP_FD | u64::from(number(map.as_fd().as_raw_fd())) << 32
}

/// `BPF_PROG_LOAD`, for programs that see the addresses of sockets; `attach` is where it will be attached.
pub(crate) fn load(instructions: &[u64], attach: u32, licence: &CStr) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Load {
        kind: u32,
        count: u32,
        instructions: u64,
        licence: u64,
        log: [u32; 2],
        log_buffer: u64,
        version: u32,
        flags: u32,
        name: [u8; 16],
        interface: u32,
        attach: u32,
    }
    let attr = Load {
        kind: CGROUP_SOCK_ADDR,
        count: u32::try_from(instructions.len()).unwrap_or(u32::MAX),
        instructions: instructions.as_ptr().addr() as u64,
        licence: licence.as_ptr().addr() as u64,
        log: [0; 2],
        log_buffer: 0,
        version: 0,
        flags: 0,
        name: *b"keyblind\0\0\0\0\0\0\0\0",
        interface: 0,
        attach,
    };
    // SAFETY: instructions and licence outlive the call.
    unsafe { call(PROG_LOAD, &attr) }.map(super::own)
}

/// `BPF_PROG_ATTACH`: the program stays at the cgroup, beside others, until the cgroup is removed. A link would be gone
/// with its descriptor, and so with a process that is killed.
pub(crate) fn attach(program: impl AsFd, cgroup: impl AsFd, attach: u32) -> io::Result<()> {
    let fd = |fd: &dyn AsRawFd| number(fd.as_raw_fd());
    let attr = [fd(&cgroup.as_fd()), fd(&program.as_fd()), attach, ALLOW_MULTI];
    // SAFETY: numbers only.
    unsafe { call(PROG_ATTACH, &attr) }.map(drop)
}

fn number(fd: RawFd) -> u32 {
    fd.unsigned_abs()
}

/// bpf(2). The kernel takes what is beyond `attr` for zero.
///
/// # Safety
/// `attr` is laid out as the kernel expects it for `command`, and every address in it is of memory that the command may
/// use.
unsafe fn call<T>(command: libc::c_int, attr: &T) -> io::Result<RawFd> {
    // SAFETY: the caller says so.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attr), size_of::<T>()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(RawFd::try_from(result).unwrap_or(-1))
}
