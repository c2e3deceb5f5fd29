//! Which policy file counts. The only part of `policy` that touches the file system.
//!
//! The host's file (`/etc/keyblind/policy.toml`) comes first: where it exists, nothing else is read, unless it is
//! locked and the user's file tightens it. Else `--policy`, else the user's file, else the built-in default. A
//! file in the working tree is never read by itself.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use keyblind_events::PolicySource;
use sha2::{Digest, Sha256};

use super::parse::{Base, parse};
use super::{BuiltIn, Located, Loosening, Mode, Origin, Policy, Report, Source, builtin};

/// The host's policy file.
pub const HOST: &str = "/etc/keyblind/policy.toml";

/// A policy file is text that people write: more bytes than this are a mistake.
const MAX_BYTES: u64 = 1 << 20;

/// What the caller of keyblind brings.
pub struct Sources<'a> {
    /// `--policy`
    pub option: Option<PathBuf>,
    /// `--mode`
    pub mode: Option<Mode>,
    /// The caller's variables, for `XDG_CONFIG_HOME` and `HOME`.
    pub variable: &'a dyn Fn(&str) -> Option<OsString>,
}

impl std::fmt::Debug for Sources<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Sources { option, mode, variable: _ } = self;
        f.debug_struct("Sources").field("option", option).field("mode", mode).finish_non_exhaustive()
    }
}

/// Where the host's policy file is, and whose it must be.
#[derive(Debug, Clone, Copy)]
pub struct HostFile<'a> {
    /// `/etc/keyblind/policy.toml`
    pub path: &'a Path,
    /// The owner's user id: root's.
    pub owner: u32,
}

/// A policy and where it came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The policy, with `--mode` in it.
    pub policy: Policy,
    /// The file, or the built-in default.
    pub source: Source,
    /// The user's file that tightens a locked host policy, if there is one.
    pub tightened_by: Option<Source>,
    /// SHA-256 of the bytes of the file; with a second file, of both in a row; of the built-in default's two files.
    pub sha256: [u8; 32],
    /// The first four hex digits of `sha256`: enough to tell one policy from the next.
    pub generation: String,
}

impl Loaded {
    /// The source as events have it.
    pub fn event_source(&self) -> PolicySource {
        match &self.source {
            Source::File(path) => PolicySource::File(path.to_path_buf()),
            Source::BuiltIn(_) | Source::Option(_) => PolicySource::BuiltIn("default".to_owned()),
        }
    }
}

/// Why there is no policy.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Mistakes in a file.
    #[error("{0}")]
    Invalid(#[from] Report),
    /// A file that somebody named does not exist.
    #[error("policy {} is not there; check the name", .0.display())]
    NotThere(PathBuf),
    /// A file cannot be read.
    #[error("cannot read policy {}: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Something else than a file.
    #[error("policy {} is not a regular file; name a file of TOML", .0.display())]
    NotAFile(PathBuf),
    /// Too much.
    #[error("policy {} is larger than 1 MiB; a policy is a text that people read", .0.display())]
    TooLarge(PathBuf),
    /// Not text.
    #[error("policy {} is not UTF-8 (line {line}); save it as UTF-8", .path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Where the first byte is that is none, counted from 1.
        line: usize,
    },
    /// Others could change it.
    #[error("policy {} can be changed by others (mode {mode:04o}): chmod go-w {}", .path.display(), .path.display())]
    Writable {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The host's file is not root's.
    #[error("policy {} belongs to uid {owner}: chown root {}", .path.display(), .path.display())]
    Owner {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// An option against a locked policy.
    #[error("{option} is refused: the host's policy {} is locked; leave the option out", .host.display())]
    Locked {
        /// The option.
        option: &'static str,
        /// The host's file.
        host: PathBuf,
    },
    /// `--policy` beside a host policy.
    #[error(
        "--policy {} is not read where {} exists, since the host's policy comes first; change that one",
        .option.display(),
        .host.display()
    )]
    HostFirst {
        /// The option's file.
        option: PathBuf,
        /// The host's file.
        host: PathBuf,
    },
    /// The user's file against a locked policy.
    #[error("{} loosens {}, which is locked: {loosening}", .path.display(), .host.display())]
    Loosens {
        /// The user's file.
        path: PathBuf,
        /// The host's file.
        host: PathBuf,
        /// What it loosens.
        loosening: Box<Loosening>,
    },
}

/// Finds and reads the policy.
pub fn load(sources: &Sources<'_>) -> Result<Loaded, LoadError> {
    load_beside(HostFile { path: Path::new(HOST), owner: 0 }, sources)
}

/// As [`load`], with the host's file in another place.
pub fn load_beside(host: HostFile<'_>, sources: &Sources<'_>) -> Result<Loaded, LoadError> {
    let mut loaded = match (read(host.path, Some(host.owner))?, &sources.option) {
        (Some(text), _) => beside_host(host.path, &text, sources)?,
        (None, Some(path)) => load_file(path, false)?,
        (None, None) => match own_file(sources)? {
            Some((path, text)) => from_file(&path, &text, Base::BuiltIn)?,
            None => built_in()?,
        },
    };
    if let Some(mode) = sources.mode {
        loaded.policy.mode = Located::new(mode, Origin::option("--mode"));
    }
    Ok(loaded)
}

/// Reads one policy file, whatever others there are. `host` reads it as the host's, which may be locked.
pub fn load_file(path: &Path, host: bool) -> Result<Loaded, LoadError> {
    let base = if host { Base::Host } else { Base::BuiltIn };
    match read(path, None)? {
        Some(text) => from_file(path, &text, base),
        None => Err(LoadError::NotThere(path.to_owned())),
    }
}

fn built_in() -> Result<Loaded, LoadError> {
    Ok(Loaded {
        policy: BuiltIn::Default.policy()?,
        source: Source::BuiltIn("default.toml"),
        tightened_by: None,
        sha256: builtin::SHA256,
        generation: generation(&builtin::SHA256),
    })
}

fn from_file(path: &Path, text: &str, base: Base<'_>) -> Result<Loaded, LoadError> {
    let source = Source::File(path.into());
    let policy = parse(text, &source, base)?;
    let sha256: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    Ok(Loaded { policy, source, tightened_by: None, sha256, generation: generation(&sha256) })
}

fn beside_host(host: &Path, text: &str, sources: &Sources<'_>) -> Result<Loaded, LoadError> {
    let loaded = from_file(host, text, Base::Host)?;
    if !loaded.policy.locked {
        return match &sources.option {
            // Silence would look as if the named policy were in force.
            Some(option) => Err(LoadError::HostFirst { option: option.clone(), host: host.to_owned() }),
            None => Ok(loaded),
        };
    }
    let refused = |option| Err(LoadError::Locked { option, host: host.to_owned() });
    if sources.option.is_some() {
        return refused("--policy");
    }
    if sources.mode.is_some_and(|mode| mode < loaded.policy.mode.value) {
        return refused("--mode audit");
    }
    let Some((path, own)) = own_file(sources)? else { return Ok(loaded) };
    let tightened = from_file(&path, &own, Base::Locked(&loaded.policy))?;
    if let Err(loosening) = tightened.policy.tightens(&loaded.policy) {
        return Err(LoadError::Loosens { path, host: host.to_owned(), loosening: Box::new(loosening) });
    }
    let sha256: [u8; 32] = Sha256::new().chain_update(text).chain_update(&own).finalize().into();
    Ok(Loaded {
        policy: Policy { locked: true, ..tightened.policy },
        source: loaded.source,
        tightened_by: Some(tightened.source),
        sha256,
        generation: generation(&sha256),
    })
}

/// The user's file and its text. It is `$XDG_CONFIG_HOME/keyblind/policy.toml`, where a relative `XDG_CONFIG_HOME`
/// counts as none (XDG Base Directory Specification), so that no file of the working tree is read through it.
fn own_file(sources: &Sources<'_>) -> Result<Option<(PathBuf, String)>, LoadError> {
    let absolute = |name: &str| (sources.variable)(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
    let Some(path) = config.map(|config| config.join("keyblind/policy.toml")) else { return Ok(None) };
    Ok(read(&path, None)?.map(|text| (path, text)))
}

fn generation(sha256: &[u8; 32]) -> String {
    let [first, second, ..] = sha256;
    format!("{first:02x}{second:02x}")
}

/// The text of a policy file. `None` if there is none. Checked on the open file, so that it cannot be exchanged
/// between the check and the reading.
fn read(path: &Path, owner: Option<u32>) -> Result<Option<String>, LoadError> {
    let unreadable = |source| LoadError::Unreadable { path: path.to_owned(), source };
    // A FIFO would block the start until somebody writes to it.
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
    let file: File = match opened {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(unreadable(error)),
    };
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(LoadError::NotAFile(path.to_owned()));
    }
    let mode = metadata.mode() & 0o7777;
    // A file of root's group is as safe as one of root.
    if mode & 0o002 != 0 || (mode & 0o020 != 0 && metadata.gid() != 0) {
        return Err(LoadError::Writable { path: path.to_owned(), mode });
    }
    if owner.is_some_and(|owner| owner != metadata.uid()) {
        return Err(LoadError::Owner { path: path.to_owned(), owner: metadata.uid() });
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(LoadError::TooLarge(path.to_owned()));
    }
    String::from_utf8(bytes).map(Some).map_err(|error| {
        let good = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
        let line = good.filter(|byte| **byte == b'\n').count() + 1;
        LoadError::NotUtf8 { path: path.to_owned(), line }
    })
}

#[cfg(test)]
mod tests;
