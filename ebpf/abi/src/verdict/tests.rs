//! Properties of the verdicts, against a model that says the same in the words of the design.

extern crate std;

use proptest::prelude::*;
use std::vec::Vec;

use super::*;

const ENFORCE: Scope = Scope { slot: 1, mode: mode::ENFORCE, generation: 1, flags: 0 };
const AUDIT: Scope = Scope { slot: 1, mode: mode::AUDIT, generation: 1, flags: 0 };

fn entries() -> impl Strategy<Value = Vec<Option<GuardEntry>>> {
    let entry = (0u32..256, 0u32..4).prop_map(|(flags, names)| GuardEntry {
        flags,
        read: 10 + flags,
        write: 1000 + flags,
        names,
    });
    prop::collection::vec(prop::option::of(entry), 1..12)
}

/// The walk over all levels, and how it ends if the last is a root.
fn walked(levels: &[Option<GuardEntry>], access: u32) -> (Walk, End) {
    let mut walk = Walk::new(Access(access), 0);
    for (depth, entry) in levels.iter().enumerate() {
        if let Some(entry) = entry
            && walk.meet(entry, depth == 0)
        {
            return (walk, End::Decided);
        }
    }
    (walk, End::Root)
}

/// Whether the entry at `depth` forbids `access` to the leaf.
fn forbids(entry: &GuardEntry, depth: usize, access: u32) -> bool {
    let has = |bit| entry.flags & bit != 0;
    let reaches = depth == 0 || has(flags::TREE);
    let open = has(flags::READ) && access & Access::OPEN != 0;
    let write = has(flags::WRITE) && access & (Access::WRITE | Access::MOVE) != 0;
    let holds = depth == 0 && has(flags::HOLDS) && access & Access::MOVE != 0;
    reaches && (open || write || holds)
}

/// The nearest exception or refusal decides.
fn refused_by_objects(levels: &[Option<GuardEntry>], access: u32) -> bool {
    for (depth, entry) in levels.iter().enumerate() {
        let Some(entry) = entry else { continue };
        let reaches = depth == 0 || entry.flags & flags::TREE != 0;
        if reaches && entry.flags & flags::ALLOW != 0 {
            return false;
        }
        if forbids(entry, depth, access) && entry.flags & flags::FLAG == 0 {
            return true;
        }
    }
    false
}

proptest! {
    #[test]
    fn objects_and_trees_are_refused_as_the_model_says(levels in entries(), access in 1u32..8) {
        let (walk, end) = walked(&levels, access);
        let verdict = walk.verdict(&ENFORCE, end, None, None, false);
        let refuses = matches!(verdict.outcome, Outcome::Deny | Outcome::Hide);
        prop_assert_eq!(refuses, refused_by_objects(&levels, access));
        prop_assert_eq!(verdict.word().errno() != 0, refuses);
    }

    #[test]
    fn audit_never_refuses_and_flags_what_enforce_refuses(
        levels in entries(), access in 1u32..8, end in 0..3, read in any::<bool>(),
    ) {
        let end = [End::Root, End::Limit, End::Detached][usize::try_from(end).unwrap()];
        let name = NameEntry { flags: if read { flags::READ } else { flags::WRITE }, read: 5, write: 6, names: 1 };
        let (walk, ended) = walked(&levels, access);
        let end = if ended == End::Decided { ended } else { end };
        let audit = walk.verdict(&AUDIT, end, Some(&name), None, false);
        let enforce = walk.verdict(&ENFORCE, end, Some(&name), None, false);
        prop_assert_eq!(audit.word().errno(), 0);
        if enforce.word().errno() != 0 {
            prop_assert_eq!(audit.outcome, Outcome::Flag);
            prop_assert_eq!((audit.guard, audit.reason), (enforce.guard, enforce.reason));
        }
    }

    #[test]
    fn a_walk_that_did_not_end_at_the_root_is_refused_unless_an_exception_was_met(
        levels in entries(), access in 1u32..8, limit in any::<bool>(),
    ) {
        let (walk, ended) = walked(&levels, access);
        if ended == End::Root {
            let end = if limit { End::Limit } else { End::Detached };
            prop_assert!(walk.verdict(&ENFORCE, end, None, None, true).word().errno() != 0);
        }
    }

    #[test]
    fn what_is_remembered_as_unguarded_is_so_for_every_access(levels in entries(), access in 1u32..8) {
        let (walk, _) = walked(&levels, access);
        if walk.unguarded() {
            for other in 1..8 {
                prop_assert!(!refused_by_objects(&levels, other));
            }
        }
    }

    #[test]
    fn a_name_counts_exactly_below_a_directory_of_its_set(levels in entries(), sets in 1u32..4) {
        let plain: Vec<_> = levels
            .iter()
            .map(|level| level.map(|entry| GuardEntry { flags: 0, ..entry }))
            .collect();
        let name = NameEntry { flags: flags::READ, read: 7, write: 0, names: sets };
        let (walk, _) = walked(&plain, Access::OPEN);
        let verdict = walk.verdict(&ENFORCE, End::Root, Some(&name), None, false);
        let below = plain.iter().skip(1).flatten().any(|entry| entry.names & sets != 0);
        prop_assert_eq!(verdict.outcome == Outcome::Deny && verdict.guard == 7, below);
    }
}

#[test]
fn undecided_content_is_a_secret() {
    let tree = GuardEntry { names: 1, ..GuardEntry::default() };
    let (walk, _) = walked(&[None, Some(tree)], Access::OPEN);
    let name = NameEntry { flags: flags::READ | flags::CONTENT, read: 7, write: 0, names: 1 };
    assert_eq!(walk.verdict(&ENFORCE, End::Root, Some(&name), None, false).outcome, Outcome::Deny);
    assert_eq!(walk.verdict(&ENFORCE, End::Root, Some(&name), None, true), Verdict::ALLOW);
}

#[test]
fn a_name_once_had_counts_wherever_the_object_is() {
    let (walk, _) = walked(&[None, None], Access::OPEN);
    let entry = NameEntry { flags: flags::READ, read: 7, write: 0, names: 1 };
    assert_eq!(walk.verdict(&ENFORCE, End::Root, Some(&entry), None, false), Verdict::ALLOW);
    let verdict = walk.verdict(&ENFORCE, End::Root, None, Some(&entry), false);
    assert_eq!((verdict.outcome, verdict.reason), (Outcome::Deny, Reason::Named));
}

#[test]
fn hidden_is_enoent_and_refused_is_eacces() {
    let hide = GuardEntry { flags: flags::READ | flags::HIDE, read: 3, ..GuardEntry::default() };
    let (walk, end) = walked(&[Some(hide)], Access::OPEN);
    let verdict = walk.verdict(&ENFORCE, end, None, None, false);
    assert_eq!(verdict.word().errno(), -2);
    assert_eq!(Verdict::refuse(&ENFORCE, Reason::Control, 0).word().errno(), -13);
}

#[test]
fn the_procfs_table_is_the_design_s() {
    use Relation::{Foreign, Own, SameRun};
    let check = |entry, expect: [bool; 3]| {
        let got = [Own, SameRun, Foreign]
            .map(|relation| procfs_verdict(&ENFORCE, entry, relation) == Verdict::ALLOW);
        assert_eq!(got, expect, "{entry:?}");
    };
    check(Entry::Environ, [false, false, false]);
    check(Entry::Layout, [true, true, false]);
    check(Entry::Memory, [true, false, false]);
    check(Entry::Descriptors, [true, false, false]);
    check(Entry::Other, [true, true, false]);
    let debug = Scope { flags: crate::ScopeFlags::DEBUG, ..ENFORCE };
    assert_eq!(procfs_verdict(&debug, Entry::Memory, SameRun), Verdict::ALLOW);
    assert_ne!(procfs_verdict(&debug, Entry::Environ, Own), Verdict::ALLOW);
}

#[test]
fn a_move_within_the_tree_takes_no_names_away() {
    assert!(!takes_names_away(0b11, 0b11));
    assert!(!takes_names_away(0, 0b1));
    assert!(takes_names_away(0b11, 0b01));
}

proptest! {
    /// One word says what the verdict says, and refuses where it does.
    #[test]
    fn a_word_says_the_same(levels in entries(), access in 1u32..8, enforce: bool) {
        let (walk, end) = walked(&levels, access);
        let verdict = walk.verdict(if enforce { &ENFORCE } else { &AUDIT }, end, None, None, false);
        let word = verdict.word();
        prop_assert_eq!(word.outcome(), verdict.outcome as u16);
        prop_assert_eq!(word.reason(), verdict.reason as u16);
        prop_assert_eq!(word.guard(), verdict.guard);
        prop_assert_eq!(word.is_allow(), verdict == Verdict::ALLOW);
        prop_assert_eq!(word.refuses(), matches!(verdict.outcome, Outcome::Deny | Outcome::Hide));
        prop_assert_eq!(word.errno() != 0, word.refuses());
    }
}

#[test]
fn a_word_without_a_meaning_refuses() {
    assert_eq!(Word(u64::MAX).errno(), -13);
}
