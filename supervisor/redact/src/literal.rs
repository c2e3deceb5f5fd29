//! The set of byte strings to look for, and its index.
//!
//! The index rests on one observation: a literal of at least 15 bytes, wherever it stands, covers one
//! whole 8-byte window that begins at a multiple of 8. So the scan reads one window per 8 bytes, tests
//! one bit for it, and only where the bit is set compares whole literals. Literals of 6 to 14 bytes are
//! found the same way with 4-byte windows at multiples of 4.

use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use crate::hit::Encoding;
use crate::windows::Windows;

/// Size of the bitmaps, as a power of two of bits: 64 KiB and 8 KiB, so that both stay near the core.
pub(crate) const LONG_BITS: u32 = 19;
pub(crate) const SHORT_BITS: u32 = 16;

/// From this length on a literal is found by its 8-byte windows.
const LONG: usize = 15;

/// One byte string, of one needle in one encoding.
#[derive(Clone, Copy)]
pub(crate) struct Literal {
    start: u32,
    len: u32,
    pub(crate) name: u32,
    pub(crate) encoding: Encoding,
}

/// Literals with their index. `Debug` shows counts only; the bytes are overwritten on drop.
#[derive(Clone, Default)]
pub(crate) struct Literals {
    bytes: Vec<u8>,
    items: Vec<Literal>,
    names: Vec<Arc<str>>,
    /// Numbers of the raw literals, by a hash of their bytes.
    values: HashMap<u64, Vec<u32>>,
    pub(crate) long: Windows<LONG_BITS>,
    pub(crate) short: Windows<SHORT_BITS>,
    /// First four bytes, big endian, above the literal's number; sorted.
    starts: Vec<u64>,
    start_bits: Vec<u64>,
    longest: usize,
}

impl fmt::Debug for Literals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Literals").field("count", &self.items.len()).finish_non_exhaustive()
    }
}

impl Drop for Literals {
    fn drop(&mut self) {
        wipe(&mut self.bytes);
        self.starts.fill(0);
        std::hint::black_box(&mut self.starts);
    }
}

/// Overwrites `bytes`. `black_box` keeps the compiler from taking the write for dead.
pub(crate) fn wipe(bytes: &mut Vec<u8>) {
    bytes.clear();
    bytes.resize(bytes.capacity(), 0);
    std::hint::black_box(bytes.as_mut_slice());
    bytes.clear();
}

impl Literals {
    /// Number of the needle called `name`.
    pub(crate) fn name(&mut self, name: Arc<str>) -> u32 {
        self.names.push(name);
        index(self.names.len() - 1)
    }

    pub(crate) fn name_of(&self, literal: &Literal) -> &Arc<str> {
        &self.names[literal.name as usize]
    }

    /// Whether some needle has exactly this value.
    pub(crate) fn has_value(&self, value: &[u8]) -> bool {
        let numbers = self.values.get(&self.values.hasher().hash_one(value));
        numbers.is_some_and(|numbers| numbers.iter().any(|&n| self.bytes_of(self.get(n)) == value))
    }

    /// Adds one literal of needle `name`, unless that needle has it already. [`Literals::index`] makes
    /// it known to the scan.
    pub(crate) fn add(&mut self, name: u32, encoding: Encoding, bytes: &[u8]) {
        let known = self.items.iter().rev().take_while(|item| item.name == name);
        let same = |item: &Literal| item.len as usize == bytes.len() && self.bytes_of(item) == bytes;
        if bytes.len() < crate::vet::MIN_LEN || { known }.any(same) {
            return;
        }
        let start = self.bytes.len();
        if start + bytes.len() > self.bytes.capacity() {
            // Growing moves the bytes: overwrite the block they leave.
            let mut grown = Vec::with_capacity((start + bytes.len()).next_power_of_two().max(16 * 1024));
            grown.extend_from_slice(&self.bytes);
            wipe(&mut std::mem::replace(&mut self.bytes, grown));
        }
        self.bytes.extend_from_slice(bytes);
        if encoding == Encoding::Raw {
            let hash = self.values.hasher().hash_one(bytes);
            self.values.entry(hash).or_default().push(index(self.items.len()));
        }
        self.items.push(Literal { start: index(start), len: index(bytes.len()), name, encoding });
        self.longest = self.longest.max(bytes.len());
    }

    pub(crate) fn bytes_of(&self, literal: &Literal) -> &[u8] {
        &self.bytes[literal.start as usize..][..literal.len as usize]
    }

    pub(crate) fn get(&self, number: u32) -> &Literal {
        &self.items[number as usize]
    }

    /// Builds the index over all literals added so far.
    pub(crate) fn index(&mut self) {
        let (mut long, mut short) = (0, 0);
        for item in &self.items {
            match item.len as usize {
                LONG.. => long += 8,
                6 => short += 3 + 256,
                _ => short += 4,
            }
        }
        self.long.reset(long);
        self.short.reset(short);
        self.starts.clear();
        self.start_bits.clear();
        self.start_bits.resize(START_BITS / 64, 0);
        for (number, item) in self.items.iter().enumerate() {
            let number = index(number);
            let bytes = &self.bytes[item.start as usize..][..item.len as usize];
            let len = bytes.len();
            if len >= LONG {
                for phase in 0..8u8 {
                    self.long.add(word8(&bytes[place(len, phase.into(), 8)..]), number, phase);
                }
            } else {
                for phase in (0..4u8).take(len - 3) {
                    self.short.add(u64::from(word4(&bytes[place(len, phase.into(), 4)..])), number, phase);
                }
                if len == 6 {
                    // The fourth phase of six bytes sees three of them and any next byte.
                    for next in 0..=255u8 {
                        let window = u32::from_le_bytes([bytes[3], bytes[4], bytes[5], next]);
                        self.short.add(u64::from(window), number, 3);
                    }
                }
            }
            let first = word4(bytes);
            let bit = start_bit(first);
            self.start_bits[bit / 64] |= 1 << (bit % 64);
            self.starts.push(u64::from(first.swap_bytes()) << 32 | u64::from(number));
        }
        self.starts.sort_unstable();
    }

    /// Where the literal begins if it stands whole in `text` with its window of `phase` at `at`.
    pub(crate) fn stands(&self, number: u32, phase: usize, text: &[u8], at: usize) -> Option<usize> {
        let wanted = self.bytes_of(self.get(number));
        let width = if wanted.len() >= LONG { 8 } else { 4 };
        let start = at.checked_sub(place(wanted.len(), phase, width))?;
        (text.get(start..start + wanted.len()) == Some(wanted)).then_some(start)
    }

    /// The first position `p >= from` such that `text[p..]` is a proper prefix of a literal, and that
    /// literal; its prefix is at least `least` bytes long.
    pub(crate) fn unfinished(&self, text: &[u8], from: usize, least: usize) -> Option<(usize, u32)> {
        if self.items.is_empty() {
            return None;
        }
        let from = from.max(text.len().saturating_sub(self.longest.saturating_sub(1)));
        let until = (text.len() + 1).saturating_sub(least.max(1));
        for p in from..until {
            let rest = &text[p..];
            if rest.len() >= 4 {
                let bit = start_bit(word4(rest));
                if self.start_bits[bit / 64] & 1 << (bit % 64) == 0 {
                    continue;
                }
            }
            if let Some(number) = self.starting_with(rest) {
                return Some((p, number));
            }
        }
        None
    }

    /// A literal longer than `prefix` that begins with it.
    fn starting_with(&self, prefix: &[u8]) -> Option<u32> {
        let known = prefix.len().min(4);
        let mut head = [0; 4];
        head[..known].copy_from_slice(&prefix[..known]);
        let low = u64::from(u32::from_be_bytes(head)) << 32;
        let high = low | (u64::MAX >> (known * 8));
        let first = self.starts.partition_point(|&s| s < low);
        let candidates = self.starts[first..].iter().take_while(|&&s| s <= high);
        candidates
            .filter_map(|&s| u32::try_from(s & u64::from(u32::MAX)).ok())
            .filter(|&n| {
                let bytes = self.bytes_of(self.get(n));
                bytes.len() > prefix.len() && bytes.starts_with(prefix)
            })
            .min()
    }
}

/// Where in a literal the window of a phase is taken, for windows of `width` bytes. Any window of the
/// phase would do; the middle one avoids prefixes and suffixes that many secrets, and ordinary text,
/// have in common.
fn place(len: usize, phase: usize, width: usize) -> usize {
    phase + len.saturating_sub(phase + width) / (2 * width) * width
}

const START_BITS: usize = 1 << 15;

fn start_bit(first: u32) -> usize {
    (first.wrapping_mul(0x9e37_79b1) >> 17) as usize
}

fn word8(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[..8]);
    u64::from_le_bytes(word)
}

fn word4(bytes: &[u8]) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[..4]);
    u32::from_le_bytes(word)
}

/// Arena offsets and counts fit 32 bits: a set of literals stays far below 4 GiB.
fn index(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
