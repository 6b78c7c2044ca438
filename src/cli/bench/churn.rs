//! Real processes come and crash (kill -9) while files are asked for.

use super::book::{Book, Shown};
use super::cluster::{Cluster, Node};
use super::ours::{request_wish, store_wish};
use super::table::mean;
use super::topology::star;
use super::variants::{NARROW_K, WIDE_K};
use super::{Setting, failed};
use crate::cli::client::Wire;
use crate::ground::Chance;
use crate::web::Plate;
use crate::web::schema::Trouble;
use hyper::Method;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep_until, timeout};

/// Peers, files, how long it goes on, and the mean time from one crash to the next; as many join as crash.
const FULL: Scale =
    Scale { peers: 16, files: 40, length: Duration::from_secs(120), crash_every: Duration::from_secs(5) };
const QUICK: Scale = Scale { peers: 6, files: 6, length: Duration::from_secs(5), crash_every: Duration::from_secs(2) };

/// How long a file is.
const FILE_BYTES: usize = 100_000;

/// How often a file is asked for.
const REQUEST_EVERY: Duration = Duration::from_millis(200);

/// After so long a request has failed. Guess: nobody waits longer for 100 KB.
const REQUEST_WAITS: Duration = Duration::from_secs(10);

/// Below so many peers nobody crashes: a network of as many as there are copies has nowhere to put them.
const FEWEST_PEERS: usize = NARROW_K + 1;

const COLUMNS: &[&str] = &["second", "duration", "right", "peers"];

#[derive(Clone, Copy)]
struct Scale {
    peers: usize,
    files: usize,
    length: Duration,
    crash_every: Duration,
}

/// How a request went.
struct Asked {
    /// When it was begun.
    at: Duration,
    took: Duration,
    /// The bytes are those that were stored.
    right: bool,
    why: Option<String>,
    peers: usize,
}

/// What asking needs, wherever it goes on.
#[derive(Clone)]
struct Targets {
    living: Arc<Mutex<Vec<Plate>>>,
    files: Arc<Vec<(String, Vec<u8>)>>,
    folder: PathBuf,
}

/// Runs it.
pub async fn run(setting: &Setting, book: &mut Book) -> Result<(), Trouble> {
    let scale = if setting.quick { QUICK } else { FULL };
    let scale = Scale { peers: setting.peers.unwrap_or(scale.peers), ..scale };
    book.about.push(format!(
        "{} peers keep {} files of {} kB, {NARROW_K} copies each. For {} s peers crash (kill -9) and others join, each after \
         times with a mean of {} s (exponential); a file is asked for every {} ms at a peer that lives. A request is right if \
         the bytes that came within {} s are those that were stored.",
        scale.peers,
        scale.files,
        FILE_BYTES / 1000,
        scale.length.as_secs(),
        scale.crash_every.as_secs(),
        REQUEST_EVERY.as_millis(),
        REQUEST_WAITS.as_secs()
    ));
    book.open("", setting.overlay.label(), "Requests while peers come and crash").seats = star(scale.peers);
    let mut tally = Tally::default();
    let outcome = live_through(setting, scale, book, &mut tally).await;
    tally.tell(book);
    outcome
}

/// Who went and came.
#[derive(Default)]
struct Tally {
    crashed: usize,
    joined: usize,
    unjoined: usize,
    failures: Vec<String>,
}

async fn live_through(setting: &Setting, scale: Scale, book: &mut Book, tally: &mut Tally) -> Result<(), Trouble> {
    let mut chance = Chance::seeded(setting.seed);
    let mut cluster = Cluster::new(setting.engine(WIDE_K.min(8), NARROW_K))?;
    let bar = setting.progress.bar("starting peers", scale.peers);
    for at in 0..scale.peers {
        cluster.start((at > 0).then_some(0), &[]).await?;
        bar.inc(1);
    }
    drop(bar);
    let targets = store(&mut cluster, scale, &mut chance).await?;
    let bar = setting.progress.bar("seconds of churn", scale.length.as_secs() as usize);
    let (tell, mut told) = mpsc::unbounded_channel();
    let mut asking = JoinSet::new();
    asking.spawn(ask_on(targets.clone(), Chance::seeded(setting.seed.wrapping_add(1)), scale.length, tell));
    let begun = tokio::time::Instant::now();
    let mut next = [begun + chance.exponential(scale.crash_every), begun + chance.exponential(scale.crash_every)];
    loop {
        let soonest = next[0].min(next[1]);
        tokio::select! {
            asked = told.recv() => match asked {
                Some(asked) => note(asked, book, tally, &bar),
                // All requests have ended.
                None => return Ok(()),
            },
            () = sleep_until(soonest), if soonest < begun + scale.length => {
                let crash = next[0] <= next[1];
                next[usize::from(!crash)] += chance.exponential(scale.crash_every);
                match crash {
                    true => crash_one(&mut cluster, &targets, &mut chance, tally),
                    false => join_one(&mut cluster, &targets, tally).await,
                }
            }
        }
    }
}

/// Stores all files, each at another peer.
async fn store(cluster: &mut Cluster, scale: Scale, chance: &mut Chance) -> Result<Targets, Trouble> {
    let folder = cluster.ours(0).folder.join("churn");
    fs::create_dir_all(&folder).map_err(failed)?;
    let mut files = Vec::new();
    for at in 0..scale.files {
        let bytes: Vec<u8> = (0..FILE_BYTES.div_ceil(8)).flat_map(|_| chance.bits().to_le_bytes()).collect();
        let name = format!("file{at}.bin");
        let path = folder.join(&name);
        fs::write(&path, &bytes).map_err(failed)?;
        let (route, body) = store_wish(&path, &name)?;
        let storer = cluster.ours(at % scale.peers).plate.clone();
        Wire::new(storer).ask(Method::POST, route, body, |_| ()).await?;
        files.push((name, bytes));
    }
    let living = (0..scale.peers).map(|at| cluster.ours(at).plate.clone()).collect();
    Ok(Targets { living: Arc::new(Mutex::new(living)), files: Arc::new(files), folder })
}

/// Asks at peers that live, at an even pace, until the time is over; ends when all requests have.
async fn ask_on(targets: Targets, mut chance: Chance, length: Duration, tell: mpsc::UnboundedSender<Asked>) {
    let (begun, mut pace, mut requests) = (Instant::now(), interval(REQUEST_EVERY), JoinSet::new());
    for number in 0_u64.. {
        pace.tick().await;
        while requests.try_join_next().is_some() {}
        let at = begun.elapsed();
        if at >= length {
            break;
        }
        let (plate, peers) = {
            let living = targets.living.lock().unwrap_or_else(PoisonError::into_inner);
            (living[chance.within(0..living.len() as u64) as usize].clone(), living.len())
        };
        let (file, targets, tell) =
            (chance.within(0..targets.files.len() as u64) as usize, targets.clone(), tell.clone());
        requests.spawn(async move {
            let begun = Instant::now();
            let outcome = ask(&targets, plate, file, number).await;
            let (right, why) = (outcome.is_ok(), outcome.err());
            // Whoever listens may be gone: then nothing is to be told.
            let _ = tell.send(Asked { at, took: begun.elapsed(), right, why, peers });
        });
    }
    requests.join_all().await;
}

async fn ask(targets: &Targets, plate: Plate, file: usize, number: u64) -> Result<(), String> {
    let (name, bytes) = &targets.files[file];
    let path = targets.folder.join(format!("got{number}"));
    let (route, body) = request_wish(&path, name).map_err(|trouble| trouble.message)?;
    let mut wire = Wire::new(plate);
    let asked = timeout(REQUEST_WAITS, wire.ask(Method::POST, route, body, |_| ())).await;
    asked.map_err(|_| format!("{name}: not there within {REQUEST_WAITS:?}"))?.map_err(|trouble| trouble.message)?;
    let right = fs::read(&path).is_ok_and(|got| got == *bytes);
    // A file that cannot be removed goes with the whole folder.
    let _ = fs::remove_file(&path);
    if right { Ok(()) } else { Err(format!("{name}: wrong bytes")) }
}

fn note(asked: Asked, book: &mut Book, tally: &mut Tally, bar: &super::progress::Bar) {
    let table = book.last().table("churn.csv", "Time of each request, right or not", COLUMNS);
    table.means = false;
    let millis = asked.took.as_secs_f64() * 1e3;
    let before = table.rows.last().and_then(|(second, _)| second.parse::<f64>().ok()).unwrap_or_default();
    bar.inc((asked.at.as_secs_f64().floor() - before.floor()).max(0.0) as u64);
    table
        .push(format!("{:.3}", asked.at.as_secs_f64()), [millis, f64::from(u8::from(asked.right)), asked.peers as f64]);
    tally.failures.extend(asked.why);
}

/// Kills one of those that live. Whoever is asked at that moment fails with it, as it should be counted.
fn crash_one(cluster: &mut Cluster, targets: &Targets, chance: &mut Chance, tally: &mut Tally) {
    let mut living = targets.living.lock().unwrap_or_else(PoisonError::into_inner);
    if living.len() <= FEWEST_PEERS {
        return;
    }
    let victim = chance.within(0..living.len() as u64) as usize;
    let victim = living.swap_remove(victim);
    let is_it = |node: &&mut Node| matches!(node, Node::Ours(peer) if peer.plate.id == victim.id);
    if let Some(node) = cluster.nodes.iter_mut().find(is_it) {
        node.kill();
        tally.crashed += 1;
    }
}

async fn join_one(cluster: &mut Cluster, targets: &Targets, tally: &mut Tally) {
    let known = {
        let living = targets.living.lock().unwrap_or_else(PoisonError::into_inner);
        living[0].id
    };
    let known = cluster.nodes.iter().position(|node| matches!(node, Node::Ours(peer) if peer.plate.id == known));
    match cluster.start(known, &[]).await {
        Ok(at) => {
            let plate = cluster.ours(at).plate.clone();
            targets.living.lock().unwrap_or_else(PoisonError::into_inner).push(plate);
            tally.joined += 1;
        }
        Err(_) => tally.unjoined += 1,
    }
}

impl Tally {
    fn tell(self, book: &mut Book) {
        let Some(table) = book.last().tables.first() else { return };
        let right = table.column("right").iter().sum::<f64>();
        let count = table.rows.len();
        let times = table.column("duration").into_iter().zip(table.column("right"));
        let mut times: Vec<f64> = times.filter(|(_, right)| *right > 0.0).map(|(time, _)| time).collect();
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times.get((share * times.len() as f64) as usize).or(times.last());
        let millis = |time: Option<f64>| time.map_or("–".to_owned(), |time| format!("{time:.2}"));
        let share = if count == 0 { 0.0 } else { 100.0 * right / count as f64 };
        book.shown.push(Shown {
            title: "Requests while peers come and crash; times in ms of those that came back right".to_owned(),
            header: ["requests", "right", "share", "mean", "median", "99 %", "crashed", "joined", "failed to join"]
                .map(str::to_owned)
                .to_vec(),
            rows: vec![vec![
                count.to_string(),
                format!("{right:.0}"),
                format!("{share:.2} %"),
                millis(mean(&times)),
                millis(at(0.5).copied()),
                millis(at(0.99).copied()),
                self.crashed.to_string(),
                self.joined.to_string(),
                self.unjoined.to_string(),
            ]],
        });
        book.last().failures.extend(self.failures);
    }
}
