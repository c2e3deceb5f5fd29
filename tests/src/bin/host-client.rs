#![forbid(unsafe_code)]
//! A client of the host service, honest or not: `host-client SOCKET STEP…`. Each step prints one line.
//!
//! - `begin:RUN[:UID]` asks for a scope; `guard:PATH` before it gives it a guard
//! - `child` starts a process and moves it into the scope, `enter:PID` another one that is there already
//! - `deny:NET` before `begin` denies addresses, `udp:ADDRESS,…` instead of `child` is a process that connects to them
//! - `cat:PATH` reads a file by a process in the scope, and says whether it could
//! - `again` waits for a line on stdin; `end` ends the run, `hold` waits for the end of stdin, `die` is SIGKILL
//! - `packet:HEX`, `long`, `descriptors:N` and `silence` use a connection of their own, kept open
//! - `connections:N` opens so many and says how many were served; `requests:N` makes so many on one
//! - `churn` begins and ends runs until stdin ends, whatever becomes of the service

use std::fs::File;
use std::io::{self, BufRead, BufReader, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use keyblind::policy::NetworkDeny;
use keyblind::registrar::client::{self, ClientError, Scope};
use keyblind::registrar::protocol::{Access, Action, Guard, Registration, Reply, Request, Target};
use keyblind_tests::raw::pidfd;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, raise};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, connect, recvmsg, sendmsg, socket,
};

type Outcome = Result<String, String>;

struct Client {
    socket: String,
    guards: Vec<(String, File)>,
    denied: Vec<NetworkDeny>,
    scope: Option<Scope>,
    children: Vec<Child>,
    reader: Option<(ChildStdin, BufReader<ChildStdout>)>,
    kept: Vec<OwnedFd>,
}

fn main() -> io::Result<()> {
    let mut words = std::env::args().skip(1);
    let socket = words.next().unwrap_or_default();
    let mut client = Client {
        socket,
        guards: Vec::new(),
        denied: Vec::new(),
        scope: None,
        children: Vec::new(),
        reader: None,
        kept: Vec::new(),
    };
    for step in words {
        let said = client.step(&step).unwrap_or_else(|error| format!("error: {error}"));
        say(&format!("{step}: {said}"))?;
    }
    for child in &mut client.children {
        child.kill()?;
        child.wait()?;
    }
    Ok(())
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        // Whoever started it has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

fn shown(error: impl ToString) -> String {
    error.to_string()
}

impl Client {
    fn step(&mut self, step: &str) -> Outcome {
        let mut parts = step.splitn(3, ':');
        let (verb, first, second) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        let number = || first.and_then(|text| text.parse::<usize>().ok()).ok_or("a number is wanted");
        match verb {
            "deny" => {
                self.denied.push(step.trim_start_matches("deny:").parse()?);
                Ok("noted".to_owned())
            }
            "udp" => self.udp(first.unwrap_or_default()),
            "guard" => self.guard(first.unwrap_or_default()),
            "begin" => self.begin(first.unwrap_or_default(), second.and_then(|uid| uid.parse().ok())),
            "child" => {
                let child =
                    Command::new("/bin/sleep").arg("100000").stdin(Stdio::null()).spawn().map_err(shown)?;
                let pid = child.id();
                self.children.push(child);
                self.enter(pid)
            }
            "cat" => self.cat(first.unwrap_or_default()),
            "enter" => self.enter(u32::try_from(number()?).map_err(shown)?),
            "end" => {
                let (totals, _) = self.scope.take().ok_or("no scope")?.end().map_err(shown)?;
                Ok(format!("denied {}", totals.denied))
            }
            "again" => {
                say("again: waiting").map_err(shown)?;
                io::stdin().read_line(&mut String::new()).map(|_| "on".to_owned()).map_err(shown)
            }
            "hold" => {
                say("hold: holding").map_err(shown)?;
                io::stdin().read_to_end(&mut Vec::new()).map(|_| "over".to_owned()).map_err(shown)
            }
            "die" => raise(Signal::SIGKILL).map(|()| String::new()).map_err(shown),
            "packet" => self.packet(&unhex(first.unwrap_or_default()), 0),
            "long" => self.packet(&vec![1; 40_000], 0),
            "descriptors" => self.packet(&Request::Hello.encode(), number()?),
            "silence" => {
                self.kept.push(connected(&self.socket)?);
                Ok("connected".to_owned())
            }
            "connections" => self.connections(number()?),
            "requests" => self.requests(number()?),
            "churn" => self.churn(),
            other => Err(format!("no step {other}")),
        }
    }

    fn guard(&mut self, path: &str) -> Outcome {
        let file = File::options().read(true).custom_flags(libc::O_PATH).open(path).map_err(shown)?;
        self.guards.push((path.to_owned(), file));
        Ok("open".to_owned())
    }

    fn begin(&mut self, run: &str, uid: Option<u32>) -> Outcome {
        let scope = self.scope(run, uid).map_err(shown)?;
        let refused: Vec<String> = scope
            .not_enrolled()
            .iter()
            .map(|(number, why)| format!("{}: {why}", self.guards[*number as usize - 1].0))
            .collect();
        self.scope = Some(scope);
        Ok(format!("begun {refused:?}"))
    }

    fn scope(&self, run: &str, uid: Option<u32>) -> Result<Scope, ClientError> {
        let socket = self.socket.clone();
        let offer = client::offer(Path::new(&socket))?.ok_or(ClientError::Absent { socket })?;
        let registration = Registration {
            run: run.parse().map_err(|_not_a_run| ClientError::OutOfTurn)?,
            session: "s-test".parse().map_err(|_not_a_session| ClientError::OutOfTurn)?,
            command: "host-client".to_owned(),
            uid: uid.unwrap_or_else(|| nix::unistd::geteuid().as_raw()),
            enforce: true,
            denied: self.denied.clone(),
        };
        let guards: Vec<Guard> = (0..self.guards.len())
            .map(|place| Guard {
                number: u32::try_from(place).unwrap_or_default() + 1,
                access: Access::Read,
                action: Action::Deny,
                target: Target::Object { descriptor: u8::try_from(place).unwrap_or_default() },
            })
            .collect();
        let objects: Vec<_> = self.guards.iter().map(|(_, file)| file.as_fd()).collect();
        offer.begin(registration, None, &guards, &objects)
    }

    /// The process reads nothing before it is in the scope, and stays there for the next time.
    fn cat(&mut self, path: &str) -> Outcome {
        const SCRIPT: &str = "while read -r path; do cat -- \"$path\" 2>&1 | tr '\\n' ' '; echo; done";
        let reader = match self.reader.take() {
            Some(reader) => reader,
            None => {
                let mut command = Command::new("/bin/sh");
                command.args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::piped());
                let mut child = command.spawn().map_err(shown)?;
                let pipes = (child.stdin.take().ok_or("no stdin")?, child.stdout.take().ok_or("no stdout")?);
                let pid = child.id();
                self.children.push(child);
                self.enter(pid)?;
                (pipes.0, BufReader::new(pipes.1))
            }
        };
        let (stdin, stdout) = self.reader.insert(reader);
        writeln!(stdin, "{path}").map_err(shown)?;
        let mut line = String::new();
        stdout.read_line(&mut line).map_err(shown)?;
        Ok(line.trim_end().to_owned())
    }

    /// A process in the scope connects to a port of UDP at each address, for which nobody needs to listen.
    fn udp(&mut self, addresses: &str) -> Outcome {
        let script = "read -r go; for a in \"$@\"; do if { exec 3<>\"/dev/udp/$a/9\"; } 2>&1; then echo connected; fi; done";
        let mut command = Command::new("/bin/bash");
        command.args(["-c", script, "bash"]).args(addresses.split(','));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(shown)?;
        self.enter(child.id())?;
        writeln!(child.stdin.take().ok_or("no stdin")?, "go").map_err(shown)?;
        let output = child.wait_with_output().map_err(shown)?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let last = |line: &str| line.rsplit(": ").next().unwrap_or_default().to_owned();
        // bash names the call first, and then the file.
        let said = said.lines().filter(|line| !line.contains(": connect:"));
        Ok(said.map(last).collect::<Vec<_>>().join(", "))
    }

    fn enter(&mut self, pid: u32) -> Outcome {
        let pidfd = pidfd(pid).map_err(shown)?;
        self.scope.as_mut().ok_or("no scope")?.enter(pidfd.as_fd()).map_err(shown)?;
        Ok(pid.to_string())
    }

    /// Sends bytes that may be no message, beside so many descriptors, and says what comes back.
    fn packet(&mut self, bytes: &[u8], descriptors: usize) -> Outcome {
        let socket = connected(&self.socket)?;
        let numbers = vec![socket.as_raw_fd(); descriptors];
        let rights = [ControlMessage::ScmRights(&numbers)];
        let beside = if descriptors == 0 { &[][..] } else { &rights[..] };
        sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(bytes)], beside, MsgFlags::MSG_NOSIGNAL, None)
            .map_err(shown)?;
        let said = match received(&socket)? {
            None => "closed".to_owned(),
            Some(Reply::Refused(refusal, why)) => format!("refused {refusal:?} {why}"),
            Some(_) => "served".to_owned(),
        };
        let after = match received(&socket) {
            _ if said == "served" => "open",
            Ok(None) | Err(_) => "closed",
            Ok(Some(_)) => "open",
        };
        self.kept.push(socket);
        Ok(format!("{said}, {after}"))
    }

    fn connections(&mut self, count: usize) -> Outcome {
        let mut served = 0;
        for _ in 0..count {
            let socket = connected(&self.socket)?;
            // Whoever is turned away may find the connection closed already.
            let hello = Request::Hello.encode();
            let sent =
                sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(&hello)], &[], MsgFlags::MSG_NOSIGNAL, None);
            if sent.is_ok() && matches!(received(&socket), Ok(Some(Reply::Welcome { .. }))) {
                served += 1;
            }
            self.kept.push(socket);
        }
        Ok(format!("{served} served"))
    }

    fn requests(&mut self, count: usize) -> Outcome {
        let socket = connected(&self.socket)?;
        let hello = Request::Hello.encode();
        let mut answered = 0;
        for _ in 0..count {
            sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(&hello)], &[], MsgFlags::MSG_NOSIGNAL, None)
                .map_err(shown)?;
            answered += usize::from(matches!(received(&socket)?, Some(Reply::Welcome { .. })));
        }
        Ok(format!("{answered} answered"))
    }

    /// Every run has a process in its scope. One whose service was killed keeps it, as a supervisor does.
    fn churn(&mut self) -> Outcome {
        fcntl(io::stdin().as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(shown)?;
        say("churn: begun").map_err(shown)?;
        let (mut done, mut left) = (0, 0);
        for number in 0.. {
            if io::stdin().read(&mut [0]).is_ok_and(|length| length == 0) {
                break;
            }
            let run = format!("r-churn{}x{number}", std::process::id());
            let Ok(scope) = self.scope(&run, None) else {
                std::thread::yield_now();
                continue;
            };
            self.scope = Some(scope);
            say("churn: a run").map_err(shown)?;
            let entered = self.step("child").is_ok();
            match self.step("end") {
                Ok(_) => {
                    let mut child = self.children.pop().ok_or("no child")?;
                    child.wait().map_err(shown)?;
                    done += 1;
                }
                Err(_) if entered => left += 1,
                Err(_) => {}
            }
        }
        Ok(format!("{done} done, {left} left"))
    }
}

fn connected(path: &str) -> Result<OwnedFd, String> {
    let socket =
        socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).map_err(shown)?;
    connect(socket.as_raw_fd(), &UnixAddr::new(path).map_err(shown)?).map_err(shown)?;
    Ok(socket)
}

/// The next reply; `None` when the service has hung up.
fn received(socket: &OwnedFd) -> Result<Option<Reply>, String> {
    let mut buffer = vec![0; 64 * 1024];
    let mut slices = [IoSliceMut::new(&mut buffer)];
    let length = match recvmsg::<()>(socket.as_raw_fd(), &mut slices, None, MsgFlags::empty()) {
        Ok(message) => message.bytes,
        // It went without reading all that it was told; its own last words are behind that.
        Err(nix::errno::Errno::ECONNRESET) => return received(socket),
        Err(error) => return Err(shown(error)),
    };
    if length == 0 {
        return Ok(None);
    }
    Reply::decode(&buffer[..length]).map(Some).map_err(shown)
}

fn unhex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2).filter_map(|pair| str::from_utf8(pair).ok());
    pairs.filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect()
}
