//! The value beside a telling name: `password: …`, `API_KEY=…`, `--token …`, `<secret>…</secret>`.
//!
//! What stands there is often no secret but where the secret comes from (`${X}`, `os.environ["X"]`,
//! `getPassword()`), what it is (`string`) or that it is hidden (`***`). Such values pass untouched:
//! a redacted reference makes a reader repair code that was not broken.

use super::reference::is_reference;
use super::{REACH, Swallow, Verdict, entropy};

/// A value is judged by at most so many bytes; what follows is hidden with it.
const JUDGED: usize = 256;
/// Longest rest of a name behind the telling word (`_FOR_STAGING`), in bytes.
const TAIL: usize = 24;

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

fn name_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')
}

/// How name and value are joined.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Join {
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
        // Neither a name's next byte nor a quote, a bracket or a sign.
        b'/' | b'\n' | b'\r' | b'@' | b'#' | b'!' | b'%' | b'^' | b'&' | b';' | b'~' | b'{' | b'}' | b'['
        | b'<' | b'$' => true,
        _ => false,
    }
}

/// Words that go on a name without making it another one: `secretkey`.
const CONTINUES: &[&str] = &["key", "token", "access", "value", "secret", "code"];

/// Passes everything between the word and the value.
fn before_value(cursor: &mut Cursor<'_>, at: usize, end: usize) -> Result<Option<(Join, Rest)>, More> {
    let text = cursor.text;
    if cursor.pass(TAIL, name_byte).is_err() {
        // What hangs on the name may become a value.
        let hangs = text.get(end).is_some_and(|b| matches!(b, b'-' | b'_' | b'.'));
        let rest = text.get(end + 1..).unwrap_or_default();
        let run = rest.iter().take_while(|b| b.is_ascii_alphanumeric()).count();
        if hangs && (run == rest.len() || run >= HANGING) {
            cursor.value = Some(end + 1);
        }
        return Err(More);
    }
    let tail = &text[end..cursor.pos];
    if let Some(b'-' | b'_' | b'.') = tail.first() {
        // `service-token-0123456789abcdef…`: the value hangs on the name.
        let run = tail[1..].iter().take_while(|b| b.is_ascii_alphanumeric()).count();
        if run >= HANGING && tail[1..].iter().filter(|b| b.is_ascii_digit()).count() > 2 {
            cursor.pos = end + 1;
            return Ok(Some((Join::Blank, BARE)));
        }
    }
    if !tail_fits(text[end - 1], tail) {
        return Ok(None);
    }
    let closed = cursor.pass(4, |b| matches!(b, b'"' | b'\'' | b'`' | b']' | b')' | b'\\' | b'*'))? > 0;
    let blanks = cursor.pass(16, blank)?;
    let Some(byte) = cursor.peek()? else { return Ok(None) };
    let mut join = Join::Sign;
    // A sign of two characters may turn out to be the value's first.
    cursor.value = (blanks > 0 && !closed && matches!(byte, b'?' | b'+' | b'|' | b'-')).then_some(cursor.pos);
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
        b'?' | b'+' | b'|' if cursor.peek_at(1)? == Some(b'=') => cursor.pos += 2,
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
    annotation(cursor)?;
    let Some(rest) = quote(cursor)? else { return Ok(None) };
    if join == Join::Env && rest.quote.is_some() {
        join = Join::Sign;
    }
    Ok(Some((join, Rest { env: join == Join::Env, ..rest })))
}

/// Passes a type between name and value: `token: str = "…"`, `var token string = "…"`.
fn annotation(cursor: &mut Cursor<'_>) -> Result<(), More> {
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
        return Ok(());
    }
    cursor.pos = from;
    Ok(())
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
    let continues = ["key", "token", "access", "value", "secret", "code"];
    let same_word = same_word
        && !continues
            .iter()
            .any(|w| tail.get(..w.len()).is_some_and(|t| t.eq_ignore_ascii_case(w.as_bytes())));
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
}

/// A value without quotes.
const BARE: Rest = Rest { quote: None, escaped: false, skip: false, env: false };

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
    let quoted = rest.quote.is_some();
    let least = match join {
        Join::Blank if strong => 8,
        Join::Blank => 16,
        _ if strong => 4,
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
        Join::Blank => random_value(value, least, false),
        _ if strong => strong_value(value, quoted, join),
        _ => random_value(value, least, quoted || join == Join::Env) && !(code && is_name(value)),
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

/// Values that describe a password: types, states, form texts.
const DESCRIBES: &[&str] = &[
    "string",
    "str",
    "bytes",
    "text",
    "char",
    "varchar",
    "bool",
    "boolean",
    "int",
    "integer",
    "number",
    "object",
    "option",
    "optional",
    "required",
    "hidden",
    "empty",
    "blank",
    "missing",
    "incorrect",
    "invalid",
    "wrong",
    "expired",
    "changed",
    "unchanged",
    "reset",
    "failed",
    "accepted",
    "rejected",
    "mismatch",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "value",
    "input",
    "prompt",
    "field",
    "default",
    "unknown",
    "unset",
    "set",
    "disabled",
    "enabled",
    "yes",
    "no",
    "on",
    "off",
    "ok",
    "any",
    "self",
    "this",
    "env",
    "environment",
    "file",
    "vault",
    "keychain",
    "stdin",
    "ask",
    "same",
    "not",
    "for",
    "the",
    "is",
    "must",
    "cannot",
    "enter",
    "again",
    "type",
    "and",
    "or",
    "to",
    "of",
    "secretstring",
    "sensitive",
    "redacted",
    "masked",
    "omitted",
    "encrypted",
    "plaintext",
    "plain",
    "basic",
    "bearer",
];

fn strong_value(value: &[u8], quoted: bool, join: Join) -> bool {
    let describes = DESCRIBES.iter().any(|w| value.eq_ignore_ascii_case(w.as_bytes()));
    let place = value.iter().all(|b| b.is_ascii_digit() || matches!(b, b':' | b'.' | b'-' | b'/'));
    if describes
        || place && value.len() < 12 && join != Join::Env
        || value.iter().any(|&b| b < 32 && b != b'\t')
    {
        return false;
    }
    let letters = value.iter().filter(|b| b.is_ascii_alphabetic()).count();
    let digits = value.iter().filter(|b| b.is_ascii_digit()).count();
    let others = value.len() - letters - digits;
    match join {
        Join::Env => true,
        // Sentences in quotes are labels: `"password": "Enter your password"`.
        _ if quoted => value.iter().filter(|&&b| b == b' ').count() < 2 && !value.ends_with(b":"),
        _ if digits == value.len() => digits >= 6,
        _ if value.starts_with(b"_") => false,
        _ if digits > 0 && letters > 0 => !is_code(value),
        // `password: userPassword`, `password = form.password` are code.
        _ if others > 0 => !is_code(value),
        _ => letters >= 6 && value.iter().all(u8::is_ascii_lowercase) && join != Join::Element,
    }
}

/// A path of names as programs write them: `self.db.password`, `user_password`, `Foo::bar`.
fn is_code(value: &[u8]) -> bool {
    let name = |part: &[u8]| {
        part.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_')
            && part.iter().all(|&b| b.is_ascii_alphabetic() || b == b'_')
    };
    value.split(|&b| matches!(b, b'.' | b':')).filter(|p| !p.is_empty()).all(name)
}

/// Whether a value of at least `least` bytes looks made by a machine. A `number` alone may be one where
/// a mark in its place breaks nothing.
pub(crate) fn random_value(value: &[u8], least: usize, number: bool) -> bool {
    if value.len() < least
        || !value.iter().all(|&b| b.is_ascii_graphic())
        || value.iter().any(|b| matches!(b, b'(' | b')' | b'{' | b'}' | b'<' | b'>'))
    {
        return false;
    }
    let count = |is: fn(&u8) -> bool| value.iter().filter(|b| is(b)).count();
    let (digits, upper, lower) =
        (count(u8::is_ascii_digit), count(u8::is_ascii_uppercase), count(u8::is_ascii_lowercase));
    let bits = entropy(value);
    if digits == value.len() {
        return number && value.len() >= 15 && bits >= 2.3;
    }
    if digits > 0 && upper + lower > 0 {
        return bits >= 2.5 && !is_dated(value) && !is_numbered(value);
    }
    let hex = value.len() >= 32 && value.iter().all(u8::is_ascii_hexdigit);
    hex && bits >= 2.0
        || digits == 0 && upper > 2 && lower > 2 && value.len() >= 20 && bits >= 3.7 && !is_code(value)
}

/// A name of a programming language with a digit in it: `TokenStream2`, `nl80211_key`, `D3D_TYPE`. Made-up
/// characters change between letters and digits, and between cases, far more often.
fn is_name(value: &[u8]) -> bool {
    let class = |b: u8| match b {
        b'a'..=b'z' => 1,
        b'A'..=b'Z' => 2,
        b'0'..=b'9' => 3,
        _ => 0,
    };
    let changes = value.windows(2).filter(|pair| {
        let (a, b) = (class(pair[0]), class(pair[1]));
        a != b && a != 0 && b != 0 && (a, b) != (2, 1)
    });
    let digits = value.iter().filter(|b| b.is_ascii_digit()).count();
    digits < 6 && !value[0].is_ascii_digit() && changes.count() * 100 < value.len() * 22
}

/// A number as source code writes it (`0x8004_003A`, `512u32`), or a type (`*mut c_char`).
fn is_literal(value: &[u8]) -> bool {
    let hexadecimal = value.strip_prefix(b"0x").is_some_and(|v| v.len() < 25);
    let digits = value.iter().take_while(|b| b.is_ascii_digit() || **b == b'_').count();
    let suffix = digits > 0
        && matches!(value.get(digits), Some(b'u' | b'i' | b'f' | b'L' | b'U' | b'n'))
        && value.len() - digits < 6;
    hexadecimal || suffix || value.starts_with(b"*")
}

/// Words with a number: `worker-12`, `v1.2.3-beta4`, `sha256:…`, `utf8_general_ci`.
fn is_numbered(value: &[u8]) -> bool {
    let parts = || value.split(|b| matches!(b, b'-' | b'_' | b'.' | b':' | b'/')).filter(|p| !p.is_empty());
    let plain = |part: &[u8]| {
        let letters = part.iter().take_while(|b| b.is_ascii_alphabetic()).count();
        let digits = part[letters..].iter().take_while(|b| b.is_ascii_digit()).count();
        letters + digits == part.len()
            && (letters == 0 && digits < 5 || digits < 4 && letters < 16 && one_case(&part[..letters]))
    };
    value.starts_with(b"sha256:")
        || value.starts_with(b"sha512-")
        || value.starts_with(b"sha1-")
        || parts().all(plain)
}

fn one_case(letters: &[u8]) -> bool {
    letters.iter().skip(1).all(u8::is_ascii_lowercase) || letters.iter().all(u8::is_ascii_uppercase)
}

/// A path, a host or a date rather than a secret.
fn is_dated(value: &[u8]) -> bool {
    value.starts_with(b"/")
        || value.starts_with(b"./")
        || value.starts_with(b"~/")
        || value.windows(3).any(|w| w == b"://")
        || value.len() > 10
            && value[..10]
                .iter()
                .enumerate()
                .all(|(n, b)| if n == 4 || n == 7 { *b == b'-' } else { b.is_ascii_digit() })
}
