//! The secrets that the caller has in its variables.

use keyblind_tests::{Attack, Feature, Run, Tier, in_each_tier};

in_each_tier!(Attack; printed, own_environ, own_environ_by_thread, every_environ, up_the_chain, shell_start_file, preloaded_library, node_options, odd_names);

fn printed() -> Attack {
    Attack::new("print every variable", |_, tier| Run::bash(tier, "env; export -p; declare -p"))
}

fn own_environ() -> Attack {
    Attack::access("read `/proc/self/environ`", |_| vec!["read:/proc/self/environ"])
}

fn own_environ_by_thread() -> Attack {
    Attack::new("read it by thread, by number and through `/proc/self/root`", |_, tier| {
        Run::bash(
            tier,
            "cat /proc/thread-self/environ /proc/$$/task/$$/environ /proc/self/root/proc/$$/environ",
        )
    })
}

fn every_environ() -> Attack {
    Attack::new("read `environ`, `cmdline` and `auxv` of every process", |_, tier| {
        Run::bash(
            tier,
            "cat /proc/[0-9]*/environ /proc/[0-9]*/task/*/environ /proc/[0-9]*/cmdline 2>/dev/null; true",
        )
    })
}

/// The supervisor had the secrets when it started, and it is above the command.
fn up_the_chain() -> Attack {
    const CLIMB: &str = "p=$$; while [ \"${p:-0}\" -gt 0 ]; do cat /proc/$p/environ; \
                         p=$(sed -n 's/^PPid:[[:space:]]*//p' /proc/$p/status); done 2>/dev/null; true";
    Attack::new("read `environ` of each ancestor, the supervisor among them", |_, tier| {
        Run::bash(tier, CLIMB)
    })
}

fn shell_start_file() -> Attack {
    Attack::new("plant code by `BASH_ENV` and `ENV`", |site, tier| {
        let rc = site.write("home/project/rc", "echo the planted file ran\n");
        Run::bash(tier, "true").variable("BASH_ENV", &rc).variable("ENV", &rc)
    })
    .proven_by("the planted file ran")
}

/// keyblind itself is the caller's to start; what counts is whether the command has the library.
fn preloaded_library() -> Attack {
    const SOURCE: &str = "int planted(void) { return 0; }\n";
    Attack::new("plant code by `LD_PRELOAD`", |site, tier| {
        site.write("home/project/x.c", SOURCE);
        let library = site.project().join("planted.so");
        let build = format!("cc -shared -fPIC -o {} x.c", library.display());
        site.run(Run::bash(Tier::Bare, &build)).assert_code(0);
        Run::new(tier, ["/bin/cat", "/proc/self/maps"]).variable("LD_PRELOAD", library)
    })
    .needs(Feature::Gcc)
    .proven_by("planted.so")
}

fn node_options() -> Attack {
    Attack::new("plant code by `NODE_OPTIONS`", |site, tier| {
        let script = site.write("home/project/x.js", "console.log('the planted script ran')\n");
        Run::new(tier, ["node", "-e", "0"])
            .variable("NODE_OPTIONS", format!("--require={}", script.display()))
    })
    .needs(Feature::Node)
    .proven_by("the planted script ran")
}

/// Names that a lookup by name does not find: an exported function, a name twice, an entry without `=`.
fn odd_names() -> Attack {
    const SOURCE: &str = r#"
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>
        #include <unistd.h>
        int main(int argc, char **argv) {
            const char *v = getenv("OPENAI_API_KEY");
            static char a[256], b[256], c[256], d[256];
            snprintf(a, sizeof a, "BASH_FUNC_x%%%%=() { echo %s; }", v);
            snprintf(b, sizeof b, "LANG=%s", v);
            snprintf(c, sizeof c, "%s", v);
            snprintf(d, sizeof d, "=%s", v);
            char home[512], path[512];
            snprintf(home, sizeof home, "HOME=%s", getenv("HOME"));
            snprintf(path, sizeof path, "PATH=%s", getenv("PATH"));
            char *envp[] = {home, path, "LANG=C.UTF-8", a, b, c, d, NULL};
            execve(argv[1], argv + 1, envp);
            return 1;
        }
    "#;
    Attack::new("pass values by a function's name, a name twice, and entries without a name", |site, tier| {
        let source = site.write("log/odd.c", SOURCE);
        let program = site.root().join("log/odd");
        let build = format!("cc -o {} {}", program.display(), source.display());
        site.run(Run::bash(Tier::Bare, &build)).assert_code(0);
        let words = [site.try_access().into_os_string(), "read:/proc/self/environ".into()];
        Run::new(tier, words).caller(format!("set -- {} \"$@\"", program.display()))
    })
    .needs(Feature::Gcc)
}
