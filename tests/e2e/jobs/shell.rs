//! What a shell does all day.

use keyblind_tests::{Job, Tier, in_each_tier};

use super::SHARED;

in_each_tier!(
    Job;
    bash, pipeline, early_end_of_a_pipeline, fifty_children, status_of_the_command, death_by_signal, statuses, signals,
    binary_output, files_and_links, temporary_files, shared_memory_files, streams_by_name, no_newline
);

fn bash() -> Job {
    Job::new(
        r#"set -u
        declare -A map=([one]=1 [two]=2); for key in $(printf '%s\n' "${!map[@]}" | sort); do echo "$key=${map[$key]}"; done
        cat <<HERE
here $((6 * 7))
HERE
        while read -r line; do echo "read: $line"; done < <(printf 'a\nb\n')
        (cd / && pwd); pwd; echo "$HOME"; umask; type -t cd; ulimit -n >/dev/null
        exec 3>out.txt; echo three >&3; exec 3>&-; cat out.txt
        trap 'echo left' EXIT; f() { local x=$1; echo "f $x"; return 3; }; f 1 || echo "status $?""#,
    )
}

fn pipeline() -> Job {
    let words: String = (0..200_000).map(|number| format!("word{}\n", number * 7919 % 1000)).collect();
    Job::new("sort | uniq -c | sort -rn -k1,1 -k2,2 | tee all.txt | tail -n 5; wc -l <all.txt").stdin(words)
}

/// The writer gets SIGPIPE, and the caller's own feeder EPIPE.
fn early_end_of_a_pipeline() -> Job {
    Job::new("head -c 10; yes 2>/dev/null | head -n 3; echo \"${PIPESTATUS[@]}\"").stdin(vec![b'x'; 4 << 20])
}

fn fifty_children() -> Job {
    Job::new(
        "for i in $(seq 50); do (echo $i >f$i; exit $((i % 7))) & pids+=($!); done; \
              for p in ${pids[@]}; do wait $p; printf '%s ' $?; done; cat $(seq -f 'f%g' 50) | sha256sum",
    )
}

fn status_of_the_command() -> Job {
    Job::new("exit 7").code(7)
}

fn death_by_signal() -> Job {
    Job::new("echo before; kill -TERM $$; echo after").code(128 + 15)
}

fn statuses() -> Job {
    Job::new(
        "ulimit -c 0; for n in 0 1 2 124 125 126 127 128 200 255; do (exit $n); printf '%s ' $?; done; \
              for s in HUP INT QUIT ABRT KILL USR1 SEGV PIPE ALRM TERM; do bash -c \"kill -$s \\$\\$\"; printf '%s ' $?; done 2>/dev/null",
    )
}

fn signals() -> Job {
    Job::new(
        "trap 'echo got usr1' USR1; trap 'echo got term' TERM; kill -USR1 $$; kill -TERM $$; \
              sleep 100 & kill -STOP $!; kill -CONT $!; kill -TERM $!; wait $!; echo $?; \
              for s in $(seq 1 31); do trap -p $s; done",
    )
}

fn binary_output() -> Job {
    Job::new(
        "for i in 0 1 2 3 4 5 6 7; do printf '\\000\\001\\377\\376\\033[1m\\r\\n\\t\\200'; done; head -c 65536 /dev/zero; printf 'end\\xff'",
    )
}

fn files_and_links() -> Job {
    Job::new(
        "mkdir -p a/b; echo x >a/b/f; ln a/b/f hard; ln -s a/b/f soft; chmod 640 hard; mv a c; ls -l --time-style=+ c/b \
              | tr -s ' '; mkfifo p; (echo through >p &); cat p; rm p; touch -d 2001-02-03T04:05:06Z old; stat -c '%y %a %n' old; \
              cp -a c d; find . -path ./bin -prune -o -type f -print | sort; stat -c %h c/b/f",
    )
}

fn temporary_files() -> Job {
    Job::new(
        "f=$(mktemp); d=$(mktemp -d); echo x >$f; echo y >$d/y; cat $f $d/y; rm -r $f $d; echo gone >/dev/null; \
         head -c 4 /dev/zero | od -An -tx1; head -c 9 /dev/urandom | wc -c; echo full >/dev/full",
    )
    .code(1)
}

fn shared_memory_files() -> Job {
    Job::new("echo z >/dev/shm/kb-$$; cat /dev/shm/kb-$$; rm /dev/shm/kb-$$; [ -w /tmp ] && echo writable")
        .breaks_in(Tier::InPlace, SHARED)
}

/// Scripts name their streams so.
fn streams_by_name() -> Job {
    Job::new("echo one >/dev/stdout; echo two >/dev/stderr; cat </dev/stdin; echo three >/proc/self/fd/1; echo four >/dev/fd/2; \
              cat <(echo five) | tee /dev/stderr")
    .stdin("from stdin\n")
}

fn no_newline() -> Job {
    Job::new("printf 'a prompt: '; printf 'an error' >&2")
}
