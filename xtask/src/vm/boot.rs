//! One boot of a test kernel under QEMU, its output as it comes, and its verdict.
//!
//! The guest has two serial ports and two disks. The kernel's console goes to a file of which only the end is ever
//! shown; the job's output goes to our stdout; the second disk takes the verdict. A guest that panics, hangs or ends in
//! any other way has written no verdict, and that is a failure.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::cpio::Archive;
use super::kernels;
use super::store::Scratch;
use crate::shell::{self, Error, Result};

/// What to boot, and what to do there.
#[derive(Debug)]
pub(super) struct Boot<'a> {
    /// For messages.
    pub(super) name: String,
    pub(super) kernel: &'a kernels::Image,
    pub(super) disk: &'a Path,
    /// A line for sh(1), run as root when the guest is up.
    pub(super) job: String,
    /// Whether `bpf` is among the security modules.
    pub(super) bpf: bool,
    /// Count guest instructions: the guest's clock stands still between them.
    pub(super) count: bool,
    /// A guest that runs for longer is taken to hang.
    pub(super) limit: Duration,
}

/// How a guest ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Passed,
    /// The job ended with another status than 0.
    Failed,
    /// It panicked, hung or stopped before the job was over.
    None(String),
}

/// What a boot left.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) verdict: Verdict,
    /// All that the job wrote.
    pub(super) output: String,
    /// The last lines of the kernel's console.
    pub(super) console: Vec<String>,
}

const CONSOLE_LINES: usize = 20;
const SECTOR: u64 = 512;

impl Boot<'_> {
    /// Boots, passes the job's output to `each` as it comes, and waits for the end.
    pub(super) fn run(&self, each: &mut dyn FnMut(&[u8])) -> Result<Ended> {
        let scratch = Scratch::new(&super::top()?)?;
        let initrd = scratch.path("initrd");
        write(&initrd, &[read(&self.kernel.modules)?, self.initramfs()?].concat())?;
        let (console, verdict) = (scratch.path("console"), scratch.path("verdict"));
        let disk = std::fs::File::create(&verdict).and_then(|file| file.set_len(SECTOR));
        disk.map_err(|source| Error::File { path: verdict.clone(), source })?;
        let mut qemu = self.qemu(&initrd, &console, &verdict);
        let child = qemu.spawn().map_err(|source| shell::start_error(&qemu, source))?;
        let (output, ended) = watch(child, self.limit, each)?;
        let verdict = judge(&read(&verdict)?, ended);
        let console = String::from_utf8_lossy(&read(&console)?).into_owned();
        Ok(Ended { verdict, output, console: tail(&console) })
    }

    fn initramfs(&self) -> Result<Vec<u8>> {
        let mut archive = Archive::default();
        for dir in ["bin", "dev", "root"] {
            archive.directory(dir);
        }
        archive.device("dev/console", 5, 1);
        archive.file("init", super::INIT.as_bytes());
        archive.file("bin/busybox", &read(Path::new("/bin/busybox"))?);
        archive.file("job", self.job.as_bytes());
        Ok(archive.finish())
    }

    fn qemu(&self, initrd: &Path, console: &Path, verdict: &Path) -> Command {
        let modules =
            if self.bpf { "landlock,lockdown,capability,bpf" } else { "landlock,lockdown,capability" };
        let line = format!("console=ttyS0 panic=-1 lsm={modules} rdinit=/init");
        let mut qemu = Command::new("qemu-system-x86_64");
        // KVM is not asked for: in machines that are virtual themselves it is often there and does not work.
        qemu.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-nic", "none"]);
        qemu.args(["-cpu", "max", "-m", "1024"]);
        if self.count {
            qemu.args(["-accel", "tcg,thread=single", "-smp", "1", "-icount", "shift=0,sleep=off"]);
        } else {
            qemu.args(["-accel", "tcg", "-smp", "2"]);
        }
        qemu.arg("-kernel").arg(&self.kernel.vmlinuz).arg("-initrd").arg(initrd);
        qemu.args(["-append", &line]);
        let escaped = |path: &Path| path.display().to_string().replace(',', ",,");
        qemu.args(["-chardev", &format!("file,id=console,path={}", escaped(console))]);
        qemu.args(["-chardev", "stdio,id=output,signal=off"]);
        qemu.args(["-serial", "chardev:console", "-serial", "chardev:output"]);
        let disk = |path: &Path, rest: &str| format!("file={},format=raw,if=virtio{rest}", escaped(path));
        // What the guest writes to its root is forgotten.
        qemu.args(["-drive", &disk(self.disk, ",snapshot=on"), "-drive", &disk(verdict, "")]);
        qemu.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        qemu
    }
}

/// Passes on what the guest writes until it ends or its time is over.
fn watch(
    mut child: Child,
    limit: Duration,
    each: &mut dyn FnMut(&[u8]),
) -> Result<(String, Option<ExitStatus>)> {
    let trouble = |source| Error::File { path: "the guest's output".into(), source };
    let (sender, pieces) = mpsc::channel::<Vec<u8>>();
    let pipe = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let Some(mut pipe) = pipe else { return };
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = pipe.read(&mut buffer) {
            if sender.send(buffer[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    let end = Instant::now() + limit;
    let mut output = Vec::new();
    let hung = loop {
        match pieces.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(piece) => {
                each(&piece);
                output.extend(piece);
            }
            Err(RecvTimeoutError::Disconnected) => break false,
            Err(RecvTimeoutError::Timeout) => break true,
        }
    };
    if hung {
        child.kill().map_err(trouble)?;
    }
    let status = child.wait().map_err(trouble)?;
    // The reader ends with the pipe; it panics on nothing.
    drop(reader.join());
    Ok((String::from_utf8_lossy(&output).into_owned(), (!hung).then_some(status)))
}

/// Reads the verdict disk. `ended` is QEMU's own status, or nothing if it had to be killed.
fn judge(disk: &[u8], ended: Option<ExitStatus>) -> Verdict {
    let word = disk.split(|byte| *byte == b'\n').next().unwrap_or_default();
    match (word, ended) {
        (_, None) => Verdict::None("it did not end in its time, and was stopped".to_owned()),
        (_, Some(status)) if !status.success() => Verdict::None(format!("QEMU failed ({status})")),
        (b"passed", _) => Verdict::Passed,
        (b"failed", _) => Verdict::Failed,
        _ => Verdict::None("it ended without a verdict, as after a panic".to_owned()),
    }
}

/// The last lines of a console. Where a panic's register dump has pushed its reason out of them, that comes first.
fn tail(console: &str) -> Vec<String> {
    const BEFORE: usize = 3;
    let lines: Vec<&str> = console.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let from = lines.len().saturating_sub(CONSOLE_LINES);
    let panic = lines[..from].iter().rposition(|line| line.contains("Kernel panic"));
    let reason = panic.map_or(&[][..], |at| &lines[at.saturating_sub(BEFORE)..=at]);
    reason.iter().chain(&lines[from..]).map(|line| (*line).to_owned()).collect()
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|source| Error::File { path: path.to_path_buf(), source })
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).map_err(|source| Error::File { path: path.to_path_buf(), source })
}

/// Writes to stdout what the job writes, as it comes.
pub(super) fn show(piece: &[u8]) {
    let mut out = std::io::stdout().lock();
    drop(out.write_all(piece).and_then(|()| out.flush()));
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn sector(word: &str) -> Vec<u8> {
        let mut bytes = word.as_bytes().to_vec();
        bytes.resize(512, 0);
        bytes
    }

    #[test]
    fn only_a_written_verdict_counts() {
        let fine = Some(ExitStatus::from_raw(0));
        assert_eq!(judge(&sector("passed\n"), fine), Verdict::Passed);
        assert_eq!(judge(&sector("failed\n"), fine), Verdict::Failed);
        for (disk, ended) in [
            (sector(""), fine),
            (sector("pass\n"), fine),
            (sector("passed"), fine),
            (Vec::new(), fine),
            (sector("passed\n"), None),
            (sector("passed\n"), Some(ExitStatus::from_raw(1 << 8))),
        ] {
            assert!(
                matches!(judge(&disk, ended), Verdict::None(_)),
                "{ended:?} {:?}",
                &disk[..8.min(disk.len())]
            );
        }
    }

    #[test]
    fn the_end_of_the_console_is_kept() {
        let text: String = (0..30).map(|n| format!("line {n}\r\n\r\n")).collect();
        let kept = tail(&text);
        assert_eq!((kept.len(), kept[0].as_str(), kept[19].as_str()), (20, "line 10", "line 29"));
        assert_eq!(tail("one"), ["one"]);
        let text = format!("a\nno disk\nKernel panic - why\n{text}");
        assert_eq!(tail(&text)[..4], ["a", "no disk", "Kernel panic - why", "line 10"]);
    }

    #[test]
    fn a_program_that_does_not_end_is_stopped() -> Result<()> {
        let mut command = Command::new("sh");
        command.args(["-c", "echo up; exec sleep 1000"]).stdout(Stdio::piped());
        let child = command.spawn().unwrap();
        let mut seen = Vec::new();
        let (output, ended) =
            watch(child, Duration::from_millis(300), &mut |piece| seen.extend_from_slice(piece))?;
        assert_eq!((output.as_str(), seen.as_slice(), ended), ("up\n", b"up\n".as_slice(), None));
        Ok(())
    }
}
