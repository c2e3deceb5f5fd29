use std::collections::BTreeSet;

use super::super::{Access, Action, Located, Mode, PathPattern};
use super::*;

const ALL: [(&str, &str, &[Token]); 4] = [
    ("default", DEFAULT, tokens::DEFAULT),
    ("guards", GUARDS, tokens::GUARDS),
    ("strict", STRICT, tokens::STRICT),
    ("audit", AUDIT, tokens::AUDIT),
];

fn default() -> Policy {
    BuiltIn::Default.policy().unwrap_or_else(|report| panic!("{report}"))
}

#[test]
fn what_the_build_made_is_what_the_files_say() {
    for (name, text, tokens) in ALL {
        assert_eq!(Tape::parse(text).unwrap(), tape(text, tokens), "{name}");
    }
}

#[test]
fn guards_read_one_by_one_are_guards_read_together() {
    let source = Source::BuiltIn("guards.toml");
    let tape = tape(GUARDS, tokens::GUARDS);
    let (document, problems) = decode::decode::<Document<'_>>(&tape);
    assert_eq!(problems, []);
    let mut policy = bare(&source);
    let mut builder = Builder::for_file(&tape, &source);
    builder.lay(&mut policy, &document, false);
    // As an operator's file it is checked in full: ids are unique, reasons are there.
    assert_eq!(builder.into_problems(), []);
    assert_eq!(policy.guards, default().guards);
}

#[test]
fn operators_rules_hold_for_the_built_in_files() {
    let alone = Policy { guards: Vec::new(), ..default() };
    for (text, tokens, base, expected) in [
        (DEFAULT, tokens::DEFAULT, bare(&Source::BuiltIn("x")), alone),
        (STRICT, tokens::STRICT, default(), BuiltIn::Strict.policy().unwrap()),
        (AUDIT, tokens::AUDIT, default(), BuiltIn::Audit.policy().unwrap()),
    ] {
        let source = Source::BuiltIn("x");
        let tape = tape(text, tokens);
        let (document, problems) = decode::decode::<Document<'_>>(&tape);
        assert_eq!(problems, []);
        let mut policy = base;
        let mut builder = Builder::for_file(&tape, &source);
        builder.lay(&mut policy, &document, false);
        assert_eq!(builder.into_problems(), []);
        // Read with every check, it is the policy that was read without them.
        assert_eq!(policy, expected);
    }
}

#[test]
fn the_default_leaves_nothing_of_the_bare_policy() {
    let schema = super::super::schema();
    let text: toml::Table = DEFAULT.parse().unwrap();
    let unset = [
        "extends",
        "tier",
        "run.user",
        "run.limits.memory",
        "run.limits.cpu",
        "run.limits.timeout",
        "guard",
        "redact.rule",
        "environment",
        "secret",
        "tool",
    ];
    let mut missing = Vec::new();
    for row in super::super::reference::rows(&schema) {
        // Keys of tables that an operator names, and of lists of tables, have no default.
        if row.key.contains(['*', '[']) || unset.iter().any(|key| row.key == *key) {
            continue;
        }
        let mut value = Some(&text);
        let mut found = None;
        for part in row.key.split('.') {
            found = value.and_then(|table| table.get(part));
            value = found.and_then(toml::Value::as_table);
        }
        if found.is_none() {
            missing.push(row.key);
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn there_are_guards_for_what_hosts_of_agents_hold() {
    let policy = default();
    assert!(policy.guards.len() >= 60, "{}", policy.guards.len());
    for guard in &policy.guards {
        assert!(guard.reason.len() > 10, "{}: {}", guard.id.value, guard.reason);
        assert!(guard.origin().is_built_in() && guard.origin().line > 0);
    }
    let reasons: BTreeSet<&str> = policy.guards.iter().map(|guard| guard.reason.as_str()).collect();
    assert_eq!(reasons.len(), policy.guards.len(), "each guard has its own reason");
}

#[test]
fn no_place_is_guarded_twice() {
    let policy = default();
    let mut seen: Vec<(&PathPattern, Access, &str)> = Vec::new();
    for guard in &policy.guards {
        for Located { value, .. } in &guard.path {
            let again = seen.iter().find(|(path, access, _)| *path == value && *access == guard.access);
            assert_eq!(again, None, "{value} in {}", guard.id.value);
            seen.push((value, guard.access, &guard.id.value));
        }
    }
}

#[test]
fn masks_have_needles_so_that_what_is_masked_is_not_printed_by_another_way() {
    for guard in default().guards.iter().filter(|guard| guard.action.value == Action::Mask) {
        assert!(guard.needles, "{}", guard.id.value);
    }
}

#[test]
fn strict_tightens_the_default_and_audit_does_not() {
    let (default, strict, audit) =
        (default(), BuiltIn::Strict.policy().unwrap(), BuiltIn::Audit.policy().unwrap());
    assert_eq!(strict.tightens(&default), Ok(()));
    assert!(default.tightens(&strict).is_err());
    assert_eq!(audit.tightens(&default).unwrap_err().key, "mode");
    assert_eq!(audit.mode.value, Mode::Audit);
}

#[test]
fn nothing_of_the_built_in_policies_is_an_operators_wish() {
    for policy in [BuiltIn::Default, BuiltIn::Strict, BuiltIn::Audit] {
        for feature in policy.policy().unwrap().features() {
            assert!(feature.origin.is_built_in(), "{feature}");
        }
    }
}
