//! What a cgroup may not reach, on this kernel: bare it is reached, guarded it is not, and what is next to it still is.

use std::fs::{self, File};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use keyblind::guard::{AddressCounts, AddressGuard, Denied};
use keyblind::policy::NetworkDeny;
use keyblind_tests::require;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// In a network of its own, in which this machine has every address that is tried: one line for each way to reach it.
const SCRIPT: &str = r#"
import ctypes, errno, fcntl, os, socket, struct, sys
open(sys.argv[1] + '/cgroup.procs', 'w').write('0')
assert ctypes.CDLL(None).unshare(0x50000000) == 0
four, six = socket.socket(), socket.socket(socket.AF_INET6)
def name(n): return n.encode().ljust(16, b'\0')
def up(n): fcntl.ioctl(four, 0x8914, name(n) + struct.pack('H14x', 0x41))
up('lo')
METADATA4 = ['169.254.169.254', '169.254.170.2', '100.100.100.200']
for at, a in enumerate(METADATA4 + ['169.254.169.253']):
    n = 'lo:%d' % at
    fcntl.ioctl(four, 0x8916, name(n) + struct.pack('HH', 2, 0) + socket.inet_aton(a) + bytes(8))
    up(n)
for a in ('fd00:ec2::254', 'fd00:ec2::253', '64:ff9b::a9fe:a9fe'):
    fcntl.ioctl(six, 0x8916, socket.inet_pton(socket.AF_INET6, a) + struct.pack('=Ii', 128, 1))
server = socket.create_server(('::', 80), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
def tried(what, family, kind, protocol, call):
    try:
        s = socket.socket(family, kind, protocol)
        call(s)
        print(what, 'ok')
    except OSError as error:
        print(what, errno.errorcode.get(error.errno, error))
def each(a):
    family = socket.AF_INET6 if ':' in a else socket.AF_INET
    tried(a + ' tcp', family, socket.SOCK_STREAM, 0, lambda s: s.connect((a, 80)))
    tried(a + ' fast', family, socket.SOCK_STREAM, 0, lambda s: s.sendto(b'x', 0x20000000, (a, 80)))
    tried(a + ' mptcp', family, socket.SOCK_STREAM, 262, lambda s: s.connect((a, 80)))
    tried(a + ' udp', family, socket.SOCK_DGRAM, 0, lambda s: s.connect((a, 80)))
    tried(a + ' sendto', family, socket.SOCK_DGRAM, 0, lambda s: s.sendto(b'x', (a, 80)))
    tried(a + ' sendmsg', family, socket.SOCK_DGRAM, 0, lambda s: s.sendmsg([b'x'], [], 0, (a, 80)))
for a in METADATA4 + ['::ffff:' + a for a in METADATA4] + ['fd00:ec2::254', '64:ff9b::a9fe:a9fe']: each(a)
print('--')
for a in ('127.0.0.1', '::1', '169.254.169.253', '::ffff:169.254.169.253', 'fd00:ec2::253'): each(a)
"#;

struct Bed(PathBuf);

impl Bed {
    fn new(name: &str) -> Self {
        let mounts = fs::read_to_string("/proc/mounts").expect("mounts");
        let line = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"));
        let top = line.and_then(|line| line.split(' ').nth(1)).expect("cgroup v2");
        let dir = Path::new(top).join(format!("keyblind-test-{}-{name}", std::process::id()));
        fs::create_dir(&dir).expect("a cgroup");
        Self(dir)
    }

    fn guard(&self, refuse: bool) -> AddressGuard {
        let cgroup = File::open(&self.0).expect("the cgroup");
        AddressGuard::attach(cgroup.as_fd(), &[NetworkDeny::Metadata], refuse).expect("the programs")
    }

    /// What the script wrote of addresses that may be denied, and of those that may not.
    fn tried(&self) -> (Vec<String>, Vec<String>) {
        self.tried_by(SCRIPT)
    }

    fn tried_by(&self, script: &str) -> (Vec<String>, Vec<String>) {
        let output = Command::new("python3").args(["-c", script]).arg(&self.0).output().expect("python3");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (denied, free) = text.split_once("--\n").unwrap_or_else(|| panic!("{output:?}"));
        let lines = |text: &str| text.lines().map(str::to_owned).collect();
        (lines(denied), lines(free))
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        drop(fs::remove_dir(&self.0));
    }
}

fn readable(guard: &AddressGuard) -> bool {
    let mut fds = [PollFd::new(guard.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).expect("poll") == 1
}

#[test]
fn metadata_services_are_out_of_reach_in_every_spelling_and_nothing_else_is() {
    require!(Root, CgroupV2, Python3, Probes);
    let bed = Bed::new("deny");
    let ends = |lines: &[String], with: &str| lines.iter().all(|line| line.ends_with(with));
    let (bare, free) = bed.tried();
    assert!(ends(&bare, " ok") && ends(&free, " ok"), "bare all is reached: {bare:#?} {free:#?}");
    let mut guard = bed.guard(true);
    assert!(!readable(&guard));
    let (denied, still) = bed.tried();
    assert_eq!(denied.len(), 48);
    assert!(ends(&denied, " EPERM"), "{denied:#?}");
    assert_eq!(still, free);
    let counts = guard.counts().expect("counts");
    assert_eq!(counts, AddressCounts { refused: 48, flagged: 0, lost: 0 });
    assert!(readable(&guard));
    let reports: Vec<Denied> = guard.by_ref().collect();
    assert_eq!(reports.len(), 48);
    let metadata: IpAddr = "169.254.169.254".parse().expect("an address");
    let first = &reports[0];
    assert_eq!((first.address, first.port, first.refused, first.gap, first.uid), (metadata, 80, true, 0, 0));
    assert_eq!(&first.command[..8], b"python3\0");
    assert!(first.pid != 0 && first.pid == first.tid, "{first:?}");
    assert_eq!(reports.iter().filter(|report| report.address == metadata).count(), 12);
    assert!(reports.iter().all(|report| report.gap == 0 && report.pid == first.pid));
    drop(guard);
    assert_eq!(bed.tried().0, denied, "whoever attached them may be killed before the run is");
}

#[test]
fn in_audit_a_denied_address_is_reached_and_reported() {
    require!(Root, CgroupV2, Python3, Probes);
    let bed = Bed::new("audit");
    let mut guard = bed.guard(false);
    let (denied, _) = bed.tried();
    assert!(denied.iter().all(|line| line.ends_with(" ok")), "{denied:#?}");
    assert_eq!(guard.counts().expect("counts"), AddressCounts { refused: 0, flagged: 48, lost: 0 });
    assert!(guard.all(|report| !report.refused && report.gap == 0));
}

#[test]
fn a_process_outside_the_cgroup_is_not_asked() {
    require!(Root, CgroupV2, Python3, Probes);
    let (bed, other) = (Bed::new("guarded"), Bed::new("other"));
    let guard = bed.guard(true);
    let (denied, _) = other.tried();
    assert!(denied.iter().all(|line| line.ends_with(" ok")), "{denied:#?}");
    assert_eq!(guard.counts().expect("counts"), AddressCounts::default());
}

/// The unspecified address is one that the socket has, or a loopback address.
const UNSPECIFIED: &str = r#"
import ctypes, errno, fcntl, socket, struct, sys
open(sys.argv[1] + '/cgroup.procs', 'w').write('0')
assert ctypes.CDLL(None).unshare(0x50000000) == 0
four = socket.socket()
def up(n): fcntl.ioctl(four, 0x8914, n.ljust(16, b'\0') + struct.pack('H14x', 0x41))
up(b'lo')
fcntl.ioctl(four, 0x8916, b'lo:1'.ljust(16, b'\0') + struct.pack('HH', 2, 0) + socket.inet_aton('169.254.169.254') + bytes(8))
up(b'lo:1')
server = socket.create_server(('::', 80), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
def tried(what, family, kind, protocol, own, call):
    try:
        s = socket.socket(family, kind, protocol)
        if own: s.bind((own, 0))
        call(s)
        print(what, own, 'ok')
    except OSError as error:
        print(what, own, errno.errorcode.get(error.errno, error))
def each(a, own):
    family = socket.AF_INET6 if ':' in a else socket.AF_INET
    tried(a + ' tcp', family, socket.SOCK_STREAM, 0, own, lambda s: s.connect((a, 80)))
    tried(a + ' mptcp', family, socket.SOCK_STREAM, 262, own, lambda s: s.connect((a, 80)))
    tried(a + ' udp', family, socket.SOCK_DGRAM, 0, own, lambda s: s.connect((a, 80)))
    tried(a + ' sendto', family, socket.SOCK_DGRAM, 0, own, lambda s: s.sendto(b'x', (a, 80)))
each('0.0.0.0', '169.254.169.254')
each('::ffff:0.0.0.0', '::ffff:169.254.169.254')
info = [(socket.IPPROTO_IP, 8, struct.pack('=i', 0) + socket.inet_aton('169.254.169.254') + bytes(4))]
tried('0.0.0.0 pktinfo', socket.AF_INET, socket.SOCK_DGRAM, 0, '', lambda s: s.sendmsg([b'x'], info, 0, ('0.0.0.0', 80)))
print('--')
for a in ('0.0.0.0', '::', '::ffff:0.0.0.0'): each(a, '')
"#;

#[test]
fn the_unspecified_address_leads_to_no_denied_address() {
    require!(Root, CgroupV2, Python3, Probes);
    let bed = Bed::new("unspecified");
    let ends = |lines: &[String], with: &str| lines.iter().all(|line| line.ends_with(with));
    let (own, loopback) = bed.tried_by(UNSPECIFIED);
    assert_eq!((own.len(), loopback.len()), (9, 12));
    assert!(ends(&own, " ok") && ends(&loopback, " ok"), "bare all is reached: {own:#?} {loopback:#?}");
    let guard = bed.guard(true);
    let (own, loopback) = bed.tried_by(UNSPECIFIED);
    assert!(ends(&own, " EPERM") && ends(&loopback, " ok"), "{own:#?} {loopback:#?}");
    let metadata: IpAddr = "169.254.169.254".parse().expect("an address");
    assert_eq!(guard.map(|report| report.address).collect::<Vec<_>>(), [metadata; 9]);
    let other = Bed::new("loopback");
    let cgroup = File::open(&other.0).expect("the cgroup");
    let net = NetworkDeny::Net { address: IpAddr::from([127, 0, 0, 0]), prefix: 8 };
    let guard = AddressGuard::attach(cgroup.as_fd(), &[net], true).expect("the programs");
    let (_, loopback) = other.tried_by(UNSPECIFIED);
    assert!(ends(&loopback, " EPERM"), "{loopback:#?}");
    assert!(guard.counts().expect("counts").refused >= 12);
}
