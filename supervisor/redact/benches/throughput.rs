//! Throughput of the redactor: `cargo bench -p keyblind-redact`.
//!
//! Pushes a generated text log through a fresh redactor and prints GB/s, output copy included, best and
//! median of the rounds, against a plain copy of the same bytes.

use std::hint::black_box;
use std::io::Write as _;

use keyblind_redact::{Encodings, Matcher, Shapes};

mod made;
use made::{BYTES, gbs, log, secrets, time};

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
        let (best, median) = time(|| drop(black_box(build())));
        say(format!(
            "build  {count:5} secrets, {name} encodings: {:8.3} ms best, {:8.3} ms median",
            best * 1e3,
            median * 1e3
        ));
    }
    for planted in [false, true] {
        let log = log(if planted { &all[..50] } else { &[] });
        let mut out = Vec::with_capacity(BYTES + BYTES / 8);
        let (best, median) = time(|| {
            out.clear();
            log.chunks(64 * 1024).for_each(|c| out.extend_from_slice(c));
            black_box(&out);
        });
        say(format!("log {} planted secrets", if planted { "with" } else { "without" }));
        say(format!(
            "  copy alone                                   {:6.2} GB/s best, {:6.2} median",
            gbs(best),
            gbs(median)
        ));
        for (count, shapes) in [(0, true), (50, false), (50, true), (100, false), (100, true), (1000, true)] {
            let builder = all[..count].iter().fold(Matcher::builder(), |b, (n, v)| b.needle(n, v.as_bytes()));
            let matcher = builder.shapes(if shapes { Shapes::Default } else { Shapes::None }).build();
            for chunk in [4, 64, 1024] {
                let mut hits = 0;
                let (best, median) = time(|| {
                    out.clear();
                    hits = 0;
                    let mut redactor = matcher.redactor();
                    for part in log.chunks(chunk * 1024) {
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
