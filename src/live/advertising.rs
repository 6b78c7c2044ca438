//! Where others reach a peer that listens elsewhere: behind a published port, or a router that leads to it. A name for
//! that is looked up again while the peer runs, as its neighbours' are.

use super::hands::{Hands, Happening};
use super::neighbours::{self, Place};
use crate::ground::address_id::is_one_hosts;
use crate::peer::Input;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// How often a name is looked up. Guess: as often as those of neighbours.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// An advertised place, and what it leads to.
#[derive(Clone, Debug)]
pub struct Advertised {
    place: Place,
    /// Of each of the peer's families at most one.
    pub addrs: Vec<SocketAddr>,
}

impl Advertised {
    /// What a peer that listens at `own` is to tell others. Port 0 of `place` is the one where it listens. Waits for a name
    /// that nobody has yet; an error if nobody gets it, or it leads nowhere that others of the peer's families could ask.
    pub async fn looked_up(mut place: Place, own: &[SocketAddr]) -> Result<Advertised, (Place, io::Error)> {
        if place.port == 0 {
            place.port = own[0].port();
        }
        let addrs = usable(&neighbours::addrs_of(std::slice::from_ref(&place)).await?, own);
        if addrs.is_empty() {
            let none =
                io::Error::new(io::ErrorKind::NotFound, "it has no address of a family in which this peer listens");
            return Err((place, none));
        }
        Ok(Advertised { place, addrs })
    }

    /// The port that others ask at.
    pub fn port(&self) -> u16 {
        self.place.port
    }

    /// Tells the peer whenever its name leads elsewhere.
    pub async fn keep_on(mut self, own: Vec<SocketAddr>, hands: Arc<Hands>) {
        if self.place.addr().is_some() {
            return;
        }
        loop {
            sleep(LOOK_EVERY).await;
            let addrs = usable(&self.place.addrs().await.unwrap_or_default(), &own);
            // Who cannot be looked up now is believed to be where it was.
            if !addrs.is_empty() && addrs != self.addrs {
                self.addrs.clone_from(&addrs);
                hands.happen(Happening::Input(Input::ReachedAt(addrs))).await;
            }
        }
    }
}

/// The first address of each family in which the peer listens.
fn usable(found: &[SocketAddr], own: &[SocketAddr]) -> Vec<SocketAddr> {
    let hosts = || found.iter().filter(|addr| is_one_hosts(addr.ip()));
    own.iter().filter_map(|own| hosts().find(|addr| addr.is_ipv4() == own.is_ipv4())).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addrs(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn one_address_of_each_own_family_is_told() {
        let found = addrs(&["0.0.0.0:9", "10.0.0.7:9", "[fd00::7]:9", "10.0.0.8:9"]);
        let (v4, v6) = (addrs(&["0.0.0.0:12000"]), addrs(&["[::]:12000"]));
        assert_eq!(usable(&found, &v4), addrs(&["10.0.0.7:9"]));
        assert_eq!(usable(&found, &v6), addrs(&["[fd00::7]:9"]));
        assert_eq!(usable(&found, &[v4, v6].concat()), addrs(&["10.0.0.7:9", "[fd00::7]:9"]));
    }

    #[tokio::test]
    async fn without_a_port_the_own_one_is_told() {
        let own = addrs(&["127.0.0.1:12004"]);
        let place = |host: &str, port| Place { host: host.to_owned(), port };
        let told = async |place| Advertised::looked_up(place, &own).await.map(|found| found.addrs);
        assert_eq!(told(place("10.0.0.7", 0)).await.unwrap(), addrs(&["10.0.0.7:12004"]));
        assert_eq!(told(place("10.0.0.7", 9)).await.unwrap(), addrs(&["10.0.0.7:9"]));
        assert!(told(place("fd00::7", 9)).await.is_err(), "it listens at IPv4 alone");
    }
}
