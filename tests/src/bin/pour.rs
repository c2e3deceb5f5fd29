#![forbid(unsafe_code)]
//! Pours the same bytes every time: `pour BYTES [stdout|stderr|both]`. Lines of 64 letters, digits and spaces from a
//! fixed sequence; with `both`, the streams take turns by 64 KiB.

use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let bytes = args.next().and_then(|word| word.parse::<usize>().ok()).unwrap_or(0);
    let streams = args.next().unwrap_or_else(|| "stdout".to_owned());
    let done = match streams.as_str() {
        "stderr" => pour(bytes, &mut [&mut io::stderr().lock()]),
        "both" => pour(bytes, &mut [&mut io::stdout().lock(), &mut io::stderr().lock()]),
        _ => pour(bytes, &mut [&mut io::stdout().lock()]),
    };
    if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// `bytes` to each of the streams.
fn pour(bytes: usize, streams: &mut [&mut dyn Write]) -> io::Result<()> {
    const PIECE: usize = 64 * 1024;
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut left = bytes;
    while left > 0 {
        let mut piece = Vec::with_capacity(PIECE);
        while piece.len() < PIECE.min(left) {
            if piece.len() % 65 == 64 {
                piece.push(b'\n');
                continue;
            }
            // xorshift64: no two lines are alike, and no package is needed to say the same each time.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            // No word for a secret can be spelt with these, so no rule has a reason to look twice.
            piece.push(b"abcefghijlmnouvz0123456789      "[usize::try_from(state >> 33).unwrap_or(0) % 32]);
        }
        for stream in streams.iter_mut() {
            stream.write_all(&piece)?;
            stream.flush()?;
        }
        left -= piece.len();
    }
    Ok(())
}
