//! One pass over a buffer that finds where a literal stands and where a rule's word stands.
//!
//! Per 8 bytes of input the pass tests one 8-byte window against the long literals, two 4-byte windows
//! against the short ones and four 3-byte windows, two bytes apart, against the rules' words. Parts
//! that a matcher does not need are compiled out.

use crate::literal::{LONG_BITS, Literals, SHORT_BITS};
use crate::shape::table::{WORD_LISTS, WORD_MAP, WORD_SET, WORDS};
use crate::windows::Windows;

/// Zero bytes that must follow the text in the scanned buffer, so that its last bytes are read like
/// all others.
pub(crate) const PAD: usize = 16;

/// Something that stands in the text, compared byte for byte.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found {
    Literal { number: u32, at: usize },
    Word { word: u16, at: usize },
}

/// Appends what stands in `padded[..len]`. `padded` is the text and [`PAD`] bytes that are ignored.
pub(crate) fn scan(padded: &[u8], len: usize, literals: &Literals, words: bool, found: &mut Vec<Found>) {
    let (long, short) = (!literals.long.is_empty(), !literals.short.is_empty());
    match (long, short, words) {
        (true, true, true) => pass::<true, true, true>(padded, len, literals, found),
        (true, true, false) => pass::<true, true, false>(padded, len, literals, found),
        (true, false, true) => pass::<true, false, true>(padded, len, literals, found),
        (true, false, false) => pass::<true, false, false>(padded, len, literals, found),
        (false, true, true) => pass::<false, true, true>(padded, len, literals, found),
        (false, true, false) => pass::<false, true, false>(padded, len, literals, found),
        (false, false, true) => pass::<false, false, true>(padded, len, literals, found),
        (false, false, false) => {}
    }
}

/// For the four windows that begin at the even bytes of `word`, their 15-bit numbers: the low five bits
/// of each of the three bytes. `next` is the text two bytes further on.
///
/// Five bits tell letters apart without regard to case; other bytes share them with a letter, which the
/// comparison that follows sorts out.
#[inline(always)]
fn lanes(word: u64, next: u64) -> [usize; 4] {
    const LOW: u64 = 0x001f_001f_001f_001f;
    let lanes = word & LOW | (word & LOW << 8) >> 3 | (next & LOW) << 10;
    // The table has 2^16 entries, so that no lane needs a mask of its own.
    let [a, b, c, d, e, f, g, h] = lanes.to_le_bytes();
    [[a, b], [c, d], [e, f], [g, h]].map(|lane| usize::from(u16::from_le_bytes(lane)))
}

#[inline(always)]
fn word_at(block: &[u8; 16], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&block[at..at + 8]);
    u64::from_le_bytes(word)
}

#[inline(always)]
fn test(bitmap: &[u64], bit: usize) -> usize {
    usize::from(bitmap[bit / 64] >> (bit % 64) & 1 != 0)
}

fn pass<const LONG: bool, const SHORT: bool, const RULES: bool>(
    padded: &[u8],
    len: usize,
    literals: &Literals,
    found: &mut Vec<Found>,
) {
    // Slices of a length that the compiler knows to cover every index of `test`.
    let long: &[u64; 1 << (LONG_BITS - 6)] =
        literals.long.bitmap().try_into().unwrap_or(&[0; 1 << (LONG_BITS - 6)]);
    let short: &[u64; 1 << (SHORT_BITS - 6)] =
        literals.short.bitmap().try_into().unwrap_or(&[0; 1 << (SHORT_BITS - 6)]);
    // Places that the filter lets through are noted without a branch, then compared: a branch here
    // would be mispredicted at each of them, which costs more than the comparison.
    let mut noted = [0usize; TILE];
    let mut from = 0;
    while from < len {
        // The last block of the text may reach into the padding.
        let until = (from + 8 * TILE).min(len.next_multiple_of(8));
        let Some((tile, shifted)) = padded.get(from..until).zip(padded.get(from + 2..until + 2)) else {
            return;
        };
        let blocks = tile.as_chunks::<8>().0.iter().zip(shifted.as_chunks::<8>().0);
        let mut count = 0;
        for (at, (block, next)) in (from..).step_by(8).zip(blocks) {
            let word = u64::from_le_bytes(*block);
            let mut hit = 0;
            if LONG {
                hit |= test(long, Windows::<LONG_BITS>::bit(word)) << 4;
            }
            if SHORT {
                hit |= test(short, Windows::<SHORT_BITS>::bit(word & 0xffff_ffff)) << 5;
                hit |= test(short, Windows::<SHORT_BITS>::bit(word >> 32)) << 6;
            }
            if RULES {
                let [a, b, c, d] =
                    lanes(word, u64::from_le_bytes(*next)).map(|lane| usize::from(WORD_SET[lane]));
                hit |= a | b << 1 | c << 2 | d << 3;
            }
            noted[count % TILE] = at << 8 | hit;
            count += usize::from(hit != 0);
        }
        for &note in &noted[..count] {
            look_closer(padded, len, note >> 8, note & 0xff, literals, found);
        }
        from = until;
    }
}

/// Eight-byte blocks per round of filtering and comparing.
const TILE: usize = 512;

/// Compares what the filter let through at the eight bytes from `at` on: bit n of `hit` for a rule's word
/// at byte 2n, then long literals, then short ones in either half.
#[inline]
fn look_closer(
    padded: &[u8],
    len: usize,
    at: usize,
    hit: usize,
    literals: &Literals,
    found: &mut Vec<Found>,
) {
    let Some(block) = padded.get(at..at + 16).and_then(|b| <&[u8; 16]>::try_from(b).ok()) else { return };
    let text = &padded[..len];
    let mut lanes_hit = hit & 15;
    while lanes_hit != 0 {
        let byte = 2 * lanes_hit.trailing_zeros() as usize;
        lanes_hit &= lanes_hit - 1;
        let four = u32::from_le_bytes([block[byte], block[byte + 1], block[byte + 2], block[byte + 3]]);
        rule_word(four, at + byte, text, found);
    }
    if hit > 15 {
        let word = word_at(block, 0);
        if hit & 16 != 0 {
            literal(&literals.long, word, at, literals, text, found);
        }
        if hit & 32 != 0 {
            literal(&literals.short, word & 0xffff_ffff, at, literals, text, found);
        }
        if hit & 64 != 0 {
            literal(&literals.short, word >> 32, at + 4, literals, text, found);
        }
    }
}

fn literal<const BITS: u32>(
    windows: &Windows<BITS>,
    window: u64,
    at: usize,
    literals: &Literals,
    text: &[u8],
    found: &mut Vec<Found>,
) {
    windows.each(window, |number, phase| {
        if let Some(at) = literals.stands(number, phase, text, at) {
            found.push(Found::Literal { number, at });
        }
    });
}

#[inline]
fn rule_word(four: u32, at: usize, text: &[u8], found: &mut Vec<Found>) {
    let [a, b, c, _] = four.to_le_bytes().map(|byte| usize::from(byte & 31));
    // A list begins at its number and ends with the entry that says so.
    let list = WORD_MAP[a | b << 5 | c << 10];
    for entry in &WORD_LISTS[usize::from(list)..] {
        if four & entry.mask == entry.bytes
            && let Some(start) = at.checked_add_signed(-isize::from(entry.at))
        {
            let word = &WORDS[usize::from(entry.word)];
            let stands = text
                .get(start..start + word.text.len())
                .is_some_and(|t| if word.fold { t.eq_ignore_ascii_case(word.text) } else { t == word.text });
            if stands {
                found.push(Found::Word { word: entry.word, at: start });
            }
        }
        if entry.last {
            return;
        }
    }
}
