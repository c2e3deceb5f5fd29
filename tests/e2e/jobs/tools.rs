//! Tools that every project has.

use std::io::{Read, Write};
use std::net::TcpListener;

use keyblind_tests::{Feature, Job, Site, in_each_tier};

in_each_tier!(Job; git, git_clone_and_merge, sqlite, tar_and_gzip, curl, gcc, asan_report, asan_clean);

/// Dates from git itself would differ from run to run.
const DATES: &str =
    "export GIT_AUTHOR_DATE='2001-02-03T04:05:06Z' GIT_COMMITTER_DATE='2001-02-03T04:05:06Z'\n";

fn git() -> Job {
    Job::new(format!(
        "{DATES}git init; git config user.name; git config core.abbrev 12; echo a >a.txt; echo '*.o' >.gitignore; \
         git add a.txt .gitignore; git commit -m 'Add a'; echo b >>a.txt; git diff; git commit -qam 'Change a'; \
         git log --stat; git status --short; git stash list; git show HEAD:a.txt; git fsck; git gc --quiet; git blame a.txt; \
         git config --list --local | sort"
    ))
    .needs(Feature::Git)
    .loose(".git")
}

fn git_clone_and_merge() -> Job {
    Job::new(format!(
        "{DATES}git init -q one && cd one && echo a >a && git add a && git commit -qm a && git switch -qc side && echo b >b && \
         git add b && git commit -qm b && git switch -q main && echo c >c && git add c && git commit -qm c && cd .. && \
         git clone one two && cd two && git merge --no-edit origin/side && git log --oneline --graph && git worktree add ../three && \
         git -C ../three rev-parse HEAD && git archive HEAD | tar t"
    ))
    .needs(Feature::Git)
    .loose("one")
    .loose("two")
    .loose("three")
}

fn sqlite() -> Job {
    Job::new(
        "sqlite3 x.db 'PRAGMA journal_mode=WAL; CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT); \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<5000) INSERT INTO t SELECT i, hex(i*i) FROM n; \
         SELECT count(*), sum(length(b)) FROM t; PRAGMA integrity_check;'; sqlite3 x.db .dump | sha256sum",
    )
    .needs(Feature::Sqlite3)
    .loose("x.db")
}

fn tar_and_gzip() -> Job {
    Job::new(
        "mkdir t; for i in $(seq 100); do seq $i 1000 >t/$i; done; tar --sort=name --mtime=@0 --owner=0 --group=0 -czf t.tgz t; \
         sha256sum t.tgz; rm -r t; tar xzf t.tgz; cat t/* | sha256sum; gzip -dc t.tgz | tar tv | tail -2; tar czf - t | tar tzf - | wc -l; rm t.tgz",
    )
    .needs(Feature::Tar)
    .loose("t")
}

/// A server of the host on loopback; the default network is the host's.
fn curl() -> Job {
    Job::new("curl -sS -D - http://127.0.0.1:$(cat port)/x; curl -sS -o file http://127.0.0.1:$(cat port)/y; sha256sum file")
        .needs(Feature::Curl)
        .on(serve)
        .loose("port")
}

/// Answers two requests with a fixed body.
fn serve(site: &Site) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
    let port = listener.local_addr().expect("its address").port();
    site.write("home/project/port", port.to_string());
    std::thread::spawn(move || {
        for mut peer in listener.incoming().take(2).flatten() {
            let mut request = [0; 4096];
            let length = peer.read(&mut request).unwrap_or(0);
            let body = "body ".repeat(20_000);
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let answer = if length > 0 { head + &body } else { String::new() };
            drop(peer.write_all(answer.as_bytes()));
        }
    });
}

fn gcc() -> Job {
    const SOURCE: &str = "#include <pthread.h>\n#include <stdio.h>\n\
                          static void *f(void *p) { ++*(int *)p; return 0; }\n\
                          int main(void) { int n = 0; for (int i = 0; i < 20; i++) { pthread_t t; pthread_create(&t, 0, f, &n);\n\
                          pthread_join(t, 0); } printf(\"%d threads\\n\", n); return n == 20 ? 0 : 1; }\n";
    Job::new("cat >x.c; gcc -O2 -Wall -pthread -o x x.c && ./x && sha256sum x && gcc -O2 -c x.c -o x.o && ar rc libx.a x.o && nm libx.a")
        .stdin(SOURCE)
        .needs(Feature::Gcc)
        .loose("libx.a")
}

const MASK: &str = "sed -E 's/==[0-9]+==/==PID==/; s/0x[0-9a-f]+/ADDRESS/g; s/BuildId: [0-9a-f]+/BuildId/'";

/// A report needs the program's own maps, its symbols, and memory at addresses that a filter could spoil.
fn asan_report() -> Job {
    const SOURCE: &str = "#include <stdlib.h>\nint main(int argc, char **argv) { char *p = malloc(10); p[9 + argc] = 1; return p[0]; }\n";
    Job::new(format!(
        "cat >x.c; gcc -g -fsanitize=address -o x x.c && ./x 2>&1 | {MASK}; echo ${{PIPESTATUS[0]}}"
    ))
    .stdin(SOURCE)
    .needs(Feature::Asan)
}

/// The leak check at the end of a sound program attaches to it like a debugger, which a run may not.
fn asan_clean() -> Job {
    const SOURCE: &str =
        "#include <stdlib.h>\nint main(void) { char *p = malloc(10); p[9] = 1; free(p); return 0; }\n";
    Job::new("cat >x.c; gcc -g -fsanitize=address -o x x.c && ASAN_OPTIONS=detect_leaks=0 ./x && echo sound")
        .stdin(SOURCE)
        .needs(Feature::Asan)
}
