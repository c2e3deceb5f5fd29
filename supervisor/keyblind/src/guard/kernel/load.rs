//! Loads the programs, attaches and pins them; adopts those that are pinned already.
//!
//! A set of programs has a directory of its own, named after layout and content. It is made under another name and
//! renamed when all is in it, so that a directory of the right name is whole.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aya::programs::links::FdLink;
use aya::programs::{FExit, Lsm, ProgramError};
use aya::{Btf, Ebpf, EbpfLoader};
use keyblind_abi::{LAYOUT, Offsets};
use sha2::{Digest, Sha256};

use super::error::{KernelError, Refusal};
use super::object::{self, Kind, MAPS, OFFSETS, PROGRAMS, Program};
use super::support;
use super::wire::Wire;

type Result<T> = std::result::Result<T, KernelError>;

const UNFINISHED: &str = "new-";

/// The directory for this binary's programs.
pub(super) fn directory(pins: &Path) -> Result<PathBuf> {
    let bytes = object::object().ok_or(Refusal::NotBuilt)?;
    let digest = Sha256::digest(bytes);
    let short: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    Ok(pins.join(format!("{LAYOUT}-{short}")))
}

/// Loads, attaches and pins the programs, unless they are there. Returns whether they were.
pub(super) fn load(pins: &Path, offsets: &Offsets) -> Result<bool> {
    let dir = directory(pins)?;
    if dir.exists() {
        return Ok(true);
    }
    make(pins)?;
    clean(pins)?;
    let fresh = pins.join(format!("{UNFINISHED}{}", std::process::id()));
    make(&fresh)?;
    let done = attach(&fresh, offsets).and_then(|()| {
        fs::rename(&fresh, &dir)
            .map_err(|source| KernelError::Pin { path: dir.clone(), source: source.into() })
    });
    if done.is_err() {
        remove(&fresh)?;
    }
    done.map(|()| false)
}

fn make(dir: &Path) -> Result<()> {
    match fs::create_dir(dir) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            Err(KernelError::Pin { path: dir.to_path_buf(), source: source.into() })
        }
        _ => Ok(()),
    }
}

/// Removes what a process that died left unfinished.
fn clean(pins: &Path) -> Result<()> {
    for dir in sets(pins)? {
        let unfinished =
            dir.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(UNFINISHED.as_bytes()));
        if unfinished {
            remove(&dir)?;
        }
    }
    Ok(())
}

/// The directories below `pins`.
pub(super) fn sets(pins: &Path) -> Result<Vec<PathBuf>> {
    let failed = |source: io::Error| KernelError::Pin { path: pins.to_path_buf(), source: source.into() };
    let mut found = Vec::new();
    match fs::read_dir(pins) {
        Err(source) if source.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(failed(source)),
        Ok(entries) => {
            for entry in entries {
                found.push(entry.map_err(failed)?.path());
            }
        }
    }
    Ok(found)
}

/// Unpins a set. Its programs are detached with the last of their links.
pub(super) fn remove(dir: &Path) -> Result<()> {
    let failed = |source: io::Error| KernelError::Pin { path: dir.to_path_buf(), source: source.into() };
    for entry in fs::read_dir(dir).map_err(failed)? {
        fs::remove_file(entry.map_err(failed)?.path()).map_err(failed)?;
    }
    fs::remove_dir(dir).map_err(failed)
}

fn attach(dir: &Path, offsets: &Offsets) -> Result<()> {
    let bytes = object::object().ok_or(Refusal::NotBuilt)?;
    let btf = Btf::from_sys_fs().map_err(|error| KernelError::Load(error.into()))?;
    let offsets = Wire(*offsets);
    let mut loader = EbpfLoader::new();
    loader.btf(Some(&btf)).override_global(OFFSETS, &offsets, true);
    let mut set = loader.load(bytes)?;
    for name in MAPS {
        let map = set.map(name).ok_or(KernelError::Absent(name))?;
        let path = dir.join(name);
        map.pin(&path).map_err(|source| KernelError::Pin { path, source: source.into() })?;
    }
    // All are loaded before the first is attached: a set is in force as a whole or not at all.
    for program in PROGRAMS {
        named(program, accept(&mut set, program, &btf))?;
    }
    for program in PROGRAMS {
        let link = named(program, hook(&mut set, program))?;
        let path = dir.join(format!("link_{}", program.name));
        link.pin(&path).map_err(|source| KernelError::Pin { path, source: source.into() })?;
        let path = dir.join(format!("prog_{}", program.name));
        let found = set.program_mut(program.name).ok_or(KernelError::Absent(program.name))?;
        found.pin(&path).map_err(|source| KernelError::Pin { path, source: source.into() })?;
    }
    Ok(())
}

fn named<T>(program: &Program, result: std::result::Result<T, ProgramError>) -> Result<T> {
    result.map_err(|source| match support::refused(&source) {
        Some(refusal) => refusal.into(),
        None => KernelError::Program { program: program.name, source: Box::new(source) },
    })
}

fn accept(set: &mut Ebpf, program: &Program, btf: &Btf) -> std::result::Result<(), ProgramError> {
    let found = set.program_mut(program.name).ok_or(ProgramError::NotLoaded)?;
    match program.kind {
        Kind::Lsm => <&mut Lsm>::try_from(found)?.load(program.name, btf),
        Kind::End => <&mut FExit>::try_from(found)?.load(program.name, btf),
    }
}

fn hook(set: &mut Ebpf, program: &Program) -> std::result::Result<FdLink, ProgramError> {
    let found = set.program_mut(program.name).ok_or(ProgramError::NotLoaded)?;
    Ok(match program.kind {
        Kind::Lsm => {
            let lsm = <&mut Lsm>::try_from(found)?;
            let id = lsm.attach()?;
            lsm.take_link(id)?.into()
        }
        Kind::End => {
            let end = <&mut FExit>::try_from(found)?;
            let id = end.attach()?;
            end.take_link(id)?.into()
        }
    })
}
