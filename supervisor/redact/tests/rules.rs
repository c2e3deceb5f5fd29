//! Every example and counter-example of every rule in `policies/redaction`.

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use keyblind_redact::{HitKind, Mark, Matcher, rules};

    #[derive(serde::Deserialize)]
    struct File {
        rule: Vec<Rule>,
    }

    #[derive(serde::Deserialize)]
    struct Rule {
        id: String,
        examples: Vec<String>,
        #[serde(default)]
        counter_examples: Vec<String>,
    }

    fn rule_files() -> Vec<Rule> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies/redaction");
        let mut all = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "toml") {
                let file: File = toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
                all.extend(file.rule);
            }
        }
        all
    }

    /// Replaces `{class n}` by n made-up characters of the class.
    fn fill(text: &str) -> String {
        let (mut out, mut rest, mut state) = (String::new(), text, 0x2545_f491_4f6c_dd1d_u64);
        while let Some(begin) = rest.find('{') {
            let Some((inner, after)) = rest[begin + 1..].split_once('}') else { break };
            let Some((letters, count)) = inner
                .split_once(' ')
                .and_then(|(class, count)| Some((alphabet(class)?, count.parse::<usize>().ok()?)))
            else {
                out.push_str(&rest[..=begin]);
                rest = &rest[begin + 1..];
                continue;
            };
            out.push_str(&rest[..begin]);
            for _ in 0..count {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let n = usize::try_from(state % letters.len() as u64).unwrap();
                out.push(char::from(letters.as_bytes()[n]));
            }
            rest = after;
        }
        out + rest
    }

    fn alphabet(class: &str) -> Option<&'static str> {
        Some(match class {
            "digit" => "0123456789",
            "lower" => "abcdefghijklmnopqrstuvwxyz",
            "upper" => "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
            "hex" => "0123456789abcdef",
            "HEX" => "0123456789ABCDEF",
            "base32" => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
            "bech32" => "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L",
            "alpha" => "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
            "alnum" | "base64" | "b64url" => "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
            _ => return None,
        })
    }

    fn redact(text: &str) -> (String, Vec<String>) {
        let matcher = Matcher::builder().mark(Mark::Plain).build();
        let (mut redactor, mut out) = (matcher.redactor(), Vec::new());
        let mut names = Vec::new();
        for part in text.as_bytes().chunks(7) {
            names.extend(redactor.push(part, &mut out).into_iter().map(|h| (h.kind, h.name.to_string())));
        }
        names.extend(redactor.finish(&mut out).into_iter().map(|h| (h.kind, h.name.to_string())));
        assert!(names.iter().all(|(kind, _)| *kind == HitKind::Shape));
        (String::from_utf8(out).unwrap(), names.into_iter().map(|(_, name)| name).collect())
    }

    #[test]
    fn examples_are_hidden_exactly() {
        let mut wrong = Vec::new();
        for rule in rule_files() {
            for example in &rule.examples {
                let filled = fill(example);
                let (mut wanted, mut rest) = (String::new(), filled.as_str());
                while let Some((before, after)) = rest.split_once('«') {
                    let (_, behind) = after.split_once('»').expect("« without »");
                    wanted.push_str(before);
                    wanted.push_str("[REDACTED]");
                    rest = behind;
                }
                wanted.push_str(rest);
                let (got, names) = redact(&filled.replace(['«', '»'], ""));
                if got != wanted || !names.contains(&rule.id) {
                    wrong.push(format!(
                        "{}: {example}\n   wanted {wanted}\n   got    {got} {names:?}",
                        rule.id
                    ));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn counter_examples_stay() {
        let mut wrong = Vec::new();
        for rule in rule_files() {
            for example in &rule.counter_examples {
                let filled = fill(example);
                let (got, names) = redact(&filled);
                if got != filled {
                    wrong.push(format!("{}: {example}\n   got {got} {names:?}", rule.id));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn every_rule_is_built_in_once() {
        let files = rule_files();
        assert_eq!(files.len(), rules().len());
        for rule in &files {
            assert_eq!(rules().iter().filter(|r| r.id == rule.id).count(), 1, "{}", rule.id);
        }
    }
}
