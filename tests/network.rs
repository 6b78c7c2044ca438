//! Stories of whole networks, in the simulator.

use p2p::ground::Moment;
use p2p::peer::{Answer, News, Successors};
use p2p::sim::{Weather, World};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn stormy(loss: f64) -> Weather {
    Weather { loss, duplication: 0.01, ..Weather::default() }
}

fn assert_unbroken(world: &World, seed: u64) {
    assert!(world.broken().is_none(), "seed {seed}: {:?}", world.broken());
}

#[test]
fn a_hundred_peers_become_one_ring() {
    for seed in 0..3 {
        let mut world = World::new(seed, stormy(0.02));
        let first = world.start_alone();
        for _ in 1..100 {
            world.join(first);
            world.run_for(SECOND / 5);
        }
        let ideal = world.run_while(30 * SECOND, SECOND, |world| world.check_ideal().is_err());
        assert!(ideal, "seed {seed}: {:?}", world.check_ideal());
        assert_unbroken(&world, seed);
        println!("{:?} {:?} {:?}", world.now(), world.counts, Moment::START);
    }
}
