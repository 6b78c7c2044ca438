//! All that can happen to a small ring, looked at without leaving anything out: the peers' own decisions about
//! neighbours, in every order of joins, deaths, pings and answers, by a model checker.
//!
//! What must hold is Zave's invariant (2017), and our own rule for rings up to r + 1: everybody knows everybody.
//! `cargo test --test model -- --nocapture` prints how many states there are.

mod ring;
mod rules;

use ring::{LIST_LEN, MAX_PLACES, Place, Pool, State, Step, Talk};
use rules::Failures;
use stateright::{Checker, Model, Path, Property};
use std::collections::HashSet;
use std::sync::RwLock;
use std::time::Instant;

/// Most rounds of repair until nothing changes any more: each brings news one peer farther.
const ROUNDS: usize = 3 * MAX_PLACES;

/// Some places, where peers come and go.
struct Ring {
    pool: Pool,
    starts: Vec<Vec<Place>>,
    failures: Failures,
    /// Most answers on their way at once.
    in_flight: usize,
    /// Rings that differ by a turn count as one.
    turned: bool,
    /// States from which repairs are known to lead to an ideal ring.
    healing: RwLock<HashSet<State>>,
}

impl Ring {
    fn new(places: usize, failures: Failures) -> Ring {
        Ring {
            pool: Pool::new(places, usize::MAX),
            // Every ring of r + 1 or more, for each state that is not just a turn of another.
            starts: (LIST_LEN + 1..=places).map(|members| (0..members).collect()).collect(),
            failures,
            in_flight: 1,
            turned: true,
            healing: RwLock::default(),
        }
    }

    /// Of all turns of a ring, the one that stands for them.
    fn representative(&self, state: State) -> State {
        let places = self.pool.places();
        let turn = |by: Place| {
            let mut turned = state;
            turned.0[..places].rotate_left(by);
            turned
        };
        if self.turned { (0..places).map(turn).min().expect("there are places") } else { state }
    }

    /// What a peer may do to mend the ring, or is waiting to do.
    fn repairs(&self, state: State, steps: &mut Vec<Step>) {
        let views = self.pool.views(state);
        let on_their_way = (0..self.pool.places()).filter(|who| views[*who].is_consulting).count();
        for who in 0..self.pool.places() {
            let at = |from: Place| (who + from) % self.pool.places();
            let view = views[who];
            if view.is_joining {
                steps.push(Step::Meet { who });
                continue;
            }
            let talk = |from: Place, about: Talk| Step::Talk { who, whom: at(from), about };
            let known = view.contacts | view.named;
            steps.extend(
                (1..self.pool.places()).filter(|from| known >> from & 1 == 1).map(|from| talk(from, Talk::Ping)),
            );
            if view.is_consulting {
                steps.push(talk(0, Talk::Hear));
            } else if view.is_member && (on_their_way < self.in_flight || self.in_flight == 0) {
                steps.extend(self.pool.consultable(state, who).into_iter().map(|from| talk(from, Talk::Consult)));
            }
        }
    }

    /// One round of repairs at every peer in turn, nothing left on its way.
    fn mended(&self, mut state: State) -> State {
        for who in 0..self.pool.places() {
            let talk = |state: &mut State, from: Place, about: Talk| {
                let whom = (who + from) % self.pool.places();
                *state = self.pool.after(*state, Step::Talk { who, whom, about }).expect("talking is always possible");
            };
            let view = |state: State| self.pool.views(state)[who];
            let each = |places: u8| (1..MAX_PLACES).filter(move |from| places >> from & 1 == 1);
            if view(state).is_joining {
                state = self.pool.after(state, Step::Meet { who }).expect("meeting is always possible");
            }
            if !view(state).is_member {
                continue;
            }
            if view(state).is_consulting {
                talk(&mut state, 0, Talk::Hear);
            }
            let known = view(state);
            each(known.contacts | known.named).for_each(|from| talk(&mut state, from, Talk::Ping));
            for from in self.pool.consultable(state, who) {
                talk(&mut state, from, Talk::Consult);
                talk(&mut state, 0, Talk::Hear);
                each(view(state).named).for_each(|from| talk(&mut state, from, Talk::Ping));
            }
        }
        state
    }

    /// Repairs alone make it ideal, and then change nothing.
    fn heals(&self, state: State) -> bool {
        let mut passed = Vec::new();
        let mut now = self.representative(state);
        while !self.healing.read().unwrap().contains(&now) {
            let next = self.representative(self.mended(now));
            passed.push(now);
            if next == now {
                if !rules::is_ideal(&self.pool.views(now), self.pool.places()) {
                    return false;
                }
                break;
            }
            if passed.len() > ROUNDS {
                return false;
            }
            now = next;
        }
        self.healing.write().unwrap().extend(passed);
        true
    }

    /// While nothing is on its way and the ring is not ideal, a repair changes something.
    fn progresses(&self, state: State) -> bool {
        let views = self.pool.views(state);
        let pending = views.iter().any(|view| view.is_consulting || view.named != 0);
        pending || rules::is_ideal(&views, self.pool.places()) || {
            // Who is heard of in one round is pinged in the next.
            let after = self.pool.views(self.mended(self.mended(state)));
            views.iter().zip(after).any(|(before, after)| before.pointers() != after.pointers())
        }
    }

    /// No repair changes a successor or predecessor of an ideal ring.
    fn stays_ideal(&self, state: State) -> bool {
        let views = self.pool.views(state);
        if views.iter().any(|view| view.is_joining) || !rules::is_ideal(&views, self.pool.places()) {
            return true;
        }
        let mut steps = Vec::new();
        self.repairs(state, &mut steps);
        let after = steps.into_iter().filter_map(|step| self.pool.after(state, step));
        after.map(|state| self.pool.views(state)).all(|views| rules::is_ideal(&views, self.pool.places()))
    }
}

impl Model for Ring {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        // Members side by side are enough: which places are free between them is a matter of who joins.
        self.starts.iter().map(|members| self.representative(self.pool.ideal(members))).collect()
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        let views = self.pool.views(*state);
        let places = 0..self.pool.places();
        for who in places.clone() {
            if views[who].is_member || views[who].is_joining {
                if self.failures.allow(&views, self.pool.places(), who) {
                    steps.push(Step::Fail { who });
                }
            } else {
                let members = places.clone().filter(|through| views[*through].is_member);
                steps.extend(members.map(|through| Step::Join { who, through }));
            }
        }
        self.repairs(*state, steps);
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        let mut next = self.pool.after(*state, step)?;
        if let Step::Talk { who, about: Talk::Consult, .. } = step
            && self.in_flight == 0
        {
            next = self.pool.after(next, Step::Talk { who, whom: who, about: Talk::Hear })?;
        }
        (next != *state).then(|| self.representative(next))
    }

    fn properties(&self) -> Vec<Property<Ring>> {
        vec![
            Property::always("live successor", |ring: &Ring, state: &State| {
                rules::all_have_a_live_successor(&ring.pool.views(*state), ring.pool.places())
            }),
            Property::always("principals", |ring: &Ring, state: &State| {
                rules::has_enough_principals(&ring.pool.views(*state), ring.pool.places())
            }),
            Property::always("progress", |ring: &Ring, state: &State| ring.progresses(*state)),
            Property::always("stays ideal", |ring: &Ring, state: &State| ring.stays_ideal(*state)),
            Property::always("heals", |ring: &Ring, state: &State| ring.heals(*state)),
        ]
    }
}

/// Looks at everything; prints how much that was; says which rules were broken, each with a shortest way there.
fn check(name: &str, ring: Ring) -> Vec<&'static str> {
    let began = Instant::now();
    let mut checker = ring.checker();
    if let Ok(limit) = std::env::var("LIMIT") {
        checker = checker.target_state_count(limit.parse().unwrap());
    }
    let checker = checker.spawn_bfs().join();
    let (states, steps, depth) = (checker.unique_state_count(), checker.state_count(), checker.max_depth());
    let (peers, took) = (checker.model().pool.len(), began.elapsed());
    println!("{name}: {states} states, {steps} steps, at most {depth} deep, {peers} different peers, {took:.1?}");
    let mut broken: Vec<&'static str> = Vec::new();
    for (rule, path) in checker.discoveries() {
        println!("{name}: broken: {rule}\n{}", tell(checker.model(), path));
        broken.push(rule);
    }
    broken.sort_unstable();
    broken
}

/// A way into trouble, step by step.
fn tell(ring: &Ring, path: Path<State, Step>) -> String {
    let tell = |(state, step): (State, Option<Step>)| {
        let peers = (0..ring.pool.places()).map(|who| format!("    {who}: {}\n", ring.pool.tell(state, who)));
        format!("{}  {step:?}\n", peers.collect::<String>())
    };
    path.into_vec().into_iter().map(tell).collect()
}

#[test]
fn a_ring_of_four_places_heals_whatever_happens() {
    assert_eq!(check("four places", Ring::new(4, Failures::Sparing)), [""; 0]);
}

#[test]
#[ignore = "long: run by ./test.sh nightly"]
fn a_ring_of_five_places_heals_whatever_happens() {
    assert_eq!(check("five places", Ring::new(5, Failures::Sparing)), [""; 0]);
}

#[test]
fn experiment() {
    let get = |name: &str, or: usize| std::env::var(name).map_or(or, |v| v.parse().unwrap());
    let f = [Failures::Sparing, Failures::SparingSuccessors, Failures::OneAtATime][get("FAIL", 0)];
    let mut ring = Ring::new(get("PLACES", 4), f);
    if let Ok(m) = std::env::var("MEETS") {
        ring.pool = Pool::new(get("PLACES", 4), m.parse().unwrap());
    }
    ring.in_flight = get("FLIGHT", 1);
    if get("ONE", 0) > 0 {
        ring.starts = vec![vec![0]];
    }
    println!("{:?}", check("experiment", ring));
}
