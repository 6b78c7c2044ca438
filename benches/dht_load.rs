//! How many questions a second a DHT node answers. By hand:
//!
//! ```text
//! cargo bench --bench dht_load -- HOST:PORT [ping|find_node|get_peers|get|all] [seconds, 5] [window, 64] [askers, 2]
//! ```
//!
//! Any node of the Mainline DHT will do. One that limits its answers must be told not to; bench/dht/README.md says how
//! for libtorrent. Each asker is a thread with a socket of its own, and keeps `window` questions outstanding. A question
//! that is not answered within 200 ms is lost and asked anew. Targets are random. The line of JSON says how many answers
//! came in a second, which share was lost, and half and 99 of a hundred round trips.

use std::io::ErrorKind;
use std::net::{SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

const METHODS: [&str; 4] = ["ping", "find_node", "get_peers", "get"];
const LATE: Duration = Duration::from_millis(200);

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let Some(to) = arguments.next() else {
        // `cargo test --all-targets` and a bare `cargo bench` have nobody to ask.
        println!("give the HOST:PORT of a DHT node");
        return;
    };
    let to = to.to_socket_addrs().expect("HOST:PORT").next().expect("an address");
    let method = arguments.next().unwrap_or("all".to_owned());
    let mut number = |default| arguments.next().map_or(default, |text| text.parse().expect("a number"));
    let (seconds, window, askers) = (number(5), number(64), number(2));
    let methods = METHODS.into_iter().filter(|known| method == "all" || method == *known);
    for method in methods {
        let ask = |asker| move || ask(to, method, Duration::from_secs(seconds), window as usize, asker);
        let threads: Vec<_> = (0..askers).map(|asker| thread::spawn(ask(asker))).collect();
        let mut seen = Seen::default();
        for thread in threads {
            seen.add(thread.join().expect("askers do not panic"));
        }
        seen.times.sort_unstable();
        let at = |share: f64| seen.times.get((share * seen.times.len() as f64) as usize).copied().unwrap_or_default();
        println!(
            "{{\"to\":\"{to}\",\"method\":\"{method}\",\"answers_a_second\":{},\"lost\":{:.4},\"errors\":{},\"p50_us\":{},\"p99_us\":{}}}",
            seen.times.len() as u64 / seconds,
            seen.lost as f64 / seen.asked.max(1) as f64,
            seen.errors,
            at(0.5).as_micros(),
            at(0.99).as_micros(),
        );
    }
}

#[derive(Default)]
struct Seen {
    asked: u64,
    lost: u64,
    errors: u64,
    times: Vec<Duration>,
}

impl Seen {
    fn add(&mut self, other: Seen) {
        self.asked += other.asked;
        self.lost += other.lost;
        self.errors += other.errors;
        self.times.extend(other.times);
    }
}

/// Asks for a while. Each place of the window is a transaction id, with a round number that tells late answers apart.
fn ask(to: SocketAddr, method: &str, period: Duration, window: usize, asker: u64) -> Seen {
    let socket = UdpSocket::bind(if to.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }).expect("a port is free");
    socket.connect(to).expect("it is an address");
    socket.set_read_timeout(Some(LATE / 4)).expect("it is more than nothing");
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ (asker + 1));
    let mut seen = Seen::default();
    let mut rounds = vec![0_u16; window];
    let mut sent = vec![Instant::now(); window];
    let mut buffer = [0; 2048];
    let begun = Instant::now();
    let mut looked = begun;

    let mut send = |place: usize, rounds: &mut [u16], sent: &mut [Instant], seen: &mut Seen| {
        rounds[place] = rounds[place].wrapping_add(1);
        sent[place] = Instant::now();
        seen.asked += 1;
        // What cannot be sent will be late.
        let _ = socket.send(&question(method, place as u16, rounds[place], &mut random));
    };
    (0..window).for_each(|place| send(place, &mut rounds, &mut sent, &mut seen));
    while begun.elapsed() < period {
        match socket.recv(&mut buffer) {
            Ok(len) => {
                if let Some((place, round, is_error)) = transaction(&buffer[..len])
                    && rounds.get(usize::from(place)) == Some(&round)
                {
                    let place = usize::from(place);
                    seen.times.push(sent[place].elapsed());
                    seen.errors += u64::from(is_error);
                    send(place, &mut rounds, &mut sent, &mut seen);
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            // Nobody listens there.
            Err(error) => panic!("{to}: {error}"),
        }
        if looked.elapsed() > LATE / 4 {
            looked = Instant::now();
            for place in 0..window {
                if sent[place].elapsed() > LATE {
                    seen.lost += 1;
                    send(place, &mut rounds, &mut sent, &mut seen);
                }
            }
        }
    }
    seen
}

/// `d1:ad2:id20:…6:target20:…e1:q9:find_node1:t4:…1:y1:qe`, read-only, so that no table fills with askers.
fn question(method: &str, place: u16, round: u16, random: &mut Random) -> Vec<u8> {
    let mut bytes = b"d1:ad2:id20:somebody who asks a ".to_vec();
    match method {
        "ping" => {}
        "get_peers" => {
            bytes.extend(b"9:info_hash20:");
            bytes.extend(random.id());
        }
        _ => {
            bytes.extend(b"6:target20:");
            bytes.extend(random.id());
        }
    }
    bytes.extend(format!("e1:q{}:{method}2:roi1e1:t4:", method.len()).bytes());
    bytes.extend(place.to_be_bytes());
    bytes.extend(round.to_be_bytes());
    bytes.extend(b"1:y1:qe");
    bytes
}

/// Place, round, and whether it is an error. The transaction is the last `1:t4:`, as keys are sorted and only v and y
/// come after it: nothing in an answer's body is taken for it.
fn transaction(answer: &[u8]) -> Option<(u16, u16, bool)> {
    let at = answer.windows(5).rposition(|window| window == b"1:t4:")? + 5;
    let bytes: [u8; 4] = answer.get(at..at + 4)?.try_into().ok()?;
    let is_error = answer.ends_with(b"1:y1:ee");
    Some((u16::from_be_bytes([bytes[0], bytes[1]]), u16::from_be_bytes([bytes[2], bytes[3]]), is_error))
}

/// xorshift: chance that costs nothing.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn id(&mut self) -> [u8; 20] {
        let mut id = [0; 20];
        id.chunks_mut(8).for_each(|part| part.copy_from_slice(&self.next().to_le_bytes()[..part.len()]));
        id
    }
}
