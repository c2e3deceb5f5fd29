//! The value beside a telling name: `password: …`, `API_KEY=…`, `--token …`, `<secret>…</secret>`.
//!
//! What stands there is often no secret but where the secret comes from (`${X}`, `os.environ["X"]`,
//! `getPassword()`), what it is (`string`) or that it is hidden (`***`). Such values pass untouched:
//! a redacted reference makes a reader repair code that was not broken.

use super::looks::{is_assignment, is_literal, is_name, random_value, strong_value};
use super::reference::is_reference;
use super::{REACH, Swallow, Verdict, entropy};

/// A value is judged by at most so many bytes; what follows is hidden with it.
const JUDGED: usize = 256;
/// Longest rest of a name behind the telling word (`_FOR_STAGING`), in bytes; a value that hangs on the
/// name is looked at so far.
const TAIL: usize = 48;

/// A value that hangs on its name (`service-token-0123…`) has at least so many letters and digits.
const HANGING: usize = 20;

/// A step of reading that ran out of input.
struct More;

struct Cursor<'a> {
    text: &'a [u8],
    pos: usize,
    eof: bool,
    /// Where the value begins if no type or quote stands before it.
    value: Option<usize>,
}

impl Cursor<'_> {
    /// The next byte; `None` at the end of the stream.
    fn peek(&self) -> Result<Option<u8>, More> {
        self.peek_at(0)
    }

    fn peek_at(&self, ahead: usize) -> Result<Option<u8>, More> {
        match self.text.get(self.pos + ahead) {
            Some(&b) => Ok(Some(b)),
            None if self.eof => Ok(None),
            None => Err(More),
        }
    }

    /// Passes up to `most` bytes that `is` accepts; gives how many.
    fn pass(&mut self, most: usize, is: impl Fn(u8) -> bool) -> Result<usize, More> {
        let from = self.pos;
        while self.pos - from < most && self.peek()?.is_some_and(&is) {
            self.pos += 1;
        }
        Ok(self.pos - from)
    }
}

fn blank(b: u8) -> bool {
    b == b' ' || b == b'\t'
}

pub(super) fn name_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')
}

/// How name and value are joined.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Join {
    /// `NAME=value` without blanks: an assignment in a shell or a `.env` file, a query.
    Env,
    /// `=`, `:`, `:=`, `=>` and kin.
    Sign,
    /// Blanks only.
    Blank,
    /// `--name value`.
    Flag,
    /// `<name>value</name>`.
    Element,
    /// `name("value")`: often a function and its argument.
    Call,
}

/// `text[at..end]` is the telling word.
pub(crate) fn judge(strong: bool, text: &[u8], at: usize, end: usize, eof: bool) -> Verdict {
    let mut cursor = Cursor { text, pos: end, eof, value: None };
    match before_value(&mut cursor, at, end) {
        Err(More) => Verdict::Pending { from: cursor.value.unwrap_or(text.len()) },
        Ok(None) => Verdict::No,
        Ok(Some(_)) if cursor.pos - at > REACH => Verdict::No,
        Ok(Some((join, rest))) => value(strong, text, cursor.pos, join, rest, eof),
    }
}

/// Answers "no" early where most words stand: `passed`, `token refresh failed`. It needs the bytes it
/// looks at; where they have not come yet the slow way decides, and decides the same.
pub(crate) fn is_prose(text: &[u8], end: usize) -> bool {
    let Some(after) = text.get(end..end + 24) else { return false };
    let lower = |bytes: &[u8]| bytes.iter().take_while(|b| b.is_ascii_lowercase()).count();
    match after[0] {
        b' ' => {
            // One short word and then another: no sign, no value.
            let word = lower(&after[1..]);
            (1..8).contains(&word) && after[1 + word] == b' ' && after[2 + word].is_ascii_alphabetic()
        }
        b'a'..=b'z' if text[end - 1].is_ascii_lowercase() => {
            !CONTINUES.iter().any(|word| after.starts_with(word.as_bytes()))
        }
        // The value may stand in the next line, after a name of its own.
        b'\n' | b'\r' => after[1..].trim_ascii_start().first() != Some(&b'v'),
        // Neither a name's next byte nor a quote, a bracket or a sign.
        b'/' | b'@' | b'#' | b'!' | b'%' | b'^' | b'&' | b';' | b'~' | b'{' | b'}' | b'[' | b'<' | b'$' => {
            true
        }
        _ => false,
    }
}

/// Words that go on a name without making it another one: `secretkey`.
const CONTINUES: &[&str] = &["key", "token", "access", "value", "secret", "code"];

fn starts_with_word(text: &[u8], word: &str) -> bool {
    text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word.as_bytes()))
}

/// Passes everything between the word and the value.
fn before_value(cursor: &mut Cursor<'_>, at: usize, end: usize) -> Result<Option<(Join, Rest)>, More> {
    let text = cursor.text;
    if cursor.pass(TAIL, name_byte).is_err() {
        // What hangs on the name may become a value.
        let after = &text[end..];
        let more = CONTINUES.iter().find(|word| starts_with_word(after, word)).map_or(0, |word| word.len());
        let end = end + more;
        let hangs = text.get(end).is_some_and(|b| matches!(b, b'-' | b'_' | b'.'));
        let rest = text.get(end + 1..).unwrap_or_default();
        let run = rest.iter().take_while(|b| b.is_ascii_alphanumeric()).count();
        if hangs && (run == rest.len() || run >= HANGING || may_be_uuid(rest)) {
            cursor.value = Some(end + 1);
        }
        return Err(More);
    }
    let tail = &text[end..cursor.pos];
    let more = CONTINUES.iter().find(|word| starts_with_word(tail, word)).map_or(0, |word| word.len());
    let (name, tail) = (tail, &tail[more..]);
    if let Some(b'-' | b'_' | b'.') = tail.first() {
        // `service-token-0123456789abcdef…`: the value hangs on the name.
        let run = tail[1..].iter().take_while(|b| b.is_ascii_alphanumeric()).count();
        let digits = tail[1..].iter().filter(|b| b.is_ascii_digit()).count();
        if run >= HANGING && digits > 2 || is_uuid(&tail[1..]) {
            cursor.pos = end + more + 1;
            return Ok(Some((Join::Blank, BARE)));
        }
    }
    let tail = name;
    if !tail_fits(text[end - 1], tail) {
        return Ok(None);
    }
    if let Some(rest) = named_value(cursor)? {
        return Ok(Some((Join::Sign, rest)));
    }
    let closed = cursor.pass(4, |b| matches!(b, b'"' | b'\'' | b'`' | b']' | b')' | b'\\' | b'*'))? > 0;
    let blanks = cursor.pass(16, blank)?;
    let Some(byte) = cursor.peek()? else { return Ok(None) };
    let mut join = Join::Sign;
    // A sign of two characters may turn out to be the value's first.
    cursor.value = (blanks > 0 && !closed && matches!(byte, b'?' | b'+' | b'|' | b'-' | b'!' | b'i'))
        .then_some(cursor.pos);
    match byte {
        b'=' => {
            let upper = text[end - 1].is_ascii_uppercase();
            cursor.pos += 1;
            let more = cursor.pass(2, |b| matches!(b, b'=' | b'>' | b'~'))?;
            if upper && blanks == 0 && more == 0 && !closed {
                join = Join::Env;
            }
        }
        b':' => {
            cursor.pos += 1;
            cursor.pass(2, |b| matches!(b, b':' | b'='))?;
        }
        b'?' | b'+' | b'|' | b'!' if cursor.peek_at(1)? == Some(b'=') => {
            cursor.pos += 2;
            cursor.pass(1, |b| b == b'=')?;
        }
        b'i' if blanks > 0
            && !closed
            && cursor.peek_at(1)? == Some(b's')
            && cursor.peek_at(2)? == Some(b' ')
            && cursor.peek_at(3)?.is_some_and(|b| matches!(b, b'"' | b'\'' | b'`')) =>
        {
            cursor.pos += 3;
        }
        b'|' if cursor.peek_at(1)? == Some(b'|') && cursor.peek_at(2)? == Some(b':') => cursor.pos += 3,
        b'-' if cursor.peek_at(1)? == Some(b'>') => cursor.pos += 2,
        b',' if closed && is_argument(text, at) => cursor.pos += 1,
        b'(' if !closed && !tail.contains(&b'.') => {
            // `setPassword("…")`: only a quoted argument is a value.
            cursor.pos += 1;
            cursor.pass(4, blank)?;
            if !cursor.peek()?.is_some_and(|b| matches!(b, b'"' | b'\'' | b'`')) {
                return Ok(None);
            }
            join = Join::Call;
        }
        b'>' => {
            cursor.pos += 1;
            join = Join::Element;
        }
        _ if blanks > 0 && !closed => join = if is_flag(text, at) { Join::Flag } else { Join::Blank },
        _ => return Ok(None),
    }
    cursor.pass(8, blank)?;
    cursor.value = Some(cursor.pos);
    if annotation(cursor)? && join == Join::Blank {
        join = Join::Sign;
    }
    let Some(rest) = quote(cursor)? else { return Ok(None) };
    if join == Join::Env && rest.quote.is_some() {
        join = Join::Sign;
    }
    Ok(Some((join, Rest { env: join == Join::Env, bare_name: !closed, ..rest })))
}

/// Passes what stands before a value that has a name of its own: `name: X` and `value: …` in two lines of
/// YAML, `"name": "X", "value": "…"` in JSON, `key="X" value="…"` in XML. Leaves the cursor where it was if
/// this is none of them.
fn named_value(cursor: &mut Cursor<'_>) -> Result<Option<Rest>, More> {
    let from = cursor.pos;
    let quote = |b: u8| matches!(b, b'"' | b'\'' | b'\\');
    cursor.pass(2, quote)?;
    let closed = cursor.pos > from;
    cursor.pass(1, |b| b == b',')?;
    let between = cursor.pass(32, |b| b.is_ascii_whitespace())?;
    let lines = cursor.text[from..cursor.pos].contains(&b'\n');
    cursor.pass(2, quote)?;
    let mut fits = between > 0 && (closed || lines);
    for wanted in b"value" {
        fits = fits && cursor.peek()?.is_some_and(|b| b.eq_ignore_ascii_case(wanted));
        cursor.pos += usize::from(fits);
    }
    if fits {
        cursor.pass(2, quote)?;
        cursor.pass(2, blank)?;
        if cursor.pass(1, |b| matches!(b, b':' | b'='))? == 1 {
            cursor.pass(4, blank)?;
            cursor.value = Some(cursor.pos);
            if let Some(rest) = self::quote(cursor)? {
                return Ok(Some(rest));
            }
        }
    }
    cursor.pos = from;
    cursor.value = None;
    Ok(None)
}

/// Whether `text` begins as 8-4-4-4-12 letters and digits.
fn is_uuid(text: &[u8]) -> bool {
    text.len() >= 36 && may_be_uuid(&text[..36]) && text[..36].iter().any(u8::is_ascii_digit)
}

fn may_be_uuid(text: &[u8]) -> bool {
    text.iter().take(36).enumerate().all(|(n, b)| match n {
        8 | 13 | 18 | 23 => *b == b'-',
        _ => b.is_ascii_alphanumeric(),
    })
}

/// Passes a type between name and value: `token: str = "…"`, `var token string = "…"`; says whether
/// there is one.
fn annotation(cursor: &mut Cursor<'_>) -> Result<bool, More> {
    let from = cursor.pos;
    let letters = cursor
        .pass(20, |b| b.is_ascii_alphanumeric() || matches!(b, b'&' | b'[' | b']' | b'_' | b'<' | b'>'))?;
    if letters > 0
        && cursor.pass(4, blank)? > 0
        && cursor.peek()? == Some(b'=')
        && cursor.peek_at(1)? != Some(b'=')
    {
        cursor.pos += 1;
        cursor.pass(4, blank)?;
        return Ok(true);
    }
    cursor.pos = from;
    Ok(false)
}

/// Passes the opening quote, if there is one, with what languages put before it.
fn quote(cursor: &mut Cursor<'_>) -> Result<Option<Rest>, More> {
    let mut ahead = 0;
    while cursor
        .peek_at(ahead)?
        .is_some_and(|b| matches!(b, b'b' | b'r' | b'u' | b'f' | b'@' | b'$' | b'\\' | b'(' | b'['))
        && ahead < 3
    {
        ahead += 1;
    }
    match cursor.peek_at(ahead)? {
        Some(b @ (b'"' | b'\'' | b'`')) => {
            let escaped = ahead > 0 && cursor.text[cursor.pos + ahead - 1] == b'\\';
            cursor.pos += ahead + 1;
            // `"""` opens as `"` does; an empty value ends here.
            if !escaped {
                cursor.pass(2, |q| q == b)?;
            }
            Ok(Some(Rest { quote: Some(b), escaped, ..BARE }))
        }
        Some(_) => Ok(Some(BARE)),
        None => Ok(None),
    }
}

/// `--name` or `-name`, looking back over the name's own bytes.
fn is_flag(text: &[u8], at: usize) -> bool {
    let before = &text[at.saturating_sub(32)..at];
    let name = before.iter().rev().take_while(|&&b| name_byte(b)).count();
    before[before.len() - name..].starts_with(b"-") && before.len() > name
        || before.len() == name && before.starts_with(b"--")
}

/// `("name"` or `["name"`: a comma behind it comes before its value, and not before the next thing.
fn is_argument(text: &[u8], at: usize) -> bool {
    let before = &text[at.saturating_sub(32)..at];
    let name = before.iter().rev().take_while(|&&b| name_byte(b)).count();
    let opening = before[..before.len() - name].trim_ascii_end();
    matches!(opening, [.., b'(' | b'[', b'"' | b'\'' | b'`'])
}

/// Whether what follows the word in the name leaves it telling: not `tokenizer`, not `password_file`.
fn tail_fits(last: u8, tail: &[u8]) -> bool {
    let Some(&first) = tail.first() else { return true };
    let same_word = first.is_ascii_lowercase() && last.is_ascii_alphabetic()
        || first.is_ascii_uppercase() && last.is_ascii_uppercase();
    let same_word = same_word && !CONTINUES.iter().any(|word| starts_with_word(tail, word));
    // `password.rs:12` is a place in a file.
    let extension = first == b'.' && tail.len() < 6 && tail[1..].iter().all(u8::is_ascii_lowercase);
    if same_word || extension {
        return false;
    }
    !TAILS.iter().any(|word| tail.windows(word.len()).any(|w| w.eq_ignore_ascii_case(word.as_bytes())))
}

/// Names that end so describe a secret and do not hold it.
const TAILS: &[&str] = &[
    "file", "path", "dir", "name", "type", "url", "uri", "endpoint", "len", "size", "count", "limit", "min",
    "max", "policy", "field", "expir", "ttl", "version", "enabled", "required", "prompt", "format", "algo",
    "label", "usage", "rotat", "manager", "provider", "class", "valid", "age", "budget", "stats",
];

/// The rest of a value whose begin is known.
#[derive(Debug, Clone)]
pub(crate) struct Rest {
    quote: Option<u8>,
    /// The quote is written `\"`.
    escaped: bool,
    /// The next byte is escaped by a backslash.
    skip: bool,
    env: bool,
    /// No quote stood behind the name: a mark in place of a number breaks no JSON.
    bare_name: bool,
}

/// A value without quotes.
const BARE: Rest = Rest { quote: None, escaped: false, skip: false, env: false, bare_name: false };

impl Rest {
    pub(crate) fn advance(&mut self, bytes: &[u8]) -> Option<usize> {
        bytes.iter().position(|&b| self.ends_at(b))
    }

    fn ends_at(&mut self, b: u8) -> bool {
        if std::mem::take(&mut self.skip) {
            return false;
        }
        match self.quote {
            _ if b == b'\n' || b == b'\r' => true,
            Some(_) if self.escaped => b == b'\\' || Some(b) == self.quote,
            Some(quote) => {
                self.skip = b == b'\\';
                b == quote
            }
            None if self.env => matches!(
                b,
                b' ' | b'\t' | b'"' | b'\'' | b'`' | b'\\' | b'&' | b';' | b'<' | b'>' | b'|' | 0x1b
            ),
            None => matches!(
                b,
                b' ' | b'\t'
                    | b'"'
                    | b'\''
                    | b'`'
                    | b'\\'
                    | b'&'
                    | b';'
                    | b'<'
                    | b'>'
                    | b'|'
                    | b','
                    | b'('
                    | b')'
                    | b'['
                    | b']'
                    | b'{'
                    | b'}'
                    | 0x1b
            ),
        }
    }
}

fn value(strong: bool, text: &[u8], start: usize, join: Join, mut rest: Rest, eof: bool) -> Verdict {
    let window = &text[start..text.len().min(start + JUDGED)];
    let mut probe = rest.clone();
    let end = probe.advance(window);
    if end.is_none() && window.len() < JUDGED && !eof {
        return Verdict::Pending { from: start };
    }
    let value = &window[..end.unwrap_or(window.len())];
    let next = end.and_then(|n| window.get(n)).copied();
    let (quoted, bare_name) = (rest.quote.is_some(), rest.bare_name);
    let least = match join {
        Join::Blank if strong => {
            if quoted {
                6
            } else {
                8
            }
        }
        Join::Blank => 16,
        _ if strong => 4,
        _ if quoted || join == Join::Env => 8,
        _ => 10,
    };
    // What a bracket ends is a call, an index or `${…}`.
    if value.len() < least || !quoted && matches!(next, Some(b'(' | b'[' | b'{')) {
        return Verdict::No;
    }
    if !quoted && value.iter().all(u8::is_ascii_lowercase) && join != Join::Env {
        // A word before other words is prose: `password: reset by owner`.
        let after = &text[start + value.len()..];
        let blanks = after.iter().take_while(|&&b| blank(b)).count();
        match after.get(blanks) {
            None if !eof && blanks < 8 => return Verdict::Pending { from: start },
            Some(b) if blanks > 0 && b.is_ascii_alphanumeric() => return Verdict::No,
            _ => {}
        }
    }
    let code = !quoted && join == Join::Sign;
    let fits = match join {
        // `secret key=…`: the sign belongs to another name, which is looked at by itself.
        Join::Blank => random_value(value, least, value.len() >= 20) && !is_assignment(value),
        Join::Call if value.iter().all(|b| b.is_ascii_alphabetic() || *b == b'_') => false,
        _ if strong => strong_value(value, quoted, join),
        _ => {
            let number = quoted || join == Join::Env || bare_name;
            let word = join == Join::Env && value.len() >= 20 && value.iter().all(u8::is_ascii_lowercase);
            word && entropy(value) >= 3.2 || random_value(value, least, number) && !(code && is_name(value))
        }
    };
    if !fits || code && is_literal(value) || is_reference(value) {
        return Verdict::No;
    }
    match end {
        Some(n) => Verdict::Span { start, end: start + n, open: None },
        None => {
            rest.advance(window);
            Swallow::Value(rest).span(text, start, start + window.len())
        }
    }
}
