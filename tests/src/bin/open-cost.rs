#![forbid(unsafe_code)]
//! What one access costs: `open-cost open|read PATH [TIMES]` makes many and prints the nanoseconds of one. In a guest whose clock
//! counts instructions (QEMU's `-icount shift=0`), a nanosecond is an instruction, the kernel's included.

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::time::Instant;

/// So many that a timer interrupt in between does not show.
const TIMES: u32 = 5_000;
/// The first round fills caches; the cheapest of the others has the fewest interrupts in it.
const ROUNDS: u32 = 4;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (what, path, times) = match words.as_slice() {
        [what, path] => (what, path, TIMES),
        [what, path, times] => (what, path, times.parse()?),
        _ => return Err("say open or read, a path, and perhaps how often in one round".into()),
    };
    let file = (what == "read").then(|| File::open(path)).transpose()?;
    let mut least = u128::MAX;
    for round in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..times {
            match &file {
                Some(file) => drop(file.read_at(&mut [0; 1], 0)),
                // A refused open is measured like any other.
                None => drop(File::open(path)),
            }
        }
        let spent = start.elapsed().as_nanos();
        if round > 0 {
            least = least.min(spent);
        }
    }
    writeln!(std::io::stdout(), "{}", least / u128::from(times))?;
    Ok(())
}
