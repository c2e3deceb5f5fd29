//! What every verb needs: where the tree is, how to start a program, and how to say something.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

/// Why a verb stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{program}: cannot start: {source}")]
    Start { program: String, source: io::Error },
    #[error("`{line}` failed: {status}")]
    Failed { line: String, status: ExitStatus },
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{path}: {source}")]
    Json { path: String, source: serde_json::Error },
    #[error("{0}")]
    Said(String),
}

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// The root of the checkout that this xtask was built from.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Writes a line to stdout. A reader that went away is not our failure.
pub(crate) fn say(text: impl Display) {
    drop(writeln!(io::stdout().lock(), "{text}"));
}

/// Writes a line to stderr.
pub(crate) fn warn(text: impl Display) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// A command of this tree's cargo, started in the root.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(args).current_dir(root());
    command
}

/// The command as one would type it, for messages.
pub(crate) fn line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Runs to the end; any status but 0 is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    if status.success() { Ok(()) } else { Err(Error::Failed { line: line(command), status }) }
}

/// Runs to the end and returns how it ended.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    command.status().map_err(|source| start_error(command, source))
}

/// Runs to the end and returns stdout; any status but 0 is an error.
pub(crate) fn stdout(command: &mut Command) -> Result<String> {
    let output = command.output().map_err(|source| start_error(command, source))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(Error::Failed { line: line(command), status: output.status })
    }
}

pub(crate) fn start_error(command: &Command, source: io::Error) -> Error {
    Error::Start { program: command.get_program().to_string_lossy().into_owned(), source }
}

/// Reads a text file.
pub(crate) fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|source| Error::File { path: path.to_path_buf(), source })
}

/// Whether a program of this name is on PATH.
pub(crate) fn on_path(program: &str) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| {
        let file = dir.join(program).metadata();
        file.is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    })
}

/// The directory cargo builds into, whatever the user's configuration says.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let text = stdout(&mut cargo(&["metadata", "--no-deps", "--format-version", "1"]))?;
    let value: serde_json::Value = serde_json::from_str(&text)
        .map_err(|source| Error::Json { path: "cargo metadata".to_owned(), source })?;
    match value.get("target_directory").and_then(serde_json::Value::as_str) {
        Some(dir) => Ok(PathBuf::from(dir)),
        None => Err(Error::Said("cargo metadata names no target_directory".to_owned())),
    }
}
