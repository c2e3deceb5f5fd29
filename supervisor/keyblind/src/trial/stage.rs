//! One command, bare or supervised, and what was seen of it.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use keyblind_events::{Event, Filter, Item, Log, SessionId};

/// What came out of a command.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    /// Everything on stdout.
    pub(crate) stdout: Vec<u8>,
    /// Everything on stderr.
    pub(crate) stderr: Vec<u8>,
    /// Its status, as a shell says it.
    pub(crate) status: i32,
    /// From the start of the process to its last byte.
    pub(crate) duration: Duration,
    /// What was recorded of it, if it was supervised.
    pub(crate) events: Vec<Event>,
}

impl Observed {
    /// Both streams.
    pub(crate) fn output(&self) -> Vec<u8> {
        [self.stdout.as_slice(), self.stderr.as_slice()].concat()
    }

    /// What keyblind said about a run that it refused.
    pub(crate) fn refusal(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.stderr);
        let line = text.lines().find_map(|line| line.strip_prefix("keyblind: "))?.to_owned();
        (self.status == i32::from(crate::run::REFUSED)).then_some(line)
    }
}

/// Who starts commands, where, with which variables.
#[derive(Clone)]
pub(crate) struct Stage {
    /// The working directory.
    pub(crate) project: PathBuf,
    /// The command's user, if it is not this process's.
    pub(crate) user: Option<(u32, u32)>,
    /// Whether `variables` are all there are, or are added to this process's own.
    pub(crate) only: bool,
    /// Variables of the caller.
    pub(crate) variables: Vec<(OsString, OsString)>,
    /// Where events go besides the journal; not below the project.
    pub(crate) events: PathBuf,
    /// `--session`
    pub(crate) session: SessionId,
    /// More options of `keyblind run`.
    pub(crate) options: Vec<OsString>,
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.variables.iter().map(|(name, _)| name).collect();
        f.debug_struct("Stage")
            .field("project", &self.project)
            .field("variables", &names)
            .finish_non_exhaustive()
    }
}

impl Stage {
    /// The command as its user would start it.
    pub(crate) fn bare(&self, command: &[&OsStr], stdin: &[u8]) -> io::Result<Observed> {
        observe(&mut self.bare_command(command), Feed::Bytes(stdin))
    }

    /// The command under `keyblind run`.
    pub(crate) fn supervised(&self, command: &[&OsStr], stdin: &[u8]) -> io::Result<Observed> {
        self.recorded(|| observe(&mut self.supervised_command(command), Feed::Bytes(stdin)))
    }

    /// The command, bare or supervised; when it has printed a line, `prompted` is called and its stdin ends.
    pub(crate) fn interrupted(
        &self,
        supervised: bool,
        command: &[&OsStr],
        prompted: &mut dyn FnMut() -> io::Result<()>,
    ) -> io::Result<Observed> {
        if supervised {
            self.recorded(|| observe(&mut self.supervised_command(command), Feed::AfterLine(prompted)))
        } else {
            observe(&mut self.bare_command(command), Feed::AfterLine(prompted))
        }
    }

    fn bare_command(&self, command: &[&OsStr]) -> Command {
        let mut words = command.iter();
        let mut bare = self.command(words.next().copied().unwrap_or_default());
        bare.args(words);
        if let Some((uid, gid)) = self.user {
            // The standard library clears the supplementary groups when a root process sets a user.
            bare.uid(uid).gid(gid);
        }
        bare
    }

    /// Starts a command that ends with its stdin, as a process to look at.
    pub(crate) fn bystander(&self, command: &[&OsStr]) -> io::Result<Bystander> {
        let mut command = self.bare_command(command);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        Ok(Bystander { child })
    }

    fn supervised_command(&self, command: &[&OsStr]) -> Command {
        // This very program, whatever has become of its file.
        let mut run = self.command(OsStr::new("/proc/self/exe"));
        run.args([
            "run",
            "--pty",
            "never",
            "--timeout",
            "60s",
            "--session",
            self.session.as_str(),
            "--events",
        ]);
        run.arg(&self.events).args(&self.options).arg("--").args(command);
        run
    }

    fn command(&self, program: &OsStr) -> Command {
        let mut command = Command::new(program);
        if self.only {
            command.env_clear();
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value))).current_dir(&self.project);
        command
    }

    /// Adds the events that `run` brought about.
    fn recorded(&self, run: impl FnOnce() -> io::Result<Observed>) -> io::Result<Observed> {
        let before = events(&self.events)?.len();
        let mut observed = run()?;
        observed.events = events(&self.events)?.split_off(before);
        Ok(observed)
    }
}

/// A process of the command's user, with the stage's variables. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Bystander {
    child: Child,
}

impl Bystander {
    /// Its pid.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // A wait that fails leaves nothing to do.
        drop(self.child.wait());
    }
}

fn events(file: &Path) -> io::Result<Vec<Event>> {
    let mut events = Vec::new();
    let read = Log::file(file).read(&Filter::default(), |item| {
        if let Item::Event(event) = item {
            events.push(*event);
        }
    });
    read.map_err(io::Error::other)?;
    Ok(events)
}

/// When stdin gets what.
enum Feed<'a> {
    /// These bytes, at once.
    Bytes(&'a [u8]),
    /// Nothing; it ends when the command has printed a line and this has been done.
    AfterLine(&'a mut dyn FnMut() -> io::Result<()>),
}

fn observe(command: &mut Command, feed: Feed<'_>) -> io::Result<Observed> {
    let began = Instant::now();
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut stderr = child.stderr.take();
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        stderr.as_mut().map_or(Ok(0), |stderr| stderr.read_to_end(&mut bytes)).map(|_| bytes)
    });
    let mut stdout = Vec::new();
    let mut out = child.stdout.take();
    let stdin = child.stdin.take();
    let fed = match feed {
        Feed::Bytes(bytes) => stdin.map_or(Ok(()), |mut stdin| stdin.write_all(bytes)),
        Feed::AfterLine(prompted) => {
            let first = out.as_mut().map_or(Ok(()), |out| until_line(out, &mut stdout));
            let done = first.and_then(|()| prompted());
            drop(stdin);
            done
        }
    };
    let read = out.as_mut().map_or(Ok(0), |out| out.read_to_end(&mut stdout));
    let status = child.wait()?;
    let duration = began.elapsed();
    match fed {
        // A command that does not want its stdin is free not to read it.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
        _ => {}
    }
    read?;
    let stderr = reader.join().map_err(|_panic| io::Error::other("the reader of stderr failed"))??;
    let status = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    Ok(Observed { stdout, stderr, status, duration, events: Vec::new() })
}

fn until_line(out: &mut impl Read, read: &mut Vec<u8>) -> io::Result<()> {
    let mut byte = [0];
    while out.read(&mut byte)? == 1 {
        read.push(byte[0]);
        if byte[0] == b'\n' {
            break;
        }
    }
    Ok(())
}

/// Whether `program` is in one of the directories of `path`.
pub(crate) fn can_execute(program: &str, path: &OsStr) -> bool {
    use nix::unistd::{AccessFlags, access};
    std::env::split_paths(path).any(|directory| {
        let file = directory.join(program);
        file.is_file() && access(&file, AccessFlags::X_OK).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(project: &Path) -> Stage {
        Stage {
            project: project.to_owned(),
            user: None,
            only: true,
            variables: vec![("PATH".into(), "/usr/bin:/bin".into()), ("A".into(), "1".into())],
            events: project.join("events"),
            session: SessionId::new(),
            options: Vec::new(),
        }
    }

    #[test]
    fn a_bare_command_gets_its_variables_its_stdin_and_both_streams_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let script = ["sh", "-c", "cat; env | grep -c ^HOME; echo $A; pwd >&2; exit 3"].map(OsStr::new);
        let seen = stage(dir.path()).bare(&script, b"in\n").expect("it starts");
        assert_eq!(String::from_utf8_lossy(&seen.stdout), "in\n0\n1\n");
        assert_eq!(String::from_utf8_lossy(&seen.stderr).trim_end(), dir.path().to_string_lossy());
        assert_eq!(seen.status, 3);
    }

    #[test]
    fn an_interrupted_command_waits_for_what_is_done_after_its_first_line() {
        let dir = tempfile::tempdir().expect("a directory");
        let script = ["sh", "-c", "echo ready; read x; cat late"].map(OsStr::new);
        let late = dir.path().join("late");
        let mut plant = || std::fs::write(&late, "there");
        let seen = stage(dir.path()).interrupted(false, &script, &mut plant).expect("it starts");
        assert_eq!(String::from_utf8_lossy(&seen.stdout), "ready\nthere");
    }

    #[test]
    fn programs_are_found_by_path() {
        let path = OsStr::new("/nonexistent:/usr/bin:/bin");
        assert!(can_execute("sh", path));
        assert!(!can_execute("no-such-program", path));
        assert!(!can_execute("sh", OsStr::new("")));
    }
}
