//! `keyblind events`: the last day in a few lines; `tail` and `show`.

use std::io;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use keyblind_events::{
    Filter, Item, JournalError, Log, Place, ReadError, Renderer, RunId, SessionId, Summary, Wake, Wall,
    encode, printable,
};

use super::out;

/// What the summary adds up.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Read this file, as `run --events FILE` wrote it, instead of the journal
    #[arg(long, value_name = "FILE", global = true)]
    file: Option<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Show the last events
    Tail {
        /// Go on showing events as they come
        #[arg(short, long)]
        follow: bool,
        /// Show so many of the last events
        #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
        lines: usize,
        #[command(flatten)]
        choice: Choice,
    },
    /// Show all events of a session or of a run
    #[command(group = clap::ArgGroup::new("which").args(["session", "run"]).required(true).multiple(true))]
    Show {
        #[command(flatten)]
        choice: Choice,
    },
}

#[derive(Debug, clap::Args)]
struct Choice {
    /// Only of this session
    #[arg(long, value_name = "ID")]
    session: Option<SessionId>,
    /// Only of this run
    #[arg(long, value_name = "ID")]
    run: Option<RunId>,
    /// One JSON object per line, as docs/events.md describes it
    #[arg(long)]
    json: bool,
}

/// Why events cannot be shown.
#[derive(Debug, thiserror::Error)]
enum EventsError {
    #[error(transparent)]
    Place(#[from] JournalError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("events: cannot write to standard output: {0}")]
    Output(io::Error),
}

pub(crate) fn main(args: Args) -> ExitCode {
    let done = log(args.file).and_then(|log| match args.verb {
        None => summary(&log),
        Some(Verb::Tail { follow, lines, choice }) => tail(&log, lines, follow, choice),
        Some(Verb::Show { choice }) => show(&log, choice),
    });
    done.unwrap_or_else(|error| out::fail(out::USAGE, error))
}

fn log(file: Option<PathBuf>) -> Result<Log, EventsError> {
    if let Some(file) = file {
        return Ok(Log::file(file));
    }
    let place = Place::standard(nix::unistd::geteuid().as_raw(), |name| std::env::var_os(name))?;
    Ok(Log::at(&place))
}

fn summary(log: &Log) -> Result<ExitCode, EventsError> {
    let since = Wall::now().before(DAY);
    let mut summary = Summary::default();
    log.read(&Filter { since: Some(since), ..Filter::default() }, |item| match item {
        Item::Event(event) => summary.add(&event),
        Item::Unreadable { .. } => summary.add_unreadable(),
    })?;
    for line in summary.lines("last 24 h", &shown(log)) {
        out::line(line).map_err(EventsError::Output)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn tail(log: &Log, lines: usize, follow: bool, choice: Choice) -> Result<ExitCode, EventsError> {
    let (filter, mut printer) = choice.split();
    let (items, mut more) = log.tail(lines, &filter)?;
    if items.is_empty() && !follow && !log.exists() {
        return Ok(out::fail(0, format_args!("events: {} does not exist: nothing recorded yet", shown(log))));
    }
    items.into_iter().for_each(|item| printer.print(item));
    if !follow {
        printer.check()?;
        return Ok(ExitCode::SUCCESS);
    }
    loop {
        printer.check()?;
        if more.wait(io::stdout().as_fd())? == Wake::ReaderGone {
            return Ok(ExitCode::SUCCESS);
        }
        more.read(&filter, |item| printer.print(item))?;
    }
}

/// Exits 1 when nothing is recorded of what was asked for.
fn show(log: &Log, choice: Choice) -> Result<ExitCode, EventsError> {
    let (filter, mut printer) = choice.split();
    let mut found = false;
    log.read(&filter, |item| {
        found |= matches!(item, Item::Event(_));
        printer.print(item);
    })?;
    printer.check()?;
    if !found {
        return Ok(out::fail(1, format_args!("events: nothing recorded of that in {}", shown(log))));
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(log: &Log) -> String {
    printable(log.path().as_os_str().as_encoded_bytes())
}

impl Choice {
    fn split(self) -> (Filter, Printer) {
        let home = std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
        let renderer = (!self.json).then(|| Renderer::new(home));
        let filter = Filter { session: self.session, run: self.run, since: None };
        (filter, Printer { renderer, written: Ok(()) })
    }
}

/// Prints events as text, or as JSON without a renderer, until that fails.
struct Printer {
    renderer: Option<Renderer>,
    written: io::Result<()>,
}

impl Printer {
    fn print(&mut self, item: Item) {
        let event = match item {
            Item::Event(event) => event,
            Item::Unreadable { file, offset, cause } => {
                // On stderr, since it is no event; whoever reads JSON must not stumble over it.
                let file = printable(file.as_os_str().as_encoded_bytes());
                out::fail(0, format_args!("events: {file}: line at byte {offset}: {cause}"));
                return;
            }
        };
        if self.written.is_ok() {
            self.written = match &mut self.renderer {
                Some(renderer) => out::line(renderer.render(&event)),
                None => out::line(String::from_utf8_lossy(&encode(&event)).trim_end()),
            };
        }
    }

    fn check(&mut self) -> Result<(), EventsError> {
        std::mem::replace(&mut self.written, Ok(())).map_err(EventsError::Output)
    }
}
