//! The structures of `keyblind_abi` as map keys and values.
#![expect(unsafe_code, reason = "one promise about layout, to aya")]

use keyblind_abi::{
    Arm, Clock, GuardEntry, GuardKey, Label, NameEntry, NameKey, ObjectKey, Offsets, Scope, State,
};

/// Structures whose bytes may be handed to the kernel and taken from it as they are.
trait Layout: Copy + 'static {}

macro_rules! layouts {
    ($($name:ident),*) => { $(impl Layout for $name {})* };
}

layouts!(Arm, Clock, GuardEntry, GuardKey, Label, NameEntry, NameKey, ObjectKey, Offsets, Scope, State);

/// A structure as aya takes it.
#[repr(transparent)]
#[derive(Debug, Clone, Copy)]
pub(super) struct Wire<T>(pub(super) T);

// SAFETY: `Layout` is private, and each structure that has it is `repr(C)`, of plain numbers that take any bytes, and
// without padding: `keyblind_abi` says so, and the test below adds up the fields.
unsafe impl<T: Layout> aya::Pod for Wire<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structures_have_no_padding() {
        assert_eq!(size_of::<Arm>(), 4 * 4 + 8);
        assert_eq!(size_of::<Clock>(), 3 * 8);
        assert_eq!(size_of::<GuardEntry>(), 4 * 4);
        assert_eq!(size_of::<GuardKey>(), 2 * 4);
        assert_eq!(size_of::<Label>(), 4 * 4 + 8);
        assert_eq!(size_of::<NameEntry>(), 4 * 4);
        assert_eq!(size_of::<NameKey>(), 64);
        assert_eq!(size_of::<ObjectKey>(), 8 + 2 * 4);
        assert_eq!(size_of::<Scope>(), 4 * 4);
        assert_eq!(size_of::<State>(), State::ROOTS * 16 + 2 * 8);
    }
}
