//! Attacks on the JSON path: a needle in every spelling that JSON allows, at any depth, cut anywhere, in lines
//! that never end or are no JSON.

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use keyblind_redact::{Mark, Matcher, Shapes};
    use proptest::prelude::*;

    const SECRET: &str = "corr3ct-\"h\u{f6}rse\"/b\\t \u{1f511}<&>";

    fn matcher() -> Matcher {
        let builder = Matcher::builder().shapes(Shapes::None).mark(Mark::Plain);
        builder.needle("PASS", SECRET.as_bytes()).build()
    }

    /// `text` inside a JSON string, each character in the spelling that `how` asks for in turn.
    fn spelled(text: &str, how: &[u8]) -> String {
        let mut out = String::new();
        for (c, how) in text.chars().zip(how.iter().cycle()) {
            let short = match c {
                '"' | '\\' | '/' => Some(c),
                '\n' => Some('n'),
                '\t' => Some('t'),
                _ => None,
            };
            match (how % 4, short) {
                (0, _) if !matches!(c, '"' | '\\') && !c.is_control() => out.push(c),
                (0 | 1, Some(short)) => out.extend(['\\', short]),
                (how, _) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        let written = if how == 2 {
                            write!(out, "\\u{unit:04x}")
                        } else {
                            write!(out, "\\u{unit:04X}")
                        };
                        written.unwrap();
                    }
                }
            }
        }
        out
    }

    fn redact(parts: &[&[u8]], every_line: bool) -> String {
        let (mut redactor, mut out) = (matcher().json_redactor(every_line), Vec::new());
        for part in parts {
            redactor.push(part, &mut out);
        }
        redactor.finish(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// What is left when escapes are read again and again: neither the needle nor eight bytes of its beginning
    /// may be there.
    #[track_caller]
    fn none_left(out: &str, of: &str) {
        let mut text = out.to_owned();
        for _ in 0..4 {
            assert!(!text.contains("corr3ct-"), "{out}\nof {of}");
            text = read_escapes(&text);
        }
    }

    fn read_escapes(text: &str) -> String {
        let (mut out, mut rest) = (Vec::new(), text.encode_utf16().collect::<Vec<_>>().into_iter());
        while let Some(unit) = rest.next() {
            if unit != u16::from(b'\\') {
                out.push(unit);
                continue;
            }
            match rest.next().and_then(|u| u8::try_from(u).ok()) {
                Some(b'u') => {
                    let digits: Vec<u16> = rest.by_ref().take(4).collect();
                    let digits = String::from_utf16_lossy(&digits);
                    out.push(u16::from_str_radix(&digits, 16).unwrap_or(0xfffd));
                }
                Some(other) => out.push(u16::from(other)),
                None => {}
            }
        }
        String::from_utf16_lossy(&out)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_spelling_at_any_depth_cut_anywhere(
            how in prop::collection::vec(any::<u8>(), 1..40),
            depth in 0..3usize,
            key in any::<bool>(),
            every_line in any::<bool>(),
            crlf in any::<bool>(),
            end in any::<prop::sample::Index>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut line = if key {
                format!("{{\"n\":1,\"{}\":[null]}}", spelled(SECRET, &how))
            } else {
                format!("{{\"n\":1,\"a\":[\"x {} y\",true]}}", spelled(SECRET, &how))
            };
            for _ in 0..depth {
                line = format!("{{\"text\":\"{}\"}}", spelled(&line, &how));
            }
            let full = format!("{line}{}", if crlf { "\r\n" } else { "\n" });
            let whole = redact(&[full.as_bytes()], every_line);
            none_left(&whole, &full);
            prop_assert!(serde_json::from_str::<serde_json::Value>(&whole).is_ok(), "{}", whole);
            let ends = whole.ends_with(if crlf { "\r\n" } else { "\n" });
            prop_assert!(ends && whole.contains("[REDACTED]"));
            let (head, tail) = full.as_bytes().split_at(cut.index(full.len()));
            prop_assert_eq!(redact(&[head, tail], every_line), whole);
            // The stream ends in the middle of the line.
            let head = &full.as_bytes()[..end.index(full.len())];
            none_left(&redact(&[head], every_line), &full);
            let bytes: Vec<&[u8]> = head.chunks(1).collect();
            prop_assert_eq!(redact(&bytes, every_line), redact(&[head], every_line));
        }
    }

    #[test]
    fn a_line_without_an_end_is_read_as_far_as_it_goes() {
        // The needle whole, in a mix of spellings, and its first characters; the end stands anywhere behind.
        let line = format!("{{\"a\":1,\"b\":\"{}\",\"c\":2", spelled(SECRET, &[2, 0, 3, 0, 0]));
        for end in 0..=line.len() {
            let Some(head) = line.get(..end) else { continue };
            for every_line in [true, false] {
                none_left(&redact(&[head.as_bytes()], every_line), head);
            }
        }
        assert_eq!(redact(&[line.as_bytes()], true), "{\"a\":1,\"b\":\"[REDACTED]\",\"c\":2");
        // JSON in a string is cut off with the string.
        let nested = format!("{{\"text\":\"{}", spelled(&line, &[0]));
        assert_eq!(redact(&[nested.as_bytes()], true), r#"{"text":"{\"a\":1,\"b\":\"[REDACTED]\",\"c\":2"#);
        // A frame whose body does not come to its end.
        let frame = format!("Content-Length: 900\r\n\r\n{line}");
        let wanted = "Content-Length: 900\r\n\r\n{\"a\":1,\"b\":\"[REDACTED]\",\"c\":2";
        assert_eq!(redact(&[frame.as_bytes()], false), wanted);
    }

    #[test]
    fn a_half_seen_needle_is_hidden_with_the_half_of_its_last_escape() {
        for end in [r"\", r"\u", r"\u00", r"\ud83d\u"] {
            let line = format!("{{\"b\":\"\\u0063orr3ct-\\\"{end}");
            assert_eq!(redact(&[line.as_bytes()], true), "{\"b\":\"[REDACTED]");
        }
    }
}
