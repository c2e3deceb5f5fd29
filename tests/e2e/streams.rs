//! What a run prints and reads, when it is more than a line.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use keyblind_tests::{Check, Feature, Run, Site, Tier, in_each_tier};
use sha2::{Digest, Sha256};

in_each_tier!(Check; hundred_megabytes, hundred_megabytes_interleaved, stdin_to_stdout, json_rpc, prompt_without_newline);

const MUCH: usize = 100 << 20;

/// Runs `pour` and returns the digest and length of stdout and of stderr.
fn digests(site: &Site, tier: Tier, streams: &str) -> [(String, u64); 2] {
    let program = site.add_helper("pour").display().to_string();
    let (mut command, _) = site.command(&Run::new(tier, [program, MUCH.to_string(), streams.to_owned()]));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let other = child.stderr.take().expect("a pipe");
    let other = std::thread::spawn(move || digest(other));
    let own = digest(child.stdout.take().expect("a pipe"));
    let other = other.join().expect("the other stream");
    assert!(child.wait().expect("an end").success());
    [own, other]
}

fn digest(mut stream: impl Read) -> (String, u64) {
    let (mut sum, mut length, mut piece) = (Sha256::new(), 0, vec![0; 1 << 16]);
    loop {
        match stream.read(&mut piece).expect("a stream") {
            0 => break,
            got => {
                sum.update(&piece[..got]);
                length += got as u64;
            }
        }
    }
    (sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect(), length)
}

fn same_as_bare(tier: Tier, streams: &str) {
    let site = Site::new();
    let bare = digests(&site, Tier::Bare, streams);
    assert_eq!(bare[0].1, MUCH as u64);
    assert_eq!(digests(&site, tier, streams), bare);
}

fn hundred_megabytes() -> Check {
    Check::new(&[], |tier| same_as_bare(tier, "stdout"))
}

fn hundred_megabytes_interleaved() -> Check {
    Check::new(&[], |tier| same_as_bare(tier, "both"))
}

fn stdin_to_stdout() -> Check {
    Check::new(&[], |tier| {
        let site = Site::new();
        let bytes: Vec<u8> =
            (0..8_000_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let outcome = site.run(Run::new(tier, ["/bin/cat"]).stdin(bytes.clone()));
        outcome.assert_code(0);
        assert!(outcome.stdout == bytes, "{} bytes came back of {}", outcome.stdout.len(), bytes.len());
    })
}

/// A server that answers line by line hangs if anything on the way waits for more.
fn json_rpc() -> Check {
    Check::new(&[Feature::Python3], |tier| {
        const SERVER: &str = "import json, sys\n\
                              for line in sys.stdin:\n    \
                              call = json.loads(line); print(json.dumps({'id': call['id'], 'result': call['params'][::-1]}), flush=True)\n\
                              print('end of input', file=sys.stderr)\n";
        let site = Site::new();
        let (mut command, _) = site.command(&Run::new(tier, ["/usr/bin/python3", "-c", SERVER]));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let mut to = child.stdin.take().expect("a pipe");
        let mut from = BufReader::new(child.stdout.take().expect("a pipe"));
        for id in 0..200 {
            writeln!(to, "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"turn\",\"params\":[1,{id}]}}")
                .expect("a request");
            let mut answer = String::new();
            from.read_line(&mut answer).expect("an answer");
            assert_eq!(answer, format!("{{\"id\": {id}, \"result\": [{id}, 1]}}\n"));
        }
        drop(to);
        let mut rest = String::new();
        child.stderr.take().expect("a pipe").read_to_string(&mut rest).expect("stderr");
        assert_eq!(rest, "end of input\n");
        assert!(child.wait().expect("an end").success());
    })
}

/// A prompt has no newline, and whoever is to answer must see it.
fn prompt_without_newline() -> Check {
    Check::new(&[], |tier| {
        let site = Site::new();
        let script = "printf 'Proceed? [y/N] '; read -r answer; echo \"answer: $answer\"";
        let (mut command, _) = site.command(&Run::bash(tier, script));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().expect("it starts");
        let mut from = child.stdout.take().expect("a pipe");
        let mut prompt = [0; 15];
        from.read_exact(&mut prompt).expect("the prompt");
        assert_eq!(&prompt, b"Proceed? [y/N] ");
        child.stdin.take().expect("a pipe").write_all(b"y\n").expect("the answer is taken");
        let mut rest = String::new();
        from.read_to_string(&mut rest).expect("the rest");
        assert_eq!(rest, "answer: y\n");
        assert!(child.wait().expect("an end").success());
    })
}
