//! A tool that got hold of a value prints it. The value is that of a secret variable of the caller; that the tool has it
//! at all is the accident that the redactor is for.

use keyblind_tests::{Attack, Run, Site, Tier, in_each_tier, not_held};

in_each_tier!(
    Attack;
    plain, on_stderr, one_byte_per_write, in_a_long_line, without_a_newline, every_secret_variable, base64,
    base64_at_offset_1, base64_at_offset_2, base64_url_safe, hex, hex_upper, percent, by_percent_lower, unregistered_shapes,
    halves_on_two_streams, reversed, killed_in_the_middle
);

/// A run in a project that has a copy of `OPENAI_API_KEY` in `in.txt`.
fn copied(script: &'static str) -> impl Fn(&mut Site, Tier) -> Run + 'static {
    move |site, tier| {
        let value = site.canary("OPENAI_API_KEY").value.clone();
        site.plant("home/project/in.txt", value);
        Run::bash(tier, script)
    }
}

fn plain() -> Attack {
    Attack::new("print it", copied("cat in.txt; echo; echo before$(cat in.txt)after"))
}

fn on_stderr() -> Attack {
    Attack::new("print it on stderr", copied("cat in.txt >&2"))
}

fn one_byte_per_write() -> Attack {
    Attack::new(
        "print it with one byte per write",
        copied("while read -r -n1 c; do printf %s \"$c\"; done <in.txt"),
    )
}

fn in_a_long_line() -> Attack {
    const SCRIPT: &str =
        "head -c 1000000 /dev/zero | tr '\\0' x; cat in.txt; head -c 1000000 /dev/zero | tr '\\0' x";
    Attack::new("print it in the middle of a line of two megabytes", copied(SCRIPT))
}

fn without_a_newline() -> Attack {
    Attack::new(
        "print it at the very end, without a newline",
        copied("echo first; printf %s \"$(cat in.txt)\""),
    )
}

fn every_secret_variable() -> Attack {
    Attack::new("print the value of every secret-looking variable", |site, tier| {
        let named = site.variables.iter().filter(|canary| canary.name != "FROBNICATION");
        let values: Vec<String> = named.map(|canary| canary.value.clone()).collect();
        site.plant("home/project/in.txt", values.join("\n"));
        Run::bash(tier, "cat in.txt")
    })
}

fn base64() -> Attack {
    Attack::new("print it in base64", copied("base64 -w0 <in.txt")).proven_by_same_output()
}

fn base64_at_offset_1() -> Attack {
    Attack::new("… after one other byte", copied("(printf x; cat in.txt) | base64 -w0"))
        .proven_by_same_output()
}

fn base64_at_offset_2() -> Attack {
    Attack::new("… after two other bytes", copied("(printf xy; cat in.txt) | base64 -w0"))
        .proven_by_same_output()
}

fn base64_url_safe() -> Attack {
    Attack::new(
        "… in the URL-safe alphabet, without padding",
        copied("base64 -w0 <in.txt | tr '+/' '-_' | tr -d ="),
    )
    .proven_by_same_output()
}

fn hex() -> Attack {
    Attack::new("print it in hex", copied("od -An -v -tx1 in.txt | tr -d ' \\n'")).proven_by_same_output()
}

fn hex_upper() -> Attack {
    Attack::new("… in capitals", copied("od -An -v -tx1 in.txt | tr -d ' \\n' | tr a-f A-F"))
        .proven_by_same_output()
}

fn percent() -> Attack {
    Attack::new(
        "print it percent-encoded, every byte",
        copied("od -An -v -tx1 in.txt | tr -d '\\n' | tr ' a-f' '%A-F'"),
    )
    .proven_by_same_output()
}

fn by_percent_lower() -> Attack {
    Attack::new("… with small letters", copied("od -An -v -tx1 in.txt | tr -d '\\n' | tr ' ' '%'"))
        .proven_by_same_output()
}

/// Values that nobody registered, known by their form.
fn unregistered_shapes() -> Attack {
    Attack::new("print values of known form that nobody registered", |site, tier| {
        let value = site.host.value.clone();
        let text = format!(
            "Authorization: Bearer {value}\npassword: {value}\nghp_{value}abcd\nsk-proj-{value}{value}\n\
             https://jo:{value}@example.invalid/\n"
        );
        site.plant("home/project/in.txt", text);
        Run::bash(tier, "cat in.txt")
    })
}

fn halves_on_two_streams() -> Attack {
    const WHY: &str = "each stream is redacted by itself; half a value is no value";
    Attack::new(
        "print one half on stdout and the other on stderr",
        copied("head -c16 in.txt; tail -c16 in.txt >&2"),
    )
    .cells(not_held(WHY), not_held(WHY), not_held(WHY))
}

fn reversed() -> Attack {
    Attack::new("print it backwards", copied("rev in.txt")).proven_by_same_output()
}

/// What was held back when the stream ends must not come out as it is.
fn killed_in_the_middle() -> Attack {
    Attack::new("print it and die of SIGKILL at once", copied("printf %s \"$(cat in.txt)\"; kill -9 $$"))
}
