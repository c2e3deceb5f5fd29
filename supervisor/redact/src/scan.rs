//! One pass over a buffer that finds where a literal stands and where a rule's word stands.
//!
//! Per 8 bytes of input the pass tests one 8-byte window against the long literals, two 4-byte windows
//! against the short ones and four 3-byte windows, two bytes apart, against the rules' words. Parts
//! that a matcher does not need are compiled out.

use crate::literal::{LONG_BITS, Literals, SHORT_BITS};
use crate::shape::context::is_prose;
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
    // The table has 2^16 entries, so that no lane needs a check of its own.
    [0, 16, 32, 48].map(|shift| usize::from((lanes >> shift & 0xffff) as u16))
}

#[inline(always)]
fn word_at(block: &[u8; 16], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&block[at..at + 8]);
    u64::from_le_bytes(word)
}

#[inline(always)]
fn test(bitmap: &[u64], bit: usize) -> bool {
    bitmap[bit / 64] >> (bit % 64) & 1 != 0
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
        let (blocks, nexts) = (tile.as_chunks::<8>().0, shifted.as_chunks::<8>().0);
        let nexts = &nexts[..blocks.len()];
        let mut count = 0usize;
        for number in 0..blocks.len() {
            let word = u64::from_le_bytes(blocks[number]);
            let mut hit = false;
            if LONG {
                hit |= test(long, Windows::<LONG_BITS>::bit(word));
            }
            if SHORT {
                hit |= test(short, Windows::<SHORT_BITS>::bit(word & 0xffff_ffff));
                hit |= test(short, Windows::<SHORT_BITS>::bit(word >> 32));
            }
            if RULES {
                let [a, b, c, d] = lanes(word, u64::from_le_bytes(nexts[number]));
                hit |= WORD_SET[a] | WORD_SET[b] | WORD_SET[c] | WORD_SET[d] != 0;
            }
            noted[count % TILE] = number;
            count = count.wrapping_add(usize::from(hit));
        }
        for &number in &noted[..count] {
            look_closer::<LONG, SHORT, RULES>(padded, len, from + 8 * number, literals, found);
        }
        from = until;
    }
}

/// Eight-byte blocks per round of filtering and comparing.
const TILE: usize = 512;

/// Compares what the filter let through at the eight bytes from `at` on.
#[inline]
fn look_closer<const LONG: bool, const SHORT: bool, const RULES: bool>(
    padded: &[u8],
    len: usize,
    at: usize,
    literals: &Literals,
    found: &mut Vec<Found>,
) {
    let Some(block) = padded.get(at..at + 16).and_then(|b| <&[u8; 16]>::try_from(b).ok()) else { return };
    let (text, word) = (&padded[..len], word_at(block, 0));
    if RULES {
        let set = lanes(word, word_at(block, 2)).map(|lane| WORD_SET[lane]);
        let mut lanes = set[0] | set[1] << 1 | set[2] << 2 | set[3] << 3;
        while lanes != 0 {
            let byte = 2 * lanes.trailing_zeros() as usize;
            lanes &= lanes - 1;
            let four = u32::from_le_bytes([block[byte], block[byte + 1], block[byte + 2], block[byte + 3]]);
            rule_word(four, at + byte, text, found);
        }
    }
    if LONG {
        literal(&literals.long, word, at, literals, text, found);
    }
    if SHORT {
        literal(&literals.short, word & 0xffff_ffff, at, literals, text, found);
        literal(&literals.short, word >> 32, at + 4, literals, text, found);
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
    if !test(windows.bitmap(), Windows::<BITS>::bit(window)) {
        return;
    }
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
            if stands && !(word.named && is_prose(text, start + word.text.len())) {
                found.push(Found::Word { word: entry.word, at: start });
            }
        }
        if entry.last {
            return;
        }
    }
}
