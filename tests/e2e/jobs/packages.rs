//! Package managers, without a network.

use std::fs;
use std::path::Path;
use std::process::Command;

use keyblind_tests::{Feature, Job, Site, in_each_tier};

in_each_tier!(Job; cargo_build, npm_ci_with_postinstall, pip_install_a_wheel);

/// The toolchain of the tests, in the planted home where rustup would have put it.
pub(super) fn toolchain(site: &Site) {
    let top = site.home().join(".rustup/toolchains/test");
    if top.exists() {
        return;
    }
    let output = Command::new("rustc").args(["--print", "sysroot"]).output().expect("rustc runs");
    let sysroot = String::from_utf8(output.stdout).expect("a path");
    for part in ["bin", "lib"] {
        mirror(&Path::new(sysroot.trim()).join(part), &top.join(part));
    }
    // The directories above are the user's own.
    for dir in [".rustup", ".rustup/toolchains"] {
        site.own(&site.home().join(dir));
    }
}

/// Copies a tree by links where that works.
fn mirror(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory of the toolchain").flatten() {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().expect("a type");
        if kind.is_dir() {
            mirror(&source, &target);
        } else if kind.is_symlink() || fs::hard_link(&source, &target).is_err() {
            fs::copy(&source, &target).expect("a file of the toolchain");
        }
    }
}

fn cargo_build() -> Job {
    const SCRIPT: &str = r##"export PATH=~/.rustup/toolchains/test/bin:$PATH
        mkdir -p app/src dep/src
        printf '[package]\nname = "dep"\nversion = "0.1.0"\nedition = "2021"\n' >dep/Cargo.toml
        echo 'pub fn twice(n: u32) -> u32 { n * 2 } #[test] fn t() { assert_eq!(twice(2), 4) }' >dep/src/lib.rs
        printf '[package]\nname = "app"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\ndep = { path = "../dep" }\n' >app/Cargo.toml
        echo 'fn main() { println!("built with {}: {}", env!("STAMP"), dep::twice(21)) }' >app/src/main.rs
        echo 'fn main() { println!("cargo:rustc-env=STAMP=a build script") }' >app/build.rs
        cd app
        cargo build --offline 2>&1 | sed -E 's/in [0-9.]+s/in TIME/'
        cargo run --offline --quiet
        cargo test --offline --quiet --manifest-path ../dep/Cargo.toml 2>&1 | sed -E 's/in [0-9.]+s/in TIME/'
        cargo tree --offline; cat Cargo.lock"##;
    Job::new(SCRIPT).on(toolchain).needs(Feature::Cargo).needs(Feature::Gcc).loose("app").loose("dep")
}

fn npm_ci_with_postinstall() -> Job {
    const SCRIPT: &str = r##"mkdir dep
        echo '{"name":"dep","version":"1.0.0","main":"i.js","scripts":{"postinstall":"node p.js"}}' >dep/package.json
        echo 'require("fs").writeFileSync("made", "by postinstall")' >dep/p.js
        echo 'module.exports = () => 42' >dep/i.js
        echo '{"name":"app","version":"1.0.0","scripts":{"test":"node t.js"}}' >package.json
        echo 'console.log(require("dep")())' >t.js
        quiet='--offline --no-audit --no-fund --no-update-notifier --no-progress'
        npm pack $quiet --silent ./dep
        npm install $quiet --silent ./dep-1.0.0.tgz
        rm -r node_modules
        npm ci $quiet | sed -E 's/in [0-9]+m?s/in TIME/'
        cat node_modules/dep/made; echo; npm test --silent; cat package-lock.json"##;
    Job::new(SCRIPT).needs(Feature::Npm).needs(Feature::Node)
}

fn pip_install_a_wheel() -> Job {
    const SCRIPT: &str = r##"/usr/bin/python3 - <<'END'
import zipfile
with zipfile.ZipFile("hello-1.0-py3-none-any.whl", "w") as z:
    def add(name, text): z.writestr(zipfile.ZipInfo(name, (2001, 2, 3, 4, 5, 6)), text)
    add("hello.py", "def main():\n    print('hello from a wheel')\n")
    add("hello-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: hello\nVersion: 1.0\n")
    add("hello-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    add("hello-1.0.dist-info/entry_points.txt", "[console_scripts]\nhello = hello:main\n")
    add("hello-1.0.dist-info/RECORD", "hello.py,,\nhello-1.0.dist-info/METADATA,,\nhello-1.0.dist-info/WHEEL,,\nhello-1.0.dist-info/entry_points.txt,,\nhello-1.0.dist-info/RECORD,,\n")
END
        /usr/bin/python3 -m venv v
        v/bin/pip --disable-pip-version-check install --no-index ./hello-1.0-py3-none-any.whl
        v/bin/hello; v/bin/pip --disable-pip-version-check list --format=freeze --exclude pip --exclude setuptools"##;
    Job::new(SCRIPT).needs(Feature::Pip).loose("v")
}
