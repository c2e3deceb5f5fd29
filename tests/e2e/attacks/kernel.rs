//! System calls that a tool has no need for, and other ways to make one.

use keyblind_tests::{Attack, Feature, Run, Tier, held, in_each_tier};

in_each_tier!(
    Attack;
    new_user_namespace, io_uring, userfaultfd, perf_event_open, add_a_key, foreign_architecture, fake_typing
);

fn refused(title: &'static str, access: &'static str) -> Attack {
    Attack::access(title, move |_| vec![access]).proven_by(": ok").cells(
        held("EPERM"),
        held("EPERM"),
        held("EPERM"),
    )
}

fn new_user_namespace() -> Attack {
    refused("make a user namespace, to mount in", "unshare-user").needs(Feature::UserNamespace)
}

fn io_uring() -> Attack {
    refused("`io_uring`, which opens files past a filter", "io-uring").needs(Feature::IoUring)
}

fn userfaultfd() -> Attack {
    refused("`userfaultfd`, which stops the kernel at a place of one's choice", "userfaultfd")
}

fn perf_event_open() -> Attack {
    refused("`perf_event_open`", "perf-event-open").needs(Feature::PerfEvents)
}

fn add_a_key() -> Attack {
    refused("keep something in a kernel keyring", "add-key")
}

/// The same number means another call to the 32-bit entry, so a filter that does not ask for the architecture is
/// walked around.
fn foreign_architecture() -> Attack {
    const SOURCE: &str = "#include <stdio.h>\nint main(void) { int r; __asm__ volatile(\"int $0x80\" : \"=a\"(r) : \"a\"(20) : \"memory\");\n\
                          printf(\"getpid by the other door: %s\\n\", r > 0 ? \"done\" : \"no\"); return 0; }\n";
    Attack::new("make a system call by the 32-bit entry", |site, tier| {
        let source = site.write("log/other.c", SOURCE);
        let built = site.root().join("log/other");
        let build = format!("cc -o {} {}", built.display(), source.display());
        site.run(Run::bash(Tier::Bare, &build)).assert_code(0);
        let program = site.write("home/project/other", std::fs::read(built).expect("the program"));
        Run::bash(tier, &format!("chmod +x {0}; {0}; echo status $?", program.display()))
    })
    .needs(Feature::Gcc)
    .needs(Feature::Entry32)
    .proven_by("done")
    .cells(held("status 159"), held("status 159"), held("status 159"))
}

/// The characters would be read by whoever sits at the terminal next.
fn fake_typing() -> Attack {
    const SCRIPT: &str = "python3 -c 'import fcntl,os,pty,sys,termios\n\
        m,s=pty.openpty()\npid=os.fork()\n\
        if pid==0:\n os.setsid(); fcntl.ioctl(s,termios.TIOCSCTTY,0)\n\
        \x20try:\n  fcntl.ioctl(s,termios.TIOCSTI,b\"x\"); print(\"typed\",flush=True)\n\
        \x20except OSError as e: print(e,flush=True)\n os._exit(0)\n\
        os.waitpid(pid,0)'";
    Attack::new("type into a terminal with `TIOCSTI`", |_, tier| Run::bash(tier, SCRIPT))
        .needs(Feature::TypeInto)
        .needs(Feature::Python3)
        .proven_by("typed")
        .cells(held("Operation not permitted"), held("Operation not permitted"), held("out of pty devices"))
}
