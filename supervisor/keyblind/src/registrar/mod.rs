#![forbid(unsafe_code)]
//! The registrar: a resident process of root that gives runs of ordinary users what only root can give, and its client.
//!
//! A run asks it for a scope. The registrar makes the cgroup at one fixed level, enrols the run's guards with the kernel
//! programs, moves the run's first process into the scope, and hands on what the kernel reports. A client says nothing
//! that is taken on trust: its user is what the kernel says, its guards are descriptors, the scope's place follows from
//! a run id that must be free.
//!
//! `protocol` and `ledger` know no sockets and no cgroups; `server` puts everything together; `client` is what `run`
//! uses.

mod cgroup;
mod channel;
mod enforce;
mod guards;
mod home;
mod ledger;
mod limits;
mod notify;
mod peer;
mod record;
mod seen;

pub mod client;
pub mod protocol;
pub mod server;

/// Where the registrar listens.
pub const SOCKET: &str = "/run/keyblind/host.sock";
/// Where its lock, its process id and its open scopes are.
pub const STATE: &str = "/run/keyblind";
/// Where kernel programs are pinned.
pub const PINS: &str = "/sys/fs/bpf/keyblind";
