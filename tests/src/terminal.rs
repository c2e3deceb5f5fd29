#![forbid(unsafe_code)]
//! A terminal of the operator: a pseudo-terminal whose other side the test holds.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::fchown;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::stat::Mode;
use nix::sys::termios::{Termios, tcgetattr};

use crate::canary::contains;
use crate::outcome::code;
use crate::site::Site;
use crate::start::{Run, agent};

/// A command on a terminal of its own.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    keyboard: File,
    /// The terminal's own side, kept so that its modes can be read after everyone else has let go.
    line: OwnedFd,
    before: Termios,
    pieces: Receiver<Vec<u8>>,
    seen: Vec<u8>,
}

/// What has not appeared by then never will.
const LONGEST: Duration = Duration::from_secs(60);

fn set_size(line: &OwnedFd, rows: u16, columns: u16) {
    let side = Stdio::from(line.try_clone().expect("a descriptor"));
    let (rows, columns) = (rows.to_string(), columns.to_string());
    let status = Command::new("stty").args(["rows", &rows, "cols", &columns]).stdin(side).status();
    assert!(status.expect("stty starts").success());
}

/// Both sides of a new pseudo-terminal. They close on exec from the first moment: another test's command that held one
/// would keep the terminal from ending.
fn open() -> (File, OwnedFd) {
    let both = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let master = posix_openpt(both).expect("a terminal");
    grantpt(&master).expect("its other side");
    unlockpt(&master).expect("its other side");
    let name = ptsname_r(&master).expect("its name");
    let line = nix::fcntl::open(name.as_str(), both, Mode::empty()).expect("its other side");
    (File::from(OwnedFd::from(master)), line)
}

impl Terminal {
    /// Starts `run` as the leader of a session on a terminal of 24 rows and 80 columns.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start(site: &Site, run: &Run) -> Self {
        let (keyboard, line) = open();
        let (uid, gid) = agent();
        fchown(&line, Some(uid), Some(gid)).expect("the terminal is the user's");
        set_size(&line, 24, 80);
        let before = tcgetattr(&line).expect("the terminal's modes");
        let (plain, _) = site.command(run);
        // setsid(1) makes the terminal the controlling one, which takes a call between fork and exec.
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait"]).arg(plain.get_program()).args(plain.get_args()).env_clear();
        command.envs(plain.get_envs().filter_map(|(name, value)| value.map(|value| (name, value))));
        if let Some(dir) = plain.get_current_dir() {
            command.current_dir(dir);
        }
        let side = || Stdio::from(line.try_clone().expect("a descriptor"));
        let child = command.stdin(side()).stdout(side()).stderr(side()).spawn().expect("setsid starts");
        let mut screen = keyboard.try_clone().expect("a descriptor");
        let (sender, pieces) = channel();
        std::thread::spawn(move || {
            let mut piece = vec![0; 65536];
            loop {
                match screen.read(&mut piece) {
                    Ok(0) => break,
                    Ok(length) if sender.send(piece[..length].to_vec()).is_ok() => {}
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Ok(_) | Err(_) => break,
                }
            }
        });
        Self { child, keyboard, line, before, pieces, seen: Vec::new() }
    }

    /// Types.
    ///
    /// # Panics
    /// If the terminal is gone.
    pub fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// Changes the size of the window.
    ///
    /// # Panics
    /// If stty(1) cannot be run.
    pub fn resize(&self, rows: u16, columns: u16) {
        set_size(&self.line, rows, columns);
    }

    /// Waits until `text` has appeared, and forgets everything up to it.
    ///
    /// # Panics
    /// If it does not appear.
    #[track_caller]
    pub fn expect(&mut self, text: &str) {
        loop {
            if contains(&self.seen, text.as_bytes()) {
                let at =
                    self.seen.windows(text.len()).position(|window| window == text.as_bytes()).unwrap_or(0);
                self.seen.drain(..at + text.len());
                return;
            }
            match self.pieces.recv_timeout(LONGEST) {
                Ok(piece) => self.seen.extend(piece),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!(
                        "{text:?} does not appear; on the screen: {:?}",
                        String::from_utf8_lossy(&self.seen)
                    )
                }
            }
        }
    }

    /// The modes of the terminal before anything was started on it.
    #[must_use]
    pub fn modes_before(&self) -> Termios {
        self.before.clone()
    }

    /// The modes of the terminal as they are now.
    fn modes(&self) -> Termios {
        tcgetattr(self.line.as_fd()).expect("the terminal's modes")
    }

    /// The process that was started first.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end and returns the status as a shell shows it, the terminal's modes, and what appeared and was not yet forgotten.
    ///
    /// # Panics
    /// If it cannot be waited for.
    pub fn end(mut self) -> (i32, Termios, Vec<u8>) {
        let status = self.child.wait().expect("the command can be waited for");
        let modes = self.modes();
        // With the last descriptor of that side, what is still under way arrives, and then the end.
        drop(self.line);
        self.seen.extend(self.pieces.iter().flatten());
        (code(status), modes, self.seen)
    }
}
