//! The generated logs and secrets of the benches, and how they measure.

use std::io::Write as _;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

pub(crate) const BYTES: usize = 142_000_000;
pub(crate) const ROUNDS: usize = 5;

pub(crate) struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }

    fn text(&mut self, alphabet: &[u8], len: usize) -> String {
        (0..len)
            .map(|_| char::from(alphabet[usize::try_from(self.next(alphabet.len() as u64)).unwrap_or(0)]))
            .collect()
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[usize::try_from(self.next(of.len() as u64)).unwrap_or(0)]
    }
}

pub(crate) const ALNUM: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
pub(crate) const HEX: &[u8] = b"0123456789abcdef";

pub(crate) fn secrets(count: usize) -> Vec<(String, String)> {
    let mut random = Random(0x1234_5678_9abc_def1);
    (0..count)
        .map(|n| {
            let len = 16 + usize::try_from(random.next(40)).unwrap_or(0);
            let value = match n % 5 {
                0 => format!("sk-proj-{}", random.text(ALNUM, len)),
                1 => format!("postgres://app:{}@db.internal:5432/main", random.text(ALNUM, 20)),
                2 => random.text(HEX, 40),
                3 => format!(
                    "{}/{}+{}",
                    random.text(ALNUM, 13),
                    random.text(ALNUM, 13),
                    random.text(ALNUM, 12)
                ),
                _ => random.text(ALNUM, len),
            };
            (format!("SECRET_{n}"), value)
        })
        .collect()
}

/// What ordinary log lines are about.
pub(crate) const WORDS: &[&str] = &[
    "request",
    "completed",
    "user",
    "refresh",
    "cache",
    "miss",
    "the",
    "for",
    "with",
    "retry",
    "worker",
    "queue",
    "connection",
    "pool",
    "handler",
    "check",
    "passed",
    "metrics",
    "flushed",
    "rotated",
    "in",
    "of",
    "and",
    "build",
    "socket",
    "listener",
    "reader",
    "parser",
];

/// The same with the words at which a rule has to look: one in seven.
#[allow(dead_code, reason = "not each bench asks for it")]
pub(crate) const TELLING: &[&str] = &[
    "request",
    "completed",
    "token",
    "user",
    "session",
    "refresh",
    "cache",
    "miss",
    "the",
    "for",
    "with",
    "retry",
    "worker",
    "queue",
    "connection",
    "pool",
    "handler",
    "password",
    "check",
    "passed",
    "metrics",
    "flushed",
    "key",
    "rotated",
    "in",
    "of",
    "and",
    "build",
];

/// A log as services write them; one line in a hundred holds a secret where `secrets` has some.
pub(crate) fn log(secrets: &[(String, String)], words: &[&str]) -> Vec<u8> {
    let mut random = Random(0x0dd0_ba11_5eed_5eed);
    let mut out = Vec::with_capacity(BYTES + 512);
    let mut line = 0u64;
    while out.len() < BYTES {
        line += 1;
        let written = match random.next(6) {
            0 => writeln!(
                out,
                "2026-08-21T10:{:02}:{:02}.{:03}Z INFO  http: GET /api/v1/users/{}/items?limit={} 200 {}ms {}",
                random.next(60),
                random.next(60),
                random.next(1000),
                random.next(100_000),
                random.next(100),
                random.next(900),
                random.text(HEX, 32)
            ),
            1 => writeln!(
                out,
                "{{\"ts\":{},\"level\":\"debug\",\"msg\":\"{} {} {} {}\",\"trace\":\"{}\"}}",
                1_787_000_000 + line,
                random.pick(words),
                random.pick(words),
                random.pick(words),
                random.pick(words),
                random.text(HEX, 16)
            ),
            2 => writeln!(
                out,
                "   Compiling {}-{} v{}.{}.{} (/home/jo/src/project/{})",
                random.pick(words),
                random.pick(words),
                random.next(9),
                random.next(30),
                random.next(90),
                random.pick(words)
            ),
            3 => writeln!(
                out,
                "src/{}/{}.rs:{}:{}: warning: unused variable: `{}`",
                random.pick(words),
                random.pick(words),
                random.next(900),
                random.next(80),
                random.pick(words)
            ),
            4 => writeln!(
                out,
                "commit {} {} {} {} {}",
                random.text(HEX, 40),
                random.pick(words),
                random.pick(words),
                random.pick(words),
                random.pick(words)
            ),
            _ => writeln!(
                out,
                "[{:5}.{:06}] {}: {} {} {} {} {}",
                random.next(90000),
                random.next(1_000_000),
                random.pick(words),
                random.pick(words),
                random.pick(words),
                random.pick(words),
                random.pick(words),
                random.pick(words)
            ),
        };
        if written.is_err() {
            break;
        }
        if line.is_multiple_of(100) && !secrets.is_empty() {
            let (_, value) = &secrets[usize::try_from(random.next(secrets.len() as u64)).unwrap_or(0)];
            out.extend_from_slice(b"connecting with ");
            out.extend_from_slice(value.as_bytes());
            out.push(b'\n');
        }
    }
    out.truncate(BYTES);
    out
}

/// Best and median seconds by the clock on the wall.
#[allow(dead_code, reason = "not each bench runs processes")]
pub(crate) fn time(round: impl FnMut()) -> (f64, f64) {
    let start = Instant::now();
    sample(move || start.elapsed(), round)
}

/// Best and median seconds of this thread on a processor, which others on the machine disturb less.
pub(crate) fn cpu(round: impl FnMut()) -> (f64, f64) {
    sample(|| clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from), round)
}

fn sample(clock: impl Fn() -> Duration, mut round: impl FnMut()) -> (f64, f64) {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = clock();
            round();
            clock().saturating_sub(start).as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    (times[0], times[ROUNDS / 2])
}

#[allow(dead_code, reason = "not each bench measures this log alone")]
pub(crate) fn gbs(seconds: f64) -> f64 {
    BYTES as f64 / seconds / 1e9
}
