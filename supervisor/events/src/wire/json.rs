//! One line of JSON in which no character steers a terminal.

use std::io;

use serde::Serialize;
use serde_json::ser::Formatter;

use crate::escape::is_hostile;

/// `value` as one line with its newline.
pub(super) fn line(value: &impl Serialize) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, Harmless);
    // Fails only for a map whose keys are no strings and for a failing writer; here is neither.
    drop(value.serialize(&mut serializer));
    out.push(b'\n');
    out
}

/// Compact JSON. serde_json escapes what RFC 8259 demands, controls below U+0020; the rest of the
/// characters that change how a screen shows a line are escaped here.
struct Harmless;

impl Formatter for Harmless {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, out: &mut W, text: &str) -> io::Result<()> {
        let mut from = 0;
        for (at, c) in text.char_indices().filter(|&(_, c)| is_hostile(c)) {
            out.write_all(text.get(from..at).unwrap_or_default().as_bytes())?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
            from = at + c.len_utf8();
        }
        out.write_all(text.get(from..).unwrap_or_default().as_bytes())
    }
}
