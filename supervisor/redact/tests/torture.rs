//! What streams do to a redactor that is not careful: cuts anywhere, ends in the middle, huge lines, bytes
//! that are no text, needles in one another, a thousand of them.

#[cfg(test)]
mod tests {
    use keyblind_redact::{Hit, JsonRedactor, Mark, Matcher, Shapes};

    fn needles(all: &[(&str, &str)]) -> Matcher {
        let builder = Matcher::builder().shapes(Shapes::None).mark(Mark::Plain);
        all.iter().fold(builder, |b, (name, value)| b.needle(name, value.as_bytes())).build()
    }

    fn pushed(matcher: &Matcher, parts: &[&[u8]]) -> (Vec<u8>, Vec<Hit>) {
        let (mut redactor, mut out, mut hits) = (matcher.redactor(), Vec::new(), Vec::new());
        for part in parts {
            hits.extend(redactor.push(part, &mut out));
        }
        hits.extend(redactor.finish(&mut out));
        hits.sort();
        (out, hits)
    }

    /// Pushes `input` whole, a byte at a time, and cut in two at every offset.
    #[track_caller]
    fn check(matcher: &Matcher, input: &[u8], wanted: &[u8]) {
        let (out, hits) = pushed(matcher, &[input]);
        assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(wanted));
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(pushed(matcher, &bytes), (out.clone(), hits.clone()), "a byte at a time");
        for at in 0..=input.len() {
            let (head, tail) = input.split_at(at);
            assert_eq!(pushed(matcher, &[head, tail]), (out.clone(), hits.clone()), "cut at {at}");
        }
    }

    #[test]
    fn needles_that_overlap_themselves_and_one_another() {
        let all = [
            ("KEY", "-----BEGIN KEY-----"),
            ("FIRST", "abcdefg"),
            ("SECOND", "efghij"),
            ("OUTER", "0123456789abcdef"),
            ("INNER", "456789ab"),
            ("PERIOD", "xyxyxyxy"),
        ];
        let matcher = needles(&all);
        check(&matcher, b"------BEGIN KEY-----", b"-[REDACTED]");
        check(&matcher, b"-----BEGIN -----BEGIN KEY------", b"-----BEGIN [REDACTED]-");
        check(&matcher, b"<abcdefghij>", b"<[REDACTED]>");
        check(&matcher, b"abcdefabcdefg", b"abcdef[REDACTED]");
        check(&matcher, b"a 0123456789abcdef 456789ab z", b"a [REDACTED] [REDACTED] z");
        check(&matcher, b"0123456789abcdeX 3456789abc", b"0123[REDACTED]cdeX 3[REDACTED]c");
        check(&matcher, b"yxyxyxyxyxyxyz", b"[REDACTED]z");
        check(&matcher, b"xyxyxyx yxyxyxy", b"xyxyxyx yxyxyxy");
    }

    #[test]
    fn the_end_in_the_middle_of_a_needle() {
        let secret = "corr3ct-horse-battery";
        let matcher = needles(&[("PASS", secret)]);
        for seen in 0..secret.len() {
            let input = format!("so it was {}", &secret[..seen]);
            let wanted = if seen < 8 { input.clone() } else { "so it was [REDACTED]".to_owned() };
            check(&matcher, input.as_bytes(), wanted.as_bytes());
        }
    }

    #[test]
    fn a_secret_at_every_place_of_a_long_push() {
        // Around the edges of what is looked through at once: 4 KiB for words, 64 KiB for all.
        let token = format!("ghp_{}", "k3Yb1iNd".repeat(5).split_at(36).0);
        let builder = Matcher::builder().mark(Mark::Plain);
        let matcher = builder.needle("N", b"zx81-c64-amiga-500").needle("SHORT", b"q7w8e9r0").build();
        let filler: String = "ordinary words, one after another; ".repeat(2000);
        for edge in [0, 4096, 8192, 65_536] {
            for at in edge.max(80) - 80..edge + 40 {
                for secret in [token.as_str(), "zx81-c64-amiga-500", "q7w8e9r0"] {
                    let (head, tail) = (&filler[..at], &filler[..60]);
                    let input = format!("{head} {secret} {tail}");
                    let (out, hits) = pushed(&matcher, &[input.as_bytes()]);
                    assert_eq!(hits.len(), 1, "{secret} at {at}");
                    assert_eq!(String::from_utf8(out).unwrap(), format!("{head} [REDACTED] {tail}"));
                }
                let (head, tail) = (&filler[..at], &filler[..60]);
                let input = format!("{head} password: hunter2x {tail}");
                let (out, _) = pushed(&matcher, &[input.as_bytes()]);
                assert_eq!(String::from_utf8(out).unwrap(), format!("{head} password: [REDACTED] {tail}"));
            }
        }
    }

    #[test]
    fn bytes_that_are_no_text_pass_as_they_are() {
        let matcher = needles(&[("PASS", "corr3ct-horse-battery")]);
        let mut input: Vec<u8> =
            (0..=255).rev().chain(128..=255).chain([0xc3, 0xe2, 0x82, 0, 0xff]).collect();
        let mut wanted = input.clone();
        check(&matcher, &input, &wanted);
        input.extend(b"corr3ct-horse-battery\xc3\x28corr3ct-horse-batter\xff");
        wanted.extend(b"[REDACTED]\xc3\x28corr3ct-horse-batter\xff");
        check(&matcher, &input, &wanted);
    }

    #[test]
    fn a_line_of_a_megabyte() {
        let matcher = Matcher::builder().needle("PASS", b"corr3ct-horse-battery").mark(Mark::Plain).build();
        let filler = "nothing to see here and so on; ".repeat(33_000);
        let input = format!("{filler}corr3ct-horse-battery{filler}");
        let wanted = format!("{filler}[REDACTED]{filler}");
        for size in [4093, 65_536, input.len()] {
            let mut redactor = matcher.redactor();
            let mut out = Vec::new();
            for part in input.as_bytes().chunks(size) {
                redactor.push(part, &mut out);
                assert!(redactor.held() < 2048, "{} bytes are held", redactor.held());
            }
            redactor.finish(&mut out);
            assert!(out == wanted.as_bytes(), "in parts of {size}");
        }
        // A token without an end is hidden as it passes and never held.
        let mut redactor = matcher.redactor();
        let mut out = Vec::new();
        redactor.push(b"ghp_k3Yb1iNdk3Yb1iNdk3Yb1iNdk3Yb1iNdk3Yb", &mut out);
        for _ in 0..1000 {
            redactor.push(&[b'a'; 1024], &mut out);
            assert!(redactor.held() < 2048, "{} bytes are held", redactor.held());
        }
        redactor.finish(&mut out);
        assert_eq!(out, b"[REDACTED]");
    }

    #[test]
    fn a_thousand_needles_in_some_forms_each() {
        let value = |n: u32| format!("n{:07}-{:08x}", n * 7919, n.wrapping_mul(2_654_435_761));
        let builder = (1..=1000).fold(Matcher::builder().shapes(Shapes::None), |b, n| {
            b.needle(&format!("N{n}"), value(n).as_bytes())
        });
        let matcher = builder.build();
        assert!(matcher.skipped().is_empty());
        for n in 1..=1000 {
            let value = value(n);
            let hex: String = value.bytes().map(|b| format!("{b:02x}")).collect();
            let back: String = value.chars().rev().collect();
            let input = format!("{value} {hex} {back} {value}{value}");
            let mark = format!("[REDACTED:N{n}]");
            let (out, hits) = pushed(&matcher, &[input.as_bytes()]);
            assert_eq!(String::from_utf8(out).unwrap(), format!("{mark} {mark} {mark} {mark}{mark}"));
            assert_eq!(hits.len(), 5);
        }
    }

    #[test]
    fn a_mark_is_safe_where_it_may_stand() {
        let matcher = Matcher::builder().needle("a\"b<c>&\\{d}\n\u{e9}", b"corr3ct-horse-battery").build();
        let (out, _) = pushed(&matcher, &[b"corr3ct-horse-battery"]);
        let mark = String::from_utf8(out).unwrap();
        let safe = |b: u8| b.is_ascii_alphanumeric() || b"[]:_-.".contains(&b);
        assert!(mark.bytes().all(safe), "{mark}");
    }

    fn json(redactor: &mut JsonRedactor, parts: &[&[u8]]) -> String {
        let mut out = Vec::new();
        for part in parts {
            redactor.push(part, &mut out);
        }
        redactor.finish(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_cut_anywhere_stays_json() {
        let matcher = needles(&[("PASS", "corr3ct-\"horse\"-battery")]);
        let inner = r#"{\"in\":\"corr3ct-\\\"horse\\\"-battery\"}"#;
        let line = format!(
            "{{\"id\":7,\"a\":\"x corr3ct-\\u0022horse\\\"-battery y\",\"b\":\"{inner}\",\"c\":[1e3,null]}}\n"
        );
        let whole = json(&mut matcher.json_redactor(true), &[line.as_bytes()]);
        assert!(!whole.contains("horse"), "{whole}");
        let read: serde_json::Value = serde_json::from_str(&whole).unwrap();
        assert_eq!((&read["id"], &read["a"]), (&7.into(), &"x [REDACTED] y".into()));
        assert!(serde_json::from_str::<serde_json::Value>(read["b"].as_str().unwrap()).is_ok());
        for at in 0..=line.len() {
            let (head, tail) = line.as_bytes().split_at(at);
            assert_eq!(json(&mut matcher.json_redactor(true), &[head, tail]), whole, "cut at {at}");
            // The end of the stream in the middle of a line, which then is text.
            let plain = line.replace("\\u0022", "\\\"");
            let head = &plain.as_bytes()[..at.min(plain.len())];
            assert!(!json(&mut matcher.json_redactor(true), &[head]).contains("-battery"), "end at {at}");
        }
        let bytes: Vec<&[u8]> = line.as_bytes().chunks(1).collect();
        assert_eq!(json(&mut matcher.json_redactor(true), &bytes), whole);
    }

    #[test]
    fn a_line_of_json_of_a_megabyte() {
        let matcher = needles(&[("PASS", "corr3ct-horse-battery")]);
        let filler = "nothing to see here \\n and so on; ".repeat(30_000);
        let input = format!("{{\"a\":\"{filler}corr3ct-\\u0068orse-battery\",\"b\":[\"{filler}\"]}}\n");
        let parts: Vec<&[u8]> = input.as_bytes().chunks(4099).collect();
        let out = json(&mut matcher.json_redactor(true), &parts);
        assert!(out == format!("{{\"a\":\"{filler}[REDACTED]\",\"b\":[\"{filler}\"]}}\n"));
        assert!(serde_json::from_str::<serde_json::Value>(&out).is_ok());
    }
}
