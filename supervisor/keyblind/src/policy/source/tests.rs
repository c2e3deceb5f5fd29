//! Real files in temporary directories.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use nix::sys::stat::Mode as Bits;
use nix::unistd::{Uid, mkfifo};
use tempfile::TempDir;

use super::super::NetworkMode;
use super::*;

/// A host directory and a user's home.
struct Bench {
    root: TempDir,
}

impl Bench {
    fn new() -> Bench {
        Bench { root: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn load_with(&self, option: Option<PathBuf>, mode: Option<Mode>) -> Result<Loaded, LoadError> {
        let home = self.path("home");
        let variable = move |name: &str| (name == "HOME").then(|| home.clone().into_os_string());
        let host = self.path("etc/policy.toml");
        let host = HostFile { path: &host, owner: Uid::effective().as_raw() };
        load_beside(host, &Sources { option, mode, variable: &variable })
    }

    fn load(&self) -> Result<Loaded, LoadError> {
        self.load_with(None, None)
    }

    /// The message, with the temporary directory as `/T`.
    fn refusal(&self, loaded: Result<Loaded, LoadError>) -> String {
        let message = loaded.map(|loaded| loaded.source).unwrap_err().to_string();
        message.replace(self.root.path().to_str().unwrap(), "/T")
    }
}

const USER: &str = "home/.config/keyblind/policy.toml";
const HOST_FILE: &str = "etc/policy.toml";

#[test]
fn without_files_the_built_in_default_counts() {
    let loaded = Bench::new().load().unwrap();
    assert_eq!(loaded.source, Source::BuiltIn("default.toml"));
    assert_eq!(loaded.policy, BuiltIn::Default.policy().unwrap());
    let text = format!("{}{}", BuiltIn::Default.text(), builtin::guards_text());
    let hash: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    assert_eq!(loaded.sha256, hash);
    assert_eq!(loaded.generation, format!("{:02x}{:02x}", hash[0], hash[1]));
    assert_eq!(loaded.event_source(), PolicySource::BuiltIn("default".into()));
}

#[test]
fn the_users_file_counts_and_its_hash_is_that_of_the_file() {
    let bench = Bench::new();
    let path = bench.write(USER, "version = 1\nnetwork = { mode = \"none\" }\n");
    let loaded = bench.load().unwrap();
    assert_eq!(loaded.source, Source::File(path.as_path().into()));
    assert_eq!(loaded.policy.network.mode.value, NetworkMode::None);
    assert_eq!(loaded.policy.network.mode.origin.line, 2);
    let hash: [u8; 32] = Sha256::digest(fs::read(&path).unwrap()).into();
    assert_eq!(loaded.sha256, hash);
    assert_eq!(loaded.event_source(), PolicySource::File(path));
}

#[test]
fn xdg_config_home_counts_when_it_is_absolute() {
    let bench = Bench::new();
    bench.write("config/keyblind/policy.toml", "version = 1\nmode = \"audit\"\n");
    bench.write(USER, "version = 1\n");
    let host = bench.path(HOST_FILE);
    let load = |config: PathBuf| {
        let home = bench.path("home");
        let variable = |name: &str| match name {
            "XDG_CONFIG_HOME" => Some(config.clone().into_os_string()),
            _ => Some(home.clone().into_os_string()),
        };
        load_beside(
            HostFile { path: &host, owner: 0 },
            &Sources { option: None, mode: None, variable: &variable },
        )
        .unwrap()
    };
    assert_eq!(load(bench.path("config")).policy.mode.value, Mode::Audit);
    assert_eq!(load("config".into()).policy.mode.value, Mode::Enforce);
}

#[test]
fn the_option_comes_before_the_users_file_and_must_exist() {
    let bench = Bench::new();
    bench.write(USER, "version = 1\n");
    let option = bench.write("p.toml", "version = 1\nmode = \"audit\"\n");
    let loaded = bench.load_with(Some(option.clone()), None).unwrap();
    assert_eq!(loaded.policy.mode.value, Mode::Audit);
    let loaded = bench.load_with(Some(option), Some(Mode::Enforce)).unwrap();
    assert_eq!(
        (loaded.policy.mode.value, loaded.policy.mode.origin.to_string()),
        (Mode::Enforce, "--mode".into())
    );
    let missing = bench.load_with(Some(bench.path("none.toml")), None);
    assert_eq!(bench.refusal(missing), "policy /T/none.toml is not there; check the name");
}

#[test]
fn the_hosts_file_comes_first() {
    let bench = Bench::new();
    let host = bench.write(HOST_FILE, "version = 1\nnetwork = { mode = \"loopback\" }\n");
    bench.write(USER, "this is not read");
    let loaded = bench.load_with(None, Some(Mode::Audit)).unwrap();
    assert_eq!(loaded.source, Source::File(host.into()));
    assert_eq!(loaded.policy.mode.value, Mode::Audit);
    let option = bench.write("p.toml", "version = 1\n");
    assert_eq!(
        bench.refusal(bench.load_with(Some(option), None)),
        "--policy /T/p.toml is not read where /T/etc/policy.toml exists, since the host's policy comes first; \
         change that one"
    );
}

#[test]
fn a_locked_host_policy_refuses_options_that_replace_or_loosen_it() {
    let bench = Bench::new();
    bench.write(HOST_FILE, "version = 1\nlocked = true\n");
    let option = bench.write("p.toml", "version = 1\n");
    assert_eq!(
        bench.refusal(bench.load_with(Some(option), None)),
        "--policy is refused: the host's policy /T/etc/policy.toml is locked; leave the option out"
    );
    assert_eq!(
        bench.refusal(bench.load_with(None, Some(Mode::Audit))),
        "--mode audit is refused: the host's policy /T/etc/policy.toml is locked; leave the option out"
    );
    assert!(bench.load_with(None, Some(Mode::Enforce)).unwrap().policy.locked);
}

#[test]
fn a_users_file_may_tighten_a_locked_host_policy() {
    let bench = Bench::new();
    let host = "version = 1\nlocked = true\nvariables = { keep = [\"CORP_*\"] }\n";
    bench.write(HOST_FILE, host);
    let own = "version = 1\nextends = \"strict\"\nvariables = { keep = [\"!CORP_*\", \"CORP_A\"] }\n";
    let user = bench.write(USER, own);
    let loaded = bench.load().unwrap();
    assert!(loaded.policy.locked);
    assert_eq!(loaded.policy.network.mode.value, NetworkMode::Loopback);
    assert!(loaded.policy.variables.keep.iter().any(|keep| keep.value.as_str() == "CORP_A"));
    assert_eq!(loaded.tightened_by, Some(Source::File(user.into())));
    assert_eq!(loaded.source, Source::File(bench.path(HOST_FILE).into()));
    let hash: [u8; 32] = Sha256::digest(format!("{host}{own}")).into();
    assert_eq!(loaded.sha256, hash);
}

#[test]
fn a_users_file_may_not_loosen_a_locked_host_policy() {
    let bench = Bench::new();
    bench.write(HOST_FILE, "version = 1\nlocked = true\n[network]\nmode = \"none\"\n");
    bench.write(USER, "version = 1\n[network]\nmode = \"host\"\n");
    assert_eq!(
        bench.refusal(bench.load()),
        "/T/home/.config/keyblind/policy.toml loosens /T/etc/policy.toml, which is locked: \
         /T/home/.config/keyblind/policy.toml:3: `network.mode` is `host` and must stay `none` (/T/etc/policy.toml:4)"
    );
    bench.write(USER, "version = 1\nextends = \"audit\"\n");
    assert_eq!(
        bench.refusal(bench.load()),
        "/T/home/.config/keyblind/policy.toml loosens /T/etc/policy.toml, which is locked: \
         built-in audit.toml:4: `mode` is `audit` and must stay `enforce` (built-in default.toml:7)"
    );
}

#[test]
fn only_the_hosts_file_may_be_locked() {
    let bench = Bench::new();
    bench.write(USER, "version = 1\nlocked = true\n");
    assert_eq!(
        bench.refusal(bench.load()),
        "error: `locked` counts only in the host's policy\n \
         --> /T/home/.config/keyblind/policy.toml:2:10\n\
         2 | locked = true\n  |          ^^^^ write it in /etc/keyblind/policy.toml, or leave it out"
    );
}

#[test]
fn files_that_others_may_change_are_refused() {
    let bench = Bench::new();
    let path = bench.write(USER, "version = 1\n");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o606)).unwrap();
    assert_eq!(
        bench.refusal(bench.load()),
        "policy /T/home/.config/keyblind/policy.toml can be changed by others (mode 0606): \
         chmod go-w /T/home/.config/keyblind/policy.toml"
    );
    fs::set_permissions(&path, fs::Permissions::from_mode(0o620)).unwrap();
    // Root's own group may write; any other may not.
    assert_eq!(bench.load().is_err(), fs::metadata(&path).unwrap().gid() != 0);
}

#[test]
fn the_hosts_file_must_be_roots() {
    let bench = Bench::new();
    let host = bench.write(HOST_FILE, "version = 1\n");
    let other = Uid::effective().as_raw() + 1;
    let sources = Sources { option: None, mode: None, variable: &|_| None };
    let refused = load_beside(HostFile { path: &host, owner: other }, &sources);
    let own = Uid::effective();
    assert_eq!(
        bench.refusal(refused),
        format!("policy /T/etc/policy.toml belongs to uid {own}: chown root /T/etc/policy.toml")
    );
}

#[test]
fn what_is_not_a_file_of_text_is_refused_without_waiting() {
    let bench = Bench::new();
    let path = bench.path("p");
    mkfifo(&path, Bits::S_IRUSR | Bits::S_IWUSR).unwrap();
    let refusal = |path: &Path| bench.refusal(bench.load_with(Some(path.to_owned()), None));
    assert_eq!(refusal(&path), "policy /T/p is not a regular file; name a file of TOML");
    assert_eq!(refusal(bench.root.path()), "policy /T is not a regular file; name a file of TOML");
    let path = bench.path("bytes");
    fs::write(&path, b"version = 1\n# \xff\n").unwrap();
    assert_eq!(refusal(&path), "policy /T/bytes is not UTF-8 (line 2); save it as UTF-8");
    fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert_eq!(refusal(&path), "policy /T/bytes is larger than 1 MiB; a policy is a text that people read");
    let inside = bench.path("bytes/policy.toml");
    assert_eq!(refusal(&inside), "policy /T/bytes/policy.toml is not there; check the name");
}
