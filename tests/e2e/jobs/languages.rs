//! Interpreters and runtimes.

use keyblind_tests::{Feature, Job, Tier, in_each_tier};

use super::SHARED;
use super::packages::toolchain;

in_each_tier!(Job; node, python, python_multiprocessing, jvm, jvm_stack_trace, rust_panic_with_backtrace);

fn node() -> Job {
    Job::new(
        r#"node -e 'const fs=require("fs"),cp=require("child_process"),os=require("os");
        console.log(process.version, os.cpus().length > 0, process.argv.length);
        fs.writeFileSync("x.json", JSON.stringify({a:[1,2,3]}));
        console.log(cp.execFileSync("cat", ["x.json"]).toString(), require("zlib").gzipSync("x".repeat(1e5)).length);
        const {Worker}=require("worker_threads");
        new Worker("require(\"worker_threads\").parentPort.postMessage(6*7)", {eval:true}).on("message", m => console.log("worker", m));
        fetch("data:text/plain,fetched").then(r => r.text()).then(console.log);
        process.on("exit", () => console.error("bye"))'"#,
    )
    .needs(Feature::Node)
}

fn python() -> Job {
    Job::new(
        r#"/usr/bin/python3 - <<'END'
import os, subprocess, sys, tempfile, threading, sqlite3, ssl, json
print(sys.version_info[:2], sys.stdin.isatty())
with tempfile.TemporaryDirectory() as d: open(os.path.join(d, "f"), "w").write("x")
print(subprocess.run(["sh", "-c", "echo child; exit 4"], capture_output=True))
t = threading.Thread(target=lambda: print("thread")); t.start(); t.join()
print(json.dumps({"cpu": os.cpu_count() > 0, "user": os.getuid() > 0}), os.path.expanduser("~") == os.environ["HOME"])
sys.stderr.write("to stderr\n"); sys.exit(3)
END"#,
    )
    .needs(Feature::Python3)
    .code(3)
}

/// Its locks are POSIX semaphores, which live in `/dev/shm`.
fn python_multiprocessing() -> Job {
    Job::new(
        r#"/usr/bin/python3 - <<'END'
import multiprocessing
def square(n): return n * n
with multiprocessing.get_context("fork").Pool(4) as pool: print(pool.map(square, range(10)))
END"#,
    )
    .needs(Feature::Python3)
    .breaks_in(Tier::InPlace, SHARED)
}

fn jvm() -> Job {
    const SOURCE: &str = r#"
import java.nio.file.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.stream.*;
public class Main {
    public static void main(String[] args) throws Exception {
        System.out.println(IntStream.range(0, 1000).parallel().mapToObj(Integer::toString).collect(Collectors.joining()).hashCode());
        ExecutorService pool = Executors.newFixedThreadPool(8);
        List<Future<Integer>> futures = new ArrayList<>();
        for (int i = 0; i < 50; i++) { int n = i; futures.add(pool.submit(() -> n * n)); }
        int sum = 0;
        for (Future<Integer> future : futures) sum += future.get();
        pool.shutdown();
        Files.writeString(Path.of("out.txt"), "sum " + sum + "\n");
        byte[][] garbage = new byte[100][];
        for (int i = 0; i < 20000; i++) garbage[i % 100] = new byte[10000];
        System.gc();
        Process p = new ProcessBuilder("cat", "out.txt").start();
        System.out.print(new String(p.getInputStream().readAllBytes()));
        System.out.println(p.waitFor() + " " + (Runtime.getRuntime().availableProcessors() > 0));
    }
}
"#;
    Job::new("cat >Main.java; javac Main.java && java Main").stdin(SOURCE).needs(Feature::Java)
}

fn jvm_stack_trace() -> Job {
    const SOURCE: &str = "public class Main { static int f(int n) { return n == 0 ? 1 / n : f(n - 1); }\n\
                          public static void main(String[] a) { try { g(); } catch (StackOverflowError e) { System.out.println(\"deep\"); } f(3); }\n\
                          static void g() { g(); } }\n";
    Job::new("cat >Main.java; java -Xint Main.java").stdin(SOURCE).needs(Feature::Java).code(1)
}

fn rust_panic_with_backtrace() -> Job {
    const SOURCE: &str = "#[inline(never)]\nfn deep(n: u32) -> u32 { if n == 0 { panic!(\"at the bottom\") } else { deep(n - 1) + 1 } }\n\
                          fn main() { std::thread::spawn(|| println!(\"thread\")).join().unwrap(); deep(3); }\n";
    // The process's number is part of the message.
    Job::new("cat >x.rs; ~/.rustup/toolchains/test/bin/rustc -g x.rs && RUST_BACKTRACE=1 ./x 2>&1 | sed -E \"s/\\([0-9]+\\)/(PID)/\"; echo ${PIPESTATUS[0]}")
        .stdin(SOURCE)
        .on(toolchain)
        .needs(Feature::Cargo)
        .needs(Feature::Gcc)
        .loose("x")
}
