//! `policies/{default,guards,strict,audit}.toml` → token lists, so that no run parses TOML to learn the built-in
//! policy.

use std::error::Error;
use std::fmt::Write;
use std::path::Path;

use sha2::{Digest, Sha256};

#[path = "../src/policy/tape.rs"]
#[expect(dead_code, reason = "reading a list is the crate's half of the file")]
mod tape;

use tape::{Kind, Tape};

const FOLDER: &str = "../../policies";

pub(crate) fn build(out: &Path) -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build/policy.rs");
    println!("cargo::rerun-if-changed=src/policy/tape.rs");
    let mut code = String::new();
    let mut hash = Sha256::new();
    for name in ["default", "guards", "strict", "audit"] {
        let path = Path::new(FOLDER).join(format!("{name}.toml"));
        println!("cargo::rerun-if-changed={}", path.display());
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let tape = Tape::parse(&text).map_err(|errors| {
            let first = errors.first().map(ToString::to_string).unwrap_or_default();
            format!("{}: {first}", path.display())
        })?;
        if matches!(name, "default" | "guards") {
            hash.update(&text);
        }
        writeln!(code, "pub(super) static {}: &[Token] = &[", name.to_uppercase())?;
        for token in tape.tokens.iter() {
            if token.kind == Kind::Owned {
                let line = token.line;
                return Err(format!("{}:{line}: built-in policies hold no escapes", path.display()).into());
            }
            writeln!(code, "{token:?},")?;
        }
        writeln!(code, "];")?;
    }
    let hash: [u8; 32] = hash.finalize().into();
    writeln!(code, "pub(super) const SHA256: [u8; 32] = {hash:?};")?;
    std::fs::write(out.join("policies.rs"), code)?;
    Ok(())
}
