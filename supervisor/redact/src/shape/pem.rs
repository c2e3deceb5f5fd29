//! Private keys in PEM (RFC 7468) and OpenPGP (RFC 9580) armour.

use super::{Swallow, Verdict, class};

/// Longest text between the dashes of the first line, in bytes.
const LABEL_MAX: usize = 48;
/// How many bytes after the first line may pass before key material shows, and how much of it must.
const PROOF_WITHIN: usize = 512;
const PROOF: usize = 16;
/// Give up after so many bytes without an end line.
const BUDGET: u32 = 64 * 1024;

const BASE64: u8 = 9;

/// `at` is where `-----BEGIN ` begins. The first and the last five dashes stay: a program that draws
/// with dashes does not have to wait for what follows them.
pub(crate) fn judge(text: &[u8], at: usize, eof: bool) -> Verdict {
    let start = at + b"-----".len();
    let more = || if eof { Verdict::No } else { Verdict::Pending { from: start } };
    let label = start + b"BEGIN ".len();
    let rest = &text[label..];
    let Some(len) = rest.iter().position(|&b| b == b'-') else {
        return if rest.len() > LABEL_MAX || rest.iter().any(|&b| !label_byte(b)) {
            Verdict::No
        } else {
            more()
        };
    };
    let name = &rest[..len];
    if len > LABEL_MAX
        || !name.iter().all(|&b| label_byte(b))
        || !name.windows(11).any(|w| w == b"PRIVATE KEY")
    {
        return Verdict::No;
    }
    let dashes = &rest[len..rest.len().min(len + 5)];
    if !dashes.iter().all(|&b| b == b'-') {
        return Verdict::No;
    }
    let body = label + len + 5;
    // Prose and source code name the first line too: only key material behind it makes a key.
    let (mut run, mut pos) = (0, body);
    while run < PROOF {
        let Some(&byte) = text.get(pos) else { return more() };
        if pos - body > PROOF_WITHIN || !body_byte(byte) {
            return Verdict::No;
        }
        run = if class::has(BASE64, byte) { run + 1 } else { 0 };
        pos += 1;
    }
    let mut state = Rest { last: 0, closing: 0, budget: BUDGET, word: 0, header: false, between: false };
    // The rest reads the proof again, to know where in a line it is.
    if state.advance(&text[body..pos]).is_some() {
        return Verdict::No;
    }
    Swallow::Pem(state).span(text, start, pos)
}

fn label_byte(b: u8) -> bool {
    b.is_ascii_uppercase() || b.is_ascii_digit() || b == b' '
}

/// What stands between the first and the last line: base64, headers, escapes of the line's end, line
/// numbers and diff marks.
fn body_byte(b: u8) -> bool {
    class::has(BASE64, b)
        || matches!(
            b,
            b'\r'
                | b'\n'
                | b'\t'
                | b' '
                | b'\\'
                | b'-'
                | b':'
                | b','
                | b'.'
                | b'('
                | b')'
                | b'|'
                | b'"'
                | b'\''
        )
}

/// Inside a key's block.
#[derive(Debug, Clone)]
pub(crate) struct Rest {
    /// The last eight bytes.
    last: u64,
    /// Bytes since `-----END`, 0 before it.
    closing: u8,
    budget: u32,
    /// Length of the word that is being read.
    word: u16,
    /// The line has a colon: `Proc-Type: 4,ENCRYPTED`.
    header: bool,
    /// Between two strings that are joined.
    between: bool,
}

impl Rest {
    pub(crate) fn advance(&mut self, bytes: &[u8]) -> Option<usize> {
        const END: u64 = u64::from_be_bytes(*b"-----END");
        for (n, &byte) in bytes.iter().enumerate() {
            if self.closing > 0 {
                if !label_byte(byte) || usize::from(self.closing) > LABEL_MAX {
                    return Some(n);
                }
                self.closing += 1;
                continue;
            }
            if !body_byte(byte) || self.budget == 0 || self.joins(byte) || self.prose(byte) {
                return Some(n);
            }
            self.budget -= 1;
            self.last = self.last << 8 | u64::from(byte);
            if self.last == END {
                self.closing = 1;
            }
        }
        None
    }

    /// Reads a quote, or what joins one line's string with the next one's (`"…" +`). Other text behind a
    /// closing quote is not the key's any more: gives true.
    fn joins(&mut self, byte: u8) -> bool {
        match byte {
            b'"' | b'\'' => {
                self.between = !self.between;
                self.word = 0;
                false
            }
            b' ' | b'\t' | b'\r' | b'\n' | b'+' | b'.' | b'\\' => false,
            _ => self.between,
        }
    }

    /// A short word followed by a space, outside a header, is text and no key.
    fn prose(&mut self, byte: u8) -> bool {
        match byte {
            _ if self.between || matches!(byte, b'"' | b'\'') => {}
            b'\n' => (self.word, self.header) = (0, false),
            b':' => self.header = true,
            b' ' if !self.header && (1..16).contains(&self.word) => return true,
            b' ' | b'\t' | b'\r' | b'|' => self.word = 0,
            b'0'..=b'9' if self.word == 0 => {}
            _ => self.word = self.word.saturating_add(1),
        }
        false
    }
}
