//! `p2p sim`: a made-up network lives, and is summed up.

use super::FAILED;
use crate::live::Tuning;
use crate::sim::story::{BadChurn, Report, Summary};
use crate::sim::{Churn, Delay, Departure, Story, Weather};
use clap::{Args, ValueEnum};
use serde_json::json;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const EXAMPLES: &str = "\
Examples:
  p2p sim --peers 64 --seed 7 --loss 0.05 --minutes 10
  p2p sim --peers 1000 --churn poisson:0.1 --crash --minutes 30 --json

Time, delays, losses and disks are made up; the peers are the real ones. Same seed, same run.";

/// What shall be simulated.
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES, allow_negative_numbers = true)]
pub struct Sim {
    /// How many peers
    #[arg(long, default_value = "64", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    peers: u32,
    /// They are all there from the start and know each other, instead of joining one by one
    #[arg(long)]
    grown: bool,
    /// Decides everything that chance decides
    #[arg(long, default_value = "1")]
    seed: u64,
    /// Share of datagrams lost, 0 to 1
    #[arg(long, default_value = "0", value_parser = share)]
    loss: f64,
    /// Share of datagrams that arrive twice, 0 to 1
    #[arg(long, default_value = "0", value_parser = share)]
    duplication: f64,
    /// Time on the way: exp:MILLISECONDSms (their mean) or const:MILLISECONDSms
    #[arg(long, default_value = "exp:50ms", value_parser = delay)]
    delay: Delay,
    /// How long it goes on after the network has grown, in simulated minutes
    #[arg(long, default_value = "10", value_parser = clap::value_parser!(u32).range(1..=10_080))]
    minutes: u32,
    /// Which overlay
    #[arg(long, default_value = "ring")]
    overlay: OverlayName,
    /// Most files stored, one every ten seconds
    #[arg(long, default_value = "1000000")]
    files: usize,
    /// Seconds between two requests
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u64).range(1..))]
    request_every: u64,
    /// Seconds between two rounds of pings to neighbours on the ring
    #[arg(long, default_value = "15", value_parser = clap::value_parser!(u64).range(1..=3600))]
    ping: u64,
    /// Who comes and goes: none; poisson:R for R joins and R departures a second; sessions:M for stays with a median of M
    /// minutes, and somebody new for each who goes
    #[arg(long, default_value = "none", value_parser = churn)]
    churn: Churn,
    /// Those who go vanish, instead of saying goodbye
    #[arg(long)]
    crash: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OverlayName {
    Ring,
    Kademlia,
}

/// Runs it. Exit code 1 if a rule was broken or an acknowledged file lost.
pub fn run(sim: &Sim) -> ExitCode {
    let story = Story {
        peers: sim.peers as usize,
        grown: sim.grown,
        seed: sim.seed,
        weather: Weather { delay: sim.delay, loss: sim.loss, duplication: sim.duplication, ..Weather::default() },
        length: Duration::from_secs(60) * sim.minutes,
        churn: sim.churn,
        departure: if sim.crash { Departure::Crash } else { Departure::Leave },
        kademlia: match sim.overlay {
            OverlayName::Ring => None,
            OverlayName::Kademlia => Some(Tuning::default()),
        },
        files: sim.files,
        request_every: Duration::from_secs(sim.request_every),
        ping_interval: Duration::from_secs(sim.ping),
    };
    let begun = Instant::now();
    if !sim.json {
        print("  time  members  joined   gone  ring    stored        found           B/s a peer");
    }
    let summary = story.run(|report| match sim.json {
        true => print(&json!({ "event": "minute", "report": as_json(report) }).to_string()),
        false => print(&as_row(report)),
    });
    let took = begun.elapsed();
    match sim.json {
        true => print(&summary_json(sim, &summary, took).to_string()),
        false => summary_lines(sim, &summary, took).iter().for_each(|line| print(line)),
    }
    if summary.broken.is_none() && summary.lost == 0 { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

fn as_row(report: &Report) -> String {
    let minutes = report.time.as_secs() / 60;
    let seconds = report.time.as_secs() % 60;
    let ring = if report.closed { "closed" } else { "mends" };
    format!(
        "{minutes:>3}:{seconds:02}  {:>7}  {:>6}  {:>5}  {ring:<6}  {:<12}  {:<14}  {:>10.0}",
        report.members,
        report.joined,
        report.gone,
        format!("{} of {}", report.stored, report.stores),
        format!("{} of {}", report.found, report.requests),
        report.bytes_per_peer_second,
    )
}

fn summary_lines(sim: &Sim, summary: &Summary, took: Duration) -> Vec<String> {
    let report = &summary.report;
    let rate = summary.events as f64 / took.as_secs_f64();
    let faster = report.time.as_secs_f64() / took.as_secs_f64();
    vec![
        String::new(),
        format!("{} peers joined, {} left; seed {}", report.joined, report.gone, sim.seed),
        format!("ring      {}", if report.closed { "closed: one circle, every neighbour right" } else { "not closed" }),
        format!("rules     {}", summary.broken.as_deref().unwrap_or("none broken, after every event")),
        format!("stores    {} of {} acknowledged, {} of these lost", report.stored, report.stores, summary.lost),
        format!(
            "requests  {} of {} brought the right bytes; {} ms median, {} ms at the 99th percentile",
            report.found,
            report.requests,
            summary.request_p50.as_millis(),
            summary.request_p99.as_millis()
        ),
        format!(
            "traffic   {:.0} bytes a second from each peer, without files; {:.0} of files given from keeper to keeper",
            report.bytes_per_peer_second, report.repair_bytes_per_peer_second
        ),
        format!(
            "run       {} events in {:.1} s: {rate:.0} a second, {faster:.0} times as fast as life; fingerprint {:016x}",
            summary.events,
            took.as_secs_f64(),
            summary.fingerprint
        ),
    ]
}

fn as_json(report: &Report) -> serde_json::Value {
    json!({
        "time_s": report.time.as_secs_f64(),
        "members": report.members,
        "joined": report.joined,
        "gone": report.gone,
        "closed": report.closed,
        "stores": report.stores,
        "stored": report.stored,
        "requests": report.requests,
        "found": report.found,
        "bytes_per_peer_second": report.bytes_per_peer_second,
        "repair_bytes_per_peer_second": report.repair_bytes_per_peer_second,
    })
}

fn summary_json(sim: &Sim, summary: &Summary, took: Duration) -> serde_json::Value {
    json!({
        "event": "done",
        "seed": sim.seed,
        "report": as_json(&summary.report),
        "lost": summary.lost,
        "request_p50_ms": summary.request_p50.as_secs_f64() * 1e3,
        "request_p99_ms": summary.request_p99.as_secs_f64() * 1e3,
        "events": summary.events,
        "broken": summary.broken,
        "fingerprint": format!("{:016x}", summary.fingerprint),
        "took_s": took.as_secs_f64(),
    })
}

/// Where nobody reads any more, nothing needs to be said.
fn print(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("a share is between 0 and 1".to_owned()) }
}

fn delay(text: &str) -> Result<Delay, String> {
    let wrong = || "say exp:50ms or const:20ms".to_owned();
    let (kind, time) = text.split_once(':').ok_or_else(wrong)?;
    let millis: f64 = time.strip_suffix("ms").and_then(|number| number.parse().ok()).ok_or_else(wrong)?;
    if !(0.0..=60_000.0).contains(&millis) {
        return Err("a delay is between 0 and 60000ms".to_owned());
    }
    let delay = Duration::from_secs_f64(millis / 1e3);
    match kind {
        "exp" => Ok(Delay::Exponential(delay)),
        "const" => Ok(Delay::Constant(delay)),
        _ => Err(wrong()),
    }
}

fn churn(text: &str) -> Result<Churn, BadChurn> {
    text.parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_and_shares_are_read_or_refused() {
        assert_eq!(delay("exp:50ms"), Ok(Delay::Exponential(Duration::from_millis(50))));
        assert_eq!(delay("const:0.5ms"), Ok(Delay::Constant(Duration::from_micros(500))));
        for text in ["", "50ms", "exp:", "exp:ms", "exp:50", "exp:-1ms", "exp:nanms", "exp:1e9ms", "wavy:3ms"] {
            assert!(delay(text).is_err(), "{text}");
        }
        assert_eq!(share("0.05"), Ok(0.05));
        assert!(["", "1.1", "-0.1", "nan"].iter().all(|text| share(text).is_err()));
    }
}
