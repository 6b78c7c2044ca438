//! What people type and read at a terminal.

mod args;
mod asked;
mod bench;
mod client;
mod completing;
mod console;
mod dht;
mod doctor;
mod looks;
mod manager;
mod peer;
mod phrase;
mod repl;
mod report;
mod settings;
mod sights;
mod sim;
mod speech;
mod tell;
mod terminal;
mod typos;
mod underway;
mod up;
mod who;
mod words;

use args::Wanted;
use std::env;
use std::process::ExitCode;

/// Exit code: failed, see the message.
const FAILED: u8 = 1;
/// Exit code: wrong usage.
const WRONG_USAGE: u8 = 2;
/// Exit code: everybody responsible was asked, and it is not there.
const NOT_THERE: u8 = 3;
/// Exit code: the network is out of reach.
const OUT_OF_REACH: u8 = 4;
/// Exit code: a copy does not match its hash.
const DAMAGED: u8 = 5;
/// Exit code: done in part, with fewer copies than wanted.
const IN_PART: u8 = 6;
/// Exit code: refused.
const REFUSED: u8 = 7;
/// Exit code: time ran out.
const TIMED_OUT: u8 = 124;
/// Ctrl-C.
const INTERRUPTED: u8 = 130;

/// The program: does what its command line says.
pub fn run() -> ExitCode {
    speech::settled(perform())
}

fn perform() -> ExitCode {
    match args::parse(env::args_os()) {
        Ok(Wanted::Peer(config, manner)) => peer::run(*config, manner),
        Ok(Wanted::Client(client)) => client::run(client),
        Ok(Wanted::SealKey(seal_key)) => client::seal_key(&seal_key.file),
        Ok(Wanted::Dht(dht)) => dht::run(dht),
        Ok(Wanted::Sim(sim)) => sim::run(sim),
        Ok(Wanted::Bench(bench)) => bench::run(&bench),
        Ok(Wanted::Plot(plot)) => bench::plot::run(&plot),
        Ok(Wanted::Up(up)) => up::run(&up),
        Ok(Wanted::Config { settings, json }) => settings::show(&settings, json),
        Ok(Wanted::Doctor(doctor, environment)) => doctor::run(&doctor, environment),
        Ok(Wanted::Text(text)) => settings::print(&text),
        Ok(Wanted::Man(dir, pages)) => settings::write_pages(&dir, &pages),
        Err(error) => {
            let printed = error.print();
            // Help is a result; whom an error cannot be told, nothing can.
            if !error.use_stderr() {
                speech::note(printed);
            }
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(FAILED))
        }
    }
}
