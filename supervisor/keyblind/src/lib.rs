//! keyblind: run agent tools blind to your keys.
//!
//! Modules in the order in which data flows; a module knows only those above it.
//! `docs/architecture.md` says what is deliberately absent from each.

pub mod policy;
mod sys;

pub mod host;
pub mod spawn;

pub mod plan;

pub mod guard;
pub mod stream;

pub mod registrar;

pub mod run;

mod trial;

pub mod demo;
pub mod doctor;

pub mod cli;
