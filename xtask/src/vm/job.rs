//! What is run in a guest: the test targets, and what the guest offers them.

use super::artifacts;
use super::kernels::PERF_EVENTS;
use super::ring::Guest;

/// The test targets of the ring.
const TARGETS: &[Target] = &[
    // Its tests look at all of the host, before and after: one at a time.
    Target { name: "vm", only: "", skip: &[], threads: 1, without_bpf: true },
    // The host service's hundreds of runs and kills, and 100 MB through a pipe that nobody reads, outlast an emulated
    // guest's time. An emulated 6.12 was seen to die in `secure_tcp_seq_and_ts_off` where the kernel rewrites its own
    // code at the first TCP connection, which the tests of addresses make; they run on the host.
    Target {
        name: "privileged",
        only: "",
        skip: &["host::", "addresses::", "a_stopped_reader_does_not_fill_the_supervisor"],
        threads: 1,
        without_bpf: false,
    },
    // Redaction, jobs and command lines are the same on every kernel, and an emulated guest is slow.
    Target {
        name: "e2e",
        only: "attacks::",
        skip: &["attacks::output::", "attacks::the_attacks_page", "kernel_tier::"],
        threads: 2,
        without_bpf: false,
    },
    // A process of its own, after the others: while the host service is there, every run is guarded by it.
    Target { name: "e2e", only: "kernel_tier::", skip: &[], threads: 1, without_bpf: false },
];

/// Features that every guest has; a skip that names one of them is a failure.
const OFFERED: &[&str] = &[
    "root",
    "user-namespace",
    "landlock",
    "cgroup-v2",
    "fanotify",
    "core-file",
    "io-uring",
    "git",
    "python3",
    "perl",
    "tar",
    "top",
];

/// Marks the lines with which a job lists its skips after its tests.
const SKIP: &str = "vm skipped ";

#[derive(Debug)]
struct Target {
    name: &'static str,
    /// What the names of its tests contain that run where no filter is given.
    only: &'static str,
    skip: &'static [&'static str],
    threads: u8,
    /// Whether it runs in the guest without `bpf` as well: what does not ask for it would say the same twice.
    without_bpf: bool,
}

/// The names of the targets, as cargo builds them.
pub(super) fn targets() -> Vec<&'static str> {
    let mut names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    names.dedup();
    names
}

/// The script that runs the tests. One that fails does not keep the others from running. With a filter every test of
/// every target is looked at, those as well that the ring leaves to the host.
pub(super) fn script(guest: Guest, filter: Option<&str>) -> String {
    let required = OFFERED.iter().copied().chain(guest.kernel.offers().iter().copied());
    // 3 refuses ordinary users, and the tests that would open events are skipped.
    let paranoid = if guest.kernel.offers().contains(&PERF_EVENTS) { 2 } else { 3 };
    let mut text = format!(
        "export KEYBLIND_BIN={} KEYBLIND_SKIPS=/run/skips KEYBLIND_KERNEL={} KEYBLIND_BPF={} KEYBLIND_REQUIRE={}\n\
         echo {paranoid} > /proc/sys/kernel/perf_event_paranoid\nstatus=0\n",
        artifacts::in_guest("bin", "keyblind"),
        guest.kernel.series(),
        u8::from(guest.bpf),
        required.collect::<Vec<_>>().join(","),
    );
    for target in TARGETS.iter().filter(|target| guest.bpf || target.without_bpf || filter.is_some()) {
        let skip = target.skip.iter().flat_map(|name| ["--skip", name]);
        let words: Vec<String> =
            std::iter::once(filter.unwrap_or(target.only)).chain(skip).map(quoted).collect();
        text += &format!(
            "{} --color never --test-threads {} {} || status=1\n",
            artifacts::in_guest("test", target.name),
            target.threads,
            words.join(" ")
        );
    }
    text + &format!("[ ! -e /run/skips ] || busybox sed 's/^/{SKIP}/' /run/skips\nexit $status\n")
}

/// The skips that a job listed, each as `test: feature: reason`.
pub(super) fn skips(output: &str) -> impl Iterator<Item = &str> {
    output.lines().filter_map(|line| line.strip_prefix(SKIP))
}

/// A word for sh(1).
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::super::kernels::Kernel;
    use super::*;

    #[test]
    fn a_filter_is_one_word_whatever_is_in_it() {
        let text = script(Guest { kernel: Kernel::V7_2, bpf: true }, Some("it's; reboot"));
        assert!(
            text.contains("/deps/vm --color never --test-threads 1 'it'\\''s; reboot' || status=1\n"),
            "{text}"
        );
        assert!(text.contains("KEYBLIND_KERNEL=7.2 KEYBLIND_BPF=1"), "{text}");
    }

    #[test]
    fn the_guest_without_bpf_runs_what_asks_for_it() {
        let text = script(Guest { kernel: Kernel::V6_12, bpf: false }, None);
        assert!(
            text.contains("KEYBLIND_BPF=0") && text.contains("/deps/vm ") && !text.contains("/deps/e2e ")
        );
    }

    #[test]
    fn what_a_kernel_offers_is_required_there_only() {
        let required = |kernel| {
            let text = script(Guest { kernel, bpf: true }, None);
            text.contains("tiocsti")
        };
        assert!(required(Kernel::V6_1) && !required(Kernel::V6_12));
        let paranoid = |kernel| {
            script(Guest { kernel, bpf: true }, None).contains("echo 3 > /proc/sys/kernel/perf_event")
        };
        assert!(paranoid(Kernel::V6_12) && !paranoid(Kernel::V7_2));
    }

    #[test]
    fn skips_are_read_from_the_output() {
        let output =
            "test a ... ok\nskipped a: npm: none\nvm skipped a: npm: none\nvm skipped b: gcc: none\n";
        assert_eq!(skips(output).collect::<Vec<_>>(), ["a: npm: none", "b: gcc: none"]);
    }
}
