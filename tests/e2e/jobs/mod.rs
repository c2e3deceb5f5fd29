//! Ordinary work: the same bytes, the same status and the same files, bare and in each tier.

mod languages;
mod packages;
mod shell;
mod tools;

use keyblind_tests::Job;

/// Why `/dev/shm` is closed in place.
const SHARED: &str =
    "without mounts /dev/shm is the host's, with what other processes of the user keep there";

/// A job and the name of its test.
type Row = (&'static str, fn() -> Job);

/// Every job.
pub(crate) const ALL: [&[Row]; 4] = [languages::ALL, packages::ALL, shell::ALL, tools::ALL];
