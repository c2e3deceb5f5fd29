//! Reads the kernel's type information as far as offsets of members need it (Documentation/bpf/btf.rst).
//!
//! The bytes are the kernel's own, and read as if they were not: an index out of range is an error, a type that
//! contains itself ends the search.

/// Type information, and where each type begins in it.
#[derive(Debug)]
pub(super) struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Offset of the type with this id, less one: id 0 is `void`.
    starts: Vec<usize>,
    /// Where structures and functions begin: a kernel has a hundred thousand types besides.
    structures: Vec<usize>,
    functions: Vec<usize>,
}

/// What is wrong with type information.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not type information that can be read: {0}")]
pub struct Malformed(&'static str);

const MAGIC: u16 = 0xeb9f;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const FUNC: u32 = 12;
/// Deeper nesting of unnamed members does not occur; a type that contains itself would.
const MOST_NESTED: u32 = 16;

#[derive(Debug, Clone, Copy)]
struct Type {
    name: u32,
    kind: u32,
    members: u32,
    bitfields: bool,
    /// Size, or the type that is referred to.
    other: u32,
    /// Where what follows the common part begins.
    rest: usize,
}

impl<'a> Btf<'a> {
    /// Indexes the types.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let short = Malformed("it ends too early");
        let word = |at: usize| number(bytes, at).ok_or(short);
        if bytes.get(..2) != Some(&MAGIC.to_ne_bytes()) {
            return Err(Malformed("wrong magic number"));
        }
        let header = word(4)?;
        let section = |offset: usize, length: usize| -> Result<&'a [u8], Malformed> {
            let start = header.checked_add(word(offset)?).ok_or(short)?;
            let end = start.checked_add(word(length)?).ok_or(short)?;
            bytes.get(start as usize..end as usize).ok_or(short)
        };
        let mut btf = Self {
            types: section(8, 12)?,
            strings: section(16, 20)?,
            starts: Vec::new(),
            structures: Vec::new(),
            functions: Vec::new(),
        };
        let mut at = 0;
        while at < btf.types.len() {
            let found = btf.at(at).ok_or(short)?;
            btf.starts.push(at);
            match found.kind {
                STRUCT => btf.structures.push(at),
                FUNC => btf.functions.push(at),
                _ => {}
            }
            let rest =
                trailing(found.kind, found.members).ok_or(Malformed("a kind of type that is not known"))?;
            at = found.rest + rest;
        }
        if at > btf.types.len() {
            return Err(short);
        }
        Ok(btf)
    }

    fn at(&self, at: usize) -> Option<Type> {
        let info = number(self.types, at + 4)?;
        Some(Type {
            name: number(self.types, at)?,
            kind: info >> 24 & 0x1f,
            members: info & 0xffff,
            bitfields: info >> 31 == 1,
            other: number(self.types, at + 8)?,
            rest: at + 12,
        })
    }

    fn by_id(&self, id: u32) -> Option<Type> {
        let index = usize::try_from(id.checked_sub(1)?).ok()?;
        self.at(*self.starts.get(index)?)
    }

    fn name(&self, offset: u32) -> &'a [u8] {
        let rest = self.strings.get(offset as usize..).unwrap_or_default();
        rest.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// Whether the kernel has a function of this name.
    pub(super) fn has_function(&self, name: &str) -> bool {
        self.named(&self.functions, name).next().is_some()
    }

    fn named(&self, starts: &[usize], name: &str) -> impl Iterator<Item = Type> {
        let types = starts.iter().filter_map(|start| self.at(*start));
        types.filter(move |found| self.name(found.name) == name.as_bytes())
    }

    /// Byte offset of a member, given as a path through structures, or `None` if there is none. Of several structures of
    /// one name the first that has members counts.
    pub(super) fn offset(&self, structure: &str, path: &[&str]) -> Option<u64> {
        let mut of = self.named(&self.structures, structure).find(|found| found.members > 0)?;
        let mut offset = 0;
        let mut path = path.iter();
        let mut next = path.next()?;
        loop {
            let (within, id) = self.member(&of, next, 0)?;
            offset += within;
            match path.next() {
                None => return Some(offset),
                Some(name) => next = name,
            }
            of = self.stripped(id)?;
        }
    }

    /// Offset and type of a member, looked for in unnamed members too.
    fn member(&self, of: &Type, name: &str, nested: u32) -> Option<(u64, u32)> {
        if nested > MOST_NESTED {
            return None;
        }
        for index in 0..of.members as usize {
            let at = of.rest + index * 12;
            let (own, id) = (self.name(number(self.types, at)?), number(self.types, at + 4)?);
            let bits = number(self.types, at + 8)?;
            let bits = if of.bitfields { bits & 0x00ff_ffff } else { bits };
            let bytes = u64::from(bits / 8);
            if own == name.as_bytes() {
                return if bits % 8 == 0 { Some((bytes, id)) } else { None };
            }
            if own.is_empty()
                && let Some(inner) = self.stripped(id)
                && let Some((within, found)) = self.member(&inner, name, nested + 1)
            {
                return Some((bytes + within, found));
            }
        }
        None
    }

    /// The structure or union that a type is, behind names and qualifiers.
    fn stripped(&self, id: u32) -> Option<Type> {
        /// typedef, volatile, const, restrict, type tag.
        const TRANSPARENT: [u32; 5] = [8, 9, 10, 11, 18];
        let mut found = self.by_id(id)?;
        for _ in 0..MOST_NESTED {
            if !TRANSPARENT.contains(&found.kind) {
                break;
            }
            found = self.by_id(found.other)?;
        }
        matches!(found.kind, STRUCT | UNION).then_some(found)
    }
}

/// Bytes that follow the common part of a type.
fn trailing(kind: u32, members: u32) -> Option<usize> {
    let members = members as usize;
    Some(match kind {
        // Integer, variable, declaration tag.
        1 | 14 | 17 => 4,
        // Pointer, forward, typedef, qualifiers, function, float, type tag.
        2 | 7..=12 | 16 | 18 => 0,
        3 => 12,
        STRUCT | UNION | 15 | 19 => members * 12,
        // Enumeration, prototype.
        6 | 13 => members * 8,
        _ => return None,
    })
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(four.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A hand-made kernel: `struct outer { int a; struct { int pad; struct inner in; }; }`, `struct inner { int x; int y; }`
    /// with `in` behind a typedef.
    fn blob() -> Vec<u8> {
        let strings = b"\0int\0outer\0a\0inner\0x\0y\0in\0pad\0inner_t\0run\0";
        let at = |name: &str| {
            let pattern = [b"\0", name.as_bytes(), b"\0"].concat();
            let found = strings.windows(pattern.len()).position(|window| window == pattern).unwrap();
            u32::try_from(found + 1).unwrap()
        };
        let kind = |kind: u32, members: u32| kind << 24 | members;
        let words = [
            vec![at("int"), kind(1, 0), 4, 32],
            vec![at("inner"), kind(STRUCT, 2), 8, at("x"), 1, 0, at("y"), 1, 32],
            vec![at("inner_t"), kind(8, 0), 2],
            vec![0, kind(STRUCT, 2), 12, at("pad"), 1, 0, at("in"), 3, 32],
            vec![at("outer"), kind(STRUCT, 2), 16, at("a"), 1, 0, 0, 4, 32],
            vec![at("run"), kind(FUNC, 0), 0],
        ]
        .concat();
        let types: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        let (types_len, strings_len) =
            (u32::try_from(types.len()).unwrap(), u32::try_from(strings.len()).unwrap());
        for word in [24, 0, types_len, types_len, strings_len] {
            bytes.extend(u32::to_ne_bytes(word));
        }
        bytes.extend(types);
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn members_are_found_through_unnamed_ones_and_other_names() {
        let bytes = blob();
        let btf = Btf::parse(&bytes).unwrap();
        assert_eq!(btf.offset("outer", &["a"]), Some(0));
        assert_eq!(btf.offset("outer", &["pad"]), Some(4));
        assert_eq!(btf.offset("outer", &["in", "y"]), Some(12));
        assert_eq!(btf.offset("outer", &["z"]), None);
        assert_eq!(btf.offset("none", &["a"]), None);
        assert!(btf.has_function("run") && !btf.has_function("outer"));
    }

    proptest! {
        #[test]
        fn damaged_bytes_never_panic(at in 0usize..200, with in any::<u8>(), cut in 0usize..300) {
            let mut bytes = blob();
            if let Some(byte) = bytes.get_mut(at) {
                *byte = with;
            }
            bytes.truncate(cut.max(1));
            if let Ok(btf) = Btf::parse(&bytes) {
                btf.offset("outer", &["in", "y"]);
            }
        }
    }
}
