//! How long a full Kademlia table takes to answer find_node, and to hear an answer: `cargo bench --bench kademlia`.

use p2p::ground::{Chance, Contact, Id, Moment};
use p2p::overlay::{Kademlia, Overlay, Tuning};
use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const ROUNDS: u32 = 1_000_000;

fn main() {
    for (what, k, wide, family) in
        [("k 8", 8, false, 4), ("k 20", 20, false, 4), ("k 8, wide", 8, true, 4), ("k 8, two families", 8, false, 6)]
    {
        let mut chance = Chance::seeded(1);
        let me = id(&mut chance);
        let tuning = Tuning { k, wide, ..Tuning::default() };
        let interval = Duration::from_secs(15);
        let mut kademlia = Kademlia::new(Moment::START, me, &[], interval, tuning, Chance::seeded(2));
        for number in 0..200_000u32 {
            let v4 = SocketAddr::from(((0x0a00_0000 + number).to_be_bytes(), 6881));
            kademlia.heard_from(Moment::START, Contact { id: id(&mut chance), addr: v4 });
            if family == 6 {
                let v6 = SocketAddr::from((u128::to_be_bytes(0xfd00 << 112 | u128::from(number)), 6881));
                kademlia.heard_from(Moment::START, Contact { id: id(&mut chance), addr: v6 });
            }
        }
        let contacts = kademlia.contacts();
        let keys: Vec<Id> = (0..1024).map(|_| id(&mut chance)).collect();
        let near = nanoseconds(|round| {
            black_box(kademlia.near(black_box(keys[round as usize % keys.len()]), 8));
        });
        let heard_from = nanoseconds(|round| {
            let now = Moment::after(Duration::from_millis(u64::from(round)));
            kademlia.heard_from(now, contacts[round as usize * 7 % contacts.len()]);
        });
        let newcomers: Vec<Contact> =
            keys.iter().map(|id| Contact { id: *id, addr: SocketAddr::from(([10, 200, 1, 1], 1)) }).collect();
        let newcomer = nanoseconds(|round| {
            kademlia.heard_from(Moment::after(interval), newcomers[round as usize % newcomers.len()]);
        });
        println!(
            "{what:>18}: {} contacts; near {near:.0} ns, heard_from {heard_from:.0} ns, of a newcomer {newcomer:.0} ns",
            contacts.len()
        );
    }
}

fn id(chance: &mut Chance) -> Id {
    Id::hashed(&chance.bits().to_be_bytes())
}

fn nanoseconds(mut work: impl FnMut(u32)) -> f64 {
    let begun = Instant::now();
    (0..ROUNDS).for_each(&mut work);
    begun.elapsed().as_nanos() as f64 / f64::from(ROUNDS)
}
