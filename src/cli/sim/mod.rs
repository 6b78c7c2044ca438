//! `p2p sim`: made-up networks of real peers, as stories and as the tables of papers.

mod story;
mod tables;

use clap::{Args, Subcommand};
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  p2p sim --peers 64 --seed 7 --loss 0.05 --minutes 10
  p2p sim --peers 1000 --churn sessions:exp:1h --crash --minutes 30 --json
  p2p sim --overlay kademlia --delay internet --cut 2-7 --die 0.3@8
  p2p sim path-length
  p2p sim churn --effort 0.1

Time, delays, losses and disks are made up; the peers are the real ones. Same seed, same run.";

/// What shall be simulated.
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES, allow_negative_numbers = true, args_conflicts_with_subcommands = true)]
pub struct Sim {
    #[command(subcommand)]
    scenario: Option<Scenario>,
    #[command(flatten)]
    story: story::StoryArgs,
}

/// What is known by a name.
#[derive(Subcommand, Debug)]
enum Scenario {
    #[command(flatten)]
    Table(tables::TableName),
    /// 1,000 peers with sessions of an hour crash for a week, somebody new for each; no file may be lost
    Week(story::Week),
}

/// Runs it. Exit code 1 if a rule was broken, an acknowledged file lost, or an aim missed.
pub fn run(sim: Sim) -> ExitCode {
    match sim.scenario {
        None => story::run(&sim.story),
        Some(Scenario::Week(week)) => story::run(&week.story()),
        Some(Scenario::Table(name)) => tables::run(name),
    }
}
