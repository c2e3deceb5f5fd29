//! Plan → a run whose command was executed. What is made on the host is made here and removed in `end`.

use std::ffi::{CString, OsStr, OsString};
use std::fs::{self, DirBuilder, File};
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, chown, fchown};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;

use keyblind_events::{Event, Stream};
use keyblind_redact::Matcher;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::stat;
use nix::unistd::{getpgrp, tcgetpgrp};

use super::end::Leavings;
use super::materials::Materials;
use super::record::Record;
use super::scope::RunScope;
use super::{Options, PtyMode, RunError};
use crate::guard::{AddressGuard, Tripwires};
use crate::plan::{Plan, candidates};
use crate::policy::{Layer, Mode, NetworkDeny, NetworkMode, Tier};
use crate::registrar::client::ClientError;
use crate::spawn::prepared::{Descriptors, Identity, Landlock, Marks, Mount, Prepared, Strings};
use crate::spawn::{Gatekeeper, Leftover, Running, Sweeper, Waiting, above, pipe, spawn};
use crate::stream::terminal::Pty;
use crate::stream::{PIPE_CAPACITY, duplicate};
use crate::{plan, sys};

/// A run whose command was executed.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) running: Running,
    pub(super) ours: OurEnds,
    pub(super) matcher: Matcher,
    pub(super) tripwires: Option<Tripwires>,
    pub(super) addresses: Option<AddressGuard>,
    pub(super) scope: Option<RunScope>,
    pub(super) leavings: Leavings,
}

/// The run's terminal by a name that programs find (ttyname(3) searches /dev).
const CONSOLE: &str = "/dev/console";

/// Where tools look for the place of their cache, and what it is called in the run's temporary directory.
const CACHE_VARIABLES: [(&str, &str); 4] = [
    ("XDG_CACHE_HOME", "cache"),
    ("npm_config_cache", "npm"),
    ("PIP_CACHE_DIR", "pip"),
    ("GOCACHE", "go-build"),
];

/// The supervisor's ends of the command's streams.
#[derive(Debug, Default)]
pub(super) struct OurEnds {
    /// Written to.
    pub(super) stdin: Option<OwnedFd>,
    /// The command's end of the same pipe, where the caller's stdin is a file and what is left in the pipe can go
    /// back to it.
    pub(super) stdin_left: Option<OwnedFd>,
    /// Read from.
    pub(super) outputs: Vec<(Stream, OwnedFd)>,
    /// The run's terminal.
    pub(super) pty: Option<Pty>,
}

/// Starts the command. The record's first event is written when all that this host could refuse has been had, and
/// before anything of the command runs.
pub(super) fn start(
    options: &Options,
    materials: &mut Materials,
    record: &mut Record,
) -> Result<Started, RunError> {
    let mut scope = None;
    loop {
        if materials.plan.scope && scope.is_none() {
            match begin_scope(materials) {
                Ok(begun) => scope = Some(begun),
                // As with the programs for addresses: the plan knows whether policy can do without.
                Err(RunError::Scope(error)) => {
                    materials.without_service(&error.to_string())?;
                    continue;
                }
                Err(error) => return Err(error),
            }
        }
        match attempt(options, materials, record, scope.as_mut()) {
            Ok(pending) => return finish(pending, materials, record, scope),
            // What a host lets a user do shows only when it is tried; what is left is planned again, and refused if
            // policy asks for more. Any other failure is no reason to run with less.
            Err(RunError::Spawn(error)) if materials.plan.base == Tier::User && error.is_refusal() => {
                materials.fall_back(&error.to_string())?;
            }
            // The layer is one that policy may only prefer; the plan knows.
            Err(RunError::Addresses(error)) => materials.without_address_programs(&error.to_string())?,
            Err(error) => return Err(error),
        }
    }
}

struct Pending {
    waiting: Waiting,
    started: Event,
    ours: OurEnds,
    matcher: Matcher,
    tripwires: Option<Tripwires>,
    addresses: Option<AddressGuard>,
    leavings: Leavings,
}

fn begin_scope(materials: &mut Materials) -> Result<RunScope, RunError> {
    match materials.offer.take() {
        Some(offer) => RunScope::begin(offer, materials),
        None => Err(RunError::Scope(ClientError::OutOfTurn)),
    }
}

fn attempt(
    options: &Options,
    materials: &Materials,
    record: &mut Record,
    mut scope: Option<&mut RunScope>,
) -> Result<Pending, RunError> {
    let plan = &materials.plan;
    let (mut leavings, mut cgroup) = host_objects(plan, materials)?;
    if let (Some(scope), Identity::Switch { .. }) = (&scope, &plan.identity) {
        let directory = scope.directory().try_clone_to_owned().and_then(above);
        cgroup = Some(directory.map_err(RunError::system("share the run's scope"))?);
    }
    let result = (|| {
        let (ours, descriptors) = streams(options.pty)?;
        give_streams(&plan.identity, &descriptors).map_err(RunError::system("give the run its streams"))?;
        let tripwires = tripwires(plan)?;
        let limited = cgroup.as_ref().map(duplicate).transpose();
        let limited = limited.map_err(RunError::system("share the run's cgroup"))?;
        let gate = scope.as_ref().map(|_| Gatekeeper::new()).transpose();
        let (keeper, gate) = gate.map_err(RunError::system("make a socket for the new process"))?.unzip();
        let mut prepared = prepare(materials, descriptors, ours.pty.as_ref(), cgroup, tripwires.as_ref())?;
        prepared.gate = gate;
        let mut waiting = spawn(&prepared).map_err(RunError::Spawn)?;
        // The child's ends of the streams: open here, they would keep the streams from ending.
        drop(prepared);
        if let (Some(scope), Some(keeper)) = (scope.as_mut(), keeper) {
            hold(scope, plan, &waiting, keeper)?;
        }
        // Made while the child builds its tree; it runs nothing of the command's before all of it is in force.
        let (addresses, matcher, started) = thread::scope(|threads| {
            // The kernel verifies programs meanwhile: as long as all the rest takes, and on another processor.
            let guarded = limited.filter(|_| !plan.denied.is_empty());
            let guarded = guarded.map(|cgroup| threads.spawn(move || addresses(plan, cgroup.as_fd())));
            let matcher = materials.matcher();
            let started =
                record.compose_started(materials, &matcher, scope.as_ref().map_or(&[], |scope| &scope.gaps));
            // A thread that panics must not look like a plan without denied addresses, where a profile lets it unwind.
            let joined = guarded.map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
            let addresses = joined.transpose();
            (addresses, matcher, started)
        });
        let addresses = addresses?;
        waiting.ready().map_err(RunError::Spawn)?;
        Ok((waiting, started, ours, matcher, tripwires, addresses))
    })();
    match result {
        Ok((waiting, started, ours, matcher, tripwires, addresses)) => {
            Ok(Pending { waiting, started, ours, matcher, tripwires, addresses, leavings })
        }
        Err(error) => {
            leavings.remove();
            Err(error)
        }
    }
}

/// Takes the run's first process into the scope and guards what is its tree's own, before there is a second one.
fn hold(scope: &mut RunScope, plan: &Plan, waiting: &Waiting, keeper: Gatekeeper) -> Result<(), RunError> {
    let root = keeper.root().map_err(RunError::system("look into the run's tree"))?;
    // Without one the child has failed, and says why when it is asked.
    let Some(root) = root else { return Ok(()) };
    if !matches!(plan.identity, Identity::Switch { .. }) {
        scope.enter(waiting.pidfd())?;
    }
    if plan::is_on(plan, Layer::BpfLsm) && plan.base != Tier::InPlace {
        scope.guard_tripwires(root.as_fd(), plan)?;
    }
    keeper.open();
    Ok(())
}

fn finish(
    pending: Pending,
    materials: &Materials,
    record: &mut Record,
    scope: Option<RunScope>,
) -> Result<Started, RunError> {
    let Pending { waiting, started, ours, matcher, tripwires, addresses, mut leavings } = pending;
    let result = record.started(&started).map_err(RunError::from).and_then(|()| {
        let command = materials
            .shown_command(&matcher)
            .into_iter()
            .next()
            .map(|name| name.to_string_lossy().into_owned());
        waiting.release().map_err(|error| RunError::spawn(error, &command.unwrap_or_default()))
    });
    match result {
        Ok(running) => Ok(Started { running, ours, matcher, tripwires, addresses, scope, leavings }),
        Err(error) => {
            leavings.remove();
            Err(error)
        }
    }
}

/// The run's cgroup and its directory for temporary files, and first of all the process that removes them should
/// this one be killed.
fn host_objects(plan: &Plan, materials: &Materials) -> Result<(Leavings, Option<OwnedFd>), RunError> {
    if plan.base == Tier::InPlace {
        // Should the reaper be killed, what it watched over must not go to the host's pid 1.
        sys::adopt_orphans().map_err(RunError::system("adopt the run's orphans"))?;
    }
    let name = CString::new(materials.run.to_string()).unwrap_or_default();
    let cgroup = plan.cgroup.as_deref().map(cgroup_parent).transpose();
    let cgroup = cgroup.map_err(RunError::system("make a cgroup for runs"))?;
    let cgroup = cgroup.map(|(path, parent)| (path, Leftover { parent, name: name.clone() }));
    let scratch = plan.scratch.as_deref().map(scratch_parent).transpose();
    let scratch = scratch.map_err(RunError::system("open the directory for temporary files"))?;
    let mut leavings = Leavings::default();
    if cgroup.is_some() || scratch.is_some() {
        let sweeper = Sweeper::start(cgroup.as_ref().map(|(_, left)| left), scratch.as_ref());
        leavings.sweeper = Some(sweeper.map_err(RunError::system("start the process that tidies up"))?);
    }
    if let Some(path) = &plan.scratch {
        DirBuilder::new()
            .mode(0o700)
            .create(path)
            .map_err(RunError::system("make a directory for the run's temporary files in /tmp"))?;
        leavings.scratch = Some(path.clone());
        if let Identity::Switch { uid, gid } = plan.identity {
            chown(path, Some(uid), Some(gid))
                .map_err(RunError::system("give the run its temporary directory"))?;
        }
    }
    let mut descriptor = None;
    if let Some((parent, _)) = cgroup {
        let path = parent.join(materials.run.to_string());
        fs::create_dir(&path).map_err(RunError::system("make the run's cgroup"))?;
        leavings.cgroup = Some(path.clone());
        let directory = directory(&path).map_err(RunError::system("open the run's cgroup"))?;
        descriptor = Some(above(directory).map_err(RunError::system("open the run's cgroup"))?);
    }
    Ok((leavings, descriptor))
}

/// `<v2>/keyblind`: one fixed level for all runs.
fn cgroup_parent(mount: &Path) -> io::Result<(PathBuf, OwnedFd)> {
    let parent = mount.join("keyblind");
    match fs::create_dir(&parent) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let fd = above(directory(&parent)?)?;
    Ok((parent, fd))
}

fn scratch_parent(scratch: &Path) -> io::Result<Leftover> {
    let parent = scratch.parent().unwrap_or(Path::new("/tmp"));
    let name = CString::new(scratch.file_name().unwrap_or_default().as_bytes()).unwrap_or_default();
    Ok(Leftover { parent: above(directory(parent)?)?, name })
}

fn directory(path: &Path) -> io::Result<OwnedFd> {
    Ok(open(path, OFlag::O_DIRECTORY | OFlag::O_PATH | OFlag::O_CLOEXEC, stat::Mode::empty())?)
}

/// The command's streams: ours, never the caller's.
fn streams(mode: PtyMode) -> Result<(OurEnds, Descriptors), RunError> {
    let failed = || RunError::system("make the command's streams");
    let caller: [bool; 3] =
        [io::stdin().is_terminal(), io::stdout().is_terminal(), io::stderr().is_terminal()];
    let on_pty = match mode {
        PtyMode::Always => [true; 3],
        // A background job must not touch the modes of a terminal that is not its own: SIGTTOU would stop it.
        PtyMode::Auto if caller[0] && caller[1] && in_foreground() => caller,
        PtyMode::Auto | PtyMode::Never => [false; 3],
    };
    let mut ours = OurEnds::default();
    if on_pty[0] {
        let like = caller.iter().position(|terminal| *terminal).and_then(|number| callers(number).ok());
        ours.pty = Some(Pty::open(like.as_ref()).map_err(failed())?);
    }
    let mut child = Vec::with_capacity(3);
    for (number, pty) in on_pty.into_iter().enumerate() {
        if let (true, Some(terminal)) = (pty, &ours.pty) {
            child.push(duplicate(&terminal.slave).and_then(above).map_err(failed())?);
            continue;
        }
        let (read, write) = pipe().map_err(failed())?;
        if number == 0 {
            if callers(0).and_then(|file| file.metadata()).is_ok_and(|stdin| stdin.is_file()) {
                ours.stdin_left = Some(duplicate(&read).map_err(failed())?);
            }
            ours.stdin = Some(write.into());
            child.push(read.into());
        } else {
            // Fewer, larger steps. A user at the limit of pipe memory keeps the kernel's default.
            let _default_is_fine = fcntl(&read, FcntlArg::F_SETPIPE_SZ(PIPE_CAPACITY));
            ours.outputs.push((if number == 1 { Stream::Stdout } else { Stream::Stderr }, read.into()));
            child.push(write.into());
        }
    }
    let terminal = match &ours.pty {
        Some(pty) => Some(duplicate(&pty.slave).and_then(above).map_err(failed())?),
        None => None,
    };
    let [stdin, stdout, stderr]: [OwnedFd; 3] = child
        .try_into()
        .map_err(|_wrong_number| failed()(io::Error::other("three streams were expected")))?;
    Ok((ours, Descriptors { stdio: [stdin, stdout, stderr], terminal }))
}

/// Opening a stream by its name (`/dev/stdout`) is a matter of the pipe's owner and mode.
fn give_streams(identity: &Identity, descriptors: &Descriptors) -> io::Result<()> {
    if let Identity::Switch { uid, gid } = *identity {
        for stream in descriptors.stdio.iter().chain(&descriptors.terminal) {
            fchown(stream, Some(uid), Some(gid))?;
        }
    }
    Ok(())
}

/// Whether this process may use the terminal on its stdin.
pub(super) fn in_foreground() -> bool {
    tcgetpgrp(io::stdin()).is_ok_and(|group| group == getpgrp())
}

/// One of the caller's standard streams, duplicated.
pub(super) fn callers(number: usize) -> io::Result<File> {
    let fd = match number {
        0 => io::stdin().as_fd().try_clone_to_owned(),
        1 => io::stdout().as_fd().try_clone_to_owned(),
        _ => io::stderr().as_fd().try_clone_to_owned(),
    };
    fd.map(File::from)
}

/// Programs at the run's cgroup that refuse what policy denies.
fn addresses(plan: &Plan, cgroup: BorrowedFd<'_>) -> Result<AddressGuard, RunError> {
    let denied: Vec<NetworkDeny> = plan.denied.iter().map(|denied| denied.value).collect();
    Ok(AddressGuard::attach(cgroup, &denied, plan.mode == Mode::Enforce)?)
}

fn tripwires(plan: &Plan) -> Result<Option<Tripwires>, RunError> {
    // Where kernel programs refuse, an open never comes as far as a mark.
    if plan.base != Tier::Mount || plan::is_on(plan, Layer::BpfLsm) || plan.tripwires.is_empty() {
        return Ok(None);
    }
    let deny = plan.mode == Mode::Enforce;
    let group = Tripwires::new(plan.tripwires.clone(), deny);
    group.map(Some).map_err(RunError::system("make a fanotify group for the run's tripwires"))
}

fn prepare(
    materials: &Materials,
    descriptors: Descriptors,
    pty: Option<&Pty>,
    cgroup: Option<OwnedFd>,
    tripwires: Option<&Tripwires>,
) -> Result<Prepared, RunError> {
    let plan = &materials.plan;
    let c_string = |what: &OsStr| {
        CString::new(what.as_bytes()).map_err(|_nul| RunError::Option {
            option: "COMMAND".to_owned(),
            why: "an argument or variable holds a NUL byte".to_owned(),
        })
    };
    let command = &materials.request.command;
    let mut variables = materials.variables.clone();
    if let Some(scratch) = &plan.scratch {
        variables.retain(|(name, _)| name != "TMPDIR");
        variables.push(("TMPDIR".into(), scratch.clone().into_os_string()));
        // Caches of the host are read-only here, so that a run plants nothing in them; these tools take another.
        for (name, directory) in CACHE_VARIABLES {
            variables.retain(|(have, _)| have != name);
            variables.push((name.into(), scratch.join(directory).into_os_string()));
        }
    }
    let candidates: Vec<CString> =
        candidates(command.first().map_or(OsStr::new(""), OsString::as_os_str), &variables)
            .iter()
            .map(|candidate| c_string(candidate))
            .collect::<Result<_, _>>()?;
    let argv = Strings::new(command.iter().map(|argument| c_string(argument)).collect::<Result<_, _>>()?);
    let envp = variables
        .iter()
        .map(|(name, value)| {
            let mut entry = name.clone();
            entry.push("=");
            entry.push(value);
            c_string(&entry)
        })
        .collect::<Result<_, _>>()?;
    let mut mounts = plan.mounts.clone();
    if let (false, Some(pty)) = (mounts.is_empty(), pty) {
        // The node belongs to the host's devpts, so the run's own /dev/pts does not have it; programs that ask for the
        // name of their terminal look in /dev as well (ttyname(3)).
        let console = c_string(OsStr::new(CONSOLE))?;
        mounts.push(Mount::File { at: console.clone(), mode: 0o666, own: false });
        mounts.push(Mount::Device { from: c_string(pty.path.as_os_str())?, at: console });
    }
    let marks = tripwires
        .map(|group| Ok(Marks { group: above(group.group()?)?, objects: group.marks() }))
        .transpose()
        .map_err(RunError::system("share the fanotify group with the child"))?;
    Ok(Prepared {
        namespaces: plan.namespaces,
        identity: plan.identity.clone(),
        mounts,
        loopback: plan.network == NetworkMode::Loopback,
        limits: plan.limits.clone(),
        landlock: landlock(plan, materials.host.landlock_abi, pty, &c_string)?,
        filters: plan.filters.to_vec(),
        marks,
        gate: None,
        cgroup,
        cwd: c_string(plan.project.as_os_str())?,
        script_argv: Prepared::scripts(&candidates, &argv),
        candidates,
        argv,
        envp: Strings::new(envp),
        umask: materials.umask,
        signal_mask: materials.signal_mask,
        descriptors,
    })
}

fn landlock(
    plan: &Plan,
    abi: u32,
    pty: Option<&Pty>,
    c_string: &dyn Fn(&OsStr) -> Result<CString, RunError>,
) -> Result<Option<Landlock>, RunError> {
    if !plan.landlock {
        return Ok(None);
    }
    let scopes = plan::is_on(plan, Layer::LandlockScopes);
    let Some(ruleset) = plan::ruleset(scopes).map_err(RunError::system("make a Landlock ruleset"))? else {
        return Ok(None);
    };
    let mut rules = plan
        .grants
        .iter()
        .map(|(path, rights)| Ok((c_string(path.as_os_str())?, *rights)))
        .collect::<Result<Vec<_>, RunError>>()?;
    if let Some(pty) = pty {
        // The node is the host's; `/proc/self/fd/1` leads to it by a mount that is not in the run's tree, and a grant
        // counts for the object whatever way leads to it.
        let node = if plan.base == Tier::InPlace { pty.path.as_path() } else { Path::new(CONSOLE) };
        rules.push((c_string(node.as_os_str())?, plan::terminal_rights(abi)));
    }
    let ruleset = above(ruleset).map_err(RunError::system("make a Landlock ruleset"))?;
    Ok(Some(Landlock { ruleset, rules }))
}
