//! The kernels that tests boot: where they come from, and what they lack.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::apt::{self, Apt};
use super::cpio::Archive;
use super::{modules, store};
use crate::shell::{self, Error, Result};

/// A series of Debian's kernels for clouds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kernel {
    #[value(name = "6.1")]
    V6_1,
    #[value(name = "6.12")]
    V6_12,
    #[value(name = "7.2")]
    V7_2,
}

impl Kernel {
    pub(super) const ALL: &[Self] = &[Self::V6_1, Self::V6_12, Self::V7_2];

    pub(super) fn series(self) -> &'static str {
        match self {
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
            Self::V7_2 => "7.2",
        }
    }

    /// Features of tests that this kernel has and some other has not. An emulated 6.12 dies now and then where the kernel
    /// rewrites its own code on a path that another processor runs: seen at the first TCP connection and in the scheduler
    /// when the first performance event comes or goes. It is not asked for either.
    pub(super) fn offers(self) -> &'static [&'static str] {
        match self {
            Self::V6_1 => &["tiocsti", PERF_EVENTS],
            Self::V6_12 => &[],
            Self::V7_2 => &[PERF_EVENTS],
        }
    }

    /// The Debian release that has it.
    fn suite(self) -> &'static str {
        match self {
            Self::V6_1 => "bookworm",
            Self::V6_12 => "trixie",
            Self::V7_2 => "forky",
        }
    }
}

/// The feature of tests that open performance events.
pub(super) const PERF_EVENTS: &str = "perf-events";

/// A kernel on this machine, ready to boot.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) vmlinuz: PathBuf,
    /// An initramfs archive with the modules, to be followed by one with the rest.
    pub(super) modules: PathBuf,
}

/// Returns the kernel, fetched if it is not below `top` yet. What is there stays: remove its directory to fetch anew.
pub(super) fn get(top: &Path, kernel: Kernel) -> Result<Image> {
    let dir = top.join("kernels").join(kernel.series());
    if !dir.join("vmlinuz").exists() {
        fetch(top, kernel, &dir)?;
    }
    let archive = dir.join(format!("modules-{:016x}.cpio", modules::list_hash()));
    if !archive.exists() {
        store::file(&archive, &pack(&modules::read(&dir.join("modules"))?))?;
    }
    Ok(Image { vmlinuz: dir.join("vmlinuz"), modules: archive })
}

fn fetch(top: &Path, kernel: Kernel, dir: &Path) -> Result<()> {
    let apt = Apt::new(top, kernel.suite())?;
    apt.update()?;
    let index = apt.search("^linux-(image|binary|modules|base)-.*cloud-amd64$")?;
    let packages = apt::choose(&index, kernel.series()).ok_or_else(|| {
        Error::Said(format!(
            "Debian {} has no kernel {} for clouds (its linux-image-cloud-amd64 is of another series). If the release \
             moved on, add its series to xtask/src/vm/kernels.rs; a machine that fetched {0} earlier keeps it in {}",
            kernel.suite(),
            kernel.series(),
            dir.display()
        ))
    })?;
    for package in &packages {
        shell::say(format_args!("vm: downloading {} {}", package.name, package.version));
    }
    store::directory(dir, |place| {
        let archives = place.join("archives");
        let root = place.join("root");
        let made = std::fs::create_dir(&archives);
        made.map_err(|source| Error::File { path: archives.clone(), source })?;
        apt.download(&packages, &archives)?;
        let entries = std::fs::read_dir(&archives);
        for entry in entries.map_err(|source| Error::File { path: archives.clone(), source })?.flatten() {
            shell::run(Command::new("dpkg-deb").arg("--extract").arg(entry.path()).arg(&root))?;
        }
        let found = lay_out(&root, place)?;
        let names: String =
            packages.iter().map(|package| format!("{} {}\n", package.name, package.version)).collect();
        std::fs::write(place.join("packages"), names)
            .and_then(|()| std::fs::remove_dir_all(&archives))
            .and_then(|()| std::fs::remove_dir_all(&root))
            .map_err(|source| Error::File { path: place.to_path_buf(), source })?;
        shell::say(format_args!("vm: kernel {found} is in {}", dir.display()));
        Ok(())
    })
}

/// Moves image and modules out of an extracted package, wherever it keeps them, and returns the kernel's release.
fn lay_out(root: &Path, place: &Path) -> Result<String> {
    let missing = |what: &str| {
        Error::Said(format!("the kernel's package holds no {what}; Debian may have changed where it stands"))
    };
    let tops = ["usr/lib/modules", "lib/modules"].map(|path| root.join(path));
    let modules = tops
        .iter()
        .filter_map(|top| std::fs::read_dir(top).ok())
        .find_map(|mut entries| entries.next()?.ok())
        .ok_or_else(|| missing("modules"))?
        .path();
    let release = modules.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let images = [root.join(format!("boot/vmlinuz-{release}")), modules.join("vmlinuz")];
    let image = images.iter().find(|path| path.exists()).ok_or_else(|| missing("kernel image"))?;
    std::fs::rename(image, place.join("vmlinuz"))
        .and_then(|()| std::fs::rename(&modules, place.join("modules")))
        .map_err(|source| Error::File { path: place.to_path_buf(), source })?;
    Ok(release)
}

/// `/modules` of the initramfs: the modules, and two lists in the order of loading.
fn pack(modules: &modules::Modules) -> Vec<u8> {
    let mut archive = Archive::default();
    archive.directory("modules");
    for (list, members) in [("early", &modules.early), ("late", &modules.late)] {
        let names: String = members.iter().map(|module| format!("{}\n", module.name)).collect();
        archive.file(&format!("modules/{list}"), names.as_bytes());
        for module in members {
            archive.file(&format!("modules/{}.ko", module.name), &module.bytes);
        }
    }
    archive.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &Path) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "x").unwrap();
    }

    #[test]
    fn image_and_modules_are_found_in_either_layout() -> Result<()> {
        for (image, modules) in [
            ("boot/vmlinuz-6.1.0-9-cloud-amd64", "lib/modules/6.1.0-9-cloud-amd64/kernel/fs/x.ko"),
            ("usr/lib/modules/7.2.3-cloud-amd64/vmlinuz", "usr/lib/modules/7.2.3-cloud-amd64/kernel/fs/x.ko"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let (root, place) = (dir.path().join("root"), dir.path().join("place"));
            touch(&root.join(image));
            touch(&root.join(modules));
            std::fs::create_dir(&place).unwrap();
            let release = lay_out(&root, &place)?;
            assert!(image.contains(&release), "{release}");
            assert!(place.join("vmlinuz").is_file() && place.join("modules/kernel/fs/x.ko").is_file());
        }
        Ok(())
    }

    #[test]
    fn a_package_without_an_image_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        touch(&dir.path().join("lib/modules/6.1/kernel/x.ko"));
        let error = lay_out(dir.path(), dir.path()).unwrap_err();
        assert!(error.to_string().contains("no kernel image"), "{error}");
    }
}
