//! The properties of the crate's first page, each against an obvious and slow implementation.

use std::sync::OnceLock;

use proptest::prelude::*;

use crate::encode::expand;
use crate::shape::table::{SHAPES, WORDS};
use crate::shape::{self, Verdict};
use crate::{Encodings, Hit, Mark, Matcher, OperatorRule, Shapes};

const NEEDLES: &[(&str, &[u8])] = &[
    ("KEY_LINE", b"-----BEGIN KEY-----"),
    ("FIRST", b"abcdefg"),
    ("SECOND", b"efghij"),
    ("SELF", b"abababab"),
    ("LONGER", b"abcdefghijklmnopqrstuvwxyz012345"),
    ("SPECIAL", b"p\"a/s\\s w\xc3\xb6rd&<'$>"),
    ("BINARY", b"\x00\xff\x01\xfe\x02\xfd\x03"),
    ("LINES", b"first line of it, long enough\nsecond line of it, long enough\n"),
];

fn matcher(shapes: Shapes) -> Matcher {
    static BUILT: [OnceLock<Matcher>; 2] = [OnceLock::new(), OnceLock::new()];
    let build = || {
        let builder = NEEDLES.iter().fold(Matcher::builder(), |b, (name, value)| b.needle(name, value));
        builder.shapes(shapes).mark(Mark::Plain).build()
    };
    BUILT[usize::from(shapes == Shapes::None)].get_or_init(build).clone()
}

fn whole(matcher: &Matcher, input: &[u8]) -> (Vec<u8>, Vec<Hit>) {
    cut(matcher, input, &[])
}

/// Pushes `input` cut at `cuts`.
fn cut(matcher: &Matcher, input: &[u8], cuts: &[usize]) -> (Vec<u8>, Vec<Hit>) {
    let (mut redactor, mut out, mut hits, mut from) = (matcher.redactor(), Vec::new(), Vec::new(), 0);
    for &to in cuts.iter().chain([&input.len()]) {
        hits.extend(redactor.push(&input[from..to], &mut out));
        from = to;
    }
    hits.extend(redactor.finish(&mut out));
    hits.sort();
    (out, hits)
}

/// Every literal at every place, every rule's word at every place, no stream.
fn slow(input: &[u8], shapes: bool) -> Vec<u8> {
    let mut hide = vec![0u32; input.len()];
    let mut spans = Vec::new();
    for (_, value) in NEEDLES {
        expand(value.trim_ascii(), Encodings::ALL, &mut |_, form| {
            for (at, _) in input.windows(form.len()).enumerate().filter(|(_, w)| *w == form) {
                spans.push((at, at + form.len()));
            }
            for at in input.len().saturating_sub(form.len() - 1)..(input.len() + 1).saturating_sub(8) {
                if form.starts_with(&input[at..]) {
                    spans.push((at, input.len()));
                }
            }
        });
    }
    if shapes {
        for at in 0..input.len() {
            for word in &WORDS {
                let Some(text) = input.get(at..at + word.text.len()) else { continue };
                if !(text == word.text || word.fold && text.eq_ignore_ascii_case(word.text)) {
                    continue;
                }
                for &number in word.shapes {
                    shape::judge(&SHAPES[usize::from(number)], word, input, at, true, |verdict| {
                        if let Verdict::Span { start, end, .. } = verdict {
                            spans.push((start, end));
                        }
                    });
                }
            }
        }
    }
    spans.sort_unstable();
    let (mut mark, mut covered) = (0, 0);
    for (start, end) in spans {
        if start >= covered {
            mark += 1;
        }
        hide[start..end].iter_mut().filter(|h| **h == 0).for_each(|h| *h = mark);
        covered = covered.max(end);
    }
    let mut out = Vec::new();
    for (n, &h) in hide.iter().enumerate() {
        if h == 0 {
            out.push(input[n]);
        } else if n == 0 || hide[n - 1] != h {
            out.extend_from_slice(b"[REDACTED]");
        }
    }
    out
}

/// Pieces that needles, their encodings and shapes are made of, so that chance meets them often.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let forms: Vec<Vec<u8>> = {
        let mut forms = Vec::new();
        for (_, value) in NEEDLES {
            expand(value.trim_ascii(), Encodings::ALL, &mut |_, form| forms.push(form.to_vec()));
        }
        forms
    };
    let texts = [
        "-",
        "--",
        "-----",
        "BEGIN ",
        "KEY",
        "PRIVATE KEY-----\n",
        "-----END PRIVATE KEY-----",
        "MIIEvQIBADANBgkqhkiG9w0B\n",
        "ab",
        "abcd",
        "efghij",
        "gh",
        "p_",
        "ghp_",
        "0123456789abcdefABCDEF0123456789abcd",
        "sk-",
        "ant-",
        "proj-",
        "xoxb-",
        "123456789012-",
        "eyJ",
        "hbGciOiJIUzI1NiJ9",
        ".",
        "password",
        "Pass",
        "word",
        "=",
        ": ",
        "\"",
        "\\\"",
        "'",
        " ",
        "\n",
        "hunter2",
        "${X}",
        "$",
        "os.environ[",
        "https",
        "://",
        "user:",
        "s3cret",
        "@",
        "/",
        "AKIA",
        "ABCDEFGHIJKLMNOP",
        "\u{1b}[0m",
        "Bearer ",
        "bearer",
        "token",
        "-token-",
        "secret_",
        "0123456789abcdef0123456789abcdef",
        "str = ",
        "://0123456789abcdefghij@",
        "--password ",
        "BEGIN RSA PRIVATE KEY-----",
        "0x1f",
        "API_KEY",
        "--",
        "ö",
        "\r\n",
        "1234567890",
        ":AA",
        "-us12",
        "8Q~",
        "$1$abcdefgh$",
        "value: ",
        "\n    value",
        "session=",
        "<",
        ">",
    ];
    let cut =
        (prop::sample::select(forms), any::<prop::sample::Index>(), 0..4u8).prop_map(|(form, at, how)| {
            let at = at.index(form.len());
            match how {
                0 => form[..at].to_vec(),
                1 => form[at..].to_vec(),
                _ => form,
            }
        });
    prop_oneof![
        3 => cut,
        6 => prop::sample::select(texts.to_vec()).prop_map(|t| t.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..12),
        1 => (prop::sample::select(&b"aA1-=/ \n"[..]), 1..90usize).prop_map(|(b, n)| vec![b; n]),
    ]
}

fn input() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(piece(), 0..16).prop_map(|pieces| pieces.concat())
}

fn cuts(input: &[u8], seeds: &[prop::sample::Index]) -> Vec<usize> {
    let mut cuts: Vec<usize> = seeds.iter().map(|s| s.index(input.len() + 1)).collect();
    cuts.sort_unstable();
    cuts
}

/// Cases per property: 200, or what `PROPTEST_CASES` says for a long run.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(200)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_cut_gives_the_same(input in input(), seeds in prop::collection::vec(any::<prop::sample::Index>(), 0..40)) {
        let matcher = matcher(Shapes::Default);
        let cuts = cuts(&input, &seeds);
        prop_assert_eq!(cut(&matcher, &input, &cuts), whole(&matcher, &input));
        let bytes: Vec<usize> = (0..input.len()).collect();
        prop_assert_eq!(cut(&matcher, &input, &bytes), whole(&matcher, &input));
    }

    #[test]
    fn same_as_the_slow_one(input in input()) {
        let fast = whole(&matcher(Shapes::None), &input).0;
        prop_assert_eq!(fast.escape_ascii().to_string(), slow(&input, false).escape_ascii().to_string());
        let fast = whole(&matcher(Shapes::Default), &input).0;
        prop_assert_eq!(fast.escape_ascii().to_string(), slow(&input, true).escape_ascii().to_string());
    }

    #[test]
    fn without_a_hit_nothing_changes(input in prop::collection::vec(any::<u8>(), 0..4000)) {
        let (out, hits) = whole(&matcher(Shapes::Default), &input);
        if hits.is_empty() {
            prop_assert_eq!(out, input);
        }
    }

    #[test]
    fn any_needle_in_any_form_is_gone(
        value in prop::collection::vec(any::<u8>(), 6..60),
        before in input(),
        after in input(),
        seeds in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let matcher = Matcher::builder().needle("N", &value).shapes(Shapes::None).mark(Mark::Plain).build();
        if matcher.skipped().is_empty() {
            let mut forms = Vec::new();
            expand(value.trim_ascii(), Encodings::ALL, &mut |_, form| forms.push(form.to_vec()));
            for form in &forms {
                let input = [&before[..], form, &after].concat();
                let (out, hits) = cut(&matcher, &input, &cuts(&input, &seeds));
                prop_assert!(!hits.is_empty());
                for form in &forms {
                    prop_assert!(!out.windows(form.len()).any(|w| w == form), "{form:?}");
                }
            }
        }
    }

    #[test]
    fn a_needle_added_late_is_gone_from_there_on(input in input(), at in any::<prop::sample::Index>()) {
        let mut redactor = Matcher::builder().shapes(Shapes::None).build().redactor();
        let (mut out, at) = (Vec::new(), at.index(input.len() + 1));
        redactor.push(&input[..at], &mut out);
        prop_assert_eq!(&out, &input[..at]);
        redactor.add_needle("SELF", b"abababab");
        redactor.push(&input[at..], &mut out);
        redactor.finish(&mut out);
        prop_assert!(!out[at..].windows(8).any(|w| w == b"abababab"));
    }
}

#[test]
fn a_needle_added_late_is_found_in_held_bytes() {
    let mut redactor =
        Matcher::builder().needle("LONG", b"abcdefghijklmnop").mark(Mark::Name).build().redactor();
    let mut out = Vec::new();
    assert!(redactor.push(b"see abcdefgh", &mut out).is_empty());
    assert_eq!((out.as_slice(), redactor.held()), (&b"see "[..], 8));
    assert_eq!(redactor.add_needle("SHORT", b"abcdefgh"), None);
    assert_eq!(redactor.push(b".", &mut out).len(), 1);
    assert_eq!(out, b"see [REDACTED:SHORT].");
    assert!(redactor.add_needle("TINY", b"ab").is_some());
}

#[track_caller]
fn check(matcher: &Matcher, pushes: &[&str], wanted: &[&str]) {
    let (mut redactor, mut out) = (matcher.redactor(), Vec::new());
    for (push, wanted) in pushes.iter().zip(wanted) {
        out.clear();
        redactor.push(push.as_bytes(), &mut out);
        assert_eq!(String::from_utf8_lossy(&out), *wanted, "after {push:?}");
    }
    out.clear();
    redactor.finish(&mut out);
    assert_eq!(String::from_utf8_lossy(&out), *wanted.last().unwrap(), "at the end");
}

#[test]
fn overlapping_needles_become_one_mark() {
    let matcher = matcher(Shapes::None);
    check(&matcher, &["------BEGIN KEY-----\n"], &["-[REDACTED]\n", ""]);
    check(&matcher, &["---", "-", "--BEGIN KEY--", "---\n"], &["", "", "-", "[REDACTED]\n", ""]);
    check(&matcher, &["abcdefghij "], &["[REDACTED] ", ""]);
    check(&matcher, &["abababababab."], &["[REDACTED].", ""]);
}

#[test]
fn prompts_and_lines_come_out_at_once() {
    let matcher = Matcher::builder().needle("DB_PASSWORD", b"zx81-c64-amiga-500").build();
    for text in [
        "Password: ",
        "Enter token: ",
        "$ ",
        "> ",
        "done.\n",
        "50%\r",
        "\u{1b}[1m",
        "Continue? [y/N] ",
        "{\"password\": ",
    ] {
        check(&matcher, &[text], &[text, ""]);
    }
}

#[test]
fn half_of_a_needle_at_the_end_is_hidden() {
    let matcher = matcher(Shapes::None);
    assert_eq!(whole(&matcher, b"x abcdefghijk").0, b"x [REDACTED]");
    let (out, hits) = whole(&matcher, b"x 012345 -----BEG");
    assert_eq!((out.as_slice(), hits.len()), (&b"x 012345 [REDACTED]"[..], 1));
    assert_eq!(whole(&matcher, b"x -----BE").0, b"x -----BE");
}

#[test]
fn awkward_texts_in_every_cut() {
    let matcher = matcher(Shapes::Default);
    for (text, wanted) in [
        ("-token-abs3cret123456789012-", "-token-[REDACTED]"),
        ("--password +line+0f+it ", "--password [REDACTED] "),
        ("password: hunter2 ", "password: [REDACTED] "),
        ("a://0123456789s3cretijkl@x", "a://[REDACTED]@x"),
        ("token: str = \"a1b2c3d4e5f6\"", "token: str = \"[REDACTED]\""),
        ("Bearer a1b2c3d4e5f6g7.", "Bearer [REDACTED]"),
        ("DB_PASS=s3cret-99 x", "DB_PASS=[REDACTED] x"),
        ("token = 'a1b2c3d4e5f6g7h8' | 'h8g7f6e5d4c3b2a1' ", "token = '[REDACTED]' | '[REDACTED]' "),
        (
            "API_KEYS = [\"a1b2c3d4e5f6g7h8\", \"h8g7f6e5d4c3b2a1\"] ",
            "API_KEYS = [\"[REDACTED]\", \"[REDACTED]\"] ",
        ),
        ("{\"token\": \"a1b2c3d4e5f6g7h8\", \"h8g7\": 1}", "{\"token\": \"[REDACTED]\", \"h8g7\": 1}"),
        ("secret: |\n  a1b2c3d4e5f6g7h8\n", "secret: |\n  [REDACTED]\n"),
        ("the token is a1b2c3d4e5f6g7h8 ", "the token is [REDACTED] "),
        ("access key id 1 = a1b2c3d4e5f6g7h8 ", "access key id 1 = [REDACTED] "),
        ("x.TOKEN || 'a1b2c3d4e5f6g7h8' ", "x.TOKEN || '[REDACTED]' "),
        ("api_key = new String(\"a1b2c3d4e5f6g7h8\")", "api_key = new String(\"[REDACTED]\")"),
        (
            "<key>ApiToken</key>\n <string>a1b2c3d4e5f6</string>",
            "<key>ApiToken</key>\n <string>[REDACTED]</string>",
        ),
        ("Authorization: token=a1b2c3d4e5f6g7h8 ", "Authorization: token=[REDACTED] "),
        (
            "password!='hunter2' and something else that is long",
            "password!='[REDACTED]' and something else that is long",
        ),
        ("| token | `a1b2c3d4e5f6g7h8` |", "| token | `[REDACTED]` |"),
    ] {
        for at in 0..=text.len() {
            let out = cut(&matcher, text.as_bytes(), &[at]).0;
            assert_eq!(String::from_utf8_lossy(&out), wanted, "cut at {at}");
        }
        let bytes: Vec<usize> = (0..text.len()).collect();
        assert_eq!(
            String::from_utf8_lossy(&cut(&matcher, text.as_bytes(), &bytes).0),
            wanted,
            "byte by byte"
        );
    }
}

#[test]
fn a_run_before_the_fixed_text_in_every_cut() {
    let matcher = matcher(Shapes::Default);
    for (text, wanted) in [
        ("key d41d8cd98f00b204e9800998ecf8427e-us12 end", "key d41d8cd[REDACTED] end"),
        ("bot 1234567890:AAE0123456789abcdefghijklmnopqrstuv end", "bot 1234567[REDACTED] end"),
        ("d41d8cd98f00b204e9800998ecf8427e-user", "d41d8cd98f00b204e9800998ecf8427e-user"),
    ] {
        for at in 0..=text.len() {
            assert_eq!(
                String::from_utf8_lossy(&cut(&matcher, text.as_bytes(), &[at]).0),
                wanted,
                "cut at {at}"
            );
        }
        let bytes: Vec<usize> = (0..text.len()).collect();
        assert_eq!(String::from_utf8_lossy(&cut(&matcher, text.as_bytes(), &bytes).0), wanted);
    }
    // Words on their way to a screen are not held.
    check(
        &Matcher::builder().build(),
        &["Downloading", "Reconnecting", " 12345"],
        &["Downloading", "Reconnecting", " 12345", ""],
    );
}

/// A word of three to five bytes is found at the end of a push, whatever its place in the buffer.
#[test]
fn short_words_at_the_end_of_a_push() {
    let matcher = Matcher::builder().mark(Mark::Plain).build();
    for before in 0..40 {
        for (word, rest) in [
            ("ghp_", "0123456789abcdefghijABCDEFGHIJ012345"),
            ("sk-", "0123456789abcdefghijABCDEFGHIJ012345"),
            ("eyJ", "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abcdefghij"),
            ("glc_", "0123456789abcdefghijABCDEFGHIJ012345"),
        ] {
            let text = format!("{}\n{word}{rest} x", ".".repeat(before));
            let bytes: Vec<usize> = (0..text.len()).collect();
            let wanted = format!("{}\n[REDACTED] x", ".".repeat(before));
            let got = cut(&matcher, text.as_bytes(), &bytes).0;
            assert_eq!(String::from_utf8_lossy(&got), wanted);
        }
    }
}

#[test]
fn the_set_for_source_code_leaves_values_alone() {
    let matcher = Matcher::builder().shapes(Shapes::Code).build();
    let code = b"const password = 'hunter2hunter2'; let api_key = \"0f1e2d3c4b5a69788796a5b4c3d2e1f0\";";
    assert_eq!(whole(&matcher, code).0, code);
    let token = ["x = \"ghp_", "0123456789abcdefABCDEF0123456789abcd\""].concat();
    assert_eq!(whole(&matcher, token.as_bytes()).0, b"x = \"[REDACTED:github-token]\"");
}

#[test]
fn a_long_token_is_swallowed() {
    let matcher = matcher(Shapes::Default);
    let mut redactor = matcher.redactor();
    let mut out = Vec::new();
    let head = "key sk-ant-api03-0123456789abcdefghij";
    redactor.push(head.as_bytes(), &mut out);
    for _ in 0..1000 {
        redactor.push(&[b'x'; 1000], &mut out);
        assert!(redactor.held() < 64);
    }
    let hits: Vec<Hit> = redactor.push(b" end\n", &mut out).into_iter().collect();
    assert_eq!(out, b"key [REDACTED] end\n");
    assert_eq!((hits[0].offset, hits[0].len), (4, 1_000_033));
}

#[test]
fn debug_output_has_no_value() {
    let builder = Matcher::builder().needle("NAME", b"topsecretvalue");
    let mut shown = format!("{builder:?}");
    let matcher = builder.build();
    let mut redactor = matcher.redactor();
    let mut out = Vec::new();
    let hits = redactor.push(b"topsecretvalue topsecretval", &mut out);
    shown += &format!("{matcher:?} {redactor:?} {hits:?}");
    assert!(!shown.contains("topsecret") && shown.contains("NAME"), "{shown}");
    fn is_send<T: Send>(_: &T) {}
    is_send(&matcher);
    is_send(&redactor);
}

fn rule(pattern: &str) -> OperatorRule {
    OperatorRule { id: "acme-key".to_owned(), pattern: pattern.to_owned(), ..OperatorRule::default() }
}

#[test]
fn an_operators_rule_in_every_cut() {
    let matcher = Matcher::builder().shapes(Shapes::None).rule(&rule("acme_<alnum 8..>")).unwrap().build();
    let input = b"x acme_0123456789abc, acme_short xacme_0123456789 ac";
    for at in 0..input.len() {
        let (out, hits) = cut(&matcher, input, &[at]);
        assert_eq!(out.escape_ascii().to_string(), "x [REDACTED:acme-key], acme_short xacme_0123456789 ac");
        assert_eq!((hits.len(), hits[0].offset, hits[0].len), (1, 2, 18));
    }
}

/// A rule that hides next to nothing of everyday output is none that hides too much.
#[test]
fn rules_that_are_taken() {
    for pattern in ["acme_<alnum 8..>", "Authorization: Acme |<graph 8..>", "acme-<digit 4>-<hex 32>"] {
        assert!(Matcher::builder().rule(&rule(pattern)).is_ok(), "{pattern}");
    }
}

#[test]
fn rules_that_are_refused() {
    let check = |rule: &OperatorRule, expect: &str| {
        let refused = Matcher::builder().rule(rule).map(|_| ()).unwrap_err();
        assert!(refused.to_string().contains(expect), "{refused}");
    };
    check(&rule("a<alnum 8>"), "at least 3 bytes");
    check(&rule("<alnum 8..>"), "neither a text of at least 3 bytes nor a run of bounded length");
    check(&rule("<alnum 8>"), "must begin with a text of at least 3 bytes");
    check(&rule(&("acme".to_owned() + &"0a1b2c3d".repeat(40_000) + "<alnum 8>")), "more than 262144");
    check(&rule("commit <hex 40>"), "everyday output without a secret, such as `commit ");
    check(&rule("acme<letters 8>"), "unknown class");
    check(&rule("acme<alnum 8"), "without");
    check(&OperatorRule { id: "jwt".to_owned(), ..rule("acme<alnum 8>") }, "must be new");
    check(&OperatorRule { id: "a b".to_owned(), ..rule("acme<alnum 8>") }, "letters, digits");
    check(&OperatorRule { examples: vec!["acme".to_owned()], ..rule("acme<alnum 8>") }, "example 1");
    let counter_examples = vec!["none".to_owned(), "acme01234567".to_owned()];
    check(&OperatorRule { counter_examples, ..rule("acme<alnum 8>") }, "counter-example 2");
}
