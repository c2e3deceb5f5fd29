//! Ordinary work: the same bytes, the same status and the same files, bare and in each tier.

mod languages;
mod packages;
mod shell;
mod tools;
