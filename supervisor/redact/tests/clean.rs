//! Text without a secret passes byte for byte: 20 MB of what developers' programs print, made here.

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use keyblind_redact::{Hit, Matcher};

    const BYTES: usize = 20_000_000;

    struct Made(u64);

    impl Made {
        fn below(&mut self, below: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % below
        }

        fn of(&mut self, alphabet: &str, len: usize) -> String {
            let letters = alphabet.as_bytes();
            (0..len)
                .map(|_| char::from(letters[usize::try_from(self.below(letters.len() as u64)).unwrap()]))
                .collect()
        }

        fn hex(&mut self, len: usize) -> String {
            self.of("0123456789abcdef", len)
        }

        fn base64(&mut self, len: usize) -> String {
            self.of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", len)
        }

        fn word(&mut self) -> &'static str {
            const WORDS: &[&str] = &[
                "session",
                "token",
                "password",
                "secret",
                "key",
                "request",
                "cache",
                "worker",
                "the",
                "and",
                "for",
                "access",
                "private",
                "author",
                "handler",
                "parser",
                "buffer",
                "stream",
                "account",
                "config",
                "render",
                "update",
                "commit",
                "merge",
                "branch",
                "release",
                "version",
                "signature",
                "credential",
                "user",
                "client",
                "server",
                "table",
                "index",
                "queue",
                "state",
                "test",
            ];
            WORDS[usize::try_from(self.below(WORDS.len() as u64)).unwrap()]
        }

        fn words(&mut self, count: usize) -> String {
            (0..count).map(|_| self.word()).collect::<Vec<_>>().join(" ")
        }

        fn uuid(&mut self) -> String {
            let lens = [8, 4, 4, 4, 12];
            lens.map(|len| self.hex(len)).join("-")
        }

        /// One piece of everyday output.
        fn piece(&mut self, out: &mut String) {
            let (a, b, c) = (self.word(), self.word(), self.word());
            let n = self.below(10_000);
            match self.below(16) {
                0 => {
                    let (hash, text) = (self.hex(40), self.words(6));
                    write!(out, "commit {hash}\nAuthor: Jo Doe <jo@example.com>\nDate:   Mon Nov 23 14:02:11 2026 +0000\n\n    {text}\n\n")
                }
                1 => {
                    let hash = self.base64(86);
                    write!(out, "    \"node_modules/{a}-{b}\": {{\n      \"version\": \"{}.{n}.1\",\n      \"resolved\": \"https://registry.npmjs.org/{a}-{b}/-/{a}-{b}-1.{n}.1.tgz\",\n      \"integrity\": \"sha512-{hash}==\"\n    }},\n", n % 9)
                }
                2 => {
                    let hash = self.hex(64);
                    write!(out, "[[package]]\nname = \"{a}-{b}\"\nversion = \"0.{n}.1\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"{hash}\"\n\n")
                }
                3 => {
                    let (x, y) = (self.uuid(), self.uuid());
                    writeln!(out, "{{\"id\":\"{x}\",\"trace_id\":\"{y}\",\"level\":\"info\",\"msg\":\"{a} {b} {c}\",\"took_ms\":{n}}}")
                }
                4 => {
                    let image = self.base64(400);
                    writeln!(out, "![{a}](data:image/png;base64,iVBORw0KGgo{image})")
                }
                5 => write!(out, "    let {a}_{b} = self.{c}.lock().map_err(|e| Error::{n}(e))?;\n    if {a}_{b}.is_empty() {{ return Ok(None); }}\n"),
                6 => write!(out, "Traceback (most recent call last):\n  File \"/srv/app/{a}/{b}.py\", line {n}, in {c}\n    raise ValueError(\"{a} {b}\")\nValueError: {a} {b}\n"),
                7 => write!(out, "   at com.example.{a}.{b}.invoke({c}.java:{n})\n   at java.base/java.lang.Thread.run(Thread.java:1583)\n"),
                8 => write!(out, "password: str = os.environ[\"{}_PASSWORD\"]\napi_key = config.get(\"{a}\")\ntoken = tokenizer.next_token()\nMAX_TOKENS={n}\n", a.to_uppercase()),
                9 => write!(out, "export {}_KEY=${{{}_KEY:-}}\nDB_PASSWORD=$(pass show {b})\nSECRET_FILE=/run/secrets/{c}\n", a.to_uppercase(), b.to_uppercase()),
                10 => {
                    let text = self.words(12);
                    write!(out, "assistant: I looked at the {a} and the {b}; {text}.\n$ cargo test -p {c} -- --nocapture\n")
                }
                11 => {
                    let (x, y) = (self.hex(7), self.hex(7));
                    write!(out, "diff --git a/src/{a}.rs b/src/{a}.rs\nindex {x}..{y} 100644\n@@ -{n},7 +{n},9 @@ fn {b}()\n-    {c}(\"{a}\");\n+    {c}(\"{b}\");\n")
                }
                12 => writeln!(out, "2026-11-23T14:02:{:02}.{n:04}Z INFO {a}: {b} {c} 10.0.{}.{} 200 {n}us", n % 60, n % 255, n % 200),
                13 => {
                    let hash = self.hex(64);
                    write!(out, "{hash}  dist/{a}-{b}-{n}.tar.gz\nsha256:{hash} {c}\n")
                }
                14 => write!(out, "\u{1b}[32m{a}\u{1b}[0m [{:>3}%] Building CXX object src/{b}/{c}.cc.o\r\n", n % 100),
                _ => writeln!(out, "The {a} {b} is described in https://docs.example.com/{a}/{b}?page={n}#{c}; ask the owner."),
            }
            .unwrap();
        }
    }

    fn corpus() -> String {
        let (mut made, mut out) = (Made(0x9e37_79b9_7f4a_7c15), String::with_capacity(BYTES + 4096));
        while out.len() < BYTES {
            made.piece(&mut out);
        }
        out
    }

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
        let text = corpus();
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
        let text = corpus();
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
