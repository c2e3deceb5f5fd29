//! The only reads of kernel structures, and the only calls that hand kernel pointers on.
//!
//! Two ways: `field` loads through a pointer whose type the verifier knows, so that the result may be handed to a
//! helper; `read` copies from any address with `bpf_probe_read_kernel` and can therefore follow what the verifier
//! does not know.

use core::arch::asm;

use aya_ebpf::helpers::generated;
use aya_ebpf::helpers::{bpf_probe_read_kernel, bpf_probe_read_kernel_buf};
use keyblind_abi::{Label, Offsets};

use crate::maps::LABELS;

/// A pointer to a kernel structure.
pub type Pointer = *const u8;

/// Written by the loader and frozen before the programs are verified.
#[unsafe(no_mangle)]
static OFFSETS: Offsets = Offsets::UNRESOLVED;

/// The offset of a field, as the verifier's constant.
#[inline(always)]
pub fn offset<const FIELD: usize>() -> usize {
    // SAFETY: the reference is valid; volatile, since the loader writes what the compiler takes for zero.
    (unsafe { core::ptr::read_volatile(&OFFSETS.at[FIELD]) }) as usize
}

/// Whether inodes above a file may be handed to helpers; the verifier's constant too.
#[inline(always)]
pub fn path_trusted() -> bool {
    // SAFETY: the reference is to a static; volatile, since the loader writes over it.
    (unsafe { core::ptr::read_volatile(&OFFSETS.path_trusted) }) == 1
}

/// Loads a field of a structure whose type the verifier knows. `base` must not be null where it can be.
#[inline(always)]
pub fn field<T: Copy, const FIELD: usize>(base: Pointer) -> T {
    // SAFETY: the verifier refuses the program unless `base` has a known type with a field here; a fault reads 0.
    unsafe { core::ptr::read_volatile(base.wrapping_add(offset::<FIELD>()).cast::<T>()) }
}

/// Copies a value from a kernel address; `None` if there is none.
#[inline(always)]
pub fn read<T: Copy>(address: Pointer) -> Option<T> {
    // SAFETY: the helper checks the address and copies as many bytes as `T` has; every `T` here is a plain number.
    unsafe { bpf_probe_read_kernel(address.cast::<T>()) }.ok()
}

/// Copies a field from a kernel address.
#[inline(always)]
pub fn read_field<T: Copy, const FIELD: usize>(base: Pointer) -> Option<T> {
    read(base.wrapping_add(offset::<FIELD>()))
}

/// Copies bytes from a kernel address.
#[inline(always)]
pub fn read_bytes(address: Pointer, into: &mut [u8]) -> bool {
    // SAFETY: the helper checks the address and writes no more than `into` holds.
    unsafe { bpf_probe_read_kernel_buf(address, into) }.is_ok()
}

/// The id of this process's ancestor cgroup at a level; 0 if there is none.
#[inline(always)]
pub fn ancestor(level: u32) -> u64 {
    // SAFETY: takes a number, returns a number.
    unsafe { generated::bpf_get_current_ancestor_cgroup_id(level as i32) }
}

/// The running task.
#[inline(always)]
pub fn task() -> Pointer {
    // SAFETY: takes nothing; the task lives as long as the program runs.
    (unsafe { generated::bpf_get_current_task() }) as Pointer
}

/// CLOCK_BOOTTIME in nanoseconds.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: takes nothing, returns a number.
    unsafe { generated::bpf_ktime_get_boot_ns() }
}

/// The label of an inode, or null.
#[inline(always)]
pub fn label(inode: Pointer) -> *mut Label {
    // SAFETY: the verifier accepts only a pointer to an inode; the helper takes null for no label.
    unsafe { LABELS.get_ptr_mut(inode.cast_mut().cast()) }
}

/// The label of an inode, made with this value if there is none; null if the kernel has no memory.
#[inline(always)]
pub fn label_or(inode: Pointer, mut fresh: Label) -> *mut Label {
    // SAFETY: as for `label`; the value lives on this stack until the helper has copied it.
    unsafe { LABELS.get_or_insert_ptr_mut(inode.cast_mut().cast(), Some(&mut fresh)) }
}

/// A value that a map or local storage gave, or `None` for null.
#[inline(always)]
pub fn value<'a, T>(pointer: *mut T) -> Option<&'a mut T> {
    // SAFETY: maps and local storage give null or a value that lives until the program ends (RCU). Others may write
    // to it meanwhile: each word is read and written once, and no answer needs two of them to agree.
    unsafe { pointer.as_mut() }
}

/// Adds to a word that other programs add to at the same time, and returns what it was.
#[inline(always)]
pub fn add(word: &mut u64, by: u64) -> u64 {
    let before: u64;
    // SAFETY: an aligned word of a map value; one instruction that touches nothing else. The library has no atomic
    // additions for a target without compare-and-exchange.
    unsafe {
        asm!("{by} = atomic_fetch_add((u64 *)({word} + 0), {by})", word = in(reg) word, by = inout(reg) by => before);
    }
    before
}

/// A length of less than 64, in a way that the verifier sees and the compiler cannot leave out as needless.
#[inline(always)]
pub fn below_64(len: usize) -> usize {
    let mut len = len;
    // SAFETY: one instruction on a register.
    unsafe { asm!("{len} &= 63", len = inout(reg) len) };
    len
}

/// Reads a word that other programs add to.
#[inline(always)]
pub fn load(word: *const u64) -> u64 {
    // SAFETY: a word of a map value that `value` gave.
    unsafe { core::ptr::read_volatile(word) }
}

/// Writes a word that other programs read.
#[inline(always)]
pub fn store(word: &mut u64, value: u64) {
    // SAFETY: the reference is to a word of a map value.
    unsafe { core::ptr::write_volatile(word, value) }
}

/// Calls `step` with 0, 1 … up to `times` times, until it returns 1.
#[inline(always)]
pub fn repeat(
    times: u32,
    step: extern "C" fn(u32, *mut core::ffi::c_void) -> i64,
    with: *mut core::ffi::c_void,
) {
    // SAFETY: the kernel calls `step` before it returns, and the verifier checks it with what `with` points to.
    unsafe { generated::bpf_loop(times, step as *mut core::ffi::c_void, with, 0) };
}
