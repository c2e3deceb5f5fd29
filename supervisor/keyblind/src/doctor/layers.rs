//! Each mechanism on this host, with what was seen. What only a try can show is tried.

use std::env;
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;

use keyblind_secrets::{Kind, Locked};
use nix::errno::Errno;
use nix::sys::fanotify::{EventFFlags, Fanotify, InitFlags};
use nix::sys::wait::waitpid;
use nix::unistd::{Gid, Group, Pid};

use super::report::{Layer, State};
use crate::host::{Host, Person, Support};
use crate::policy::{Policy, Socket, SocketUse};
use crate::registrar::SOCKET;
use crate::spawn::prepared::{Descriptors, Identity, Mount, Prepared, Strings};
use crate::spawn::{SpawnError, above, spawn};
use crate::sys;
use crate::trial::random_word;

/// Membership in one of these is as good as root, or as the data of everybody, whatever a run's tree shows.
const DANGEROUS: [&str; 10] =
    ["docker", "podman", "lxd", "incus", "incus-admin", "libvirt", "kvm", "disk", "shadow", "sudo"];

/// Every layer. `namespaces` is the answer of [`try_namespaces`], `person` whose rights a run has.
pub(super) fn examine(
    host: &Host,
    namespaces: &Result<(), String>,
    policy: Option<&Policy>,
    person: Option<&Person>,
) -> Vec<Layer> {
    vec![
        bpf_lsm(fs::read_to_string("/sys/kernel/security/lsm"), host),
        host_service(host),
        fanotify(make_fanotify()),
        user_namespace(host, namespaces),
        landlock(host.landlock_abi),
        seccomp(&fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default()),
        cgroup(host),
        memory(),
        ssh_agent(env::var_os("SSH_AUTH_SOCK").is_some(), policy),
        groups(host, person),
    ]
}

fn layer(name: &'static str, state: State, evidence: impl Into<String>, remedy: impl Into<String>) -> Layer {
    Layer { name, state, evidence: evidence.into(), remedy: remedy.into() }
}

fn bpf_lsm(list: io::Result<String>, host: &Host) -> Layer {
    const NAME: &str = "BPF-LSM";
    let seen = match &list {
        Ok(list) if is_listed(list) => "bpf in lsm=".to_owned(),
        Ok(list) => format!("no bpf in lsm= ({})", list.trim()),
        Err(error) => format!("/sys/kernel/security/lsm: {}", words(error)),
    };
    match (&host.kernel_programs, list) {
        (Support::Available, _) => {
            layer(NAME, State::Available, format!("{seen}; programs of the host service guard runs"), "")
        }
        // The service has tried, and says what the kernel said.
        (Support::Missing { evidence, remedy }, _) if host.scopes.is_available() => {
            layer(NAME, State::NotPermitted, evidence.clone(), remedy)
        }
        (Support::Missing { remedy, .. }, Ok(list)) if is_listed(&list) => {
            layer(NAME, State::NotRunning, format!("{seen}; nobody has loaded programs"), remedy)
        }
        (Support::Missing { .. }, _) => {
            layer(NAME, State::NotEnabled, seen, "boot with bpf in lsm=; until then tier mount (root)")
        }
    }
}

fn is_listed(list: &str) -> bool {
    list.trim().split(',').any(|name| name == "bpf")
}

fn host_service(host: &Host) -> Layer {
    const NAME: &str = "host service";
    match &host.scopes {
        Support::Available => layer(NAME, State::Available, format!("serves at {SOCKET}"), ""),
        Support::Missing { evidence, remedy } => {
            layer(NAME, State::NotRunning, evidence.clone(), remedy.clone())
        }
    }
}

fn make_fanotify() -> io::Result<()> {
    let flags = InitFlags::FAN_CLASS_CONTENT | InitFlags::FAN_CLOEXEC;
    Fanotify::init(flags, EventFFlags::O_RDONLY | EventFFlags::O_CLOEXEC)?;
    Ok(())
}

fn fanotify(tried: io::Result<()>) -> Layer {
    match tried {
        Ok(()) => layer("fanotify", State::Available, "made a group for permission events", ""),
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => layer(
            "fanotify",
            State::NotPermitted,
            "fanotify_init: EPERM; needs CAP_SYS_ADMIN",
            "start as root, with [run] user or --user",
        ),
        Err(error) => layer(
            "fanotify",
            State::NotEnabled,
            format!("fanotify_init: {}", words(&error)),
            "a kernel with CONFIG_FANOTIFY_ACCESS_PERMISSIONS=y",
        ),
    }
}

fn user_namespace(host: &Host, tried: &Result<(), String>) -> Layer {
    const NAME: &str = "user namespace";
    match (tried, &host.user_namespace) {
        (Ok(()), _) if host.uid.is_root() => layer(
            NAME,
            State::Available,
            "made one as root: pid, mount, ipc, uts, own procfs; tier mount does without",
            "",
        ),
        (Ok(()), _) => layer(NAME, State::Available, "made one: pid, mount, ipc, uts, own procfs", ""),
        (Err(why), Support::Missing { evidence, remedy }) if why == KNOB => {
            layer(NAME, State::NotEnabled, evidence, remedy)
        }
        (Err(why), _) => {
            layer(NAME, State::NotPermitted, why, "start as root, or where the kernel allows user namespaces")
        }
    }
}

/// The answer of [`try_namespaces`] where there is nothing to try.
const KNOB: &str = "switched off";

/// Starts what a run of an ordinary user starts, up to the moment before its command is executed, with nothing in its
/// tree but procfs.
pub(super) fn try_namespaces(host: &Host) -> Result<(), String> {
    if !host.user_namespace.is_available() {
        return Err(KNOB.to_owned());
    }
    let flags = libc::CLONE_NEWUSER
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS;
    let map = |id: u32| CString::new(format!("{id} {id} 1\n")).unwrap_or_default();
    let null = || -> io::Result<OwnedFd> { above(File::open("/dev/null")?.into()) };
    let stdio = || -> io::Result<[OwnedFd; 3]> { Ok([null()?, null()?, null()?]) };
    let prepared = Prepared {
        namespaces: u64::from(flags.unsigned_abs()),
        identity: Identity::Mapped { uid_map: map(host.uid.as_raw()), gid_map: map(host.gid.as_raw()) },
        mounts: vec![
            Mount::Dir { at: c"/proc".to_owned(), mode: 0o555, own: false },
            Mount::Proc { at: c"/proc".to_owned() },
        ],
        loopback: false,
        limits: Vec::new(),
        landlock: None,
        filters: Vec::new(),
        marks: None,
        gate: None,
        cgroup: None,
        cwd: c"/".to_owned(),
        candidates: Vec::new(),
        argv: Strings::new(Vec::new()),
        script_argv: Vec::new(),
        envp: Strings::new(Vec::new()),
        umask: 0o077,
        signal_mask: sys::signal_mask(),
        descriptors: Descriptors { stdio: stdio().map_err(|error| words(&error))?, terminal: None },
    };
    let tried = spawn(&prepared).and_then(|mut waiting| {
        let (ready, pid) = (waiting.ready(), Pid::from_raw(waiting.pid()));
        // It is not released, so it gives up.
        drop(waiting);
        let _how_it_ended = waitpid(pid, None);
        ready
    });
    tried.map_err(|error| match error {
        SpawnError::Parent { source, .. } => {
            format!("cannot start a process in new namespaces: {}", words(&source))
        }
        SpawnError::Child { step, source } => format!("cannot {step}: {}", words(&source)),
        SpawnError::Silent => error.to_string(),
    })
}

fn landlock(abi: u32) -> Layer {
    // landlock(7): what each ABI brought that a run uses.
    let more: Vec<&str> = [(3, "truncate"), (5, "ioctl"), (6, "scopes: signal, abstract socket")]
        .into_iter()
        .filter_map(|(since, what)| (abi >= since).then_some(what))
        .collect();
    match abi {
        0 => layer(
            "Landlock",
            State::NotEnabled,
            "landlock_create_ruleset gives no version",
            "a kernel with CONFIG_SECURITY_LANDLOCK=y and landlock in lsm=",
        ),
        6.. => layer("Landlock", State::Available, format!("ABI {abi} ({})", more.join(", ")), ""),
        _ => layer(
            "Landlock",
            State::Available,
            format!(
                "ABI {abi} ({}); no scopes",
                if more.is_empty() { "files".to_owned() } else { more.join(", ") }
            ),
            "Linux 6.12 or later for scopes",
        ),
    }
}

fn seccomp(actions: &str) -> Layer {
    let has = |action: &str| actions.split_whitespace().any(|have| have == action);
    if !has("errno") || !has("kill_process") {
        return layer(
            "seccomp",
            State::NotEnabled,
            "/proc/sys/kernel/seccomp/actions_avail has no errno and kill_process",
            "a kernel with CONFIG_SECCOMP_FILTER=y",
        );
    }
    let notify = if has("user_notif") { "yes" } else { "no" };
    let evidence =
        format!("{} only, other architectures and x32 are killed; notify: {notify}", env::consts::ARCH);
    layer("seccomp", State::Available, evidence, "")
}

fn cgroup(host: &Host) -> Layer {
    const NAME: &str = "cgroup v2";
    match (&host.cgroup_support, &host.cgroup) {
        (Support::Missing { evidence, remedy }, Some(_)) => {
            layer(NAME, State::NotPermitted, evidence, remedy)
        }
        (Support::Missing { evidence, remedy }, None) => layer(NAME, State::NotEnabled, evidence, remedy),
        (Support::Available, None) => layer(NAME, State::NotEnabled, "not mounted", ""),
        (Support::Available, Some(mount)) => {
            let own = mount.join(format!("keyblind-doctor-{}", random_word(8).unwrap_or_default()));
            match fs::create_dir(&own).and_then(|()| fs::remove_dir(&own)) {
                Ok(()) => layer(NAME, State::Available, format!("made one below {}", mount.display()), ""),
                Err(error) => layer(
                    NAME,
                    State::NotPermitted,
                    format!("cannot make one below {}: {}", mount.display(), words(&error)),
                    "a writable cgroup file system: docker run --cgroupns=private with a read-write mount",
                ),
            }
        }
    }
}

fn memory() -> Layer {
    match Locked::new([("probe".to_owned(), b"probe".as_slice())]).map(|locked| locked.kind()) {
        Ok(Kind::MemfdSecret) => layer("memory", State::Available, "memfd_secret", ""),
        Ok(Kind::Mlock) => {
            layer("memory", State::Available, "mlock; no memfd_secret", "Linux 6.5, or secretmem.enable=1")
        }
        Err(error) => layer("memory", State::NotPermitted, error.to_string(), "raise `ulimit -l`"),
    }
}

fn ssh_agent(present: bool, policy: Option<&Policy>) -> Layer {
    let usage = policy.map(|policy| policy.sockets.get(Socket::SshAgent).usage.value);
    match (present, usage) {
        (false, _) => layer("ssh-agent", State::NotRunning, "SSH_AUTH_SOCK is not set", ""),
        (true, Some(SocketUse::Absent) | None) => {
            layer("ssh-agent", State::Refused, "SSH_AUTH_SOCK is set; a run gets no socket, by policy", "")
        }
        (true, Some(SocketUse::Sign | SocketUse::Allow)) => layer(
            "ssh-agent",
            State::Refused,
            "SSH_AUTH_SOCK is set; a run gets no socket, as signing is not built yet",
            "",
        ),
    }
}

fn groups(host: &Host, person: Option<&Person>) -> Layer {
    let dangerous = dangerous(host);
    if person.is_some_and(|person| person.switch) {
        return layer("groups", State::Available, "a run has none beside its user's own", "");
    }
    if dangerous.is_empty() {
        return layer("groups", State::Available, "none that opens the host", "");
    }
    layer(
        "groups",
        State::NotPermitted,
        format!("a run keeps {}, which can read or become what it should not", dangerous.join(", ")),
        "start as root with --user, which drops them; or leave the groups",
    )
}

/// Groups of the caller that are as good as more rights.
pub(super) fn dangerous(host: &Host) -> Vec<String> {
    let name = |gid: &Gid| Group::from_gid(*gid).ok().flatten().map(|group| group.name);
    host.groups.iter().filter_map(name).filter(|name| DANGEROUS.contains(&name.as_str())).collect()
}

/// The system's answer in its own short word.
fn words(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |errno| format!("{:?}", Errno::from_raw(errno)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_and_a_kernel_without_it_are_told_apart() {
        let check =
            |errno, state| assert_eq!(fanotify(Err(io::Error::from_raw_os_error(errno))).state, state);
        check(libc::EPERM, State::NotPermitted);
        check(libc::ENOSYS, State::NotEnabled);
        assert_eq!(fanotify(Ok(())).state, State::Available);
    }

    #[test]
    fn bpf_is_reported_even_where_securityfs_is_not_mounted() {
        let host = Host::probe();
        let unserved = Support::Missing { evidence: "none".into(), remedy: "start one".into() };
        let unserved = Host { kernel_programs: unserved.clone(), scopes: unserved, ..host };
        let absent = bpf_lsm(Err(io::Error::from_raw_os_error(libc::ENOENT)), &unserved);
        assert!(absent.evidence.ends_with("/sys/kernel/security/lsm: ENOENT"), "{}", absent.evidence);
        let listed = bpf_lsm(Ok("lockdown,bpf\n".into()), &unserved);
        assert_eq!((listed.state, listed.remedy.as_str()), (State::NotRunning, "start one"));
        let other = bpf_lsm(Ok("lockdown,bpfx".into()), &unserved);
        assert_eq!(other.state, State::NotEnabled);
        assert!(other.evidence.contains("no bpf in lsm= (lockdown,bpfx)"), "{}", other.evidence);
        // A service that serves has tried to load programs, and knows more than the list.
        let refused = Support::Missing { evidence: "host service: EPERM".into(), remedy: String::new() };
        let refused = Host { kernel_programs: refused, scopes: Support::Available, ..unserved.clone() };
        let refused = bpf_lsm(Ok("bpf".into()), &refused);
        assert_eq!((refused.state, refused.evidence.as_str()), (State::NotPermitted, "host service: EPERM"));
        let served = Host { kernel_programs: Support::Available, scopes: Support::Available, ..unserved };
        assert_eq!(bpf_lsm(Ok("bpf".into()), &served).state, State::Available);
    }

    #[test]
    fn landlock_says_what_its_abi_lacks() {
        let check = |abi, state, evidence: &str| {
            let row = landlock(abi);
            assert_eq!((row.state, row.evidence.as_str()), (state, evidence), "ABI {abi}");
        };
        check(0, State::NotEnabled, "landlock_create_ruleset gives no version");
        check(2, State::Available, "ABI 2 (files); no scopes");
        check(4, State::Available, "ABI 4 (truncate); no scopes");
        check(7, State::Available, "ABI 7 (truncate, ioctl, scopes: signal, abstract socket)");
    }

    #[test]
    fn seccomp_needs_errno_and_kill() {
        assert_eq!(seccomp("").state, State::NotEnabled);
        assert!(seccomp("kill_process errno allow").evidence.ends_with("notify: no"));
        assert!(seccomp("kill_process errno user_notif allow").evidence.ends_with("notify: yes"));
    }

    #[test]
    fn only_an_ordinary_user_keeps_groups() {
        let Some(disk) = Group::from_name("disk").ok().flatten() else { return };
        let host = Host { groups: vec![disk.gid], ..Host::probe() };
        assert_eq!(groups(&host, None).state, State::NotPermitted);
        let person = Person { uid: 4242.into(), gid: 4242.into(), name: None, home: None, switch: true };
        assert_eq!(groups(&host, Some(&person)).state, State::Available);
    }
}
