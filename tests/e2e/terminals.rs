//! A run at a terminal.

use keyblind_tests::{Check, Feature, Run, Site, Terminal, Tier, contains, in_each_tier};
use nix::sys::termios::LocalFlags;

in_each_tier!(
    Check;
    vim, less, top, window_size, interrupt, stop_and_continue, modes_after_the_end, modes_after_a_crash,
    nothing_past_the_redactor, kept_as_a_terminal
);

fn vim() -> Check {
    Check::new(&[Feature::Vim], |tier| {
        let site = Site::new();
        let mut terminal = Terminal::start(&site, &Run::new(tier, ["vim", "-u", "NONE", "-N", "text.txt"]));
        terminal.expect("text.txt");
        terminal.press("ione two\u{1b}oand three\u{1b}:s/three/four/\r:wq\r");
        let (status, _, screen) = terminal.end();
        assert_eq!(status, 0, "{}", String::from_utf8_lossy(&screen));
        let text = std::fs::read_to_string(site.project().join("text.txt")).expect("vim wrote it");
        assert_eq!(text, "one two\nand four\n");
    })
}

fn less() -> Check {
    Check::new(&[Feature::Less], |tier| {
        let site = Site::new();
        let lines: String = (1..=500).map(|number| format!("line {number} of many\n")).collect();
        site.write("home/project/long.txt", lines);
        let mut terminal = Terminal::start(&site, &Run::new(tier, ["less", "long.txt"]));
        terminal.expect("line 22 of many");
        terminal.press("G");
        terminal.expect("line 500 of many");
        terminal.press("/line 77 of\r");
        terminal.press("g");
        terminal.expect("line 1 of many");
        terminal.press("q");
        let (status, modes, _) = terminal.end();
        assert!(status == 0 && modes.local_flags.contains(LocalFlags::ECHO | LocalFlags::ICANON));
    })
}

fn top() -> Check {
    Check::new(&[Feature::Top], |tier| {
        let site = Site::new();
        let mut terminal = Terminal::start(&site, &Run::new(tier, ["top"]));
        terminal.expect("COMMAND");
        terminal.press("q");
        let (status, modes, _) = terminal.end();
        assert!(status == 0 && modes.local_flags.contains(LocalFlags::ECHO | LocalFlags::ICANON));
    })
}

/// stty(1) changes rows and columns one after the other, so there may be two signals.
fn window_size() -> Check {
    Check::new(&[], |tier| {
        let site = Site::new();
        let script = "stty size; trap 's=$(stty size); echo $s; [ \"$s\" = \"33 111\" ] && exit 0' WINCH; echo ready; while :; do read -r -t 0.05 x; done";
        let mut terminal = Terminal::start(&site, &Run::bash(tier, script));
        terminal.expect("24 80");
        terminal.expect("ready");
        terminal.resize(33, 111);
        terminal.expect("33 111");
        assert_eq!(terminal.end().0, 0);
    })
}

/// Ctrl-C reaches the command as it would reach it bare, and its status comes back.
fn interrupt() -> Check {
    Check::new(&[], |tier| {
        let site = Site::new();
        let mut terminal = Terminal::start(
            &site,
            &Run::bash(tier, "trap 'echo caught; exit 9' INT; echo ready; while :; do read -r -t 1 x; done"),
        );
        terminal.expect("ready");
        terminal.press("\u{3}");
        terminal.expect("caught");
        assert_eq!(terminal.end().0, 9);
        let mut terminal = Terminal::start(&site, &Run::bash(tier, "echo ready; exec cat"));
        terminal.expect("ready");
        terminal.press("\u{3}");
        assert_eq!(terminal.end().0, 130);
    })
}

/// Ctrl-Z at a shell with job control gives the prompt back, and `fg` goes on.
fn stop_and_continue() -> Check {
    Check::new(&[], |tier| {
        let site = Site::new();
        let (inner, _) = site.command(&Run::bash(tier, "echo ready; read -r x; echo got $x"));
        let quote = |word: &std::ffi::OsStr| format!("'{}'", word.to_string_lossy().replace('\'', "'\\''"));
        // The shell is already where that line would have to go first.
        let words: Vec<_> = std::iter::once(inner.get_program()).chain(inner.get_args()).collect();
        let here = if words[0].as_encoded_bytes().ends_with(b"/on-host") { 4 } else { 0 };
        let line = words[here..].iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ");
        site.write("home/line", line);
        // The shell is the operator's own: it runs bare, as root where the tier is started by root.
        let shell =
            Run::new(Tier::Bare, ["/bin/bash", "--norc", "--noprofile", "-i"]).variable("PS1", "prompt> ");
        let shell = if tier == Tier::Mount { shell.by_root() } else { shell };
        let mut terminal = Terminal::start(&site, &shell);
        terminal.expect("prompt> ");
        terminal.press("eval \"$(cat ~/line)\"\r");
        terminal.expect("ready");
        terminal.press("\u{1a}");
        terminal.expect("Stopped");
        terminal.expect("prompt> ");
        terminal.press("fg\r");
        terminal.press("words\r");
        terminal.expect("got words");
        terminal.expect("prompt> ");
        terminal.press("exit\r");
        assert_eq!(terminal.end().0, 0);
    })
}

fn modes_after_the_end() -> Check {
    Check::new(&[], |tier| {
        let site = Site::new();
        let mut terminal =
            Terminal::start(&site, &Run::bash(tier, "echo ready; read -r x; stty raw -echo; exit 3"));
        let before = terminal.modes_before();
        terminal.expect("ready");
        terminal.press("\r");
        let (status, after, _) = terminal.end();
        assert_eq!(status, 3);
        assert_eq!(before, after);
    })
}

/// Also where the command dies of a signal, and where the supervisor is asked to end.
fn modes_after_a_crash() -> Check {
    Check::new(&[], |tier| {
        for script in ["echo ready; read -r x; kill -KILL $$", "echo ready; read -r x; kill -SEGV $$"] {
            let site = Site::new();
            let mut terminal = Terminal::start(&site, &Run::bash(tier, script));
            let before = terminal.modes_before();
            terminal.expect("ready");
            terminal.press("\r");
            assert_eq!(before, terminal.end().1, "{script}");
        }
    })
}

/// Every way that a tool has to its terminal leads through the redactor.
fn nothing_past_the_redactor() -> Check {
    Check::new(&[], |tier| {
        // Other terminals are tried only from inside: bare, they are those of whoever works on this machine.
        let own = "v=$(cat in.txt); echo 1 $v; echo 2 $v >&2; echo 3 $v >&0; echo 4 $v >/dev/tty; echo 5 $v >$(tty); \
                   echo 7 $v >/proc/self/fd/1; ";
        let others = "for f in /dev/pts/*; do echo 6 $v >$f; done 2>/dev/null; ";
        for supervised in [Tier::Bare, tier] {
            let script = format!("{own}{}echo the end", if supervised == Tier::Bare { "" } else { others });
            let mut site = Site::new();
            let value = site.canary("OPENAI_API_KEY").value.clone();
            site.plant("home/project/in.txt", &value);
            let (_, _, screen) = Terminal::start(&site, &Run::bash(supervised, &script)).end();
            assert!(contains(&screen, b"the end"), "{}", String::from_utf8_lossy(&screen));
            let leaked = contains(&screen, value.as_bytes());
            assert_eq!(leaked, supervised == Tier::Bare, "{}", String::from_utf8_lossy(&screen));
            if supervised != Tier::Bare {
                for way in ["1 [REDACTED", "2 [REDACTED", "3 [REDACTED", "4 [REDACTED", "7 [REDACTED"] {
                    assert!(contains(&screen, way.as_bytes()), "{way}: {}", String::from_utf8_lossy(&screen));
                }
            }
        }
    })
}

fn kept_as_a_terminal() -> Check {
    Check::new(&[], |tier| {
        let site = Site::new();
        let script = "[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo three; tty | sed 's,^/dev/pts/[0-9]*$,/dev/console,'; read -r -a s </proc/$$/stat; [ ${s[7]} = ${s[4]} ] && echo job control";
        let bare = Terminal::start(&site, &Run::bash(Tier::Bare, script)).end();
        let there = Terminal::start(&site, &Run::bash(tier, script)).end();
        assert_eq!(String::from_utf8_lossy(&there.2), String::from_utf8_lossy(&bare.2));
        assert_eq!(there.0, bare.0);
    })
}
