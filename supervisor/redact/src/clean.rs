//! Text without a secret: what developers' programs print, made up here.

struct Made(u64);

impl Made {
    fn below(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }

    fn index(&mut self, below: usize) -> usize {
        usize::try_from(self.below(below as u64)).unwrap_or(0)
    }

    fn of(&mut self, alphabet: &str, len: usize) -> String {
        let letters = alphabet.as_bytes();
        (0..len).map(|_| char::from(letters[self.index(letters.len())])).collect()
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
        WORDS[self.index(WORDS.len())]
    }

    fn words(&mut self, count: usize) -> String {
        (0..count).map(|_| self.word()).collect::<Vec<_>>().join(" ")
    }

    fn uuid(&mut self) -> String {
        let lens = [8, 4, 4, 4, 12];
        lens.map(|len| self.hex(len)).join("-")
    }

    /// One piece of everyday output.
    fn piece(&mut self) -> String {
        let (a, b, c) = (self.word(), self.word(), self.word());
        let n = self.below(10_000);
        match self.below(16) {
            0 => {
                let (hash, text) = (self.hex(40), self.words(6));
                format!(
                    "commit {hash}\nAuthor: Jo Doe <jo@example.com>\nDate:   Mon Nov 23 14:02:11 2026 +0000\n\n    {text}\n\n"
                )
            }
            1 => {
                let hash = self.base64(86);
                format!(
                    "    \"node_modules/{a}-{b}\": {{\n      \"version\": \"{}.{n}.1\",\n      \"resolved\": \"https://registry.npmjs.org/{a}-{b}/-/{a}-{b}-1.{n}.1.tgz\",\n      \"integrity\": \"sha512-{hash}==\"\n    }},\n",
                    n % 9
                )
            }
            2 => {
                let hash = self.hex(64);
                format!(
                    "[[package]]\nname = \"{a}-{b}\"\nversion = \"0.{n}.1\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"{hash}\"\n\n"
                )
            }
            3 => {
                let (x, y) = (self.uuid(), self.uuid());
                format!(
                    "{{\"id\":\"{x}\",\"trace_id\":\"{y}\",\"level\":\"info\",\"msg\":\"{a} {b} {c}\",\"took_ms\":{n}}}\n"
                )
            }
            4 => {
                let image = self.base64(400);
                format!("![{a}](data:image/png;base64,iVBORw0KGgo{image})\n")
            }
            5 => format!(
                "    let {a}_{b} = self.{c}.lock().map_err(|e| Error::{n}(e))?;\n    if {a}_{b}.is_empty() {{ return Ok(None); }}\n"
            ),
            6 => format!(
                "Traceback (most recent call last):\n  File \"/srv/app/{a}/{b}.py\", line {n}, in {c}\n    raise ValueError(\"{a} {b}\")\nValueError: {a} {b}\n"
            ),
            7 => format!(
                "   at com.example.{a}.{b}.invoke({c}.java:{n})\n   at java.base/java.lang.Thread.run(Thread.java:1583)\n"
            ),
            8 => format!(
                "password: str = os.environ[\"{}_PASSWORD\"]\napi_key = config.get(\"{a}\")\ntoken = tokenizer.next_token()\nMAX_TOKENS={n}\n",
                a.to_uppercase()
            ),
            9 => format!(
                "export {}_KEY=${{{}_KEY:-}}\nDB_PASSWORD=$(pass show {b})\nSECRET_FILE=/run/secrets/{c}\n",
                a.to_uppercase(),
                b.to_uppercase()
            ),
            10 => {
                let text = self.words(12);
                format!(
                    "assistant: I looked at the {a} and the {b}; {text}.\n$ cargo test -p {c} -- --nocapture\n"
                )
            }
            11 => {
                let (x, y) = (self.hex(7), self.hex(7));
                format!(
                    "diff --git a/src/{a}.rs b/src/{a}.rs\nindex {x}..{y} 100644\n@@ -{n},7 +{n},9 @@ fn {b}()\n-    {c}(\"{a}\");\n+    {c}(\"{b}\");\n"
                )
            }
            12 => format!(
                "2026-11-23T14:02:{:02}.{n:04}Z INFO {a}: {b} {c} 10.0.{}.{} 200 {n}us\n",
                n % 60,
                n % 255,
                n % 200
            ),
            13 => {
                let hash = self.hex(64);
                format!("{hash}  dist/{a}-{b}-{n}.tar.gz\nsha256:{hash} {c}\n")
            }
            14 => {
                format!("\u{1b}[32m{a}\u{1b}[0m [{:>3}%] Building CXX object src/{b}/{c}.cc.o\r\n", n % 100)
            }
            _ => format!(
                "The {a} {b} is described in https://docs.example.com/{a}/{b}?page={n}#{c}; ask the owner.\n"
            ),
        }
    }
}

/// The first `bytes` bytes of that text, and what is left of its last piece. It is the same each time.
pub(crate) fn text(bytes: usize) -> String {
    let (mut made, mut out) = (Made(0x9e37_79b9_7f4a_7c15), String::with_capacity(bytes + 4096));
    while out.len() < bytes {
        out.push_str(&made.piece());
    }
    out
}
