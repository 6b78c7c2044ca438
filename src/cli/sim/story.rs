//! A made-up network lives, and is summed up.

use super::super::{FAILED, INTERRUPTED};
use crate::cli::speech::{self, say};
use crate::live::Tuning;
use crate::sim::story::{Event, Report, Summary};
use crate::sim::{BadChurn, Churn, Delay, Departure, Sessions, Story, Weather};
use clap::{Args, ValueEnum};
use serde_json::json;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What shall be simulated.
#[derive(Args, Debug)]
pub struct StoryArgs {
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
    /// Time on the way: exp:MILLISECONDSms (their mean), const:MILLISECONDSms, or internet (round trips with a median of
    /// 156 ms, another for each pair)
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
    /// Who comes and goes: none; poisson:R for R joins and R departures a second; sessions:exp:1h or
    /// sessions:weibull:SHAPE:1h for stays with this median, and somebody new for each who goes
    #[arg(long, default_value = "none", value_parser = churn)]
    churn: Churn,
    /// Those who go vanish
    #[arg(long, conflicts_with = "leave")]
    crash: bool,
    /// Those who go hand over and say goodbye, which is the default
    #[arg(long)]
    leave: bool,
    /// Cut the network in two halves from one minute to another: FROM-TO
    #[arg(long, value_name = "FROM-TO", value_parser = cut)]
    cut: Vec<(f64, f64)>,
    /// A share of all dies at a minute: SHARE@MINUTE
    #[arg(long, value_name = "SHARE@MINUTE", value_parser = die)]
    die: Vec<(f64, f64)>,
    /// Everybody requests the first file at this minute
    #[arg(long, value_name = "MINUTE", value_parser = minute)]
    crowd: Vec<f64>,
    /// What one peer can send of files, in MB a second [default: each transfer has 10, whatever else goes on]
    #[arg(long, value_name = "MB", value_parser = uplink)]
    uplink: Option<f64>,
    /// One JSON object a line
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Comma-separated values, a line for each minute
    #[arg(long)]
    csv: bool,
}

const WEEK: &str = "\
Examples:
  p2p sim week                     Tells each hour, and sums up
  p2p sim week --overlay ring --seed 7 --json";

/// A week of coming and going.
#[derive(Args, Debug)]
#[command(before_help = WEEK)]
pub struct Week {
    /// Decides everything that chance decides
    #[arg(long, default_value = "1")]
    seed: u64,
    /// Which overlay
    #[arg(long, default_value = "kademlia")]
    overlay: OverlayName,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

impl Week {
    /// Sessions of an hour; 1,000 files; a request every half minute.
    pub fn story(self) -> StoryArgs {
        StoryArgs {
            peers: 1000,
            grown: false,
            seed: self.seed,
            loss: 0.0,
            duplication: 0.0,
            delay: Weather::default().delay,
            minutes: 7 * 24 * 60,
            overlay: self.overlay,
            files: 1000,
            request_every: 30,
            ping: 15,
            churn: Churn::Sessions(Sessions::Exponential(Duration::from_secs(3600))),
            crash: true,
            leave: false,
            cut: Vec::new(),
            die: Vec::new(),
            crowd: Vec::new(),
            uplink: None,
            json: self.json,
            csv: false,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OverlayName {
    Ring,
    Kademlia,
}

/// Beyond so many minutes only each hour is told.
const TOLD_BY_THE_MINUTE: u32 = 600;

/// Runs it. Exit code 1 if a rule was broken or an acknowledged file lost. Ctrl-C ends it early, summed up.
pub fn run(args: &StoryArgs) -> ExitCode {
    let story = args.story();
    let stop = Arc::new(AtomicBool::new(false));
    let asked_to_stop = Arc::clone(&stop);
    if let Err(error) = ctrlc::set_handler(move || asked_to_stop.store(true, Ordering::Relaxed)) {
        speech::aside(&format!("Ctrl-C will end this without a summary: {error}"));
    }
    let begun = Instant::now();
    match (args.json, args.csv) {
        (false, false) => say("  time  members  joined   gone  ring    stored        found           B/s a peer"),
        (false, true) => say(
            "time_s,members,joined,gone,closed,stores,stored,requests,found,bytes_per_peer_second,repair_bytes_per_peer_second",
        ),
        (true, _) => {}
    }
    let mut minutes = 0;
    let summary = story.run(|report| {
        minutes += 1;
        let told = args.minutes <= TOLD_BY_THE_MINUTE || minutes % 60 == 0;
        match (args.json, args.csv) {
            _ if !told => {}
            (true, _) => say(&json!({ "event": "minute", "report": as_json(report) }).to_string()),
            (_, true) => say(&as_csv(report)),
            _ => say(&as_row(args, report)),
        }
        !stop.load(Ordering::Relaxed)
    });
    let took = begun.elapsed();
    match (args.json, args.csv) {
        (true, _) => say(&summary_json(args, &summary, took).to_string()),
        (_, true) => {}
        _ => summary_lines(args, &summary, took).iter().for_each(|line| say(line)),
    }
    match () {
        () if stop.load(Ordering::Relaxed) => ExitCode::from(INTERRUPTED),
        () if summary.broken.is_none() && summary.lost == 0 => ExitCode::SUCCESS,
        () => ExitCode::from(FAILED),
    }
}

impl StoryArgs {
    fn story(&self) -> Story {
        let minutes = |minutes: f64| Duration::from_secs_f64(minutes * 60.0);
        let cuts = self.cut.iter().flat_map(|(from, to)| [(minutes(*from), Event::Cut), (minutes(*to), Event::Heal)]);
        let deaths = self.die.iter().map(|(share, at)| (minutes(*at), Event::Die(*share)));
        let crowds = self.crowd.iter().map(|at| (minutes(*at), Event::Crowd));
        Story {
            peers: self.peers as usize,
            grown: self.grown,
            seed: self.seed,
            weather: Weather {
                delay: self.delay,
                loss: self.loss,
                duplication: self.duplication,
                uplink_bytes_per_second: self.uplink.map(|megabytes| megabytes * 1e6),
                ..Weather::default()
            },
            length: Duration::from_secs(60) * self.minutes,
            churn: self.churn,
            departure: if self.crash { Departure::Crash } else { Departure::Leave },
            kademlia: match self.overlay {
                OverlayName::Ring => None,
                OverlayName::Kademlia => Some(Tuning::default()),
            },
            files: self.files,
            request_every: Duration::from_secs(self.request_every),
            ping_interval: Duration::from_secs(self.ping),
            events: cuts.chain(deaths).chain(crowds).collect(),
        }
    }
}

fn as_row(args: &StoryArgs, report: &Report) -> String {
    let minutes = report.time.as_secs() / 60;
    let seconds = report.time.as_secs() % 60;
    let ring = match (args.overlay, report.closed) {
        (OverlayName::Kademlia, _) => "-",
        (OverlayName::Ring, true) => "closed",
        (OverlayName::Ring, false) => "mends",
    };
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

fn summary_lines(args: &StoryArgs, summary: &Summary, took: Duration) -> Vec<String> {
    let report = &summary.report;
    let rate = summary.events as f64 / took.as_secs_f64();
    let faster = report.time.as_secs_f64() / took.as_secs_f64();
    let ring = match args.overlay {
        OverlayName::Kademlia => None,
        OverlayName::Ring if report.closed => Some("ring      closed: one circle, every neighbour right".to_owned()),
        OverlayName::Ring => Some("ring      not closed".to_owned()),
    };
    let rules = summary.broken.as_deref().unwrap_or("none broken, after every event");
    let rules = ring.is_some().then(|| format!("rules     {rules}"));
    let mut lines =
        vec![String::new(), format!("{} peers joined, {} left; seed {}", report.joined, report.gone, args.seed)];
    lines.extend(ring.into_iter().chain(rules));
    lines.extend([
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
    ]);
    lines
}

fn as_csv(report: &Report) -> String {
    format!(
        "{:.0},{},{},{},{},{},{},{},{},{:.1},{:.1}",
        report.time.as_secs_f64(),
        report.members,
        report.joined,
        report.gone,
        report.closed,
        report.stores,
        report.stored,
        report.requests,
        report.found,
        report.bytes_per_peer_second,
        report.repair_bytes_per_peer_second,
    )
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

fn summary_json(args: &StoryArgs, summary: &Summary, took: Duration) -> serde_json::Value {
    json!({
        "event": "done",
        "seed": args.seed,
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

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("a share is between 0 and 1".to_owned()) }
}

fn delay(text: &str) -> Result<Delay, String> {
    let wrong = || "say exp:50ms, const:20ms or internet".to_owned();
    if text == "internet" {
        return Ok(Delay::Internet);
    }
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

fn minute(text: &str) -> Result<f64, String> {
    let minute = text.parse().ok().filter(|minute| (0.0..=10_080.0).contains(minute));
    minute.ok_or_else(|| "a minute is a number from 0 to 10080".to_owned())
}

fn cut(text: &str) -> Result<(f64, f64), String> {
    let wrong = || "say FROM-TO in minutes, as 2-7".to_owned();
    let (from, to) = text.split_once('-').ok_or_else(wrong)?;
    let (from, to) = (minute(from)?, minute(to)?);
    if from < to { Ok((from, to)) } else { Err(wrong()) }
}

fn die(text: &str) -> Result<(f64, f64), String> {
    let (dead, at) = text.split_once('@').ok_or_else(|| "say SHARE@MINUTE, as 0.3@5".to_owned())?;
    Ok((share(dead)?, minute(at)?))
}

fn uplink(text: &str) -> Result<f64, String> {
    let uplink = text.parse().ok().filter(|uplink| (0.001..=1e6).contains(uplink));
    uplink.ok_or_else(|| "an uplink is between 0.001 and 1000000 MB a second".to_owned())
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
        assert_eq!((cut("2-7"), die("0.3@5")), (Ok((2.0, 7.0)), Ok((0.3, 5.0))));
        assert!(["", "7-2", "2", "2-", "a-b"].iter().all(|text| cut(text).is_err()));
        assert!(["", "0.3", "2@5", "0.3@"].iter().all(|text| die(text).is_err()));
        assert!(["", "0", "-1", "nan"].iter().all(|text| uplink(text).is_err()));
    }
}
