//! The assignment's script, in the simulator: who is told what, none missing, none doubled, none extra.

use p2p::ground::{FileName, Id};
use p2p::peer::{Answer, News, Successors, Ticket};
use p2p::sim::{Delay, PeerIndex, Weather, World};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const SEVEN: [(u8, [u8; 2]); 7] =
    [(2, [4, 5]), (4, [5, 8]), (5, [8, 9]), (8, [9, 14]), (9, [14, 19]), (14, [19, 2]), (19, [2, 4])];

/// The seven peers, settled; the news so far is thrown away.
struct Seven {
    world: World,
}

impl Seven {
    fn start(seed: u64) -> Seven {
        let weather = Weather { delay: Delay::Exponential(Duration::from_millis(1)), ..Weather::default() };
        let mut world = World::new(seed, weather).classic().keep_news().unchecked();
        for (number, successors) in SEVEN {
            world.init(number, &successors);
            world.run_for(SECOND / 5);
        }
        world.run_for(8 * SECOND);
        world.check_rules();
        world.news.clear();
        Seven { world }
    }

    /// All at once, and only so long ago.
    fn just_started(seed: u64, time: Duration) -> Seven {
        let weather = Weather { delay: Delay::Exponential(Duration::from_millis(1)), ..Weather::default() };
        let mut world = World::new(seed, weather).classic().keep_news().unchecked();
        for (number, successors) in SEVEN {
            world.init(number, &successors);
        }
        world.run_for(time);
        Seven { world }
    }

    fn at(&self, number: u8) -> PeerIndex {
        let members = self.world.members();
        members.into_iter().find(|at| self.world.view(*at).me.id == Id::numbered(number)).expect("it is a member")
    }

    /// Who suspected whom since the news were told last, as often as it did.
    fn suspicions(&self) -> Vec<(u8, Id)> {
        let suspicion = |(_, at, news): &(_, PeerIndex, News)| match news {
            News::Silent(whom) => Some((self.world.view(*at).me.id.number().unwrap(), *whom)),
            _ => None,
        };
        self.world.news.iter().filter_map(suspicion).collect()
    }

    /// What everybody was told since the last time, without pings, as (peer, news).
    fn news(&mut self) -> Vec<(u8, News)> {
        // Pings, and what nobody is shown.
        let quiet = |news: &News| {
            let left_out = matches!(news, News::PingsSent(_) | News::PingReceived(_) | News::PingAnswered(_));
            !left_out && !matches!(news, News::Asking { .. } | News::Silent(_))
        };
        let news = std::mem::take(&mut self.world.news);
        let mut told: Vec<(u8, News)> = news
            .into_iter()
            .filter(|(_, _, news)| quiet(news))
            .map(|(_, at, news)| (self.world.view(at).me.id.number().unwrap(), news))
            .collect();
        // By peer; each peer's in the order in which they were told.
        told.sort_by_key(|(number, _)| *number);
        told
    }
}

fn id(number: u8) -> Id {
    Id::numbered(number)
}

fn changed(first: u8, second: u8) -> News {
    News::SuccessorsChanged(Successors { first: id(first), second: id(second) })
}

fn name(text: &str) -> FileName {
    FileName::parse(text).unwrap()
}

#[test]
fn pings_go_to_both_successors_and_are_answered() {
    let mut seven = Seven::start(1);
    seven.world.run_for(20 * SECOND);
    for (number, successors) in SEVEN {
        let at = seven.at(number);
        let mine: Vec<&News> =
            seven.world.news.iter().filter(|(_, who, _)| *who == at).map(|(_, _, news)| news).collect();
        let sent = News::PingsSent(successors.map(id).to_vec());
        assert_eq!(mine.iter().filter(|news| ***news == sent).count(), 1, "peer {number}");
        for successor in successors {
            assert_eq!(mine.iter().filter(|news| ***news == News::PingAnswered(id(successor))).count(), 1);
        }
        let received = mine.iter().filter(|news| matches!(news, News::PingReceived(_))).count();
        assert_eq!((received, mine.len()), (2, 5), "peer {number}: {mine:?}");
    }
}

#[test]
fn starting_peers_tell_nothing_but_pings() {
    for seed in 0..20 {
        let weather = Weather { delay: Delay::Exponential(Duration::from_millis(1)), ..Weather::default() };
        let mut world = World::new(seed, weather).classic().keep_news();
        for (number, successors) in SEVEN {
            world.init(number, &successors);
            world.run_for(SECOND * 3);
        }
        world.run_for(60 * SECOND);
        let odd = world
            .news
            .iter()
            .find(|(_, _, news)| !matches!(news, News::PingsSent(_) | News::PingReceived(_) | News::PingAnswered(_)));
        assert!(odd.is_none(), "seed {seed}: {odd:?}");
        assert_eq!(world.check_ideal(), Ok(()));
    }
}

#[test]
fn quit_at_9_is_told_at_8_and_5() {
    for seed in 0..20 {
        let mut seven = Seven::start(seed);
        let quit = seven.world.quit(seven.at(9));
        seven.world.run_for(5 * SECOND);
        let left =
            [(5, News::Departing(id(9))), (5, changed(8, 14)), (8, News::Departing(id(9))), (8, changed(14, 19))];
        assert_eq!(seven.news(), left, "seed {seed}");
        assert!(matches!(seven.world.record(quit).answer, Some((_, Answer::Left))));
    }
}

#[test]
fn the_whole_script() {
    for seed in 0..20 {
        let mut seven = Seven::start(seed);
        seven.world.quit(seven.at(9));
        seven.world.run_for(10 * SECOND);
        seven.news();

        let store = seven.world.store(seven.at(8), "2067", 1000);
        seven.world.run_for(5 * SECOND);
        let forwarded = |number: u8| (number, News::StoreForwarded(name("2067")));
        assert_eq!(seven.news(), [forwarded(8), forwarded(14), (19, News::StoreAccepted(name("2067")))], "seed {seed}");
        let Some((_, Answer::Stored { copies, wanted, .. })) = &seven.world.record(store).answer else { panic!() };
        assert_eq!((copies.as_slice(), *wanted), (&[id(19), id(2), id(4)][..], 3));

        seven.world.join_number(15, 4);
        seven.world.run_for(5 * SECOND);
        let forwarded = |number: u8| (number, News::JoinForwarded(id(15)));
        let joined = News::Joined(Some(Successors { first: id(19), second: id(2) }));
        let told = [
            forwarded(4),
            forwarded(5),
            (8, News::JoinForwarded(id(15))),
            (8, News::SuccessorChangeReceived),
            (8, changed(14, 15)),
            (14, News::JoinReceived(id(15))),
            (14, changed(15, 19)),
            (15, joined),
        ];
        assert_eq!(seven.news(), told, "seed {seed}");

        seven.world.kill(seven.at(14));
        seven.world.run_for(19 * SECOND);
        let told = [(5, News::Dead(id(14))), (5, changed(8, 15)), (8, News::Dead(id(14))), (8, changed(15, 19))];
        assert_eq!(seven.news(), told, "seed {seed}");

        let request = seven.world.request(seven.at(2), "2067");
        seven.world.run_for(5 * SECOND);
        let passed = |number: u8| (number, News::NotHere(name("2067")));
        let told = [
            (2, News::RequestSent(name("2067"))),
            passed(4),
            passed(5),
            passed(8),
            passed(15),
            (19, News::FileHere(name("2067"))),
        ];
        let held_on_the_way = |(number, news): &(u8, News)| (*number, news.clone()) == passed(4);
        let told: Vec<(u8, News)> = told.into_iter().filter(|told| !held_on_the_way(told)).collect();
        assert_eq!(seven.news(), told, "seed {seed}: peer 4 keeps a copy, so it cannot say that it has none");
        assert!(
            matches!(seven.world.record(request).answer, Some((_, Answer::Fetched { from, .. })) if from == id(19))
        );

        let missing = seven.world.request(seven.at(2), "4103");
        seven.world.run_for(5 * SECOND);
        assert_eq!(seven.news().last(), Some(&(8, News::NotHere(name("4103")))));
        assert!(matches!(seven.world.record(missing).answer, Some((_, Answer::NotFound { .. }))));
        assert!(seven.world.broken().is_none(), "seed {seed}: {:?}", seven.world.broken());
    }
}

#[test]
fn two_join_into_the_same_gap_at_once_and_joins_go_right_at_both_ends() {
    for seed in 0..20 {
        let mut seven = Seven::start(seed);
        for (number, known) in [(16, 4), (17, 9), (1, 19), (200, 2), (3, 8)] {
            seven.world.join_number(number, known);
        }
        seven.world.run_for(20 * SECOND);
        assert_eq!(seven.world.check_ideal(), Ok(()), "seed {seed}");
        assert_eq!(seven.world.members().len(), 12, "seed {seed}");
    }
}

#[test]
fn rings_of_every_size_know_everybody_up_and_down() {
    for seed in 0..10 {
        let weather = Weather { delay: Delay::Exponential(Duration::from_millis(1)), ..Weather::default() };
        let mut world = World::new(seed, weather).classic();
        world.init(100, &[]);
        for step in 1..20u8 {
            world.join_number(step.wrapping_mul(73).wrapping_add(seed as u8), 100);
            let ideal = world.run_while(20 * SECOND, SECOND / 2, |world| world.check_ideal().is_err());
            assert!(ideal, "seed {seed}, up {step}: {:?}", world.check_ideal());
        }
        while world.members().len() > 1 {
            let members = world.members();
            let goes = members[seed as usize * 7 % members.len()];
            match members.len() % 2 {
                0 => drop::<Ticket>(world.quit(goes)),
                _ => world.kill(goes),
            }
            world.run_for(4 * SECOND);
            let ideal = world.run_while(60 * SECOND, SECOND / 2, |world| world.check_ideal().is_err());
            assert!(ideal, "seed {seed}, down {}: {:?}", members.len(), world.check_ideal());
        }
        assert!(world.broken().is_none(), "seed {seed}: {:?}", world.broken());
    }
}

#[test]
fn a_paused_peer_is_not_declared_dead_and_declares_nobody_dead() {
    for seed in 0..20 {
        let mut seven = Seven::start(seed);
        let paused = seven.at(14);
        seven.world.pause(paused);
        seven.world.run_for(20 * SECOND);
        seven.world.resume(paused);
        seven.world.run_for(30 * SECOND);
        // Those before it suspect it once each, however often they asked.
        let mut suspicions = seven.suspicions();
        suspicions.sort();
        assert_eq!(suspicions, [(8, id(14)), (9, id(14))], "seed {seed}");
        assert_eq!(seven.news(), [], "seed {seed}");
        assert_eq!(seven.world.check_ideal(), Ok(()));
    }
}

#[test]
fn a_number_already_alive_is_refused_and_the_ring_unchanged() {
    let mut seven = Seven::start(1);
    let twin = seven.world.join_number_elsewhere(8, 2);
    seven.world.run_for(10 * SECOND);
    let news = seven.news();
    assert!(
        matches!(&news[..], [.., (8, News::JoinFailed(_))])
            || news.iter().any(|(_, news)| matches!(news, News::JoinFailed(_))),
        "{news:?}"
    );
    assert!(!news.iter().any(|(_, news)| matches!(news, News::SuccessorsChanged(_))), "{news:?}");
    assert!(!seven.world.members().contains(&twin));
    assert_eq!(seven.world.check_ideal(), Ok(()));
}

#[test]
fn a_departure_right_after_the_start_tells_the_right_successors() {
    for seed in 0..20 {
        let mut seven = Seven::just_started(seed, SECOND / 10);
        seven.news();
        seven.world.quit(seven.at(9));
        seven.world.run_for(10 * SECOND);
        let left =
            [(5, News::Departing(id(9))), (5, changed(8, 14)), (8, News::Departing(id(9))), (8, changed(14, 19))];
        assert_eq!(seven.news(), left, "seed {seed}");
    }
}

#[test]
fn a_store_right_after_a_departure_right_after_the_start_takes_every_step() {
    for seed in 0..200 {
        let mut seven = Seven::just_started(seed, SECOND / 25);
        let quit = seven.world.quit(seven.at(9));
        let step = SECOND / 100;
        let gone = seven.world.run_while(SECOND, step, |world| world.record(quit).answer.is_none());
        assert!(gone, "seed {seed}");
        seven.news();
        let store = seven.world.store(seven.at(8), "2067", 1000);
        assert!(seven.world.run_while(SECOND, step, |world| world.record(store).answer.is_none()), "seed {seed}");
        let forwarded = |number: u8| (number, News::StoreForwarded(name("2067")));
        let is_step = |(_, news): &(u8, News)| matches!(news, News::StoreForwarded(_) | News::StoreAccepted(_));
        let told: Vec<(u8, News)> = seven.news().into_iter().filter(is_step).collect();
        let steps = [forwarded(8), forwarded(14), (19, News::StoreAccepted(name("2067")))];
        assert_eq!(told, steps, "seed {seed}");
    }
}
