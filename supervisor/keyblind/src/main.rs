//! The `keyblind` binary: everything is in the library, so that tests and fuzz targets reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    keyblind::cli::main()
}
