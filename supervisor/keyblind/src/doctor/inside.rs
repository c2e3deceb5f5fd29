//! What `doctor` executes inside a run: one line per attempt, and what was had by it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use keyblind_events::Errno;

use super::selftest::variable_is_here;

/// Begins each line that the self-test reads; everything else on stdout is what the attempts brought to light.
pub(super) const MARK: &str = "keyblind-self-test";

/// Opens each path, then prints its own variables, its standing and its stdin.
///
/// A path after `print:` is read and printed; one after `open:` is opened and no more, since a real secret could be
/// behind it.
pub fn inside(attempts: &[String]) -> String {
    let mut page = String::new();
    for (number, attempt) in attempts.iter().enumerate() {
        let (outcome, content) = match attempt.split_once(':') {
            Some(("print", path)) => match read(Path::new(path)) {
                Ok(content) => (format!("0 {}", content.len()), content),
                Err(error) => (format!("{} 0", errno(&error)), Vec::new()),
            },
            Some((_, path)) => match open(Path::new(path)) {
                Ok(()) => ("0 0".to_owned(), Vec::new()),
                Err(error) => (format!("{} 0", errno(&error)), Vec::new()),
            },
            None => continue,
        };
        line(&mut page, &format!("attempt {number} {outcome}"));
        line_of_bytes(&mut page, &content);
    }
    line_of_bytes(&mut page, &read(Path::new("/proc/self/environ")).unwrap_or_default());
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    for key in ["Seccomp", "NoNewPrivs", "CapEff"] {
        if let Some(value) = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')) {
            line(&mut page, &format!("status {key} {}", value.trim()));
        }
    }
    let variable = if variable_is_here() { "present" } else { "absent" };
    line(&mut page, &format!("status variable {variable}"));
    let mut input = Vec::new();
    if io::stdin().read_to_end(&mut input).is_ok() {
        line_of_bytes(&mut page, &input);
    }
    page
}

fn open(path: &Path) -> io::Result<()> {
    File::open(path).map(drop)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(64 * 1024).read_to_end(&mut content)?;
    Ok(content)
}

fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(Errno::EPERM.0)
}

fn line(page: &mut String, text: &str) {
    page.push_str(&format!("{MARK} {text}\n"));
}

fn line_of_bytes(page: &mut String, bytes: &[u8]) {
    if !bytes.is_empty() {
        page.push_str(&String::from_utf8_lossy(bytes).replace('\0', "\n"));
        page.push('\n');
    }
}
