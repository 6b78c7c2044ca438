//! The program `p2p`.

use std::process::ExitCode;

fn main() -> ExitCode {
    p2p::cli::run()
}
