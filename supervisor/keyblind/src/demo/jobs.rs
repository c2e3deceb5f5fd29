//! Ordinary work, which must not notice.

use std::ffi::OsStr;

use super::DemoError;
use super::scene::{Scene, has};
use super::verdict::Cells;

/// A job: its name, the programs that it needs, and what sh(1) executes. Each leaves the project as it found it.
const JOBS: [(&str, &[&str], &str); 3] = [
    (
        "git commit",
        &["git"],
        "echo more >> notes.txt && git commit -q -a -m more && git log -1 --format='%T %an <%ae> %s' \
         && git reset -q --hard HEAD~1 && git status --short",
    ),
    ("npm test", &["npm", "node"], "npm --offline --no-update-notifier --no-fund test"),
    ("python -c 'print(1)'", &["python3"], "python3 -c 'print(1)'"),
];

/// What came of them.
#[derive(Debug)]
pub(super) struct Jobs {
    pub(super) cells: Cells,
    pub(super) tried: usize,
    pub(super) same: usize,
    pub(super) recorded: usize,
}

/// The first column of their row.
pub(super) fn title() -> String {
    JOBS.map(|(name, _, _)| name).join(", ")
}

/// Does each bare and supervised.
pub(super) fn run(scene: &Scene) -> Result<Jobs, DemoError> {
    let mut jobs = Jobs {
        cells: Cells { bare: "ok".to_owned(), supervised: "ok, same bytes".to_owned(), how: String::new() },
        tried: 0,
        same: 0,
        recorded: 0,
    };
    let (mut missing, mut failed, mut differ) = (Vec::new(), Vec::new(), Vec::new());
    for (name, needs, script) in JOBS {
        if let Some(program) = needs.iter().find(|program| !has(program)) {
            missing.push(format!("no {program}"));
            continue;
        }
        let command = ["sh", "-c", script].map(OsStr::new);
        let start = DemoError::system("start an ordinary job");
        let bare = scene.stage.bare(&command, b"").map_err(start)?;
        if bare.status != 0 {
            failed.push(name);
            continue;
        }
        let start = DemoError::system("start an ordinary job");
        let supervised = scene.stage.supervised(&command, b"").map_err(start)?;
        jobs.tried += 1;
        jobs.recorded += supervised.events.len();
        if (bare.status, &bare.stdout, &bare.stderr)
            == (supervised.status, &supervised.stdout, &supervised.stderr)
        {
            jobs.same += 1;
        } else {
            differ.push(format!("{name} (status {})", supervised.status));
        }
    }
    if !failed.is_empty() {
        jobs.cells.bare = format!("{} fails", failed.join(", "));
    }
    if !differ.is_empty() {
        jobs.cells.supervised = "NOT THE SAME".to_owned();
    }
    if jobs.tried == 0 {
        jobs.cells.supervised = "n.a.".to_owned();
    }
    jobs.cells.how = differ.into_iter().chain(missing).collect::<Vec<_>>().join(", ");
    Ok(jobs)
}
