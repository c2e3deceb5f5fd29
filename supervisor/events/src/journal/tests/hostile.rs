//! Nobody leads the writer elsewhere: links, FIFOs, foreign files and loose modes in the way of the log.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::*;

/// A home with a victim file and the log's usual place in it; nothing of `.local/state/keyblind` is there.
struct Scene {
    home: tempfile::TempDir,
    place: Place,
}

const VICTIM: &str = "bystander";

impl Scene {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join(VICTIM), VICTIM).unwrap();
        fs::set_permissions(home.path().join(VICTIM), fs::Permissions::from_mode(0o600)).unwrap();
        let own = home.path().as_os_str().to_owned();
        let place = Place::standard(1000, |name| (name == "HOME").then(|| own.clone())).unwrap();
        Self { home, place }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.home.path().join(below)
    }

    /// Opens the log, which must fail with the text that `expected` makes of home; then nothing may have
    /// been written or made in the victim's place.
    fn refuses(&self, expected: &str) {
        let before = self.tree();
        let error = Journal::open(&self.place).unwrap_err().to_string();
        assert_eq!(error.replace(&self.path("").display().to_string(), "~/"), expected);
        assert_eq!(self.tree(), before);
        assert_eq!(fs::read_to_string(self.path(VICTIM)).unwrap(), VICTIM);
    }

    /// All names below home with type, size and link count.
    fn tree(&self) -> Vec<String> {
        fn walk(path: &Path, into: &mut Vec<String>) {
            use std::os::unix::fs::MetadataExt as _;
            let meta = fs::symlink_metadata(path).unwrap();
            into.push(format!("{} {:o} {} {}", path.display(), meta.mode(), meta.len(), meta.nlink()));
            if meta.is_dir() {
                let mut names: Vec<_> = fs::read_dir(path).unwrap().map(|e| e.unwrap().path()).collect();
                names.sort();
                names.iter().for_each(|name| walk(name, into));
            }
        }
        let mut all = Vec::new();
        walk(self.home.path(), &mut all);
        all
    }
}

/// The parts of the path below home, each with what a link in its place would lead to.
const PARTS: [&str; 3] = [".local", ".local/state", ".local/state/keyblind"];
const LOG: &str = ".local/state/keyblind/events.jsonl";
const FIX: &str = "put a directory there, or set XDG_STATE_HOME to one of yours by a path without links";

#[test]
fn a_directory_of_the_path_that_is_a_link_is_refused() {
    for part in PARTS {
        let scene = Scene::new();
        fs::create_dir_all(scene.path(part).parent().unwrap()).unwrap();
        // The link leads to a place where everything could be made.
        fs::create_dir_all(scene.path("elsewhere/state/keyblind")).unwrap();
        symlink(scene.path("elsewhere"), scene.path(part)).unwrap();
        scene.refuses(&format!("event log ~/{LOG}: ~/{part} is a symbolic link, not a directory; {FIX}"));
    }
}

#[test]
fn a_directory_of_the_path_that_is_a_fifo_or_a_file_with_two_names_is_refused() {
    for part in PARTS {
        let scene = Scene::new();
        fs::create_dir_all(scene.path(part).parent().unwrap()).unwrap();
        mkfifo(&scene.path(part), Mode::S_IRWXU).unwrap();
        scene.refuses(&format!("event log ~/{LOG}: ~/{part} is a FIFO, not a directory; {FIX}"));
        fs::remove_file(scene.path(part)).unwrap();
        fs::hard_link(scene.path(VICTIM), scene.path(part)).unwrap();
        scene.refuses(&format!("event log ~/{LOG}: ~/{part} is a regular file, not a directory; {FIX}"));
    }
}

#[test]
fn a_home_that_is_a_link_or_is_not_there_is_refused() {
    let scene = Scene::new();
    let at = |home: PathBuf| {
        Place::standard(1000, |name| (name == "HOME").then(|| home.clone().into_os_string())).unwrap()
    };
    fs::create_dir(scene.path("real")).unwrap();
    symlink(scene.path("real"), scene.path("link")).unwrap();
    let linked = Scene { place: at(scene.path("link")), home: scene.home };
    linked.refuses(&format!("event log ~/link/{LOG}: ~/link is a symbolic link, not a directory; {FIX}"));
    let absent = Scene { place: at(linked.path("absent")), home: linked.home };
    absent.refuses(&format!("event log ~/absent/{LOG}: ~/absent does not exist; {FIX}"));
}

fn with_directory() -> Scene {
    let scene = Scene::new();
    let directory = scene.path(".local/state/keyblind");
    fs::create_dir_all(&directory).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).unwrap();
    scene
}

#[test]
fn a_log_that_is_a_link_or_a_fifo_is_refused() {
    let fix = "move it away, or name another file, or a descriptor as fd:N";
    let refuses = |scene: &Scene, kind: &str| {
        scene.refuses(&format!("event log ~/{LOG}: ~/{LOG} is a {kind}, not a regular file; {fix}"));
    };
    let scene = with_directory();
    symlink(scene.path(VICTIM), scene.path(LOG)).unwrap();
    refuses(&scene, "symbolic link");
    fs::remove_file(scene.path(LOG)).unwrap();
    symlink(scene.path("dangling"), scene.path(LOG)).unwrap();
    refuses(&scene, "symbolic link");
    fs::remove_file(scene.path(LOG)).unwrap();
    mkfifo(&scene.path(LOG), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    refuses(&scene, "FIFO");
    fs::remove_file(scene.path(LOG)).unwrap();
    fs::create_dir(scene.path(LOG)).unwrap();
    refuses(&scene, "directory");
}

#[test]
fn a_log_with_a_second_name_is_refused() {
    let scene = with_directory();
    fs::hard_link(scene.path(VICTIM), scene.path(LOG)).unwrap();
    scene.refuses(&format!(
        "event log ~/{LOG}: it has 2 names (hard links), it must have one; \
         move it away: mv ~/{LOG} ~/.local/state/keyblind/events.old"
    ));
}

#[test]
fn loose_modes_are_refused_with_the_command_that_tightens_them() {
    let scene = with_directory();
    fs::write(scene.path(LOG), "").unwrap();
    for mode in [0o640, 0o604, 0o620, 0o602] {
        fs::set_permissions(scene.path(LOG), fs::Permissions::from_mode(mode)).unwrap();
        scene.refuses(&format!(
            "event log ~/{LOG}: its mode is {mode:04o}, others have access; chmod 600 ~/{LOG}"
        ));
    }
    fs::set_permissions(scene.path(LOG), fs::Permissions::from_mode(0o600)).unwrap();
    let directory = scene.path(".local/state/keyblind");
    for mode in [0o770, 0o707, 0o1777] {
        fs::set_permissions(&directory, fs::Permissions::from_mode(mode)).unwrap();
        scene.refuses(&format!(
            "event log ~/.local/state/keyblind: its mode is {mode:04o}, others have access; \
             chmod 700 ~/.local/state/keyblind"
        ));
    }
    // Others may look at the directory's names: the file itself is closed.
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
    Journal::open(&scene.place).unwrap();
}

#[test]
fn a_log_or_directory_of_somebody_else_is_refused() {
    if !is_root("needs root to give files away") {
        return;
    }
    let scene = with_directory();
    fs::write(scene.path(LOG), "").unwrap();
    std::os::unix::fs::chown(scene.path(LOG), Some(4242), None).unwrap();
    scene.refuses(&format!(
        "event log ~/{LOG}: it belongs to user 4242, not to user 0; \
         move it away: mv ~/{LOG} ~/.local/state/keyblind/events.old"
    ));
    fs::remove_file(scene.path(LOG)).unwrap();
    std::os::unix::fs::chown(scene.path(".local/state/keyblind"), Some(4242), None).unwrap();
    scene.refuses(
        "event log ~/.local/state/keyblind: it belongs to user 4242, not to user 0; \
         move it away: mv ~/.local/state/keyblind ~/.local/state/keyblind.old",
    );
}

#[test]
fn a_log_replaced_while_it_is_open_is_not_followed() {
    let scene = with_directory();
    let mut recorder = recorder();
    let mut journal = Journal::open(&scene.place).unwrap();
    journal.append(&denied(&mut recorder)).unwrap();
    fs::remove_file(scene.path(LOG)).unwrap();
    symlink(scene.path(VICTIM), scene.path(LOG)).unwrap();
    assert!(journal.append(&denied(&mut recorder)).is_err());
    assert_eq!(fs::read_to_string(scene.path(VICTIM)).unwrap(), VICTIM);
    assert_eq!(journal.unreported(), 1);
    fs::remove_file(scene.path(LOG)).unwrap();
    journal.append(&masked(&mut recorder)).unwrap();
    let read = events(&fs::read(scene.path(LOG)).unwrap());
    assert_eq!(kinds(&read), ["lost", "access.masked"]);
}

#[test]
fn a_sink_is_as_careful_with_its_path() {
    let scene = Scene::new();
    fs::create_dir(scene.path("real")).unwrap();
    symlink(scene.path("real"), scene.path("link")).unwrap();
    symlink(scene.path(VICTIM), scene.path("real/link")).unwrap();
    let text = |path: &str| Sink::file(&scene.path(path)).unwrap_err().to_string();
    assert!(text("link/log").contains("/link is a symbolic link, not a directory; name a file in"));
    assert!(text("real/link").contains("is a symbolic link, not a regular file; move it away, or name"));
    assert!(text("absent/log").contains("/absent does not exist; name a file in an existing directory"));
    assert!(text("real/..").contains("is a directory, not a regular file"));
    assert_eq!(fs::read_to_string(scene.path(VICTIM)).unwrap(), VICTIM);
    // A directory that others may write to is no hindrance: the file is ours.
    fs::set_permissions(scene.path("real"), fs::Permissions::from_mode(0o1777)).unwrap();
    Sink::file(&scene.path("real/log")).unwrap();
    assert_eq!(fs::metadata(scene.path("real/log")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn names_in_refusals_do_not_steer_the_terminal() {
    let home = tempfile::tempdir().unwrap();
    let name = home.path().join("a\u{1b}[2J b");
    fs::create_dir(&name).unwrap();
    fs::write(name.join("events.jsonl"), "").unwrap();
    fs::set_permissions(name.join("events.jsonl"), fs::Permissions::from_mode(0o644)).unwrap();
    let error = Journal::open(&Place::dir(&name)).unwrap_err().to_string();
    assert!(error.contains("a\\u{1b}[2J b/events.jsonl: its mode"), "{error}");
    assert!(error.ends_with("b/events.jsonl\""), "{error}");
}
