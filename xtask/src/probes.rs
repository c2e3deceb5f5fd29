//! The kernel programs: which toolchain can build them, how to get one, and the build itself.
//!
//! They need a compiler for `bpfel-unknown-none`, the matching source of `core`, and a linker that reads the
//! compiler's LLVM bitcode. A rustup nightly with `rust-src` has the first two, and so have Debian's `rustc-web` and
//! `rust-web-src`, which are a matched pair.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::shell::{self, Error, Result};

/// The version that reads what the compilers below write.
pub(crate) const LINKER: &str = "0.13.0";
/// The LLVM that the linker is built with. Bitcode of a later one cannot be read.
const LLVM: u32 = 22;
const LLVM_PREFIX: &str = "/usr/lib/llvm-22";
const DEBIAN: &str = "/usr/bin";

/// A compiler that can build `core` for the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Toolchain {
    /// A rustup nightly.
    Nightly,
    /// Debian's packages, in `/usr/bin`.
    Debian,
}

/// The first toolchain that works here.
pub(crate) fn toolchain() -> Option<Toolchain> {
    [Toolchain::Debian, Toolchain::Nightly].into_iter().find(Toolchain::works)
}

/// Whether compiler and linker are there.
pub(crate) fn can_build() -> bool {
    toolchain().is_some() && linker().is_some()
}

impl Toolchain {
    fn command(&self, program: &str) -> Command {
        match self {
            Self::Nightly => {
                let mut command = Command::new("rustup");
                command.args(["run", "nightly", program]);
                command
            }
            Self::Debian => Command::new(Path::new(DEBIAN).join(program)),
        }
    }

    fn works(&self) -> bool {
        let ask = |args: &[&str]| {
            let mut command = self.command("rustc");
            command.args(args).stdin(Stdio::null()).stderr(Stdio::null());
            shell::stdout(&mut command).unwrap_or_default()
        };
        let source = Path::new(ask(&["--print", "sysroot"]).trim()).join("lib/rustlib/src/rust/library/core");
        let cargo =
            self.command("cargo").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        source.exists() && readable(&ask(&["-vV"])) && cargo.is_ok_and(|status| status.success())
    }
}

/// Whether a compiler that says this of itself writes bitcode that the linker reads.
fn readable(version: &str) -> bool {
    let major = version.lines().find_map(|line| line.strip_prefix("LLVM version: ")?.split('.').next());
    // aya-ebpf's own lowest compiler is older than any with this LLVM.
    major.and_then(|major| major.parse::<u32>().ok()).is_some_and(|major| major == LLVM)
}

/// The linker, if it is there in the version that is wanted.
pub(crate) fn linker() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).chain(home_bin());
    found.map(|dir| dir.join("bpf-linker")).find(|program| {
        let mut command = Command::new(program);
        let said = shell::stdout(command.arg("--version").stderr(Stdio::null())).unwrap_or_default();
        said.split_whitespace().any(|word| word == LINKER)
    })
}

/// Where `cargo install` puts programs.
fn home_bin() -> Option<PathBuf> {
    let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    cargo.or_else(|| Some(std::env::home_dir()?.join(".cargo"))).map(|dir| dir.join("bin"))
}

/// Builds the linker. A minute on two cores, once: it is kept where `cargo install` keeps programs.
pub(crate) fn install_linker() -> Command {
    let mut command = shell::cargo(&["install", "bpf-linker", "--version", LINKER, "--locked"]);
    command.args(["--no-default-features", "--features", &format!("llvm-{LLVM}")]);
    command.env("LLVM_SYS_221_PREFIX", LLVM_PREFIX).env("LLVM_PREFIX", LLVM_PREFIX);
    command
}

/// What to run where something is missing, as one would type it.
pub(crate) fn advice() -> String {
    format!(
        "run `cargo xtask setup`, or:\n  \
         apt-get install rustc-web rust-web-src cargo-web llvm-22-dev\n  \
         (elsewhere: rustup toolchain install nightly --component rust-src, with LLVM {LLVM}, and LLVM's headers)\n  \
         LLVM_SYS_221_PREFIX={LLVM_PREFIX} LLVM_PREFIX={LLVM_PREFIX} cargo install bpf-linker --version {LINKER} \
         --locked --no-default-features --features llvm-{LLVM}\n\
         `cargo build` does without: that binary has no kernel tier, and says so"
    )
}

/// What is built, and what it is called in `ebpf/` in the directory that cargo builds into, where the build of the
/// `keyblind` crate looks for it.
pub(crate) const OBJECTS: &[(&str, &str)] =
    &[("keyblind-probes", "keyblind.o"), ("keyblind-addresses", "addresses.o")];

/// Builds the objects.
pub(crate) fn build() -> Result<()> {
    let missing =
        |what: &str| Error::Said(format!("the kernel programs cannot be built: {what}; {}", advice()));
    let toolchain = toolchain()
        .ok_or_else(|| missing("no compiler with the source of its library (rustc-web and rust-web-src)"))?;
    let linker = linker().ok_or_else(|| missing(&format!("no bpf-linker {LINKER}")))?;
    let target = shell::target_dir()?;
    let mut command = toolchain.command("cargo");
    command.args(["build", "--quiet", "--release", "--locked", "-Zbuild-std=core"]);
    command.args(["--target", "bpfel-unknown-none"]).arg("--target-dir").arg(target.join("ebpf-build"));
    command.current_dir(shell::root().join("ebpf"));
    command.env("RUSTC_BOOTSTRAP", "1").env("CARGO_ENCODED_RUSTFLAGS", flags(&linker).join("\x1f"));
    // What the cargo that started us says about its own toolchain does not hold for this one.
    for name in ["RUSTUP_TOOLCHAIN", "CARGO", "RUSTC", "RUSTC_WRAPPER", "CARGO_TARGET_DIR", "RUSTFLAGS"] {
        command.env_remove(name);
    }
    if toolchain == Toolchain::Debian {
        command.env("RUSTC", Path::new(DEBIAN).join("rustc"));
    }
    shell::run(&mut command)?;
    for (name, object) in OBJECTS {
        let built = target.join("ebpf-build/bpfel-unknown-none/release").join(name);
        let lean = target.join("ebpf-build").join(object);
        // Nine tenths of it are debug information, of which BTF, which stays, was made.
        let mut strip = Command::new(Path::new(LLVM_PREFIX).join("bin/llvm-objcopy"));
        shell::run(strip.arg("--strip-debug").arg(&built).arg(&lean))?;
        keep(&lean, &target.join("ebpf").join(object))?;
    }
    Ok(())
}

fn flags(linker: &Path) -> Vec<String> {
    let mut flags: Vec<String> =
        ["-Cdebuginfo=2", "-Clink-arg=--btf", "-Ctarget-cpu=v3", "--cfg=bpf_target_arch=\"x86_64\""]
            .map(str::to_owned)
            .into();
    flags.push(format!("-Clinker={}", linker.display()));
    flags
}

/// Copies only what changed, so that the crate that embeds it is not compiled again for nothing.
fn keep(built: &Path, object: &Path) -> Result<()> {
    let file = |path: &Path| {
        let path = path.to_path_buf();
        move |source| Error::File { path, source }
    };
    let bytes = std::fs::read(built).map_err(file(built))?;
    if std::fs::read(object).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let dir = object.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir).map_err(file(dir))?;
    std::fs::write(object, bytes).map_err(file(object))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bitcode_of_another_llvm_is_not_readable() {
        assert!(readable("rustc 1.96.0\nrelease: 1.96.0\nLLVM version: 22.1.8\n"));
        assert!(!readable("rustc 1.99.0\nrelease: 1.99.0\nLLVM version: 23.1.0\n"));
        assert!(!readable("rustc 1.96.0\n"));
    }

    #[test]
    fn the_advice_is_what_setup_runs() {
        let line = shell::line(&install_linker());
        assert!(advice().contains(&line), "{line}");
    }

    #[test]
    fn an_unchanged_object_is_left_alone() -> Result<()> {
        let file = |source| Error::File { path: "temporary".into(), source };
        let dir = tempfile::tempdir().map_err(file)?;
        let (built, object) = (dir.path().join("built"), dir.path().join("ebpf/keyblind.o"));
        std::fs::write(&built, "one").map_err(file)?;
        keep(&built, &object)?;
        let before = object.metadata().and_then(|meta| meta.modified()).map_err(file)?;
        keep(&built, &object)?;
        assert_eq!(object.metadata().and_then(|meta| meta.modified()).map_err(file)?, before);
        std::fs::write(&built, "two").map_err(file)?;
        keep(&built, &object)?;
        assert_eq!(std::fs::read(&object).map_err(file)?, b"two");
        Ok(())
    }
}
