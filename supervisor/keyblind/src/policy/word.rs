//! Words: values that a policy file writes as one of a few names.

/// A value that policy files write as one word. What of it others need is inherent in each type: `ALL`, `name`.
pub(crate) trait Named: Copy + PartialEq + 'static {
    /// Every value, in the order in which errors and the reference list them.
    const VALUES: &'static [Self];
    /// Their words, in the same order.
    const NAMES: &'static [&'static str];

    /// The value of a word.
    fn from_name(name: &str) -> Option<Self> {
        Self::VALUES.iter().zip(Self::NAMES).find(|(_, known)| **known == name).map(|(value, _)| *value)
    }

    /// The word of this value.
    fn word(self) -> &'static str;
}

/// Names the variants of an enum once, so that parser, schema, errors and displays cannot disagree.
macro_rules! named {
    ($type:ident { $($variant:ident = $name:literal),+ $(,)? }) => {
        impl $crate::policy::word::Named for $type {
            const VALUES: &'static [$type] = &[$($type::$variant),+];
            const NAMES: &'static [&'static str] = &[$($name),+];

            fn word(self) -> &'static str {
                match self {
                    $($type::$variant => $name),+
                }
            }
        }

        impl $type {
            /// Every value, in the order of the reference.
            pub const ALL: [$type; [$($name),+].len()] = [$($type::$variant),+];

            /// Its word in policy files.
            pub fn name(self) -> &'static str {
                $crate::policy::word::Named::word(self)
            }
        }
    };
}
pub(super) use named;
