//! Addresses that policy denies, in a network in which they exist.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;

use keyblind_tests::{Check, Feature, Run, Site, Tier, in_each_tier};
use nix::sched::{CloneFlags, unshare};

in_each_tier!(Check; a_denied_address_is_out_of_reach_where_programs_can_be_had);

/// Gives the loopback interface the address of the clouds' metadata service and one beside it, and answers there.
const SERVICE: &str = r#"
import fcntl, socket, struct
s = socket.socket()
def name(n): return n.encode().ljust(16, b'\0')
def up(n): fcntl.ioctl(s, 0x8914, name(n) + struct.pack('H14x', 0x41))
up('lo')
for at, a in enumerate(['169.254.169.254', '169.254.169.253']):
    n = 'lo:%d' % at
    fcntl.ioctl(s, 0x8916, name(n) + struct.pack('HH', 2, 0) + socket.inet_aton(a) + bytes(8))
    up(n)
server = socket.create_server(('', 80), backlog=64)
print('ready', flush=True)
while True: server.accept()[0].close()
"#;

const ASK: &str = r#"
import errno, socket
for a in ('169.254.169.254', '169.254.169.253'):
    try:
        socket.create_connection((a, 80), 5)
        print(a, 'reached')
    except OSError as error:
        print(a, errno.errorcode[error.errno])
"#;

struct Service(Child);

impl Service {
    fn start() -> Self {
        let mut child = Command::new("python3")
            .args(["-c", SERVICE])
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n");
        Self(child)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn a_denied_address_is_out_of_reach_where_programs_can_be_had() -> Check {
    Check::new(&[Feature::Root, Feature::CgroupV2, Feature::Python3], |tier| {
        // A network namespace belongs to a thread, and to what it starts.
        let result = thread::scope(|threads| threads.spawn(|| tried(tier)).join());
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    })
}

fn tried(tier: Tier) {
    unshare(CloneFlags::CLONE_NEWNET).expect("root may");
    let _service = Service::start();
    let bare = Command::new("python3").args(["-c", ASK]).output().expect("python3 starts");
    let all = b"169.254.169.254 reached\n169.254.169.253 reached\n";
    assert_eq!(bare.stdout, all, "{bare:?}");
    let site = Site::new();
    let outcome = site.run(Run::new(tier, ["/usr/bin/python3", "-c", ASK]));
    let started = &outcome.events_of("run.started")[0]["started"];
    let layers = started["layers"].as_array().expect("layers");
    let on = layers.iter().any(|layer| layer["layer"] == "network_limits" && layer["on"] == true);
    assert!(on || tier != Tier::Mount, "{started}");
    if on {
        assert_eq!(outcome.stdout, b"169.254.169.254 EPERM\n169.254.169.253 reached\n", "{outcome}");
        let denied = &outcome.events_of("access.denied")[0];
        assert_eq!(denied["object"]["guard"], "network.deny", "{denied}");
        assert_eq!(denied["errno"]["name"], "EPERM", "{denied}");
        assert!(denied.to_string().contains("169.254.169.254"), "{denied}");
    } else {
        assert_eq!(outcome.stdout, all, "{outcome}");
        assert!(started["not_enforced"].to_string().contains("network.deny"), "{started}");
    }
}
