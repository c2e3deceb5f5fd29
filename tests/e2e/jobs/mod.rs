//! Ordinary work: the same bytes, the same status and the same files, bare and in each tier.

mod languages;
mod packages;
mod shell;
mod tools;

/// Why `/dev/shm` is closed in place.
const SHARED: &str =
    "without mounts /dev/shm is the host's, with what other processes of the user keep there";
