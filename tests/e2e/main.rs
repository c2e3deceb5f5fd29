#![forbid(unsafe_code)]
//! The real binary, started by root, by an ordinary user, and behind a container's filter.
