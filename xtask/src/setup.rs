//! `cargo xtask setup`: what this machine lacks, said first, then installed.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;
use std::process::{Command, ExitCode};

use crate::probes;
use crate::shell::{self, Error, Result};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Do not ask. Without a terminal there is nobody to ask, and this is what happens
    #[arg(long)]
    yes: bool,
    /// Only say what is missing; the status is 1 if anything is
    #[arg(long)]
    check: bool,
}

pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    if !args.check {
        install(For::Vm, args.yes)?;
        return Ok(ExitCode::SUCCESS);
    }
    let lacking = lacking(For::Vm);
    for need in lacking.iter().chain(&kernel_needs()) {
        shell::say(format_args!("missing: {} ({}), for {}", need.what, need.package, need.why));
    }
    let linker = probes::linker().is_some();
    if !linker {
        shell::say(format_args!(
            "missing: bpf-linker {} (cargo install), for the kernel tier",
            probes::LINKER
        ));
    }
    Ok(if linker && kernel_needs().is_empty() && lacking.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What the machine is being prepared for; each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum For {
    Build,
    Demo,
    Test,
    Vm,
}

/// How to tell that something is there. A package database would miss what was installed by hand.
#[derive(Debug)]
enum Probe {
    /// A program of this name is on PATH.
    Program(&'static str),
    /// One of these files exists.
    File(&'static [&'static str]),
    /// This command ends with status 0.
    Works(&'static [&'static str]),
    /// Code can tell.
    Is(fn() -> bool),
}

#[derive(Debug)]
struct Need {
    what: &'static str,
    /// The name in Debian and Ubuntu.
    package: &'static str,
    why: &'static str,
    from: For,
    probe: Probe,
}

const fn need(what: &'static str, package: &'static str, why: &'static str, from: For, probe: Probe) -> Need {
    Need { what, package, why, from, probe }
}

const NEEDS: &[Need] = &[
    need("C compiler", "gcc", "linking", For::Build, Probe::Program("cc")),
    need("C library headers", "libc6-dev", "linking", For::Build, Probe::File(&["/usr/include/stdlib.h"])),
    need("pkg-config", "pkg-config", "finding libseccomp", For::Build, Probe::Program("pkg-config")),
    need(
        "libseccomp headers",
        "libseccomp-dev",
        "compiling the system call filter",
        For::Build,
        Probe::Works(&["pkg-config", "--exists", "libseccomp"]),
    ),
    need("git", "git", "the demo and benign jobs", For::Demo, Probe::Program("git")),
    need("python3", "python3", "the demo and benign jobs", For::Demo, Probe::File(&["/usr/bin/python3"])),
    need("curl", "curl", "the demo and benign jobs", For::Demo, Probe::Program("curl")),
    need("ip", "iproute2", "the demo's metadata address", For::Demo, Probe::Program("ip")),
    need(
        "python3 venv",
        "python3-venv",
        "the pip job",
        For::Test,
        Probe::Works(&["/usr/bin/python3", "-c", "import ensurepip, venv"]),
    ),
    need("AddressSanitizer", "gcc", "the ASan job", For::Test, Probe::Works(&["sh", "-c", ASAN])),
    need("sqlite3", "sqlite3", "the sqlite job", For::Test, Probe::Program("sqlite3")),
    need("vim", "vim", "the terminal jobs", For::Test, Probe::Program("vim")),
    need("less", "less", "the terminal jobs", For::Test, Probe::Program("less")),
    need("top", "procps", "the terminal jobs", For::Test, Probe::Program("top")),
    need("tar", "tar", "the archive job", For::Test, Probe::Program("tar")),
    need("gzip", "gzip", "the archive job", For::Test, Probe::Program("gzip")),
    need("node", "nodejs", "the demo and benign jobs", For::Demo, Probe::Program("node")),
    need("npm", "npm", "the demo and benign jobs", For::Demo, Probe::Program("npm")),
    need("QEMU", "qemu-system-x86", "the test kernels", For::Vm, Probe::Program("qemu-system-x86_64")),
    need(
        "busybox",
        "busybox-static",
        "the test kernels",
        For::Vm,
        Probe::Works(&["sh", "-c", STATIC_BUSYBOX]),
    ),
    need(
        "mke2fs",
        "e2fsprogs",
        "the test kernels' disk",
        For::Vm,
        Probe::File(&["/sbin/mke2fs", "/usr/sbin/mke2fs"]),
    ),
    need("xz", "xz-utils", "the test kernels' modules", For::Vm, Probe::Program("xz")),
    need("javac", "default-jdk-headless", "the JVM job", For::Test, Probe::Program("javac")),
];

/// The initramfs has no libraries: a busybox that needs some would not start there.
const STATIC_BUSYBOX: &str = "test -x /bin/busybox && ! ldd /bin/busybox";

/// What the kernel programs need. Without these the product builds, but has no kernel tier.
const KERNEL_NEEDS: &[Need] = &[
    need("compiler for kernel programs", "rustc-web", "the kernel tier", For::Build, Probe::Is(has_compiler)),
    need("its library's source", "rust-web-src", "the kernel tier", For::Build, Probe::Is(has_compiler)),
    need("cargo of its version", "cargo-web", "the kernel tier", For::Build, Probe::Is(has_compiler)),
    need("LLVM 22", "llvm-22-dev", "linking kernel programs", For::Build, Probe::Is(can_link)),
    need("C++ library headers", "g++", "linking kernel programs", For::Build, Probe::Is(can_link_cpp)),
];

fn has_compiler() -> bool {
    probes::toolchain().is_some()
}

fn can_link() -> bool {
    probes::linker().is_some() || Path::new("/usr/lib/llvm-22/bin/llvm-config").exists()
}

fn can_link_cpp() -> bool {
    probes::linker().is_some() || shell::on_path("c++")
}

fn kernel_needs() -> Vec<&'static Need> {
    KERNEL_NEEDS.iter().filter(|need| !present(&need.probe)).collect()
}

const ASAN: &str = "test -e \"$(cc -print-file-name=libasan.so)\"";

fn lacking(purpose: For) -> Vec<&'static Need> {
    NEEDS.iter().filter(|need| need.from <= purpose && !present(&need.probe)).collect()
}

fn present(probe: &Probe) -> bool {
    match probe {
        Probe::Program(name) => shell::on_path(name),
        Probe::Is(tell) => tell(),
        Probe::File(paths) => paths.iter().any(|path| Path::new(path).exists()),
        Probe::Works(words) => match words.split_first() {
            Some((program, args)) => {
                let quiet = std::process::Stdio::null;
                let mut command = Command::new(program);
                command.args(args).stdin(quiet()).stdout(quiet()).stderr(quiet());
                command.status().is_ok_and(|status| status.success())
            }
            None => false,
        },
    }
}

fn packages(needs: &[&Need]) -> Vec<&'static str> {
    let mut names: Vec<_> = needs.iter().map(|need| need.package).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// An error that names the packages when something is missing.
pub(crate) fn check(purpose: For) -> Result<()> {
    let lacking = lacking(purpose);
    if lacking.is_empty() {
        return Ok(());
    }
    let things: Vec<_> = lacking.iter().map(|need| need.what).collect();
    Err(Error::Said(format!(
        "missing: {}. Run `cargo xtask setup`, or install: {}",
        things.join(", "),
        packages(&lacking).join(" ")
    )))
}

/// Says what is missing, asks where there is a terminal, and installs it.
pub(crate) fn install(purpose: For, yes: bool) -> Result<()> {
    if purpose >= For::Test {
        components()?;
    }
    let (lacking, kernel) = (lacking(purpose), kernel_needs());
    let linker = probes::linker().is_none();
    if lacking.is_empty() && kernel.is_empty() && !linker {
        shell::say("setup: nothing is missing");
        return Ok(());
    }
    for need in lacking.iter().chain(&kernel) {
        shell::say(format_args!("setup: missing {} ({}), for {}", need.what, need.package, need.why));
    }
    if linker {
        shell::say(format_args!("setup: missing bpf-linker {}, for the kernel tier", probes::LINKER));
    }
    if !yes && io::stdin().is_terminal() && !agreed()? {
        return Err(Error::Said("setup: nothing was installed".to_owned()));
    }
    if !(lacking.is_empty() && kernel.is_empty()) {
        packages_of(&lacking, &kernel)?;
    }
    check(purpose)?;
    if linker && can_link() {
        say_and_run(&mut probes::install_linker())?;
    }
    if !probes::can_build() {
        shell::warn(format_args!("setup: still without what the kernel tier needs; {}", probes::advice()));
    }
    Ok(())
}

/// Installs the packages of both lists; those for the kernel tier only where this system has them.
fn packages_of(lacking: &[&Need], kernel: &[&Need]) -> Result<()> {
    if !debian_like(&std::fs::read_to_string("/etc/os-release").unwrap_or_default()) {
        if lacking.is_empty() {
            return Ok(());
        }
        return Err(Error::Said(format!(
            "setup knows only Debian and Ubuntu. Install what these are called here, then run the verb again: {}",
            packages(lacking).join(" ")
        )));
    }
    say_and_run(&mut apt(&["update", "--quiet"]))?;
    let known = kernel.iter().copied().filter(|need| has_package(need.package)).collect::<Vec<_>>();
    let packages = packages(&[lacking, &known].concat());
    if packages.is_empty() {
        return Ok(());
    }
    let mut install = vec!["install", "--yes", "--no-install-recommends"];
    install.extend(packages);
    say_and_run(&mut apt(&install))
}

fn say_and_run(command: &mut Command) -> Result<()> {
    shell::say(format_args!("setup: will run {}", shell::line(command)));
    shell::run(command)
}

/// Whether this system's package lists, fetched just now, know the name.
fn has_package(name: &str) -> bool {
    let mut show = Command::new("apt-cache");
    show.args(["show", "--quiet=2", name]).stderr(std::process::Stdio::null());
    shell::stdout(&mut show).is_ok_and(|text| !text.is_empty())
}

fn apt(args: &[&str]) -> Command {
    let mut command = if nix::unistd::geteuid().is_root() {
        Command::new("apt-get")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.arg("apt-get");
        sudo
    };
    command.args(args).env("DEBIAN_FRONTEND", "noninteractive").stdin(std::process::Stdio::null());
    command
}

/// Whether os-release(5) text describes a system with Debian's package names.
fn debian_like(os_release: &str) -> bool {
    let value = |line: &str, key: &str| line.strip_prefix(key).map(|rest| rest.trim_matches('"').to_owned());
    os_release.lines().any(|line| {
        let named = value(line, "ID=").or_else(|| value(line, "ID_LIKE=")).unwrap_or_default();
        named.split(' ').any(|id| id == "debian" || id == "ubuntu")
    })
}

fn agreed() -> Result<bool> {
    let prompt = |error| Error::File { path: "terminal".into(), source: error };
    let mut out = io::stdout().lock();
    write!(out, "setup: go on? [y/N] ").and_then(|()| out.flush()).map_err(prompt)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(prompt)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// A toolchain of rustup's minimal profile lacks the formatter and the linter.
fn components() -> Result<()> {
    for (program, component) in [("cargo-fmt", "rustfmt"), ("cargo-clippy", "clippy")] {
        if present(&Probe::Works(match component {
            "rustfmt" => &["cargo", "fmt", "--version"],
            _ => &["cargo", "clippy", "--version"],
        })) {
            continue;
        }
        shell::say(format_args!("setup: missing {program}, will run rustup component add {component}"));
        shell::run(Command::new("rustup").args(["component", "add", component]).current_dir(shell::root()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_and_its_children_are_known() {
        assert!(debian_like("PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\n"));
        assert!(debian_like("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"));
        assert!(!debian_like("ID=fedora\nID_LIKE=\"rhel centos\"\n"));
        assert!(!debian_like("NAME=\"not debian\"\nID=arch\n"));
    }

    #[test]
    fn what_a_build_needs_is_part_of_what_a_test_needs() {
        assert!(NEEDS.iter().any(|need| need.from == For::Build));
        assert!(For::Build < For::Demo && For::Demo < For::Test);
        assert_eq!(packages(&[&NEEDS[0], &NEEDS[0]]), ["gcc"]);
    }

    #[test]
    fn a_missing_program_is_seen() {
        assert!(!present(&Probe::Program("keyblind-no-such-program")));
        assert!(!present(&Probe::Works(&["sh", "-c", "exit 3"])));
        assert!(present(&Probe::Works(&["sh", "-c", "exit 0"])));
        assert!(!present(&Probe::File(&["/keyblind-no-such-file"])));
    }
}
