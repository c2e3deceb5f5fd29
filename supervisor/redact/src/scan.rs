//! One pass over a buffer that finds where a literal stands and where a rule's word stands.
//!
//! Per 8 bytes of input the pass tests one 8-byte window against the long literals, two 4-byte windows
//! against the short ones and four 3-byte windows, two bytes apart, against the rules' words. Parts
//! that a matcher does not need are compiled out.

use crate::literal::{LONG_BITS, Literals, SHORT_BITS, Windows};
use crate::shape::table::{WORD_BITS, WORD_SLOTS, WORDS};

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

/// Letters without their case; other bytes are mixed up with their neighbours 32 below, which the
/// comparison that follows sorts out.
const FOLD: u32 = 0x0020_2020;

#[inline(always)]
fn word_bit(window: u32) -> usize {
    ((window & 0x00ff_ffff | FOLD).wrapping_mul(0x9e37_79b1) >> 16) as usize
}

#[inline(always)]
fn test(bitmap: &[u64], bit: usize) -> u64 {
    bitmap[bit / 64] >> (bit % 64) & 1
}

fn pass<const LONG: bool, const SHORT: bool, const WORDS_: bool>(
    padded: &[u8],
    len: usize,
    literals: &Literals,
    found: &mut Vec<Found>,
) {
    // Slices of a length the compiler knows to cover every index of `test`.
    let long: &[u64; 1 << (LONG_BITS - 6)] =
        literals.long.bitmap().try_into().unwrap_or(&[0; 1 << (LONG_BITS - 6)]);
    let short: &[u64; 1 << (SHORT_BITS - 6)] =
        literals.short.bitmap().try_into().unwrap_or(&[0; 1 << (SHORT_BITS - 6)]);
    let mut at = 0;
    while at < len {
        let Some(block) = padded.get(at..at + 16).and_then(|b| <&[u8; 16]>::try_from(b).ok()) else { return };
        let word = u64::from_le_bytes([
            block[0], block[1], block[2], block[3], block[4], block[5], block[6], block[7],
        ]);
        let four = |n: usize| u32::from_le_bytes([block[n], block[n + 1], block[n + 2], block[n + 3]]);
        let (low, middle, high, last) = (four(0), four(2), four(4), four(6));
        let mut any = 0;
        if LONG {
            any |= test(long, Windows::<LONG_BITS>::bit(word));
        }
        if SHORT {
            any |= test(short, Windows::<SHORT_BITS>::bit(u64::from(low)));
            any |= test(short, Windows::<SHORT_BITS>::bit(u64::from(high)));
        }
        if WORDS_ {
            any |= test(&WORD_BITS, word_bit(low));
            any |= test(&WORD_BITS, word_bit(middle));
            any |= test(&WORD_BITS, word_bit(high));
            any |= test(&WORD_BITS, word_bit(last));
        }
        if any != 0 {
            let text = &padded[..len];
            if LONG {
                literal(&literals.long, word, at, literals, text, found);
            }
            if SHORT {
                literal(&literals.short, u64::from(low), at, literals, text, found);
                literal(&literals.short, u64::from(high), at + 4, literals, text, found);
            }
            if WORDS_ {
                for (offset, window) in [(0, low), (2, middle), (4, high), (6, last)] {
                    if test(&WORD_BITS, word_bit(window)) != 0 {
                        rule_word(window, at + offset, text, found);
                    }
                }
            }
        }
        at += 8;
    }
}

#[inline(never)]
fn literal<const BITS: u32>(
    windows: &Windows<BITS>,
    window: u64,
    at: usize,
    literals: &Literals,
    text: &[u8],
    found: &mut Vec<Found>,
) {
    if test(windows.bitmap(), Windows::<BITS>::bit(window)) == 0 {
        return;
    }
    windows.each(window, |number, offset| {
        if let Some(start) = at.checked_sub(offset)
            && literals.stands(number, text, start)
        {
            found.push(Found::Literal { number, at: start });
        }
    });
}

#[inline(never)]
fn rule_word(window: u32, at: usize, text: &[u8], found: &mut Vec<Found>) {
    let window = window & 0x00ff_ffff | FOLD;
    let mut slot = (window.wrapping_mul(0x85eb_ca6b) >> 16) as usize % WORD_SLOTS.len();
    while let Some(entry) = WORD_SLOTS.get(slot).filter(|e| e.window != 0) {
        if entry.window == window
            && let Some(start) = at.checked_sub(usize::from(entry.at))
        {
            let word = &WORDS[usize::from(entry.word)];
            let stands = text
                .get(start..start + word.text.len())
                .is_some_and(|t| if word.fold { t.eq_ignore_ascii_case(word.text) } else { t == word.text });
            if stands {
                found.push(Found::Word { word: entry.word, at: start });
            }
        }
        slot = (slot + 1) % WORD_SLOTS.len();
    }
}
