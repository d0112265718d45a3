//! The program `logboom`.

use std::process::ExitCode;

fn main() -> ExitCode {
    logboom::cli::main()
}
