//! What a run leaves on the host, and its removal.

use std::fs;
use std::iter::successors;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use crate::spawn::Sweeper;

/// Objects of the host that exist for one run. Should this process be killed, the sweeper removes them.
#[derive(Debug, Default)]
pub(super) struct Leavings {
    pub(super) sweeper: Option<Sweeper>,
    pub(super) cgroup: Option<PathBuf>,
    pub(super) scratch: Option<PathBuf>,
}

/// For how long the removal of a cgroup is tried. Its processes are dead by now; the kernel may still be taking the
/// last of them apart.
const PATIENCE: Duration = Duration::from_millis(200);
/// The first pause between two tries; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_micros(20);

impl Leavings {
    /// Removes them. If something resists, the sweeper is left to go on trying when this process ends.
    pub(super) fn remove(&mut self) {
        let cgroup = self.cgroup.take().is_none_or(|path| {
            let pauses = successors(Some(FIRST_PAUSE), |pause| pause.checked_mul(2));
            let removed = || fs::remove_dir(&path).is_ok() || !path.exists();
            removed()
                || pauses.take_while(|pause| *pause < PATIENCE).any(|pause| {
                    thread::sleep(pause);
                    removed()
                })
        });
        let scratch =
            self.scratch.take().is_none_or(|path| fs::remove_dir_all(&path).is_ok() || !path.exists());
        if let Some(sweeper) = self.sweeper.take()
            && cgroup
            && scratch
        {
            // It can only be gone already.
            drop(sweeper.dismiss());
        }
    }
}
