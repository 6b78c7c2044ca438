//! Hosts of the network by name. A name is looked up when it is used: whoever had it may come back at another address.

use super::hands::{Hands, Happening};
use super::host::Wish;
use crate::ground::Contact;
use crate::peer::{Answer, Input, View};
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::lookup_host;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

/// How long nobody need have such a name when a peer starts: its host may have been started a moment after us.
const NAMED_WITHIN: Duration = Duration::from_secs(20);

/// Time between two tries. Guess.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// How often is looked whether the hosts of these names are among our contacts. Guess: a container takes as long to start.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// Longest time between two looks while they are not: with large tables, not everybody is everybody's contact.
const LOOK_SELDOM: Duration = Duration::from_secs(16 * 60);

/// Most addresses of one name that are asked. Guess: more than a cautious name server tells.
const MAX_ADDRS: usize = 16;

/// Where a peer can be asked: a host, by its name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// A name, or an address without brackets.
    pub host: String,
    /// UDP and TCP alike.
    pub port: u16,
}

impl Place {
    /// The address, where it is one and no name.
    pub fn addr(&self) -> Option<SocketAddr> {
        self.host.parse().ok().map(|ip: IpAddr| SocketAddr::new(ip, self.port))
    }

    /// Looks the name up: all its addresses, as the system has them now.
    pub async fn addrs(&self) -> io::Result<Vec<SocketAddr>> {
        if let Some(addr) = self.addr() {
            return Ok(vec![addr]);
        }
        let found: Vec<SocketAddr> = lookup_host((self.host.as_str(), self.port)).await?.take(MAX_ADDRS).collect();
        if found.is_empty() { Err(ErrorKind::NotFound.into()) } else { Ok(found) }
    }
}

impl From<SocketAddr> for Place {
    fn from(addr: SocketAddr) -> Place {
        Place { host: addr.ip().to_string(), port: addr.port() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.addr() {
            Some(addr) => addr.fmt(f),
            None => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// The addresses of all places, for a peer that starts. Waits for a name that nobody has yet; an error if nobody gets it.
pub async fn addrs_of(places: &[Place]) -> Result<Vec<SocketAddr>, (Place, io::Error)> {
    let begun = Instant::now();
    loop {
        let (mut found, mut failed) = (Vec::new(), None);
        for place in places {
            match place.addrs().await {
                Ok(addrs) => found.extend(addrs),
                Err(error) => failed = Some((place.clone(), error)),
            }
        }
        match failed {
            Some(failed) if found.is_empty() && begun.elapsed() >= NAMED_WITHIN => return Err(failed),
            Some(_) if found.is_empty() => sleep(TRY_EVERY).await,
            Some(_) | None => return Ok(found),
        }
    }
}

/// Looks from time to time whether those who have these names are among the peer's contacts, and tells it where they are
/// if not. So a peer finds back that was cut off, or whose only neighbour began anew elsewhere.
pub async fn keep_on(places: Vec<Place>, peer: mpsc::WeakSender<(Wish, oneshot::Sender<Answer>)>, hands: Arc<Hands>) {
    let mut pause = LOOK_EVERY;
    loop {
        sleep(pause).await;
        let addrs = addrs_now(&places).await;
        let Some(view) = look(&peer).await else { return };
        pause = pause_after(pause, &view.contacts, &addrs);
        if !are_known(&view.contacts, &addrs) {
            hands.happen(Happening::Input(Input::Known(addrs))).await;
        }
    }
}

async fn addrs_now(places: &[Place]) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    for place in places {
        // Its host may be down. Then there is nobody to be asked.
        found.extend(place.addrs().await.unwrap_or_default());
    }
    found
}

fn are_known(contacts: &[Contact], addrs: &[SocketAddr]) -> bool {
    contacts.iter().any(|contact| addrs.contains(&contact.addr))
}

/// Who is alone, or whose neighbour is down, goes on looking; who has others need not ask more and more.
fn pause_after(pause: Duration, contacts: &[Contact], addrs: &[SocketAddr]) -> Duration {
    if contacts.is_empty() || addrs.is_empty() || are_known(contacts, addrs) {
        return LOOK_EVERY;
    }
    (pause * 2).min(LOOK_SELDOM)
}

/// The peer as it is now; none: it has ended. Held weakly: a peer that only its own tasks know ends.
async fn look(peer: &mpsc::WeakSender<(Wish, oneshot::Sender<Answer>)>) -> Option<View> {
    let ((looker, look), (reply, _)) = (oneshot::channel(), oneshot::channel());
    peer.upgrade()?.send((Wish::Look(looker), reply)).await.ok()?;
    look.await.ok().map(|look| look.view)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::Id;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn an_address_is_no_name_and_needs_no_looking_up() {
        for text in ["10.0.0.7:9", "[fe80::1]:9"] {
            let place = Place::from(addr(text));
            assert_eq!((place.addr(), place.to_string()), (Some(addr(text)), text.to_owned()));
            assert_eq!(place.addrs().await.unwrap(), [addr(text)]);
        }
        let named = Place { host: "localhost".to_owned(), port: 9 };
        assert_eq!((named.addr(), named.to_string()), (None, "localhost:9".to_owned()));
        assert!(named.addrs().await.unwrap().iter().all(|addr| addr.ip().is_loopback() && addr.port() == 9));
        let places = [Place { host: "nobody.invalid".to_owned(), port: 9 }, named];
        assert!(!addrs_of(&places).await.unwrap().is_empty(), "one of them is enough");
    }

    #[test]
    fn who_is_alone_looks_often_and_who_has_others_seldom() {
        let contact = |text| Contact { id: Id::ZERO, addr: addr(text) };
        let (one, other) = (contact("10.0.0.1:9"), contact("10.0.0.2:9"));
        let after = |contacts: &[Contact], addrs: &[SocketAddr]| pause_after(LOOK_EVERY * 2, contacts, addrs);
        assert_eq!(after(&[], &[one.addr]), LOOK_EVERY);
        assert_eq!(after(&[other], &[]), LOOK_EVERY);
        assert_eq!(after(&[other, one], &[one.addr]), LOOK_EVERY);
        assert_eq!(after(&[other], &[one.addr]), LOOK_EVERY * 4);
        let longest = (0..20).fold(LOOK_EVERY, |pause, _| pause_after(pause, &[other], &[one.addr]));
        assert_eq!(longest, LOOK_SELDOM);
    }
}
