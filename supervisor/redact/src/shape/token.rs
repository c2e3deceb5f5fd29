//! Tokens: fixed texts and runs of characters in a row.

use super::pattern::Elem;
use super::{Gate, Swallow, Verdict, class, entropy, left_is_free};

/// Of a run before the fixed text so many characters go out before anything is held, and all up to its
/// first digit: so words on their way to a screen are not held.
const SHOWN: usize = 7;

/// Where the hidden part begins of the run that begins `run`.
pub(crate) fn hidden_from(run: &[u8]) -> usize {
    run.iter().position(u8::is_ascii_digit).map_or(run.len(), |first| SHOWN.max(first + 1)).min(run.len())
}

pub(crate) struct Token<'a> {
    pub(crate) elems: &'a [Elem],
    /// Number of the first element that is hidden.
    pub(crate) secret: usize,
    pub(crate) fold: bool,
    pub(crate) gate: Gate,
}

/// `at` is where the fixed text stands that the token begins with, or that follows the run it begins with.
pub(crate) fn judge(token: &Token<'_>, text: &[u8], at: usize, eof: bool) -> Verdict {
    let (mut pos, mut start, mut skip) = (at, None, 0);
    if let Some(&Elem::Run { class, min, max }) = token.elems.first() {
        let Some(begin) = lead(class, min, max, text, at) else { return Verdict::No };
        (start, skip) = (Some(begin + hidden_from(&text[begin..at])), 1);
    }
    for (number, elem) in token.elems.iter().enumerate().skip(skip) {
        if number == token.secret {
            start = Some(pos);
        }
        let more = |start: Option<usize>| {
            if eof { Verdict::No } else { Verdict::Pending { from: start.unwrap_or(text.len()) } }
        };
        let last = number + 1 == token.elems.len();
        match elem {
            Elem::Lit(lit) => {
                let have = &text[pos..text.len().min(pos + lit.len())];
                let same = |a: &[u8], b: &[u8]| if token.fold { a.eq_ignore_ascii_case(b) } else { a == b };
                if !same(have, &lit[..have.len()]) {
                    return Verdict::No;
                }
                if have.len() < lit.len() {
                    return more(start);
                }
                pos += lit.len();
            }
            &Elem::Run { class, min, max } => {
                let (min, max) = (usize::from(min), if max == 0 { usize::MAX } else { usize::from(max) });
                let window = &text[pos..text.len().min(pos.saturating_add(if last {
                    min.max(max.min(4096))
                } else {
                    max
                }))];
                let count = window.iter().position(|&b| !class::has(class, b)).unwrap_or(window.len());
                let ended = pos + count < text.len() || eof;
                if count < min {
                    return if ended { Verdict::No } else { more(start) };
                }
                let begin = start.unwrap_or(pos);
                if last {
                    if !gate(token.gate, &text[pos..pos + min.max(1).min(count)]) {
                        return Verdict::No;
                    }
                    if max == usize::MAX {
                        return Swallow::Run(class).span(text, begin, pos + min);
                    }
                    return match text.get(pos + count) {
                        // Longer than the format allows: something else.
                        Some(b) if b.is_ascii_alphanumeric() || class::has(class, *b) => Verdict::No,
                        None if !eof => more(Some(begin)),
                        _ => Verdict::Span { start: begin, end: pos + count, open: None },
                    };
                }
                if !ended && count < max {
                    return more(start);
                }
                pos += count;
            }
        }
    }
    Verdict::Span { start: start.unwrap_or(at), end: pos, open: None }
}

/// Where the run begins that ends before `end` and begins a token.
pub(crate) fn lead(class: u8, min: u16, max: u16, text: &[u8], end: usize) -> Option<usize> {
    let most = usize::from(max);
    let run = text[..end].iter().rev().take(most + 1).take_while(|b| class::has(class, **b)).count();
    let begin = end - run;
    (run >= usize::from(min) && run <= most && left_is_free(text, begin)).then_some(begin)
}

fn gate(gate: Gate, run: &[u8]) -> bool {
    if gate.distinct > 0 {
        let mut seen = [false; 256];
        run.iter().for_each(|&b| seen[usize::from(b)] = true);
        if seen.iter().filter(|&&s| s).count() < usize::from(gate.distinct) {
            return false;
        }
    }
    run.iter().filter(|b| b.is_ascii_digit()).count() >= usize::from(gate.digits)
        && (gate.entropy == 0.0 || entropy(run) >= gate.entropy)
}
