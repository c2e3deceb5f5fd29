#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
//! The kernel programs: a handful of lines over `keyblind_abi`'s verdicts, one file per hook.
//!
//! The order in each is the same: is the process in a scope, what is the verdict, report it. A report that finds no
//! room changes nothing. Where the kernel fails us on something guarded, the answer is no.

mod apart;
mod emit;
mod hooks;
mod judge;
mod kernel;
mod labels;
mod maps;
mod names;
mod relation;
mod scope;

/// The kernel requires a licence that is compatible with the GPL for the helpers that read kernel memory.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Not reachable: the verifier refuses a program that could get here, as it would not end.
    loop {}
}
