//! What the programs of the kernel tier refuse on this kernel, and that they refuse nothing else.

use std::fs;

use keyblind::guard::kernel::{Lane, Reach, Refuses, ScopeFlags};
use keyblind_abi::Hook;

use crate::bed::Bed;

/// Made up here; no other text contains it.
const CANARY: &str = "canary-4f1d77";

#[test]
fn a_guarded_file_is_refused_by_whatever_name() {
    let Some(mut bed) = Bed::new() else { return };
    let secret = bed.file("home/secret", CANARY);
    bed.file("home/public", "plain");
    bed.guard(&secret, Reach::Object, Refuses::Opening);
    fs::hard_link(&secret, bed.dir.join("alias")).expect("a link made by the host");
    fs::create_dir(bed.dir.join("mnt")).expect("a directory");
    let root = bed.dir.display().to_string();
    bed.refused("cat home/secret", CANARY);
    bed.refused("cat alias", CANARY);
    bed.refused("ln -sf home/secret sym; cat sym", CANARY);
    bed.refused(&format!("cat /proc/self/root{root}/home/secret"), CANARY);
    bed.refused(&format!("mount --bind {root}/home {root}/mnt; cat mnt/secret; umount {root}/mnt"), CANARY);
    assert_eq!(bed.inside("cat home/public"), "plain");
    let reports = bed.reported();
    assert_eq!(reports.len(), 5, "{reports:?}");
    for report in &reports {
        assert_eq!((report.lane, report.gap, report.record.guard), (Lane::Denials, 0, 5));
        assert_eq!((report.record.scope, report.record.generation), (bed.scope, 7));
        assert_eq!(&report.record.command[..4], b"cat\0");
    }
}

#[test]
fn a_guarded_directory_guards_what_comes_into_it_later() {
    let Some(mut bed) = Bed::new() else { return };
    bed.file("aws/sso/token", CANARY);
    let tree = bed.dir.join("aws");
    bed.guard(&tree, Reach::Tree, Refuses::Opening);
    bed.refused("cat aws/sso/token", CANARY);
    bed.file("aws/late", CANARY);
    bed.refused("cat aws/late", CANARY);
    assert!(bed.inside("echo x > aws/new").contains("ermission denied"));
    assert!(!tree.join("new").exists(), "a refused create leaves nothing");
    // What was found harmless before it was moved in by the host is not remembered as that.
    bed.file("plain/file", CANARY);
    bed.file("single", CANARY);
    assert!(bed.inside("cat plain/file single; cat plain/file single").contains(CANARY));
    fs::rename(bed.dir.join("plain"), tree.join("moved")).expect("a move by the host");
    fs::rename(bed.dir.join("single"), tree.join("single")).expect("a move by the host");
    bed.refused("cat aws/moved/file", CANARY);
    bed.refused("cat aws/single", CANARY);
}

#[test]
fn a_guarded_name_cannot_be_taken_away() {
    let Some(mut bed) = Bed::new() else { return };
    bed.file("project/sub/other", "plain");
    let project = bed.dir.join("project");
    bed.guard_names(&project, &[b".env", b".env.local"]);
    bed.file("project/sub/.env", CANARY);
    bed.refused("cat project/sub/.env", CANARY);
    for script in [
        "cd project/sub && mv .env x && cat x; cat .env",
        "cd project/sub && ln .env y && cat y; cat .env",
        "mv project/sub gone && cat gone/.env; cat project/sub/.env",
    ] {
        let held = bed.inside(script);
        assert!(!held.contains(CANARY), "{script}\n{held}");
    }
    let exchange = "import ctypes,os\nl=ctypes.CDLL(None)\n\
        print(l.renameat2(-100,b'project/sub/other',-100,b'project/sub/.env',2))\n\
        print(open('project/sub/other').read())\n";
    let held = bed.python(exchange);
    assert!(held.starts_with("-1\n") && !held.contains(CANARY), "{held}");
    // Moved aside by the host, it stays known.
    fs::rename(project.join("sub/.env"), project.join("sub/aside")).expect("a move by the host");
    bed.refused("cat project/sub/aside", CANARY);
    // An atomic save by the host: the new object is guarded from its first moment.
    bed.file("project/sub/tmp", CANARY);
    assert!(bed.inside("cat project/sub/tmp; cat project/sub/tmp").contains(CANARY));
    fs::rename(project.join("sub/tmp"), project.join("sub/.env")).expect("a save by the host");
    bed.refused("cat project/sub/.env", CANARY);
    assert_eq!(bed.inside("cat project/sub/other"), "plain");
    assert!(bed.inside("echo A=1 > project/.env.example && cat project/.env.example").contains("A=1"));
    assert!(bed.inside("echo A=1 > project/.env").contains("ermission denied"));
    assert!(!project.join(".env").exists());
}

#[test]
fn a_spinning_renamer_never_wins() {
    let Some(mut bed) = Bed::new() else { return };
    bed.file("project/.env", CANARY);
    let project = bed.dir.join("project");
    bed.guard_names(&project, &[b".env"]);
    let script = "import os,threading\nos.chdir('project')\nend=False\nwon=0\n\
        def spin():\n while not end:\n  for a,b in(('.env','x'),('x','.env')):\n   try: os.rename(a,b)\n   except OSError: pass\n\
        t=[threading.Thread(target=spin) for _ in range(2)]\n[x.start() for x in t]\n\
        for _ in range(2000):\n for n in('.env','x'):\n  try:\n   open(n).read(); won+=1\n  except OSError: pass\n\
        end=True\n[x.join() for x in t]\nprint('won',won)\n";
    let held = bed.python(script);
    assert_eq!(held, "won 0\n");
}

#[test]
fn deeper_than_is_looked_at_is_refused_and_less_deep_is_not() {
    let Some(mut bed) = Bed::new() else { return };
    let secret = bed.file("other", "x");
    bed.guard(&secret, Reach::Object, Refuses::Opening);
    for (levels, readable) in [(70, true), (200, false)] {
        let path = vec!["d"; levels].join("/");
        bed.file(&format!("{path}/f"), "deep");
        let script = format!("cat {path}/f");
        assert_eq!(bed.inside(&script).contains("deep"), readable, "{levels}");
        assert_eq!(bed.outside(&script), "deep");
    }
}

#[test]
fn procfs_shows_what_the_table_says() {
    let Some(bed) = Bed::new() else { return };
    let foreign = std::process::id();
    fs::create_dir(bed.dir.join("proc2")).expect("a directory");
    let denied = |script: &str| {
        let held = bed.inside(script);
        assert!(held.contains("ermission denied"), "{script}\n{held}");
    };
    let allowed = |script: &str| {
        let held = bed.inside(script);
        assert!(held.ends_with("ok\n") && !held.contains("enied"), "{script}\n{held}");
    };
    denied("cat /proc/self/environ");
    denied("cat /proc/self/task/$$/environ; cat /proc/thread-self/environ");
    denied("mount -t proc p proc2; cat proc2/self/environ; umount proc2");
    denied("sleep 9 & cat /proc/$!/environ; kill $!");
    denied("sleep 9 & exec 3</proc/$!/mem; kill $!");
    for entry in ["environ", "maps", "auxv", "stat", "status", "mem", "cmdline", "fdinfo/0"] {
        denied(&format!("cat /proc/{foreign}/{entry}"));
    }
    denied(&format!("cat /proc/{foreign}/task/{foreign}/maps"));
    denied(&format!("ls /proc/{foreign}/fd/"));
    for entry in ["maps", "smaps", "auxv", "stat", "status", "cmdline", "fdinfo/0", "comm"] {
        allowed(&format!("cat /proc/self/{entry} >/dev/null && echo ok"));
    }
    allowed("sleep 9 & cat /proc/$!/maps /proc/$!/status >/dev/null && kill $! && echo ok");
    allowed("cat /proc/meminfo /proc/cpuinfo >/dev/null && echo ok");
}

#[test]
fn what_controls_the_guard_is_out_of_reach() {
    let Some(mut bed) = Bed::new() else { return };
    let denied = |script: &str| {
        let held = bed.inside(script);
        assert!(held.contains("ermission denied"), "{script}\n{held}");
    };
    denied("ls /sys/fs/bpf/keyblind/");
    denied("rm -rf /sys/fs/bpf/keyblind/*/* /sys/fs/bpf/keyblind");
    denied("echo 0 > /sys/fs/cgroup/cgroup.procs");
    denied("cat /sys/kernel/tracing/trace");
    assert!(bed.inside("cat /sys/fs/cgroup/keyblind/cgroup.events").contains("populated 1"));
    assert!(!bed.reported().is_empty());
}

#[test]
fn a_passed_descriptor_does_not_arrive() {
    let Some(mut bed) = Bed::with(ScopeFlags::FOREIGN_SOCKETS) else { return };
    let secret = bed.file("secret", CANARY);
    bed.guard(&secret, Reach::Object, Refuses::Opening);
    // The sender is outside; the receiver moves itself nowhere: it is started inside.
    let send = "import socket,array\ns=socket.socket(socket.AF_UNIX);s.bind('sock');s.listen(1)\n\
        f=open('secret');c,_=s.accept()\nc.sendmsg([b'x'],[(1,1,array.array('i',[f.fileno()]))])\nc.recv(1)\n";
    let server = std::process::Command::new("python3").args(["-c", send]).current_dir(&bed.dir).spawn();
    let mut server = server.expect("a sender");
    let receive = "import socket,os\ns=socket.socket(socket.AF_UNIX)\n\
        while True:\n try: s.connect('sock');break\n except OSError: pass\n\
        d,a,flags,_=s.recvmsg(1,64)\nprint(len(a),flags&socket.MSG_CTRUNC!=0)\ns.send(b'x')\n";
    assert_eq!(bed.python(receive), "0 True\n");
    server.wait().expect("an end");
}

#[test]
fn a_process_outside_the_scope_cannot_be_signalled() {
    let Some(mut bed) = Bed::new() else { return };
    let mut foreign = std::process::Command::new("sleep").arg("600").spawn().expect("a process");
    let script = format!("kill -0 {0} && kill -CONT {0} && echo ok", foreign.id());
    assert_eq!(bed.outside(&script), "ok\n");
    let held = bed.inside(&script);
    assert!(held.contains("not permitted"), "{held}");
    assert_eq!(bed.inside("sleep 9 & kill $! && echo ok"), "ok\n");
    let reports = bed.reported();
    assert_eq!(reports.len(), 1, "{reports:?}");
    let record = reports[0].record;
    assert_eq!((record.hook, record.target, record.access), (Hook::TaskKill as u16, foreign.id(), 0));
    foreign.kill().expect("an end");
    foreign.wait().expect("an end");
}

#[test]
fn bpf_is_not_for_a_scope() {
    let Some(mut bed) = Bed::new() else { return };
    // BPF_PROG_GET_NEXT_ID: the first step to the programs of the guard.
    let script = "import ctypes\nl=ctypes.CDLL(None,use_errno=True)\na=(ctypes.c_uint32*8)()\n\
        print(l.syscall(321,11,a,32),ctypes.get_errno())\n";
    assert_eq!(bed.python_outside(script), "0 0\n");
    assert_eq!(bed.python(script), "-1 1\n");
    let reports = bed.reported();
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert_eq!((reports[0].record.hook, reports[0].record.access), (Hook::Bpf as u16, 11));
}

#[test]
fn a_foreign_socket_cannot_be_connected_to() {
    let Some(mut bed) = Bed::new() else { return };
    let serve = "import socket\ns=socket.socket(socket.AF_UNIX);s.bind('agent.sock');s.listen(9)\n\
        t=socket.socket(socket.AF_UNIX);t.bind('\\0agent');t.listen(9);print('up',flush=True)\ns.accept()\nt.accept()\ns.accept()\n";
    let mut server = std::process::Command::new("python3");
    server.args(["-c", serve]).current_dir(&bed.dir).stdout(std::process::Stdio::piped());
    let mut server = server.spawn().expect("a server");
    let mut up = [0; 3];
    std::io::Read::read_exact(server.stdout.as_mut().expect("a pipe"), &mut up).expect("a server that is up");
    let connect = "import socket\nfor a in('agent.sock','\\0agent'):\n try: socket.socket(socket.AF_UNIX).connect(a);print('ok')\n \
        except OSError as e: print(e.errno)\n";
    assert_eq!(bed.python_outside(connect), "ok\nok\n");
    assert_eq!(bed.python(connect), "13\n13\n");
    let reports = bed.reported();
    assert_eq!(reports.len(), 2, "{reports:?}");
    assert_eq!(&reports[0].record.name[..11], b"agent.sock\0");
    server.kill().expect("an end");
    server.wait().expect("an end");
    let own = "import socket\ns=socket.socket(socket.AF_UNIX);s.bind('own.sock');s.listen(1)\n\
        socket.socket(socket.AF_UNIX).connect('own.sock');print('ok')\n";
    assert_eq!(bed.python(own), "ok\n");
}

#[test]
fn what_is_executed_is_reported_where_it_is_asked_for() {
    let Some(mut bed) = Bed::with(ScopeFlags::LINEAGE) else { return };
    assert_eq!(bed.inside("/bin/echo ok"), "ok\n");
    let reports = bed.reported();
    let names: Vec<_> =
        reports.iter().map(|report| &report.record.name[..usize::from(report.record.name_len)]).collect();
    assert!(names.contains(&&b"echo"[..]), "{reports:?}");
    assert!(
        reports.iter().all(|report| report.lane == Lane::Flags && report.record.hook == Hook::Exec as u16)
    );
}

/// What the verifier had to do for each program, as it was when somebody last looked.
const RECORDED: &str = include_str!("../../ebpf/verifier.toml");

#[test]
fn no_program_costs_the_verifier_a_tenth_more_than_is_recorded() {
    let Some(bed) = Bed::new() else { return };
    let recorded: toml::Table = toml::from_str(RECORDED).expect("ebpf/verifier.toml");
    let series = crate::guest::kernel();
    let found = bed.kernel.verified().expect("what the kernel says of the programs");
    let grown = |(program, now): &(&str, u32)| {
        let before = recorded.get(*program).and_then(|row| row.get(&series)?.as_integer());
        before.is_none_or(|before| i64::from(*now) * 10 > before * 11)
    };
    let grown: Vec<_> = found.iter().filter(|row| grown(row)).collect();
    assert!(grown.is_empty(), "not as in ebpf/verifier.toml on {series}: {grown:?}, of {found:?}");
    assert!(found.iter().all(|(_, now)| *now > 0), "{found:?}");
}

#[test]
fn nothing_is_refused_outside() {
    let Some(mut bed) = Bed::new() else { return };
    let secret = bed.file("secret", CANARY);
    bed.guard(&secret, Reach::Object, Refuses::Opening);
    for _ in 0..10_000 {
        assert_eq!(fs::read_to_string(&secret).expect("outside every scope"), CANARY);
    }
    assert!(bed.outside("cat /proc/self/environ /proc/1/maps >/dev/null && echo ok").ends_with("ok\n"));
    assert_eq!(bed.reported(), []);
}

#[test]
fn each_of_200_000_refusals_is_counted_and_each_loss() {
    let Some(mut bed) = Bed::new() else { return };
    let secret = bed.file("secret", CANARY);
    bed.guard(&secret, Reach::Object, Refuses::Opening);
    let before = *bed.kernel.counters().expect("counters").of(Hook::FileOpen).expect("file_open");
    let script = "import os,threading\nwon=0\n\
        def work():\n global won\n for _ in range(50000):\n  try: os.open('secret',0); won+=1\n  except PermissionError: pass\n\
        t=[threading.Thread(target=work) for _ in range(4)]\n[x.start() for x in t]\n[x.join() for x in t]\nprint(won)\n";
    assert_eq!(bed.python(script), "0\n");
    let counters = bed.kernel.counters().expect("counters");
    let after = *counters.of(Hook::FileOpen).expect("file_open");
    assert_eq!(after.denied - before.denied, 200_000);
    let bodies = bed.reported().len() as u64;
    assert_eq!(bodies + after.lost_denials - before.lost_denials, 200_000);
    assert!(after.lost_denials > before.lost_denials, "the ring is smaller than this");
    assert_eq!(counters.skipped, []);
}
