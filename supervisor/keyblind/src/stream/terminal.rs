//! The run's own terminal, and the caller's terminal while it is only a wire to it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use nix::pty::openpty;
use nix::sys::termios::{SetArg, SpecialCharacterIndices, Termios, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::ttyname;

use super::duplicate;
use crate::spawn::above;
use crate::sys;

/// A pty of the run.
#[derive(Debug)]
pub struct Pty {
    /// Ours.
    pub master: OwnedFd,
    /// The command's, until the fork.
    pub slave: OwnedFd,
    /// Its name on the host, so that the run can have it by a name of its own.
    pub path: PathBuf,
}

impl Pty {
    /// A pty with the size and the modes of `like`, if that is a terminal.
    pub fn open(like: Option<&File>) -> io::Result<Self> {
        let modes = like.and_then(|terminal| tcgetattr(terminal).ok());
        let pair = openpty(None, modes.as_ref())?;
        let (master, slave) = (close_on_exec(pair.master)?, close_on_exec(pair.slave)?);
        if let Some(size) = like.and_then(|terminal| sys::terminal_size(terminal.as_fd()).ok()) {
            sys::set_terminal_size(master.as_fd(), &size)?;
        }
        let path = ttyname(&slave)?;
        Ok(Self { master, slave, path })
    }

    /// The character that means end of file to the command.
    pub fn eof(&self) -> u8 {
        let veof = SpecialCharacterIndices::VEOF as usize;
        tcgetattr(&self.slave).ok().and_then(|modes| modes.control_chars.get(veof).copied()).unwrap_or(4)
    }
}

fn close_on_exec(fd: OwnedFd) -> io::Result<OwnedFd> {
    // openpty(3) has no flag for it; there is one thread at this point, and no fork in between.
    let moved = duplicate(&fd)?;
    above(moved)
}

/// The caller's terminal. In raw mode keys go to the run's terminal as they are, and that one makes signals and
/// echoes of them. Restored when this value goes.
#[derive(Debug)]
pub struct CallersTerminal {
    terminal: File,
    modes: Termios,
}

impl CallersTerminal {
    /// Puts `terminal` into raw mode. `None` when it is none.
    pub fn raw(terminal: File) -> Option<Self> {
        let modes = tcgetattr(&terminal).ok()?;
        let caller = Self { terminal, modes };
        caller.resume().ok()?;
        Some(caller)
    }

    /// Gives the caller's modes back, for a stop.
    pub fn restore(&self) -> io::Result<()> {
        Ok(tcsetattr(&self.terminal, SetArg::TCSADRAIN, &self.modes)?)
    }

    /// Raw again, after a stop.
    pub fn resume(&self) -> io::Result<()> {
        let mut raw = self.modes.clone();
        cfmakeraw(&mut raw);
        Ok(tcsetattr(&self.terminal, SetArg::TCSADRAIN, &raw)?)
    }

    /// The size of its window, onto the run's terminal.
    pub fn resize(&self, master: &OwnedFd) -> io::Result<()> {
        sys::set_terminal_size(master.as_fd(), &sys::terminal_size(self.terminal.as_fd())?)
    }
}

impl Drop for CallersTerminal {
    fn drop(&mut self) {
        // A terminal that is gone needs no modes.
        drop(self.restore());
    }
}
