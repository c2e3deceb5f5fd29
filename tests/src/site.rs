#![forbid(unsafe_code)]
//! A planted host: a home with secrets where programs keep them, a project, variables. All of it is made for one
//! test and gone with it.

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

use crate::canary::{Canary, Finder, random};
use crate::outcome::{self, Outcome};
use crate::raw::default_signals;
use crate::start::{Run, agent, binary, helper};

/// Below the home: path, and what stands around the value.
const FILES: &[(&str, &str, &str)] = &[
    (".aws/credentials", "[default]\naws_access_key_id = none\naws_secret_access_key = ", "\n"),
    (".ssh/id_ed25519", "-----BEGIN OPENSSH PRIVATE KEY-----\n", "\n-----END OPENSSH PRIVATE KEY-----\n"),
    (".netrc", "machine example.invalid login jo password ", "\n"),
    (".npmrc", "//registry.example.invalid/:_authToken=", "\n"),
    (".git-credentials", "https://jo:", "@example.invalid\n"),
    (".config/gh/hosts.yml", "github.invalid:\n    oauth_token: ", "\n"),
    (".docker/config.json", "{\"auths\":{\"example.invalid\":{\"auth\":\"", "\"}}}\n"),
    (".kube/config", "users:\n- user:\n    token: ", "\n"),
];

/// Variables that an agent's host has; no list of names knows the last one.
const VARIABLES: &[&str] =
    &["OPENAI_API_KEY", "DB_PASSWORD", "SLACK_BOT_TOKEN", "AWS_SECRET_ACCESS_KEY", "FROBNICATION"];

/// A planted host.
#[derive(Debug)]
pub struct Site {
    dir: TempDir,
    /// The canaries in files below the home.
    pub files: Vec<Canary>,
    /// The canaries in the caller's variables.
    pub variables: Vec<Canary>,
    /// What processes and files of the host hold, and the caller does not.
    pub host: Canary,
    planted: HashSet<PathBuf>,
    runs: AtomicUsize,
}

impl Site {
    /// Plants a host below `/var/tmp`, which no run sees unless policy says so.
    ///
    /// # Panics
    /// If it cannot be written, or the programs under test are not built.
    #[must_use]
    pub fn new() -> Self {
        let files = FILES.iter().map(|(name, _, _)| Canary::new(name)).collect();
        let variables = VARIABLES.iter().map(|name| Canary::new(name)).collect();
        Self::with(files, variables, Canary::new("host"))
    }

    /// A fresh host with the same canaries, for a second run that shall not see what the first left behind.
    #[must_use]
    pub fn twin(&self) -> Self {
        Self::with(self.files.clone(), self.variables.clone(), self.host.clone())
    }

    fn with(files: Vec<Canary>, variables: Vec<Canary>, host: Canary) -> Self {
        default_signals();
        let dir =
            tempfile::Builder::new().prefix("kb-").tempdir_in("/var/tmp").expect("a directory for the site");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))
            .expect("the site opens to the user");
        let mut site =
            Self { dir, files, variables, host, planted: HashSet::new(), runs: AtomicUsize::new(0) };
        for place in [site.bin(), site.home(), site.project().join("bin"), site.root().join("log")] {
            fs::create_dir_all(place).expect("the site's directories");
        }
        fs::DirBuilder::new()
            .mode(0o700)
            .create(site.root().join("log-of-root"))
            .expect("the site's directories");
        for (index, (name, before, after)) in FILES.iter().enumerate() {
            let text = format!("{before}{}{after}", site.files[index].value);
            site.plant(site.home().join(name), text);
        }
        place(&binary(), &site.bin().join("keyblind"));
        place(&helper("no-namespaces"), &site.bin().join("no-namespaces"));
        place(&helper("on-host"), &site.bin().join("on-host"));
        place(&helper("victim"), &site.bin().join("victim"));
        place(&helper("try-access"), &site.project().join("bin/try-access"));
        site.write(
            "home/.gitconfig",
            "[user]\n\tname = Jo\n\temail = jo@example.invalid\n[init]\n\tdefaultBranch = main\n",
        );
        site.write_users();
        for place in ["home", "log"] {
            give(&site.root().join(place));
        }
        site
    }

    /// The host's user database, with our user and the home that we planted.
    fn write_users(&self) {
        let (uid, gid) = agent();
        let without = |path: &str, id: u32| {
            let text = fs::read_to_string(path).unwrap_or_default();
            let others = text.lines().filter(|line| line.split(':').nth(2) != Some(&id.to_string()));
            others.map(|line| format!("{line}\n")).collect::<String>()
        };
        let home = self.home();
        let entry = format!("jo:x:{uid}:{gid}::{}:/bin/bash\n", home.display());
        fs::write(self.root().join("passwd"), without("/etc/passwd", uid) + &entry).expect("a user database");
        fs::write(self.root().join("group"), without("/etc/group", gid) + &format!("jo:x:{gid}:\n"))
            .expect("a group database");
    }

    /// The top of the site.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    /// The caller's home.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.root().join("home")
    }

    /// The working tree: where runs start and what they may write.
    #[must_use]
    pub fn project(&self) -> PathBuf {
        self.home().join("project")
    }

    /// Programs of the caller; not visible in a run.
    #[must_use]
    pub fn bin(&self) -> PathBuf {
        self.root().join("bin")
    }

    /// The program that tries one access, at a path that exists in every tier.
    #[must_use]
    pub fn try_access(&self) -> PathBuf {
        self.project().join("bin/try-access")
    }

    /// Adds a program of this package to the project.
    pub fn add_helper(&self, name: &str) -> PathBuf {
        let path = self.project().join("bin").join(name);
        place(&helper(name), &path);
        path
    }

    /// Writes a file of the caller, relative to the site, with the directories above it. Owned by the user.
    pub fn write(&self, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.root().join(path);
        let mut above = path.parent();
        let mut made = Vec::new();
        while let Some(dir) = above.filter(|dir| !dir.exists()) {
            made.push(dir.to_owned());
            above = dir.parent();
        }
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories of a file");
        fs::write(&path, bytes).expect("a file of the site");
        made.push(path.clone());
        for one in made {
            own(&one);
        }
        path
    }

    /// Writes a file that holds a canary: after a run, the canary may be there and nowhere else.
    pub fn plant(&mut self, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.write(path, bytes);
        self.planted.insert(path.clone());
        path
    }

    /// Gives a file or directory to the user, and not what is below it.
    pub fn own(&self, path: &Path) {
        own(path);
    }

    /// The canary in the file or variable of that name.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn canary(&self, name: &str) -> &Canary {
        self.canaries().find(|canary| canary.name == name).unwrap_or_else(|| panic!("no canary {name}"))
    }

    pub(crate) fn canaries(&self) -> impl Iterator<Item = &Canary> {
        self.files.iter().chain(&self.variables).chain([&self.host])
    }

    /// Finds any piece of any canary.
    pub(crate) fn finder(&self) -> Finder {
        Finder::new(self.canaries().map(|canary| canary.value.as_bytes()))
    }

    /// Runs to the end.
    ///
    /// # Panics
    /// If it cannot be started or does not end in two minutes.
    #[must_use]
    pub fn run(&self, run: Run) -> Outcome {
        let (mut command, events) = self.command(&run);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.spawn().unwrap_or_else(|error| panic!("{:?}: {error}", command.get_program()));
        let mut stdin = child.stdin.take().expect("stdin is a pipe");
        let bytes = run.stdin.clone();
        // A command that does not read its stdin closes it, which is its right.
        let feeder = std::thread::spawn(move || drop(stdin.write_all(&bytes)));
        let outcome = outcome::collect(child, run.tier, &events);
        feeder.join().expect("the thread that feeds stdin");
        outcome
    }

    /// The command, ready to be started in another way than [`Site::run`] does, and where its events go.
    #[must_use]
    pub fn command(&self, run: &Run) -> (Command, PathBuf) {
        let number = self.runs.fetch_add(1, Ordering::Relaxed);
        let log = if run.tier.by_root() { "log-of-root" } else { "log" };
        let events = self.root().join(log).join(format!("{number}-{}.jsonl", random(6)));
        let line = run.line(self.root(), &events);
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).current_dir(run.cwd.clone().unwrap_or_else(|| self.project())).env_clear();
        command.env("HOME", self.home()).env("PATH", "/usr/local/bin:/usr/bin:/bin");
        command.envs([
            ("USER", "jo"),
            ("LOGNAME", "jo"),
            ("SHELL", "/bin/bash"),
            ("LANG", "C.UTF-8"),
            ("TERM", "xterm"),
        ]);
        command.envs(self.variables.iter().map(|canary| (canary.name, &canary.value)));
        command.envs(run.variables.iter().map(|(name, value)| (name, value)));
        (command, events)
    }

    /// Empties the project, but for the programs of the tests.
    ///
    /// # Panics
    /// If something cannot be removed.
    pub fn clear(&self) {
        for entry in fs::read_dir(self.project()).expect("the project").flatten() {
            let path = entry.path();
            if path.file_name() == Some("bin".as_ref()) {
                continue;
            }
            let gone = if path.is_dir() && !path.is_symlink() {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            };
            gone.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }

    /// Every file below the site that holds a piece of a canary and was not planted.
    #[must_use]
    pub fn leaked_files(&self) -> Vec<PathBuf> {
        let finder = self.finder();
        // Programs of the build, linked here: no run writes them, and they are hundreds of megabytes.
        let programs = [self.bin(), self.home().join(".rustup")];
        let mut found = Vec::new();
        let mut left = vec![self.root().to_owned()];
        while let Some(dir) = left.pop() {
            let Ok(entries) = fs::read_dir(&dir) else { continue };
            for entry in entries.flatten() {
                let path = entry.path();
                let Ok(kind) = entry.file_type() else { continue };
                if kind.is_dir() && !programs.contains(&path) {
                    left.push(path);
                } else if kind.is_file() && !self.planted.contains(&path) {
                    let bytes = fs::read(&path).unwrap_or_default();
                    if finder.is_in(&bytes) {
                        found.push(path);
                    }
                }
            }
        }
        found
    }
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

/// Makes a program appear at `to`: by a link where that works, else by a copy. Never over what is there: it could be
/// a link to the same program.
fn place(from: &Path, to: &Path) {
    if to.exists() {
        return;
    }
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to).unwrap_or_else(|error| panic!("{} to {}: {error}", from.display(), to.display()));
    }
}

/// Gives one file or directory to the ordinary user.
fn own(path: &Path) {
    let (uid, gid) = agent();
    lchown(path, Some(uid), Some(gid)).expect("a file of the site changes its owner");
}

/// Gives a tree to the ordinary user, except for programs: they may be links to the build's own.
fn give(top: &Path) {
    own(top);
    for entry in fs::read_dir(top).expect("a directory of the site").flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            give(&path);
        } else if path.parent().and_then(Path::file_name) != Some("bin".as_ref()) {
            own(&path);
        }
    }
}
