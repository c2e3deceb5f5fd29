// What must hold for any bytes. The fuzz targets and the test that replays the corpus share it.

use keyblind_redact::{Hit, JsonRedactor, Mark, Matcher, Redactor, Shapes};

/// How the bytes of a case are read: up to three needles and a list of cuts, each with its length before
/// it, then the input.
struct Case<'a> {
    needles: Vec<&'a [u8]>,
    cuts: &'a [u8],
    input: &'a [u8],
}

fn case(data: &[u8]) -> Case<'_> {
    let mut rest = data;
    let mut take = |most: usize| {
        let Some((&len, after)) = rest.split_first() else { return &[][..] };
        let (part, after) = after.split_at((usize::from(len) % (most + 1)).min(after.len()));
        rest = after;
        part
    };
    let needles = vec![take(48), take(48), take(48)];
    let cuts = take(32);
    Case { needles, cuts, input: rest }
}

/// Lengths of the pushes: those of the cuts, then one for the rest.
fn parts<'a>(input: &'a [u8], cuts: &[u8]) -> Vec<&'a [u8]> {
    let (mut parts, mut rest) = (Vec::new(), input);
    for &cut in cuts {
        let (part, after) = rest.split_at(usize::from(cut).min(rest.len()));
        parts.push(part);
        rest = after;
    }
    parts.push(rest);
    parts
}

trait Stream {
    fn take(&mut self, input: &[u8], out: &mut Vec<u8>) -> Vec<Hit>;
    fn end(&mut self, out: &mut Vec<u8>) -> Vec<Hit>;
}

macro_rules! stream {
    ($type:ty) => {
        impl Stream for $type {
            fn take(&mut self, input: &[u8], out: &mut Vec<u8>) -> Vec<Hit> {
                self.push(input, out).into_iter().collect()
            }

            fn end(&mut self, out: &mut Vec<u8>) -> Vec<Hit> {
                self.finish(out).into_iter().collect()
            }
        }
    };
}
stream!(Redactor);
stream!(JsonRedactor);

fn run(mut stream: impl Stream, parts: &[&[u8]]) -> (Vec<u8>, Vec<Hit>) {
    let (mut out, mut hits) = (Vec::new(), Vec::new());
    for part in parts {
        hits.extend(stream.take(part, &mut out));
    }
    hits.extend(stream.end(&mut out));
    hits.sort();
    (out, hits)
}

/// Text: every cut gives the same, nothing changes without a find, no needle is left.
pub(crate) fn text(data: &[u8]) {
    let case = case(data);
    let build = |shapes| {
        let builder = case.needles.iter().fold(Matcher::builder(), |b, value| b.needle("N", value));
        builder.shapes(shapes).mark(Mark::Plain).build()
    };
    for shapes in [Shapes::Default, Shapes::Code, Shapes::None] {
        let matcher = build(shapes);
        let whole = run(matcher.redactor(), &[case.input]);
        assert_eq!(run(matcher.redactor(), &parts(case.input, case.cuts)), whole);
        let bytes: Vec<&[u8]> = case.input.chunks(1).collect();
        assert_eq!(run(matcher.redactor(), &bytes), whole);
        if whole.1.is_empty() {
            assert_eq!(whole.0, case.input);
        }
        let looked_for = case.needles.iter().filter(|_| matcher.skipped().is_empty());
        for needle in looked_for.map(|needle| needle.trim_ascii()).filter(|n| !mark_may_make(n)) {
            assert!(!whole.0.windows(needle.len()).any(|w| w == needle));
        }
    }
}

/// Whether a needle may come about from a mark and what stands beside it.
fn mark_may_make(needle: &[u8]) -> bool {
    needle.is_empty() || needle.iter().any(|b| b"[REDACTED]".contains(b))
}

/// JSON: every cut gives the same, and JSON stays JSON.
pub(crate) fn json(data: &[u8]) {
    let case = case(data);
    let matcher = case.needles.iter().fold(Matcher::builder(), |b, value| b.needle("N", value)).build();
    for every_line in [true, false] {
        let whole = run(matcher.json_redactor(every_line), &[case.input]);
        assert_eq!(run(matcher.json_redactor(every_line), &parts(case.input, case.cuts)), whole);
        if whole.1.is_empty() {
            assert_eq!(whole.0, case.input);
        }
        let valid = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).is_ok();
        if !case.input.contains(&b'\n') && valid(case.input) && every_line {
            assert!(valid(&whole.0));
        }
    }
}
