//! Where the service is: one per machine, and never through what somebody has planted.

use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;

use keyblind_tests::require;

use super::*;

#[test]
fn a_second_one_says_who_serves() {
    require!(Root, CgroupV2);
    let machine = Machine::new();
    let service = machine.up(&[]);
    let second = machine.start(&[]).err().expect("it does not serve");
    assert_eq!(second.status, Some(125));
    let words = format!("another keyblind host (process {})", service.pid());
    assert!(second.said.contains(&words), "{second:?}");
    assert_eq!(machine.status(0)["pid"], service.pid());
    assert_eq!(names(Path::new(STATE)), ["host.pid", "scopes"].map(str::to_owned).into());
    let elsewhere = Command::new(binary()).args(["host", "status", "--socket", "/run/nowhere"]).output();
    let said = String::from_utf8_lossy(&elsewhere.expect("it runs").stderr).into_owned();
    assert!(
        said.contains(&format!("process {}) serves this machine, but not at /run/nowhere", service.pid()))
    );
}

#[test]
fn what_is_planted_at_its_place_stays_and_is_refused() {
    require!(Root, CgroupV2);
    let machine = Machine::new();
    let socket = &machine.socket;
    let precious = machine.site.write("precious", "precious");
    let refused = |what: &str| {
        let before = fs::symlink_metadata(socket).expect("it is there");
        let Refused { status, said } =
            machine.start(&[]).err().unwrap_or_else(|| panic!("{what}: it serves"));
        assert_eq!(status, Some(125), "{what}: {said}");
        assert!(said.contains("is there and is no socket of root's"), "{what}: {said}");
        assert!(said.lines().count() <= 3);
        let after = fs::symlink_metadata(socket).expect("it is still there");
        assert_eq!(
            (before.ino(), before.mode(), before.uid()),
            (after.ino(), after.mode(), after.uid()),
            "{what}"
        );
    };
    symlink(&precious, socket).expect("a link");
    refused("a link");
    fs::remove_file(socket).expect("the link");
    symlink("/nowhere", socket).expect("a link");
    refused("a link to nowhere");
    fs::remove_file(socket).expect("the link");
    fs::write(socket, "x").expect("a file");
    refused("a file");
    fs::remove_file(socket).expect("the file");
    fs::create_dir(socket).expect("a directory");
    refused("a directory");
    fs::remove_dir(socket).expect("the directory");
    let theirs = UnixListener::bind(socket).expect("a socket");
    chown(socket, Some(USER), Some(USER)).expect("another owner");
    refused("a user's socket");
    drop(theirs);
    fs::remove_file(socket).expect("the socket");
    assert_eq!(fs::read(&precious).expect("it is there"), b"precious");
}

#[test]
fn a_directory_that_others_can_write_is_no_place() {
    require!(Root, CgroupV2);
    let machine = Machine::new();
    let place = machine.socket.parent().expect("a directory").to_owned();
    for (owner, mode, words) in
        [(0, 0o777, "can be written by others"), (USER, 0o755, "belongs to user 1000")]
    {
        chown(&place, Some(owner), Some(owner)).expect("an owner");
        fs::set_permissions(&place, PermissionsExt::from_mode(mode)).expect("a mode");
        let Refused { status, said } = machine.start(&[]).err().expect("it does not serve");
        assert!(status == Some(125) && said.contains(words), "{said}");
        assert!(names(&place).is_empty());
    }
}

/// A killed one leaves its socket behind; the next one takes its place. Everybody may connect, nobody else may write.
#[test]
fn the_socket_of_a_killed_one_is_replaced() {
    require!(Root, CgroupV2);
    let machine = Machine::new();
    machine.up(&[]).killed();
    let old = fs::symlink_metadata(&machine.socket).expect("it is left");
    assert!(old.file_type().is_socket());
    let absent = machine.keyblind(&["status"]);
    assert_eq!(absent.status.code(), Some(1), "{absent:?}");
    let _service = machine.up(&[]);
    let new = fs::symlink_metadata(&machine.socket).expect("a socket");
    assert_eq!((new.mode() & 0o7777, new.uid()), (0o666, 0));
    let state = fs::metadata(STATE).expect("a directory");
    assert_eq!((state.mode() & 0o7777, state.uid()), (0o755, 0));
    machine.status(USER);
}

#[test]
fn only_root_serves() {
    require!(Root, CgroupV2);
    let machine = Machine::new();
    let output = machine.keyblind_as(USER, &["up"]);
    assert_eq!(output.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&output.stderr).contains("only root of the host can serve it"));
}
