//! One stream: what is held, what is hidden, what goes out.
//!
//! All decisions are made on positions in the whole stream. `hold` is the first byte that may still
//! become part of something; every find that begins before it has been handled once, in order of
//! where it begins, so the output cannot depend on how the input was cut.

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;

use crate::hit::{Encoding, Hit, HitKind, Hits};
use crate::literal::wipe;
use crate::matcher::{Matcher, Shapes};
use crate::scan::{Found, PAD, scan};
use crate::shape::table::{SHAPES, WORDS};
use crate::shape::{self, Swallow, Verdict};
use crate::vet::Skipped;

/// Input is taken in pieces of so many bytes, which bounds the buffer and keeps it in the cache.
const PIECE: usize = 64 * 1024;
/// Bytes kept before `hold`, so that a name seen before its value, and what stands before a token, can
/// be read again.
const LOOKBACK: usize = shape::REACH + 64;
/// From this length on a needle that the end of the stream cut off is hidden.
const HALF_SEEN: usize = 8;

/// The state of one stream: push bytes in, take redacted bytes out.
///
/// Memory: one buffer of at most 64 KiB plus what is held (below 16 KiB for the longest needle, 1 KiB
/// for shapes) plus some hundred bytes of context. Without finds nothing is allocated per push once
/// the buffer has its size.
pub struct Redactor {
    matcher: Matcher,
    /// The last bytes of the stream: context, then what is held.
    buf: Vec<u8>,
    /// Stream offset of `buf[0]`.
    base: u64,
    /// Index of the first undecided byte.
    hold: usize,
    /// Index of the first byte that has been neither written nor hidden; not below `hold` and above
    /// it where what is held is hidden already.
    done: usize,
    /// Index of the end of the last mark's span.
    covered: usize,
    /// Needles were added since the last push.
    added: bool,
    open: Vec<Open>,
    spans: Vec<Span>,
    found: Vec<Found>,
}

/// A shape that goes on at the end of the buffer.
struct Open {
    rule: u16,
    offset: u64,
    rest: Swallow,
}

struct Span {
    start: usize,
    end: usize,
    kind: HitKind,
    /// Literal's number or rule's.
    id: u32,
    open: Option<Swallow>,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").field("held", &self.held()).field("matcher", &self.matcher).finish()
    }
}

impl Drop for Redactor {
    fn drop(&mut self) {
        wipe(&mut self.buf);
    }
}

impl Redactor {
    pub(crate) fn new(matcher: Matcher) -> Redactor {
        Redactor {
            matcher,
            buf: Vec::new(),
            base: 0,
            hold: 0,
            done: 0,
            covered: 0,
            added: false,
            open: Vec::new(),
            spans: Vec::new(),
            found: Vec::new(),
        }
    }

    /// Takes the next bytes of the stream and appends to `out` what can go out. Holds back only the
    /// longest end of the input that can still become something to hide.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Hits {
        let mut hits = Hits::default();
        for piece in input.chunks(PIECE) {
            self.buf.extend_from_slice(piece);
            self.step(piece.len(), false, out, &mut hits);
        }
        hits
    }

    /// Ends the stream: appends what was held. A needle of which at least 8 bytes were seen is hidden.
    /// The redactor then begins a new stream.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Hits {
        let mut hits = Hits::default();
        self.step(0, true, out, &mut hits);
        self.buf.fill(0);
        self.buf.clear();
        (self.base, self.hold, self.done, self.covered) = (0, 0, 0, 0);
        hits
    }

    /// Looks for one more value from here on, also in the bytes that are held. Other redactors of the
    /// same matcher do not learn of it. Gives the reason when the value cannot be looked for.
    pub fn add_needle(&mut self, name: &str, value: &[u8]) -> Option<Skipped> {
        self.added = true;
        self.matcher.add(name, value)
    }

    /// How many bytes are held back.
    pub fn held(&self) -> usize {
        self.buf.len().saturating_sub(self.done)
    }

    /// Handles `fresh` new bytes at the end of the buffer.
    fn step(&mut self, fresh: usize, eof: bool, out: &mut Vec<u8>, hits: &mut Hits) {
        let reported = hits.len();
        self.go_on(fresh, eof, hits);
        let hold = self.look(eof);
        self.write(hold, eof, out, hits);
        if hits.len() > reported + 1 {
            hits.sort();
        }
        let cut = hold.saturating_sub(LOOKBACK);
        if cut > 0 {
            self.buf.drain(..cut);
            self.base += cut as u64;
        }
        self.hold = hold - cut;
        self.done = self.done.max(hold) - cut;
        self.covered = self.covered.saturating_sub(cut);
        self.added = false;
    }

    /// Lets open shapes take the new bytes.
    fn go_on(&mut self, fresh: usize, eof: bool, hits: &mut Hits) {
        let (len, from) = (self.buf.len(), self.buf.len() - fresh);
        let mut open = std::mem::take(&mut self.open);
        open.retain_mut(|shape| {
            let end = shape.rest.advance(&self.buf[from..]).map(|n| from + n);
            self.covered = self.covered.max(end.unwrap_or(len));
            self.done = self.done.max(self.covered);
            if end.is_some() || eof {
                let end = self.base + end.unwrap_or(len) as u64;
                hits.add(self.shape_hit(shape.rule, shape.offset, end - shape.offset));
            }
            end.is_none() && !eof
        });
        self.open = open;
    }

    /// Fills `spans` with what begins in undecided bytes; gives the new `hold`.
    fn look(&mut self, eof: bool) -> usize {
        let len = self.buf.len();
        let literals = &self.matcher.literals;
        let set = self.matcher.fixed.shapes;
        let shapes = set != Shapes::None;
        self.buf.resize(len + PAD, 0);
        self.found.clear();
        scan(&self.buf, len, literals, shapes, &mut self.found);
        self.buf.truncate(len);
        self.spans.clear();
        let mut spans = std::mem::take(&mut self.spans);
        let (from, mut hold) = (self.hold, len);
        let mut take = |rule: usize, verdict: Verdict| match verdict {
            Verdict::Span { start, end, open } if start >= from => {
                let id = u32::try_from(rule).unwrap_or(u32::MAX);
                spans.push(Span { start, end, kind: HitKind::Shape, id, open });
            }
            Verdict::Pending { from: start } if start >= from => hold = hold.min(start),
            _ => {}
        };
        let custom = &self.matcher.fixed.custom;
        custom.each(&self.buf, eof, |number, verdict| take(shape::rules().len() + number, verdict));
        for find in &self.found {
            if let Found::Word { word, at } = *find {
                let word = &WORDS[usize::from(word)];
                for &number in word.shapes {
                    let shape = &SHAPES[usize::from(number)];
                    if set != Shapes::Default && !set.has(shape::rules()[usize::from(shape.rule)].confidence)
                    {
                        continue;
                    }
                    shape::judge(shape, word, &self.buf, at, eof, |verdict| {
                        take(usize::from(shape.rule), verdict);
                    });
                }
            }
        }
        let needle = |start, end, id| Span { start, end, kind: HitKind::Needle, id, open: None };
        for find in &self.found {
            if let Found::Literal { number, at } = *find {
                let end = at + literals.bytes_of(literals.get(number)).len();
                // Only a needle added late can begin in what is decided and end behind it.
                let start = if self.added && end > self.done { at.max(from) } else { at };
                if start >= from {
                    spans.push(needle(start, end, number));
                }
            }
        }
        let half = if eof { HALF_SEEN } else { 1 };
        if let Some((start, number)) = literals.unfinished(&self.buf, from, half) {
            if eof {
                spans.push(needle(start, len, number));
            } else {
                hold = hold.min(start);
            }
        }
        if !eof {
            let built_in = shapes.then(|| shape::unfinished(&self.buf, from)).flatten();
            hold =
                [built_in, custom.unfinished(&self.buf, from)].into_iter().flatten().fold(hold, usize::min);
        }
        self.spans = spans;
        if eof { len } else { hold.max(from) }
    }

    /// Writes everything before `hold`, with a mark in place of each group of overlapping spans.
    fn write(&mut self, hold: usize, eof: bool, out: &mut Vec<u8>, hits: &mut Hits) {
        let mut spans = std::mem::take(&mut self.spans);
        // At one place a needle names the mark before a shape, a longer one before a shorter.
        spans.sort_unstable_by_key(|s| {
            (s.start, s.kind, if s.kind == HitKind::Needle { Reverse(s.end) } else { Reverse(0) }, s.id)
        });
        // Several words of a rule may lead to one value.
        spans.dedup_by_key(|s| (s.start, s.end, s.kind, s.id));
        for span in spans.drain(..).take_while(|s| s.start < hold) {
            if span.start >= self.covered {
                if self.done < span.start {
                    out.extend_from_slice(&self.buf[self.done..span.start]);
                }
                self.matcher.write_mark(self.name(&span), out);
            }
            self.covered = self.covered.max(span.end);
            self.done = self.done.max(self.covered);
            let offset = self.base + span.start as u64;
            match span.open {
                Some(rest) if !eof => {
                    let rule = u16::try_from(span.id).unwrap_or(u16::MAX);
                    self.open.push(Open { rule, offset, rest });
                }
                _ => hits.add(self.hit(&span, offset)),
            }
        }
        self.spans = spans;
        if self.done < hold {
            out.extend_from_slice(&self.buf[self.done..hold]);
        }
    }

    fn name(&self, span: &Span) -> &Arc<str> {
        match span.kind {
            HitKind::Needle => self.matcher.literals.name_of(self.matcher.literals.get(span.id)),
            HitKind::Shape => &self.matcher.fixed.rules[span.id as usize],
        }
    }

    fn hit(&self, span: &Span, offset: u64) -> Hit {
        let encoding = match span.kind {
            HitKind::Needle => self.matcher.literals.get(span.id).encoding,
            HitKind::Shape => Encoding::Raw,
        };
        let len = (span.end - span.start) as u64;
        Hit { name: self.name(span).clone(), kind: span.kind, encoding, offset, len }
    }

    fn shape_hit(&self, rule: u16, offset: u64, len: u64) -> Hit {
        let name = self.matcher.fixed.rules[usize::from(rule)].clone();
        Hit { name, kind: HitKind::Shape, encoding: Encoding::Raw, offset, len }
    }
}
