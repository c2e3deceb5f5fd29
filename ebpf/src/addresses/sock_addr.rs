//! What the kernel shows a program of an address, and the words that programs add to.

use core::arch::asm;

use aya_ebpf::helpers::generated;
use aya_ebpf::programs::SockAddrContext;

/// The kernel requires a licence that is compatible with the GPL for some helpers.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// The third word of an IPv4 address that is mapped into IPv6, in network order.
pub const MAPPED: u32 = 0xffff_u32.to_be();

/// An IPv4 address, mapped into IPv6 (RFC 4291, 2.5.5.2); words in network order.
#[inline(always)]
pub fn ip4(ctx: &SockAddrContext) -> [u32; 4] {
    // SAFETY: the kernel gives the context; the verifier knows which of its words may be read.
    let word = unsafe { core::ptr::read_volatile(&raw const (*ctx.sock_addr).user_ip4) };
    [0, 0, MAPPED, word]
}

/// An IPv6 address; words in network order.
#[inline(always)]
pub fn ip6(ctx: &SockAddrContext) -> [u32; 4] {
    // SAFETY: the kernel gives the context; word by word, as the verifier wants it.
    let word = |at: usize| unsafe { core::ptr::read_volatile(&raw const (*ctx.sock_addr).user_ip6[at]) };
    [word(0), word(1), word(2), word(3)]
}

/// The IPv4 address to which the socket is bound, in network order, or 0.
#[inline(always)]
pub fn bound4(ctx: &SockAddrContext) -> u32 {
    // SAFETY: the kernel gives the context with its socket, which is never null (Linux 5.3); the verifier knows which
    // words may be read.
    unsafe {
        let sk = core::ptr::read_volatile(&raw const (*ctx.sock_addr).__bindgen_anon_1.sk);
        core::ptr::read_volatile(&raw const (*sk).src_ip4)
    }
}

/// The IPv4 address from which a message goes, by bind(2) or by IP_PKTINFO (ip(7)), in network order, or 0. For programs
/// at sendmsg(2) of IPv4.
#[inline(always)]
pub fn source4(ctx: &SockAddrContext) -> u32 {
    // SAFETY: the kernel gives the context; the verifier lets this word be read there.
    unsafe { core::ptr::read_volatile(&raw const (*ctx.sock_addr).msg_src_ip4) }
}

/// The port.
#[inline(always)]
pub fn port(ctx: &SockAddrContext) -> u16 {
    // SAFETY: the kernel gives the context; the verifier lets this word be read.
    let word = unsafe { core::ptr::read_volatile(&raw const (*ctx.sock_addr).user_port) };
    u16::from_be(word as u16)
}

/// The protocol (`IPPROTO_TCP`, `IPPROTO_UDP` …).
#[inline(always)]
pub fn protocol(ctx: &SockAddrContext) -> u32 {
    // SAFETY: the kernel gives the context; the verifier lets this word be read.
    unsafe { core::ptr::read_volatile(&raw const (*ctx.sock_addr).protocol) }
}

/// The bytes of the running thread's name.
#[inline(always)]
pub fn command() -> [u64; 2] {
    let mut name = core::mem::MaybeUninit::<[u64; 2]>::uninit();
    // SAFETY: the helper writes all of what it is given, zeros where it fails.
    unsafe {
        generated::bpf_get_current_comm(name.as_mut_ptr().cast(), 16);
        name.assume_init()
    }
}

/// CLOCK_BOOTTIME in nanoseconds.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: takes nothing, returns a number.
    unsafe { generated::bpf_ktime_get_boot_ns() }
}

/// Adds one to a word that other programs add to, and returns what it was.
#[inline(always)]
pub fn add(word: *mut u64) -> u64 {
    let mut by: u64 = 1;
    // SAFETY: an aligned word of a map value; one instruction that touches nothing else.
    unsafe {
        asm!("{by} = atomic_fetch_add((u64 *)({word} + 0), {by})", word = in(reg) word, by = inout(reg) by);
    }
    by
}
