//! Streams of JSON: one text a line, or framed by `Content-Length`.
//!
//! What a secret is, is looked for in the line as it stands and in what its escaped strings stand for;
//! only those bytes of a string are replaced, so that JSON stays JSON and everything else stays as it was.

mod tokens;

use std::fmt;
use std::ops::Range;

use self::tokens::{Kind, Token, beginning, decode, tokens};
use crate::hit::{Hit, HitKind, Hits};
use crate::literal::wipe;
use crate::matcher::Matcher;
use crate::stream::Redactor;

/// A line or a frame of more bytes is handled as text: it bounds what is held.
const LINE_MAX: usize = 16 * 1024 * 1024;
/// JSON inside a string is read so many levels deep.
const NESTED: usize = 4;
const HEADER: &[u8] = b"content-length:";

/// The state of one stream of JSON lines. Lines that are no JSON are handled as text.
///
/// A line of JSON, or a `Content-Length` header with its body, is held until it is complete, and not
/// longer than 16 MiB. In it keys and strings are replaced in part, a bare value as a whole by a string;
/// in `id`, `jsonrpc` and `method` of a JSON-RPC message only known values are, not what merely looks like a secret:
/// a caller waits for its `id`, but who writes the message must not choose where a secret may stand.
pub struct JsonRedactor {
    matcher: Matcher,
    /// For what is no JSON; one stream over all of it.
    text: Redactor,
    buf: Vec<u8>,
    /// Stream offset of `buf[0]`.
    base: u64,
    /// Stream offset of the first byte that `text` was given since it last ended.
    text_base: Option<u64>,
    /// Every line waits for its end, not only those that begin like JSON.
    every_line: bool,
    /// The rest of this line is text.
    in_text: bool,
}

impl fmt::Debug for JsonRedactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonRedactor").field("held", &self.held()).finish_non_exhaustive()
    }
}

impl Drop for JsonRedactor {
    fn drop(&mut self) {
        wipe(&mut self.buf);
    }
}

/// What stands at the beginning of the buffer.
enum Begin {
    /// So many bytes of text, that may go on.
    Text(usize),
    /// A line of so many bytes with its end.
    Line(usize),
    /// A header and a body.
    Frame {
        header: usize,
        body: usize,
    },
    More,
}

impl JsonRedactor {
    pub(crate) fn new(matcher: Matcher, every_line: bool) -> JsonRedactor {
        let text = matcher.redactor();
        JsonRedactor { matcher, text, buf: Vec::new(), base: 0, text_base: None, every_line, in_text: false }
    }

    /// Takes the next bytes of the stream and appends to `out` what can go out.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Hits {
        let mut hits = Hits::default();
        self.buf.extend_from_slice(input);
        let mut done = 0;
        loop {
            let len = match self.begin(&self.buf[done..]) {
                Begin::More => break,
                Begin::Text(len) => {
                    self.as_text(done..done + len, out, &mut hits);
                    len
                }
                Begin::Line(len) => {
                    self.as_json(done..done + len, None, out, &mut hits);
                    len
                }
                Begin::Frame { header, body } => {
                    let at = done + header;
                    self.as_json(at..at + body, Some(done..at), out, &mut hits);
                    header + body
                }
            };
            done += len;
        }
        self.buf.drain(..done);
        self.base += done as u64;
        hits.sort();
        hits
    }

    /// Ends the stream: appends what was held. Of a line or frame that is not complete the strings are read as
    /// far as they go.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Hits {
        let mut hits = Hits::default();
        if !self.buf.is_empty() {
            // The header of a frame that is not complete counts a body that never came: it stays as it is.
            let header = frame(&self.buf).map_or(0, |(header, _)| header);
            self.as_text(0..header, out, &mut hits);
            let rest = &self.buf[header..];
            match beginning(rest) {
                Some(tokens) => self.rewrite(header..self.buf.len(), &tokens, None, out, &mut hits),
                None => self.as_text(header..self.buf.len(), out, &mut hits),
            }
        }
        self.end_text(out, &mut hits);
        wipe(&mut self.buf);
        (self.base, self.in_text) = (0, false);
        hits.sort();
        hits
    }

    /// How many bytes are held back.
    pub fn held(&self) -> usize {
        self.buf.len() + self.text.held()
    }

    fn begin(&self, rest: &[u8]) -> Begin {
        if rest.is_empty() {
            return Begin::More;
        }
        let line = rest.iter().position(|&b| b == b'\n').map(|at| at + 1);
        if self.in_text || rest.len() > LINE_MAX {
            return Begin::Text(line.unwrap_or(rest.len()));
        }
        let head = &rest[..rest.len().min(HEADER.len())];
        if head.eq_ignore_ascii_case(&HEADER[..head.len()]) {
            return match (head.len() == HEADER.len()).then(|| frame(rest)) {
                Some(Some((header, body))) if body <= LINE_MAX && rest.len() >= header + body => {
                    Begin::Frame { header, body }
                }
                Some(Some((_, body))) if body <= LINE_MAX => Begin::More,
                None => Begin::More,
                Some(None) if !has_empty_line(rest) => Begin::More,
                Some(_) => Begin::Text(line.unwrap_or(rest.len())),
            };
        }
        let json = match *rest {
            [b'{', b'"' | b'}' | b' ' | b'\n' | b'\r' | b'\t', ..]
            | [b'[', b'{' | b'"' | b'[' | b']', ..] => true,
            [b'{' | b'['] => return Begin::More,
            _ => false,
        };
        match line {
            _ if !json && !self.every_line => Begin::Text(line.unwrap_or(rest.len())),
            Some(len) => Begin::Line(len),
            None => Begin::More,
        }
    }

    /// Handles a part of the buffer as text.
    fn as_text(&mut self, part: Range<usize>, out: &mut Vec<u8>, hits: &mut Hits) {
        if part.is_empty() {
            return;
        }
        let offset = self.base + part.start as u64;
        let base = *self.text_base.get_or_insert(offset);
        let text = &self.buf[part];
        self.in_text = text.last() != Some(&b'\n');
        self.text.push(text, out).into_iter().for_each(|hit| hits.add(moved(hit, base)));
    }

    fn end_text(&mut self, out: &mut Vec<u8>, hits: &mut Hits) {
        if let Some(base) = self.text_base.take() {
            self.text.finish(out).into_iter().for_each(|hit| hits.add(moved(hit, base)));
        }
    }

    /// Handles a part of the buffer as JSON if it is. `header`: where the header stands that counts its bytes.
    fn as_json(
        &mut self,
        part: Range<usize>,
        header: Option<Range<usize>>,
        out: &mut Vec<u8>,
        hits: &mut Hits,
    ) {
        let Some(tokens) = tokens(&self.buf[part.clone()]) else {
            let from = header.map_or(part.start, |header| header.start);
            return self.as_text(from..part.end, out, hits);
        };
        self.rewrite(part, &tokens, header, out, hits);
    }

    /// Writes a part of the buffer that has `tokens`, and replaces what is hidden in them.
    fn rewrite(
        &mut self,
        part: Range<usize>,
        tokens: &[Token],
        header: Option<Range<usize>>,
        out: &mut Vec<u8>,
        hits: &mut Hits,
    ) {
        // What text was held comes before; a secret does not go on behind a line of JSON.
        self.end_text(out, hits);
        let text = &self.buf[part.clone()];
        let base = self.base + part.start as u64;
        let spans = spans(&self.matcher, text, tokens, NESTED);
        let mut body = Vec::with_capacity(if header.is_some() { text.len() + 64 } else { 0 });
        let sink = if header.is_some() { &mut body } else { &mut *out };
        let mut done = 0;
        for (range, quoted, hit) in &spans {
            sink.extend_from_slice(&text[done..range.start]);
            let quote: &[u8] = if *quoted { b"\"" } else { b"" };
            sink.extend_from_slice(quote);
            self.matcher.write_mark(&hit.name, sink);
            sink.extend_from_slice(quote);
            done = range.end;
            let (offset, len) = (base + range.start as u64, range.len() as u64);
            hits.add(Hit { offset, len, ..hit.clone() });
        }
        sink.extend_from_slice(&text[done..]);
        if let Some(header) = header {
            let offset = self.base + header.start as u64;
            write_header(&self.matcher, &self.buf[header], body.len(), out)
                .into_iter()
                .for_each(|hit| hits.add(moved(hit, offset)));
            out.append(&mut body);
        }
    }
}

fn has_empty_line(text: &[u8]) -> bool {
    text.windows(2).any(|w| w == b"\n\n") || text.windows(3).any(|w| w == b"\n\r\n")
}

fn moved(hit: Hit, by: u64) -> Hit {
    Hit { offset: hit.offset + by, ..hit }
}

/// Lengths of the header with its empty line, and of the body that it announces.
fn frame(text: &[u8]) -> Option<(usize, usize)> {
    let mut at = 0;
    let mut body = None;
    loop {
        let end = at + text[at..].iter().position(|&b| b == b'\n')?;
        let line = text[at..end].trim_ascii_end();
        at = end + 1;
        if line.is_empty() {
            return Some((at, body?));
        }
        if line.len() > HEADER.len() && line[..HEADER.len()].eq_ignore_ascii_case(HEADER) {
            body = std::str::from_utf8(&line[HEADER.len()..]).ok()?.trim().parse().ok();
        }
    }
}

/// Writes the header with the body's new length; its other lines are text like any other.
fn write_header(matcher: &Matcher, header: &[u8], len: usize, out: &mut Vec<u8>) -> Hits {
    let (mut redactor, mut hits) = (matcher.redactor(), Hits::default());
    for line in header.split_inclusive(|&b| b == b'\n') {
        if line.len() > HEADER.len() && line[..HEADER.len()].eq_ignore_ascii_case(HEADER) {
            let ending = if line.ends_with(b"\r\n") { "\r\n" } else { "\n" };
            let counted = format!("{} {len}{ending}", String::from_utf8_lossy(&line[..HEADER.len()]));
            redactor.push(counted.as_bytes(), out).into_iter().for_each(|hit| hits.add(hit));
        } else {
            redactor.push(line, out).into_iter().for_each(|hit| hits.add(hit));
        }
    }
    redactor.finish(out).into_iter().for_each(|hit| hits.add(hit));
    hits
}

fn find(matcher: &Matcher, text: &[u8]) -> Vec<Hit> {
    let (mut redactor, mut out) = (matcher.redactor(), Vec::new());
    let mut hits: Vec<Hit> = redactor.push(text, &mut out).into_iter().collect();
    hits.extend(redactor.finish(&mut out));
    wipe(&mut out);
    hits
}

fn range(hit: &Hit) -> Range<usize> {
    let start = usize::try_from(hit.offset).unwrap_or(usize::MAX);
    start..start.saturating_add(usize::try_from(hit.len).unwrap_or(usize::MAX))
}

/// What of `text`, which has `tokens`, is replaced: without overlaps, in order, each with whether the mark
/// needs quotes.
fn spans(matcher: &Matcher, text: &[u8], tokens: &[Token], nested: usize) -> Vec<(Range<usize>, bool, Hit)> {
    let rpc = tokens.iter().any(|t| t.kind == Kind::Key && &text[t.start..t.end] == b"jsonrpc");
    let addresses = |token: &Token| {
        let key = token.member.and_then(|key| tokens.get(key)).map(|key| &text[key.start..key.end]);
        rpc && matches!(key, Some(b"id" | b"method" | b"jsonrpc"))
    };
    let whole = find(matcher, text);
    let mut found: Vec<(Range<usize>, bool, Hit)> = Vec::new();
    for token in tokens {
        let known_only = addresses(token);
        let counts = |hit: &Hit| !known_only || hit.kind == HitKind::Needle;
        let content = &text[token.start..token.end];
        let escaped = content.contains(&b'\\');
        let (bytes, from) = if escaped { decode(content) } else { (Vec::new(), Vec::new()) };
        // In the line as it stands: what of it lies in this token, to the ends of escapes.
        for hit in whole.iter().filter(|hit| counts(hit)) {
            let (start, end) = (range(hit).start.max(token.start), range(hit).end.min(token.end));
            if start >= end {
                continue;
            }
            if token.kind == Kind::Bare {
                found.push((token.start..token.end, true, hit.clone()));
                continue;
            }
            let (mut start, mut end) = (start - token.start, end - token.start);
            if escaped {
                start = from[from.partition_point(|&f| f <= start).saturating_sub(1)];
                end = from[from.partition_point(|&f| f < end).min(from.len() - 1)];
            }
            found.push((token.start + start..token.start + end, false, hit.clone()));
        }
        if !escaped {
            continue;
        }
        // In what the string stands for, and in JSON that it holds.
        let inner = if nested > 0 && matches!(bytes.trim_ascii_start().first(), Some(b'{' | b'[')) {
            // What the end of the stream cut off is cut off in there as well.
            beginning(&bytes).map(|inner| spans(matcher, &bytes, &inner, nested - 1))
        } else {
            None
        };
        let inner = inner.unwrap_or_else(|| {
            find(matcher, &bytes).into_iter().map(|hit| (range(&hit), false, hit)).collect()
        });
        // A bare value of the inner JSON gets its mark without quotes: rather no JSON in there than the value.
        for (range, _, hit) in inner.into_iter().filter(|(range, _, hit)| !range.is_empty() && counts(hit)) {
            let start = from[range.start];
            let last = from[range.end - 1];
            let end = from[from.partition_point(|&f| f <= last).min(from.len() - 1)];
            found.push((token.start + start..token.start + end, false, hit));
        }
        wipe(&mut { bytes });
    }
    found.sort_by_key(|(range, _, hit)| (range.start, hit.kind, range.end));
    let mut merged: Vec<(Range<usize>, bool, Hit)> = Vec::new();
    for (range, quoted, hit) in found {
        match merged.last_mut() {
            Some((last, ..)) if range.start < last.end => last.end = last.end.max(range.end),
            _ => merged.push((range, quoted, hit)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use crate::{Mark, Matcher};

    fn matcher() -> Matcher {
        Matcher::builder()
            .needle("PW", b"p\"a/s\\s w\xc3\xb6rd&x")
            .needle("NUM", b"918273645546372819")
            .needle("LINE", b"zx81-c64-amiga-500")
            .mark(Mark::Plain)
            .build()
    }

    #[track_caller]
    fn check(every_line: bool, input: &str, wanted: &str) {
        for step in [1, 3, 7, input.len().max(1)] {
            let (mut redactor, mut out) = (matcher().json_redactor(every_line), Vec::new());
            for part in input.as_bytes().chunks(step) {
                redactor.push(part, &mut out);
            }
            redactor.finish(&mut out);
            assert_eq!(String::from_utf8_lossy(&out), wanted, "in parts of {step}");
            let valid = |line: &str| serde_json::from_str::<serde_json::Value>(line).is_ok();
            for (line, new) in input.lines().zip(wanted.lines()) {
                assert_eq!(valid(line), valid(new), "{new}");
            }
        }
    }

    #[test]
    fn escapes_of_every_kind() {
        let pw = r#"p\"a\/s\u005cs \u0077\u00F6rd\u0026x"#;
        check(true, &format!("{{\"a\":\"<{pw}>\",\"b\":1.50}}\n"), "{\"a\":\"<[REDACTED]>\",\"b\":1.50}\n");
        check(true, &format!("{{\"{pw}\" : [\"\\n\"]}}\n"), "{\"[REDACTED]\" : [\"\\n\"]}\n");
    }

    #[test]
    fn json_in_a_string_in_json() {
        let inner = serde_json::json!({"x": ["say \u{f6}", "p\"a/s\\s w\u{f6}rd&x", 1]}).to_string();
        let middle = serde_json::json!({"text": inner}).to_string();
        let outer = serde_json::json!({"result": middle}).to_string();
        let (mut redactor, mut out) = (matcher().json_redactor(true), Vec::new());
        redactor.push(format!("{outer}\n").as_bytes(), &mut out);
        let mut value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        for key in ["result", "text"] {
            value = serde_json::from_str(value[key].as_str().unwrap()).unwrap();
        }
        assert_eq!(value, serde_json::json!({"x": ["say \u{f6}", "[REDACTED]", 1]}));
    }

    #[test]
    fn a_bare_value_becomes_a_string_and_a_call_has_no_hiding_place() {
        check(
            false,
            "{\"jsonrpc\":\"2.0\",\"id\":918273645546372819,\"method\":\"zx81-c64-amiga-500\",\"params\":{\"password\":\"hunter2!\",\"n\":918273645546372819}}\n",
            "{\"jsonrpc\":\"2.0\",\"id\":\"[REDACTED]\",\"method\":\"[REDACTED]\",\"params\":{\"password\":\"[REDACTED]\",\"n\":\"[REDACTED]\"}}\n",
        );
        // What only looks like a secret is left to the caller that waits for it.
        let id = concat!("gh", "p_0123456789abcdefghijABCDEFGHIJ012345");
        let call = format!("{{\"jsonrpc\":\"2.0\",\"id\":\"{id}\",\"method\":\"m\"}}\n");
        check(false, &call, &call);
    }

    #[test]
    fn no_place_of_a_frame_or_an_inner_text_is_left_out() {
        let frame = "Content-Length: 2\r\nX-Note: zx81-c64-amiga-500\r\n\r\n{}";
        check(false, frame, "Content-Length: 2\r\nX-Note: [REDACTED]\r\n\r\n{}");
        check(
            true,
            "{\"t\":\"{\\\"n\\\":\\u003918273645546372819}\"}\n",
            "{\"t\":\"{\\\"n\\\":[REDACTED]}\"}\n",
        );
    }

    #[test]
    fn text_between_lines_of_json() {
        check(
            false,
            "starting zx81-c64-\n{\"a\": \"b\"}\n[info] zx81-c64-amiga-500 {\n{no json zx81-c64-amiga-500\nPassword: ",
            "starting zx81-c64-\n{\"a\": \"b\"}\n[info] [REDACTED] {\n{no json [REDACTED]\nPassword: ",
        );
        let (mut redactor, mut out) = (matcher().json_redactor(false), Vec::new());
        redactor.push(b"Password: ", &mut out);
        assert_eq!(out, b"Password: ");
    }

    #[test]
    fn a_frame_has_its_new_length() {
        let body = "{\"t\":\"zx81-c64-amiga-500\\n\"}";
        let input = format!("Content-Length: {}\r\nContent-Type: x\r\n\r\n{body}", body.len());
        let new = "{\"t\":\"[REDACTED]\\n\"}";
        let wanted = format!("Content-Length: {}\r\nContent-Type: x\r\n\r\n{new}", new.len());
        check(false, &input.repeat(2), &wanted.repeat(2));
        check(false, "Content-Length: many\n\nzx81-c64-amiga-500\n", "Content-Length: many\n\n[REDACTED]\n");
    }

    #[test]
    fn without_a_find_nothing_changes() {
        for text in [
            "{ \"a\" : \"\\u00e4\\/\" ,\t\"b\":[1e5, -0.0]}\r\n",
            "[1]\n{}\n\n\u{0}\u{ff}",
            "{\"a\":",
            "C",
            "Content-",
        ] {
            check(true, text, text);
            check(false, text, text);
        }
    }
}
