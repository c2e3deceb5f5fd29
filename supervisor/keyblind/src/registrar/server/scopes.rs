//! The life of a scope: written down, made, entered; killed, empty, removed, struck out.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use keyblind_events::{HostEvent, HostWhat, RunId};
use nix::errno::Errno;
use tokio::time::{sleep, timeout};

use super::Shared;
use super::slices::HeldSlice;
use super::state::{Hearing, Held, Run, State};
use crate::guard::AddressGuard;
use crate::policy::NetworkDeny;
use crate::registrar::cgroup::Cgroup;
use crate::registrar::enforce::Terms;
use crate::registrar::ledger::Entry;
use crate::sys;

/// How often the removal of an empty scope is tried, and what lies between: the kernel may still be taking the last
/// process apart.
const TRIES: u32 = 500;
const BETWEEN: Duration = Duration::from_millis(2);
/// How long the end of the service waits for scopes that were killed.
const LONGEST_END: Duration = Duration::from_secs(20);

/// Opens a scope and holds it to its guards, in the kernel's tables before anything can be in it. What was made is undone
/// if something of it cannot be had. Errors: EEXIST, the run's name is taken; with what it would have been held to.
pub(super) fn open(
    state: &mut State,
    entry: Entry,
    denied: &[NetworkDeny],
    held: Held,
    client: Option<OwnedFd>,
) -> Result<Rc<Cgroup>, (io::Error, Held)> {
    match make(state, &entry, denied, &held) {
        Ok((cgroup, addresses)) => {
            let event = of_run(HostWhat::ScopeOpened, &entry, format!("for {}", entry.command));
            let mut run = Run::new(entry, Rc::clone(&cgroup), held, client);
            run.addresses = addresses;
            state.runs.insert(run.entry.run.clone(), run);
            state.record().host(event);
            Ok(cgroup)
        }
        Err(error) => Err((error, held)),
    }
}

fn make(
    state: &mut State,
    entry: &Entry,
    denied: &[NetworkDeny],
    held: &Held,
) -> io::Result<(Rc<Cgroup>, Option<AddressGuard>)> {
    if state.runs.contains_key(&entry.run) {
        return Err(Errno::EEXIST.into());
    }
    state.ledger.write(entry)?;
    let cgroup = match state.hierarchy.make(&entry.run) {
        Ok(cgroup) => cgroup,
        Err(error) => {
            // A cgroup that was there before is somebody else's and stays.
            state.ledger.remove(&entry.run);
            return Err(error);
        }
    };
    let guarded = guard_addresses(&cgroup, denied, entry.enforce).and_then(|addresses| match held.slot {
        Some(slot) => {
            state.enforcement.enter(cgroup.id, Terms { slot, enforce: entry.enforce }).map(|()| addresses)
        }
        None => Ok(addresses),
    });
    match guarded {
        Ok(addresses) => Ok((Rc::new(cgroup), addresses)),
        Err(why) => {
            state.hierarchy.remove(&entry.run)?;
            state.ledger.remove(&entry.run);
            Err(io::Error::other(why))
        }
    }
}

/// Programs at the cgroup, before anything is in it. Where there is nothing to deny there are none.
fn guard_addresses(
    cgroup: &Cgroup,
    denied: &[NetworkDeny],
    enforce: bool,
) -> Result<Option<AddressGuard>, String> {
    if denied.is_empty() {
        return Ok(None);
    }
    let guard = AddressGuard::attach(cgroup.directory(), denied, enforce);
    guard.map(Some).map_err(|error| error.to_string())
}

/// Puts on record what a run's programs for addresses report, as long as the run is there.
pub(super) fn hear_addresses(state: &Shared, run: &RunId) {
    let mut borrowed = state.borrow_mut();
    let Some(known) = borrowed.runs.get_mut(run) else { return };
    let Some(guard) = &known.addresses else { return };
    // Where it cannot be waited for, the reports are read when the run ends.
    let Ok(reports) = guard.as_fd().try_clone_to_owned().and_then(sys::readiness) else { return };
    let (state, run) = (Rc::clone(state), run.clone());
    let task = tokio::task::spawn_local(async move {
        while let Ok(mut ready) = reports.readable().await {
            // Before they are taken: one that comes meanwhile makes it ready again.
            ready.clear_ready();
            while state.borrow_mut().report_addresses(&run) {
                tokio::task::yield_now().await;
            }
        }
    });
    known.hearing = Some(Hearing(task.abort_handle()));
}

/// A run that has registered and does not begin.
pub(super) fn give_up(state: &mut State, held: &Held) {
    if let Some(slot) = held.slot
        && let Err(why) = state.enforcement.withdraw(slot)
    {
        state.record().host(HostEvent::new(HostWhat::ScopeClosed, format!("a set of guards stays: {why}")));
    }
}

/// Ends a run: kills what is left in its scope, waits until it is empty, and removes it.
pub(super) async fn close(state: &Shared, run: &RunId, why: &str) -> io::Result<()> {
    let cgroup = {
        let mut state = state.borrow_mut();
        let Some(run) = state.runs.get_mut(run) else { return Ok(()) };
        run.closing = true;
        Rc::clone(&run.cgroup)
    };
    cgroup.kill()?;
    emptied(state, run, &cgroup, why).await
}

/// Waits until a scope is empty, and removes it.
async fn emptied(state: &Shared, run: &RunId, cgroup: &Cgroup, why: &str) -> io::Result<()> {
    cgroup.emptied().await?;
    for tried in 1.. {
        let removed = state.borrow().hierarchy.remove(run);
        match removed {
            Ok(()) => break,
            Err(error) if tried == TRIES => return Err(error),
            Err(_) => sleep(BETWEEN).await,
        }
    }
    forget(&mut state.borrow_mut(), run, why);
    Ok(())
}

/// A scope's cgroup is gone.
fn forget(state: &mut State, run: &RunId, why: &str) {
    if let Some(run) = state.runs.get(run)
        && run.held.slot.is_some()
        && let Err(why) = state.enforcement.leave(run.cgroup.id)
    {
        state
            .record()
            .host(HostEvent::new(HostWhat::ScopeClosed, format!("its id stays with the programs: {why}")));
    }
    state.ledger.remove(run);
    if let Some(run) = state.runs.remove(run) {
        give_up(state, &run.held);
        state.record().host(of_run(HostWhat::ScopeClosed, &run.entry, why));
    }
}

/// Takes over what a registrar of before has left: scopes with somebody in them are guarded on, the others removed.
pub(super) fn adopt(state: &Shared) -> io::Result<()> {
    let entries = state.borrow().ledger.entries()?;
    let guarded = state.borrow().enforcement.entered();
    for entry in entries {
        let found = state.borrow().hierarchy.find(&entry.run);
        let run = entry.run.clone();
        let Ok(cgroup) = found else {
            state.borrow().ledger.remove(&run);
            continue;
        };
        let cgroup = Rc::new(cgroup);
        let mut borrowed = state.borrow_mut();
        // A scope that the programs do not know was being opened when its service was killed: nothing is in it.
        let slot = guarded.iter().find(|(id, _)| *id == cgroup.id).and_then(|(_, slot)| *slot);
        let held = Held { slot, policy: borrowed.policy(), objects: Vec::new() };
        let event = of_run(HostWhat::ScopeAdopted, &entry, format!("for {}", entry.command));
        borrowed.runs.insert(run.clone(), Run::new(entry, Rc::clone(&cgroup), held, None));
        if cgroup.is_populated()? {
            borrowed.record().host(event);
        }
        drop(borrowed);
        let state = Rc::clone(state);
        tokio::task::spawn_local(async move {
            let why = "empty; it was left by a service that was killed";
            if let Err(error) = emptied(&state, &run, &cgroup, why).await {
                resists(&state, &run, &error);
            }
        });
    }
    // What the programs know and nobody has written down is gone: its service was killed after the cgroup was removed.
    let mut borrowed = state.borrow_mut();
    let mut known: Vec<u64> = borrowed.runs.values().map(|run| run.cgroup.id).collect();
    known.extend(borrowed.slices.values().map(HeldSlice::id));
    for (id, _) in guarded.into_iter().filter(|(id, _)| !known.contains(id)) {
        let _gone = borrowed.enforcement.leave(id);
    }
    let of_runs = borrowed.runs.values().filter_map(|run| run.held.slot);
    let used: Vec<_> = of_runs.chain(borrowed.slices.values().filter_map(HeldSlice::slot)).collect();
    borrowed.enforcement.withdraw_others(&used);
    Ok(())
}

/// Puts on record that a scope cannot be removed. It stays in the ledger, for the next registrar to try again.
pub(super) fn resists(state: &RefCell<State>, run: &RunId, error: &io::Error) {
    let mut state = state.borrow_mut();
    let detail = format!("cannot be removed yet: {}", crate::spawn::words(error));
    if let Some(entry) = state.runs.get(run).map(|run| run.entry.clone()) {
        state.record().host(of_run(HostWhat::ScopeClosed, &entry, detail));
    }
}

/// Ends with what is there: all runs if `end_runs`, else only those that are ending or empty. How many go on.
pub(super) async fn wind_up(state: &Shared, end_runs: bool) -> usize {
    let runs: Vec<(RunId, Rc<Cgroup>, bool)> = {
        let state = state.borrow();
        state.runs.values().map(|run| (run.entry.run.clone(), Rc::clone(&run.cgroup), run.closing)).collect()
    };
    let ended = async {
        for (run, cgroup, closing) in &runs {
            let ends = end_runs || *closing || cgroup.is_populated().is_ok_and(|populated| !populated);
            if ends && let Err(error) = close(state, run, "the service ended").await {
                resists(state, run, &error);
            }
        }
    };
    let _some_resist = timeout(LONGEST_END, ended).await;
    let state = state.borrow();
    if state.runs.is_empty() {
        state.hierarchy.leave();
    }
    state.runs.len()
}

/// Runs with somebody in their scopes.
pub(super) fn active(state: &State) -> Vec<RunId> {
    let active = state.runs.values().filter(|run| run.cgroup.is_populated().unwrap_or(true));
    active.map(|run| run.entry.run.clone()).collect()
}

fn of_run(what: HostWhat, entry: &Entry, detail: impl Into<String>) -> HostEvent {
    HostEvent {
        run: Some(entry.run.clone()),
        session: Some(entry.session.clone()),
        uid: Some(entry.uid),
        ..HostEvent::new(what, detail)
    }
}
