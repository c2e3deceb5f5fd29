//! Functions that the verifier looks at by themselves: once each, whoever calls them and after whatever.
//!
//! The kernel does so with functions that the object exports ("global" ones, Documentation/bpf/verifier.rst). They take
//! numbers and memory that holds numbers, for pointers to kernel structures may be handed over only since 6.8, and from
//! 7.2 on an address alone no longer counts as a number; and of
//! what they leave there or return the caller's verification knows nothing. Where a program takes the same steps for
//! two objects, this is what keeps the paths through it from being multiplied.

use keyblind_abi::Word;

use crate::emit::{self, Question};
use crate::judge::{self, Facts};
use crate::kernel;
use crate::names::{self, Name};
use crate::relation::{self, ProcEntry};

/// What the scope's guards say about one object on the way up: 1 if that decides.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn apart_meet(facts: *mut Facts, object: u32, leaf: u32) -> u32 {
    match kernel::value(facts) {
        Some(facts) => u32::from(judge::meet(facts, object, leaf != 0)),
        None => 1,
    }
}

/// The verdict's word, from all that was found.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn apart_conclude(facts: *mut Facts) -> u64 {
    match kernel::value(facts) {
        Some(facts) => judge::conclude(facts).0,
        None => u64::MAX,
    }
}

/// The number of a name among the guarded ones, or 0.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn apart_name(name: *mut Name) -> u32 {
    match kernel::value(name) {
        Some(name) => names::find(name),
        None => 0,
    }
}

/// Counts and reports a verdict. Returns 0, since such a function must return something.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn apart_tell(question: *mut Question, word: u64) -> u32 {
    if let Some(question) = kernel::value(question) {
        emit::tell(question, Word(word));
    }
    0
}

/// What procfs shows of the process whose `struct pid` is at this address, and 0 for an entry of no process.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn apart_procfs(entry: *mut ProcEntry) -> u64 {
    match kernel::value(entry) {
        Some(entry) => relation::procfs(entry).0,
        None => u64::MAX,
    }
}
