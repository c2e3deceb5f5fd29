//! Throughput of the redactor: `cargo bench -p keyblind-redact`.
//!
//! Pushes text through a fresh redactor and prints GB/s of processor time, output copy included, best and
//! median of the rounds, against a plain copy of the same bytes: a generated log, one that is full of
//! telling words, and what stands in the file that `KEYBLIND_BENCH_TEXT` names.

use std::hint::black_box;
use std::io::Write as _;

use keyblind_redact::{Encodings, Matcher, Shapes};

mod made;
use made::{BYTES, TELLING, WORDS, cpu, log, secrets};

fn main() {
    let all = secrets(1000);
    let mut print = std::io::stdout();
    let mut say = |line: String| drop(writeln!(print, "{line}"));
    for (count, encodings, name) in
        [(50, Encodings::ALL, "all"), (100, Encodings::ALL, "all"), (1000, Encodings::ALL, "all")]
    {
        let build = || {
            all[..count]
                .iter()
                .fold(Matcher::builder().encodings(encodings), |b, (n, v)| b.needle(n, v.as_bytes()))
                .build()
        };
        let (best, median) = cpu(|| drop(black_box(build())));
        say(format!(
            "build  {count:5} secrets, {name} encodings: {:8.3} ms best, {:8.3} ms median",
            best * 1e3,
            median * 1e3
        ));
    }
    let file = std::env::var_os("KEYBLIND_BENCH_TEXT").map(std::fs::read).transpose();
    let texts = [
        ("log without planted secrets", log(&[], WORDS)),
        ("log with planted secrets", log(&all[..50], WORDS)),
        ("log of telling words with planted secrets", log(&all[..50], TELLING)),
        ("file", file.ok().flatten().unwrap_or_default()),
    ];
    for (name, text) in texts.iter().filter(|(_, text)| !text.is_empty()) {
        let gbs = |seconds: f64| text.len() as f64 / seconds / 1e9;
        let mut out = Vec::with_capacity(BYTES / 8);
        let (best, median) = cpu(|| {
            for part in text.chunks(64 * 1024) {
                out.clear();
                out.extend_from_slice(part);
                black_box(&out);
            }
        });
        say(format!("{name}\n  copy alone: {:6.2} GB/s best, {:6.2} median", gbs(best), gbs(median)));
        for (count, shapes) in
            [(0, true), (50, false), (50, true), (100, false), (100, true), (1000, false), (1000, true)]
        {
            let builder = all[..count].iter().fold(Matcher::builder(), |b, (n, v)| b.needle(n, v.as_bytes()));
            let matcher = builder.shapes(if shapes { Shapes::Default } else { Shapes::None }).build();
            for chunk in [4, 64, 1024] {
                let mut hits = 0;
                let (best, median) = cpu(|| {
                    hits = 0;
                    let mut redactor = matcher.redactor();
                    for part in text.chunks(chunk * 1024) {
                        // A filter writes each part out: reuse the same memory for it.
                        out.clear();
                        hits += redactor.push(part, &mut out).len();
                        black_box(&out);
                    }
                    hits += redactor.finish(&mut out).len();
                });
                say(format!(
                    "  {count:4} secrets, all encodings{} {chunk:4} KiB pushes: {:6.2} GB/s best, {:6.2} median, {hits} hits",
                    if shapes { " + shapes," } else { ",         " },
                    gbs(best),
                    gbs(median)
                ));
            }
        }
    }
}
