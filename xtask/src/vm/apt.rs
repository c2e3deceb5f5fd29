//! Debian's packages of another release than the host's, through apt, in a directory of our own: the host's package
//! lists and what is installed here stay as they are.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::{self, Error, Result};

/// A private apt for one release.
#[derive(Debug)]
pub(super) struct Apt {
    dir: PathBuf,
    suite: &'static str,
}

/// A package as its index describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    /// The first alternative of each dependency, without its version.
    depends: Vec<String>,
}

impl Apt {
    /// Makes the directory for `suite` below `top`, with a source list that is the host's own Debian source under the
    /// other release's name.
    pub(super) fn new(top: &Path, suite: &'static str) -> Result<Self> {
        let source = host_source(suite)?;
        let apt = Self { dir: top.join("apt").join(suite), suite };
        for place in ["lists/partial", "cache/archives/partial"] {
            let place = apt.dir.join(place);
            std::fs::create_dir_all(&place).map_err(|source| Error::File { path: place, source })?;
        }
        let list = apt.dir.join("debian.sources");
        std::fs::write(&list, source).map_err(|source| Error::File { path: list, source })?;
        Ok(apt)
    }

    /// Fetches the release's package lists anew.
    pub(super) fn update(&self) -> Result<()> {
        shell::say(format_args!("vm: fetching the package lists of Debian {}", self.suite));
        self.run(self.command("apt-get").args(["update", "--quiet=2"]), "fetch the package lists")
    }

    /// Every package whose name matches the extended regular expression.
    pub(super) fn search(&self, pattern: &str) -> Result<Vec<Package>> {
        let mut search = self.command("apt-cache");
        search.args(["search", "--names-only", "--full", pattern]);
        Ok(parse(&shell::stdout(&mut search)?))
    }

    /// Downloads the packages' archives into `to`.
    pub(super) fn download(&self, packages: &[Package], to: &Path) -> Result<()> {
        let mut download = self.command("apt-get");
        download.args(["download", "--quiet=2"]).current_dir(to);
        download.args(packages.iter().map(|package| format!("{}={}", package.name, package.version)));
        self.run(&mut download, "download the kernel")
    }

    fn run(&self, command: &mut Command, what: &str) -> Result<()> {
        let status = shell::status(command)?;
        if status.success() {
            return Ok(());
        }
        Err(Error::Said(format!(
            "cannot {what} of Debian {}: `{}` failed ({status}). Its own message stands above; without a network, \
             fill {} on a machine that has one",
            self.suite,
            shell::line(command),
            self.dir.parent().and_then(Path::parent).unwrap_or(&self.dir).join("kernels").display()
        )))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let at = |name: &str| self.dir.join(name).display().to_string();
        for option in [
            format!("Dir::Etc::sourcelist={}", at("debian.sources")),
            "Dir::Etc::sourceparts=-".to_owned(),
            format!("Dir::State::Lists={}", at("lists")),
            format!("Dir::Cache={}", at("cache")),
            // What is installed on this host does not matter, and nothing here is installed.
            "Dir::State::status=/dev/null".to_owned(),
            "APT::Architecture=amd64".to_owned(),
            format!(
                "APT::Sandbox::User={}",
                nix::unistd::User::from_uid(nix::unistd::getuid())
                    .ok()
                    .flatten()
                    .map_or_else(|| "root".to_owned(), |user| user.name)
            ),
        ] {
            command.args(["-o", &option]);
        }
        command.stdin(std::process::Stdio::null());
        command
    }
}

/// The packages that hold the kernel and the modules of the newest `series` among `packages`: one of them up to Debian
/// 13, several where the image is split.
pub(super) fn choose(packages: &[Package], series: &str) -> Option<Vec<Package>> {
    let find = |name: &str| packages.iter().find(|package| package.name == name);
    let is_part = |name: &str| {
        ["linux-image-", "linux-binary-", "linux-modules-", "linux-base-"]
            .iter()
            .any(|start| name.strip_prefix(start).is_some_and(|rest| rest.starts_with(&format!("{series}."))))
    };
    // The metapackage names the one that the release recommends; others of the series may be older.
    let image = find("linux-image-cloud-amd64")?.depends.iter().find(|name| is_part(name))?;
    let image = find(image)?;
    let parts = image.depends.iter().filter(|name| is_part(name)).filter_map(|name| find(name));
    Some(std::iter::once(image).chain(parts).cloned().collect())
}

/// Reads records of a package index (deb822: `Key: value` lines, records parted by an empty line).
fn parse(index: &str) -> Vec<Package> {
    let record = |text: &str| {
        let field = |key: &str| {
            text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim)
        };
        let depends = field("Depends").unwrap_or_default().split(',').filter_map(|one| {
            let first = one.split('|').next()?;
            first.split_whitespace().next().map(str::to_owned)
        });
        Some(Package {
            name: field("Package")?.to_owned(),
            version: field("Version")?.to_owned(),
            depends: depends.collect(),
        })
    };
    index.split("\n\n").filter_map(record).collect()
}

/// The host's Debian source with `suite` in the place of the host's release.
fn host_source(suite: &str) -> Result<String> {
    let release = shell::read(Path::new("/etc/os-release")).unwrap_or_default();
    let codename = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .map(|name| name.trim_matches('"').to_owned())
        .unwrap_or_default();
    let mut lists = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(entries) = std::fs::read_dir("/etc/apt/sources.list.d") {
        lists.extend(entries.flatten().map(|entry| entry.path()));
    }
    let texts = lists.iter().filter_map(|path| std::fs::read_to_string(path).ok());
    texts.filter_map(|text| renamed(&text, &codename, suite)).next().ok_or_else(|| {
        Error::Said(format!(
            "no apt source for Debian {suite}: none of {} and /etc/apt/sources.list.d has an entry for this host's own \
             release ({codename:?}) with the component main. Test kernels are Debian's; run this on Debian",
            lists[0].display()
        ))
    })
}

/// The first entry of a source list for `codename` itself, with another release's name; in either of apt's two forms.
fn renamed(list: &str, codename: &str, suite: &str) -> Option<String> {
    if codename.is_empty() {
        return None;
    }
    let plain = |line: &&str| !line.trim_start().starts_with('#');
    for line in list.lines().filter(plain) {
        let (options, rest) = match line.strip_prefix("deb ").map(str::trim_start) {
            Some(rest) if rest.starts_with('[') => rest.split_once(']')?,
            Some(rest) => ("", rest),
            None => continue,
        };
        let words: Vec<&str> = rest.split_whitespace().collect();
        if let [uri, release, components @ ..] = words.as_slice()
            && *release == codename
            && components.contains(&"main")
        {
            let signed = options
                .split_whitespace()
                .find_map(|option| option.trim_start_matches('[').strip_prefix("signed-by="));
            return Some(entry(uri, suite, signed));
        }
    }
    for record in list.split("\n\n") {
        let text: Vec<&str> = record.lines().filter(plain).collect();
        let field =
            |key: &str| text.iter().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim);
        let has = |key: &str, word: &str| {
            field(key).is_some_and(|value| value.split_whitespace().any(|one| one == word))
        };
        if has("Types", "deb") && has("Suites", codename) && has("Components", "main") {
            return Some(entry(field("URIs")?.split_whitespace().next()?, suite, field("Signed-By")));
        }
    }
    None
}

fn entry(uri: &str, suite: &str, signed_by: Option<&str>) -> String {
    let signed = signed_by.map(|key| format!("Signed-By: {key}\n")).unwrap_or_default();
    format!("Types: deb\nURIs: {uri}\nSuites: {suite}\nComponents: main\n{signed}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "\
Package: linux-image-6.12.1+deb13-cloud-amd64
Version: 6.12.1-1
Depends: kmod, linux-base (>= 4.3~), initramfs-tools (>= 0.120) | other

Package: linux-image-6.12.9+deb13-cloud-amd64
Version: 6.12.9-1
Description: for clouds
 more of it
Depends: kmod

Package: linux-image-cloud-amd64
Version: 6.12.9-1
Depends: linux-image-6.12.9+deb13-cloud-amd64 (= 6.12.9-1)
";

    const SPLIT: &str = "\
Package: linux-image-7.2.3-cloud-amd64
Version: 7.2.3-1
Depends: dracut | initramfs-tools, linux-base-7.2.3-cloud-amd64 (= 7.2.3-1), linux-binary-7.2.3-cloud-amd64 (= 7.2.3-1), linux-modules-7.2.3-cloud-amd64 (= 7.2.3-1)

Package: linux-binary-7.2.3-cloud-amd64
Version: 7.2.3-1

Package: linux-modules-7.2.3-cloud-amd64
Version: 7.2.3-1

Package: linux-base-7.2.3-cloud-amd64
Version: 7.2.3-1

Package: linux-image-cloud-amd64
Version: 7.2.3-1
Depends: linux-base-cloud-amd64 (= 7.2.3-1), linux-image-7.2.3-cloud-amd64 (= 7.2.3-1)
";

    fn names(index: &str, series: &str) -> Option<Vec<String>> {
        Some(choose(&parse(index), series)?.into_iter().map(|package| package.name).collect())
    }

    #[test]
    fn the_recommended_kernel_is_chosen() {
        assert_eq!(names(INDEX, "6.12").unwrap(), ["linux-image-6.12.9+deb13-cloud-amd64"]);
        assert_eq!(choose(&parse(INDEX), "6.12").unwrap()[0].version, "6.12.9-1");
    }

    #[test]
    fn a_split_image_is_taken_with_its_parts() {
        assert_eq!(
            names(SPLIT, "7.2").unwrap(),
            [
                "linux-image-7.2.3-cloud-amd64",
                "linux-base-7.2.3-cloud-amd64",
                "linux-binary-7.2.3-cloud-amd64",
                "linux-modules-7.2.3-cloud-amd64"
            ]
        );
    }

    #[test]
    fn another_series_is_not_taken_for_it() {
        assert_eq!(names(INDEX, "6.1"), None);
        assert_eq!(names(SPLIT, "7.20"), None);
    }

    #[test]
    fn both_forms_of_a_source_list_are_read() {
        let wanted =
            "Types: deb\nURIs: http://mirror.invalid/d\nSuites: next\nComponents: main\nSigned-By: /k.gpg\n";
        let records = "Types: deb\nURIs: http://other.invalid\nSuites: here-security\nComponents: main\n\n\
                       Types: deb\n# a comment\nURIs: http://mirror.invalid/d\nSuites: here here-updates\n\
                       Components: main\nSigned-By: /k.gpg\n";
        assert_eq!(renamed(records, "here", "next").as_deref(), Some(wanted));
        let lines = "# deb http://no.invalid here main\ndeb http://x.invalid here-security main\n\
                     deb [arch=amd64 signed-by=/k.gpg] http://mirror.invalid/d here main contrib\n";
        assert_eq!(renamed(lines, "here", "next").as_deref(), Some(wanted));
        assert_eq!(renamed(lines, "there", "next"), None);
        assert_eq!(renamed(lines, "", "next"), None);
    }
}
