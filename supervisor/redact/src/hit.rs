//! What was found, without what it was.

use std::fmt;
use std::sync::Arc;

/// The written form in which a needle was found. Shapes are always [`Encoding::Raw`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// The value as it is; also a single line of a value of several lines.
    Raw,
    /// RFC 4648 base64 (`+`, `/`) at any of the three byte offsets.
    Base64,
    /// RFC 4648 base64url (`-`, `_`) at any of the three byte offsets.
    Base64Url,
    /// Two hexadecimal digits per byte, lower or upper case, together, apart or as escapes; octal escapes.
    Hex,
    /// Percent-encoding, RFC 3986 and the HTML form variant; quoted-printable.
    Url,
    /// A JSON string's escapes, once or twice.
    Json,
    /// Shell, Python, Go and Rust quoting.
    Shell,
    /// HTML and XML entities.
    Html,
    /// UTF-16, little or big endian.
    Utf16,
    /// RFC 4648 base32 at any of the five byte offsets.
    Base32,
    /// The bytes in reverse order.
    Reverse,
}

impl Encoding {
    /// The name that policy files and events use.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Raw => "raw",
            Encoding::Base64 => "base64",
            Encoding::Base64Url => "base64url",
            Encoding::Hex => "hex",
            Encoding::Url => "url",
            Encoding::Json => "json",
            Encoding::Shell => "shell",
            Encoding::Html => "html",
            Encoding::Utf16 => "utf16",
            Encoding::Base32 => "base32",
            Encoding::Reverse => "reverse",
        }
    }
}

/// Whether a known value or a rule's shape was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HitKind {
    /// A value given with `needle` or `add_needle`.
    Needle,
    /// Text of the shape that a rule describes.
    Shape,
}

/// One thing that was hidden. It never holds a byte of the value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hit {
    /// The needle's name or the rule's id.
    pub name: Arc<str>,
    /// Known value or shape.
    pub kind: HitKind,
    /// The form in which it stood.
    pub encoding: Encoding,
    /// Where it began: bytes from the start of the input stream.
    pub offset: u64,
    /// How many input bytes it took.
    pub len: u64,
}

impl fmt::Debug for Hit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Hit({:?} {} {} at {}+{})",
            self.kind,
            self.name,
            self.encoding.name(),
            self.offset,
            self.len
        )
    }
}

/// The hits of one `push` or `finish`. Holds no heap memory when empty.
///
/// The hits of a whole stream are the same for every way to cut it into pushes. Within one push they
/// come in order of their offsets; a token longer than a push is reported when its end is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hits(Vec<Hit>);

impl Hits {
    /// True when nothing was hidden.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many things were hidden.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The hits, by reference.
    pub fn iter(&self) -> std::slice::Iter<'_, Hit> {
        self.0.iter()
    }

    pub(crate) fn add(&mut self, hit: Hit) {
        self.0.push(hit);
    }

    pub(crate) fn sort(&mut self) {
        self.0.sort_by(|a, b| {
            (a.offset, a.kind, a.len, &a.name, a.encoding)
                .cmp(&(b.offset, b.kind, b.len, &b.name, b.encoding))
        });
    }
}

impl IntoIterator for Hits {
    type Item = Hit;
    type IntoIter = std::vec::IntoIter<Hit>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Hits {
    type Item = &'a Hit;
    type IntoIter = std::slice::Iter<'a, Hit>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}
