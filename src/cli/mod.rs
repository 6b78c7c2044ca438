//! What people type and read at a terminal.

mod args;
mod console;
mod peer;
mod repl;
mod simulate;
mod tell;
mod terminal;
mod who;
mod words;

use args::Wanted;
use std::env;
use std::process::ExitCode;

/// Exit code: failed, see the message.
const FAILED: u8 = 1;
/// Exit code: the network is out of reach.
const OUT_OF_REACH: u8 = 4;
/// Exit code: refused.
const REFUSED: u8 = 7;

/// The program: does what its command line says.
pub fn run() -> ExitCode {
    match args::parse(env::args_os()) {
        Ok(Wanted::Peer(config)) => peer::run(*config),
        Ok(Wanted::Sim(sim)) => simulate::run(&sim),
        Err(error) => {
            // Nobody can be told where even this cannot be printed.
            let _ = error.print();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(FAILED))
        }
    }
}
