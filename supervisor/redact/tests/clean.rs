//! Text without a secret passes byte for byte: 20 MB of what developers' programs print, made here.

#[cfg(test)]
#[path = "../src/clean.rs"]
mod clean;

#[cfg(test)]
mod tests {
    use keyblind_redact::{Hit, Matcher};

    const BYTES: usize = 20_000_000;

    fn redact(matcher: &Matcher, text: &str) -> (Vec<u8>, Vec<Hit>) {
        let (mut redactor, mut out, mut hits) = (matcher.redactor(), Vec::new(), Vec::new());
        for part in text.as_bytes().chunks(50_000) {
            hits.extend(redactor.push(part, &mut out));
        }
        hits.extend(redactor.finish(&mut out));
        (out, hits)
    }

    #[test]
    fn everyday_output_passes_byte_for_byte() {
        let text = crate::clean::text(BYTES);
        let (out, hits) = redact(&Matcher::builder().build(), &text);
        let mut shown: Vec<String> = Vec::new();
        for hit in &hits {
            let from = usize::try_from(hit.offset).unwrap();
            if shown.iter().filter(|s| s.starts_with(&*hit.name)).count() < 3 {
                let around = &text.as_bytes()[from.saturating_sub(30)..(from + 50).min(text.len())];
                shown.push(format!("{}: {}", hit.name, around.escape_ascii()));
            }
        }
        assert!(hits.is_empty(), "{} hits\n{}", hits.len(), shown.join("\n"));
        assert!(out == text.as_bytes());
    }

    /// Values of an everyday `.env` that are no secrets must not blank out the words of ordinary output.
    #[test]
    fn an_everyday_env_hides_next_to_nothing() {
        let text = crate::clean::text(BYTES);
        let env = "production development info 8080 localhost true postgres utf-8 en_US.UTF-8 redis debug \
                   us-east-1 5432 json admin false UTC smtp 100 default 127.0.0.1 http://localhost:3000 \
                   master main warn 0.0.0.0 1000 secret password token staging test 3306 root user file";
        let builder = env
            .split_whitespace()
            .enumerate()
            .fold(Matcher::builder(), |b, (n, value)| b.needle(&format!("V{n}"), value.as_bytes()));
        let (_, hits) = redact(&builder.build(), &text);
        let hidden: u64 = hits.iter().map(|hit| hit.len).sum();
        assert!(hidden * 1000 <= text.len() as u64, "{hidden} of {} bytes", text.len());
    }
}
