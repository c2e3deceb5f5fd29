//! Guarded objects and names.

/// The longest guarded name that the kernel programs can compare, with the zero that ends it.
pub const NAME_BYTES: usize = 64;

/// How an object is found again when the kernel has dropped its inode, and the label with it, from memory.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct ObjectKey {
    /// `i_ino`.
    pub inode: u64,
    /// `s_dev`.
    pub device: u32,
    /// `i_generation`: an inode number that is used again has another.
    pub generation: u32,
}

/// What hangs on an inode that was opened in a scope or enrolled.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Label {
    /// Number of the object among all that are or were guarded; 0 for none.
    pub object: u32,
    /// Number of a guarded name that the inode has or had; 0 for none. Stays when the name goes.
    pub named: u32,
    /// 1 once its content was judged to hold no secret.
    pub harmless: u32,
    /// Zero.
    pub reserved: u32,
    /// A [`Stamp`]: what an earlier walk found. One word, so that two writers cannot mix.
    pub stamp: u64,
}

/// What a walk found from an inode up to the root of its file system: that nothing guards it there, by any access, and
/// which sets of names count below. True only at the epoch at which it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The epoch, of which [`Stamp::EPOCHS`] bits are kept: a run that moves directories as fast as it can comes
    /// round in weeks.
    pub epoch: u64,
    /// The set of guards for which it was found, or 0 for any.
    pub slot: u32,
    /// Sets of names that count below.
    pub names: u32,
}

impl Stamp {
    /// Bits of the epoch.
    pub const EPOCHS: u32 = 40;
    /// Sets of guards are numbered from 1 to this.
    pub const MOST_SLOTS: u32 = (1 << 12) - 1;
    /// The most sets of names in one set of guards.
    pub const MOST_NAMES: u32 = 12;

    /// As one word. Slot and names must be within their bounds, which enrolment sees to.
    #[inline(always)]
    pub fn pack(self) -> u64 {
        (self.epoch << 24) | ((self.slot as u64 & 0xfff) << 12) | (self.names as u64 & 0xfff)
    }

    /// Whether the word is true at this epoch for every set of guards.
    #[inline(always)]
    pub fn for_all(word: u64, epoch: u64) -> bool {
        word != 0 && word >> 24 == epoch << 24 >> 24 && word >> 12 & 0xfff == 0
    }

    /// The names that count below, if the word is true at this epoch for this set of guards, and the set for which it
    /// was found, 0 for any.
    #[inline(always)]
    pub fn names(word: u64, epoch: u64, slot: u32) -> Option<(u32, u32)> {
        let of = (word >> 12 & 0xfff) as u32;
        if word == 0 || word >> 24 != epoch << 24 >> 24 || (of != 0 && of != slot) {
            return None;
        }
        Some(((word & 0xfff) as u32, of))
    }
}

/// Key of the map `GUARDS`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct GuardKey {
    /// The set of guards.
    pub slot: u32,
    /// The object's number.
    pub object: u32,
}

/// Value of the map `GUARDS`: what one set of guards says about one object.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GuardEntry {
    /// Bits of [`flags`].
    pub flags: u32,
    /// Number of the guard that refuses to open it.
    pub read: u32,
    /// Number of the guard that refuses to change it.
    pub write: u32,
    /// The sets of names that count below it.
    pub names: u32,
}

/// What an entry means.
pub mod flags {
    /// It must not be opened.
    pub const READ: u32 = 1;
    /// It must not be changed, replaced, moved or removed.
    pub const WRITE: u32 = 2;
    /// The same holds for everything below it.
    pub const TREE: u32 = 4;
    /// It contains something that must not be moved with it.
    pub const HOLDS: u32 = 8;
    /// Report and let pass.
    pub const FLAG: u32 = 16;
    /// Refuse as if it did not exist.
    pub const HIDE: u32 = 32;
    /// An exception: no guard further up counts for it.
    pub const ALLOW: u32 = 64;
    /// Only if the content is a secret, which user space decides; undecided counts as a secret.
    pub const CONTENT: u32 = 128;
}

/// Key of the map `NAMES`: a name, padded with zeros. Folded names are in it too.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NameKey {
    /// At most [`NAME_BYTES`] − 1 bytes of name.
    pub bytes: [u8; NAME_BYTES],
}

impl NameKey {
    /// The key for a name; `None` if it is empty or too long.
    pub fn new(name: &[u8]) -> Option<Self> {
        let mut bytes = [0; NAME_BYTES];
        let (start, rest) = bytes.split_at_mut_checked(name.len())?;
        if start.is_empty() || rest.is_empty() || name.contains(&0) {
            return None;
        }
        start.copy_from_slice(name);
        Some(Self { bytes })
    }
}

/// Value of the map `SLOT_NAMES`, whose key is a [`GuardKey`] with a name's number in place of an object's.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NameEntry {
    /// Bits of [`flags`].
    pub flags: u32,
    /// Number of the guard that refuses to open it.
    pub read: u32,
    /// Number of the guard that refuses to change it.
    pub write: u32,
    /// The sets that the name belongs to.
    pub names: u32,
}

/// Lower case, for file systems that fold case. Only ASCII: guarded names are ASCII.
#[inline(always)]
pub fn fold(name: &mut [u8; NAME_BYTES]) {
    let mut at = 0;
    while at < NAME_BYTES {
        let byte = name[at];
        if byte.wrapping_sub(b'A') < 26 {
            name[at] = byte | 0x20;
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_does_not_fit_has_no_key() {
        assert!(NameKey::new(b"").is_none());
        assert!(NameKey::new(&[b'x'; NAME_BYTES]).is_none());
        assert!(NameKey::new(b"a\0b").is_none());
        let key = NameKey::new(&[b'x'; NAME_BYTES - 1]).unwrap();
        assert_eq!(key.bytes[NAME_BYTES - 1], 0);
    }

    #[test]
    fn a_stamp_is_true_at_its_epoch_for_its_slot() {
        let word = Stamp { epoch: 7, slot: 5, names: 0b101 }.pack();
        assert_eq!(Stamp::names(word, 7, 5), Some((0b101, 5)));
        assert_eq!(Stamp::names(word, 8, 5), None);
        assert_eq!(Stamp::names(word, 7, 6), None);
        let any = Stamp { epoch: (1 << 40) + 9, slot: 0, names: 0 }.pack();
        assert_eq!(Stamp::names(any, (1 << 40) + 9, 6), Some((0, 0)));
        assert_eq!(Stamp::names(any, 8, 6), None);
        assert!(Stamp::for_all(any, (1 << 40) + 9) && Stamp::for_all(any, 9));
        assert!(!Stamp::for_all(any, 8) && !Stamp::for_all(word, 7) && !Stamp::for_all(0, 0));
        assert_eq!(Stamp::names(0, 0, 0), None);
    }

    #[test]
    fn folding_is_ascii_lower_case() {
        let mut name = NameKey::new(b".ENV.Local_@[`{").unwrap().bytes;
        fold(&mut name);
        assert_eq!(name, NameKey::new(b".env.local_@[`{").unwrap().bytes);
    }
}
