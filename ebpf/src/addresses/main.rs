#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
//! Which addresses a control group may not reach. An object of its own, since its programs load where LSM programs are
//! refused, and since each run loads them for itself: they must be few and small.
//!
//! They stand before connect(2), for UDP too, and before sendto(2) and sendmsg(2) on a socket that is not connected. A
//! refusal shows as EPERM.

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_get_current_uid_gid};
use aya_ebpf::macros::{cgroup_sock_addr, map};
use aya_ebpf::maps::lpm_trie::{Key, LpmTrie};
use aya_ebpf::maps::{Array, RingBuf};
use aya_ebpf::programs::SockAddrContext;
use keyblind_abi::{Addressed, addressed};

mod sock_addr;

use sock_addr::MAPPED;

/// Written by user space before the programs are attached: networks, and whether they are refused.
#[map]
pub static NETWORKS: LpmTrie<[u32; 4], u32> = LpmTrie::with_max_entries(addressed::MOST_NETWORKS, 0);

/// Written by the programs, by atomic additions.
#[map]
pub static COUNTS: Array<u64> = Array::with_max_entries(addressed::COUNTS, 0);

/// What was refused or flagged.
#[map]
pub static REPORTS: RingBuf = RingBuf::with_byte_size(addressed::RING_BYTES, 0);

#[cgroup_sock_addr(connect4)]
pub fn connect4(ctx: SockAddrContext) -> i32 {
    ask(sock_addr::ip4(&ctx), sock_addr::bound4(&ctx), &ctx)
}

#[cgroup_sock_addr(connect6)]
pub fn connect6(ctx: SockAddrContext) -> i32 {
    ask(sock_addr::ip6(&ctx), sock_addr::bound4(&ctx), &ctx)
}

#[cgroup_sock_addr(sendmsg4)]
pub fn sendmsg4(ctx: SockAddrContext) -> i32 {
    ask(sock_addr::ip4(&ctx), sock_addr::source4(&ctx), &ctx)
}

#[cgroup_sock_addr(sendmsg6)]
pub fn sendmsg6(ctx: SockAddrContext) -> i32 {
    ask(sock_addr::ip6(&ctx), sock_addr::bound4(&ctx), &ctx)
}

/// What is said of an address, and of which: the kernel takes the unspecified address for the socket's own IPv4 address
/// if it has one (`ip_route_output_key`), or else for a loopback address, of which user space wrote under this name.
#[inline(always)]
fn said(address: [u32; 4], own: u32) -> Option<(u32, [u32; 4])> {
    let said = find(address);
    let unspecified =
        address[0] | address[1] | address[3] == 0 && (address[2] == 0 || address[2] == MAPPED);
    if said.is_none() && unspecified { find([0, 0, MAPPED, own]) } else { said }
}

#[inline(always)]
fn find(address: [u32; 4]) -> Option<(u32, [u32; 4])> {
    NETWORKS.get(Key::new(128, address)).map(|said| (*said, address))
}

/// 1 to let it pass, 0 to refuse it. `own`: the socket's IPv4 address, 0 for none.
#[inline(always)]
fn ask(address: [u32; 4], own: u32, ctx: &SockAddrContext) -> i32 {
    let Some((said, address)) = said(address, own) else { return 1 };
    let refused = said == addressed::REFUSE;
    let sequence = 1 + count(if refused { addressed::REFUSED } else { addressed::FLAGGED });
    if let Some(mut entry) = REPORTS.reserve::<Addressed>(0) {
        let ids = bpf_get_current_pid_tgid();
        entry.write(Addressed {
            sequence,
            time: sock_addr::now(),
            refused: u32::from(refused),
            tgid: (ids >> 32) as u32,
            tid: ids as u32,
            uid: bpf_get_current_uid_gid() as u32,
            port: u32::from(sock_addr::port(ctx)),
            protocol: sock_addr::protocol(ctx),
            address,
            command: sock_addr::command(),
        });
        entry.submit(0);
    } else {
        count(addressed::LOST);
    }
    i32::from(!refused)
}

/// Adds one and returns what it was.
#[inline(always)]
fn count(index: u32) -> u64 {
    COUNTS.get_ptr_mut(index).map_or(0, sock_addr::add)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Not reachable: the verifier refuses a program that could get here, as it would not end.
    loop {}
}
