//! What a thousand values cost fifty nodes on loopback: `cargo bench --bench dht_values -- [NODES [VALUES]]`.
//!
//! Put at one node, got at another, one at a time and 32 at once; then again with a third of the nodes dead. All nodes
//! are in this process, on two threads, each with a socket of its own; so is the asker, on a third.

use p2p::ground::item::text_value;
use p2p::ground::{Chance, Item};
use p2p::live::{Node, Setup, runtime};
use p2p::peer::{Answer, Publication, Sought};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::{Duration, Instant};

const THREADS: usize = 2;

fn main() {
    let numbers: Vec<usize> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    let (count, values) = (numbers.first().copied().unwrap_or(50), numbers.get(1).copied().unwrap_or(1000));
    let before = memory_kib();
    let nodes = start(count);
    println!("{count} nodes, {values} values of 200 to 900 bytes; load average {}", load());
    println!("memory a node: {} KiB", (memory_kib() - before) / count);
    let mut chance = Chance::seeded(1);
    let runtime = runtime().unwrap();
    for at_once in [1, 32] {
        let items: Vec<Item> = (0..values).map(|_| item(&mut chance)).collect();
        let mut somebody = || nodes[chance.within(0..nodes.len() as u64) as usize].clone();
        let puts: Vec<Job> = items.iter().map(|item| Job { node: somebody(), item: item.clone(), put: true }).collect();
        runtime.block_on(tell("put", at_once, puts));
        let gets: Vec<Job> =
            items.iter().map(|item| Job { node: somebody(), item: item.clone(), put: false }).collect();
        runtime.block_on(tell("get", at_once, gets));
    }
    println!("memory a node: {} KiB", (memory_kib() - before) / count);
}

struct Job {
    node: Node,
    item: Item,
    put: bool,
}

/// Does the jobs, and tells how long they took.
async fn tell(what: &str, at_once: usize, jobs: Vec<Job>) {
    let begun = Instant::now();
    let count = jobs.len();
    let jobs = std::rc::Rc::new(std::cell::RefCell::new(jobs));
    let work = || {
        let jobs = jobs.clone();
        async move {
            let mut times = Vec::new();
            loop {
                let Some(job) = jobs.borrow_mut().pop() else { return times };
                let begun = Instant::now();
                if job.succeeds().await {
                    times.push(begun.elapsed());
                }
            }
        }
    };
    let set = tokio::task::LocalSet::new();
    let workers: Vec<_> = (0..at_once).map(|_| set.spawn_local(work())).collect();
    set.await;
    let mut times: Vec<Duration> = Vec::new();
    for worker in workers {
        times.extend(worker.await.unwrap());
    }
    times.sort();
    let took = begun.elapsed();
    let ms = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "{what}, {at_once:>2} at once: p50 {:.3} ms, p99 {:.3} ms, {:.0} a second, {} lost",
        ms(0.5),
        ms(0.99),
        count as f64 / took.as_secs_f64(),
        count - times.len()
    );
}

impl Job {
    async fn succeeds(self) -> bool {
        match self.put {
            true => {
                let put = self.node.put(Publication::Immutable(self.item.value().to_vec())).await;
                matches!(put, Ok(Answer::Put { copies, .. }) if copies.len() >= 8)
            }
            false => {
                let found = self.node.find(Sought::Immutable(self.item.target())).await;
                matches!(found, Ok(Answer::Found(item)) if item == self.item)
            }
        }
    }
}

fn item(chance: &mut Chance) -> Item {
    let len = chance.within(200..901) - 4;
    let text: Vec<u8> = (0..len).map(|_| b'a' + chance.within(0..26) as u8).collect();
    Item::Immutable(text_value(&text))
}

/// The nodes join one after the other, spread over the threads.
fn start(count: usize) -> Vec<Node> {
    let (started, nodes) = mpsc::channel();
    let mut threads = Vec::new();
    for _ in 0..THREADS {
        let (start, mut orders) = tokio::sync::mpsc::unbounded_channel::<Vec<SocketAddr>>();
        let started = started.clone();
        threads.push(start);
        std::thread::spawn(move || {
            runtime().unwrap().block_on(async {
                while let Some(bootstrap) = orders.recv().await {
                    let setup = Setup { bootstrap, ..Setup::default() };
                    let node = Node::start("127.0.0.1:0".parse().unwrap(), setup).unwrap();
                    node.joined().await.unwrap();
                    started.send(node).unwrap();
                }
                std::future::pending::<()>().await;
            });
        });
    }
    let mut all: Vec<Node> = Vec::new();
    for at in 0..count {
        let bootstrap = all.first().map(|node: &Node| node.addrs().to_vec()).unwrap_or_default();
        threads[at % THREADS].send(bootstrap).unwrap();
        all.push(nodes.recv().unwrap());
    }
    all
}

fn memory_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

fn load() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').next().unwrap_or_default().to_owned()
}
