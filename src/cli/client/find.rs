//! Which of the running peers is meant.

use crate::web::schema::{Code, Trouble};
use crate::web::{self, Plate};
use std::net::SocketAddr;

/// The peer that somebody means by these words; the only one, where there are none.
pub async fn find(who: Option<&str>) -> Result<Plate, Trouble> {
    let mut running = web::running().await.map_err(|error| Trouble::new(Code::NoPeer, error))?;
    if running.is_empty() {
        let hint = "start one: p2p init 2, or p2p join 15 HOST:PORT";
        return Err(Trouble::new(Code::NoPeer, "no peer runs on this machine").hint(hint));
    }
    let all = list(&running);
    running.retain(|plate| who.is_none_or(|who| is_meant(who, plate)));
    match (running.len(), who) {
        (1, _) => Ok(running.remove(0)),
        (0, Some(who)) => Err(no_peer(format!("no peer {who} runs on this machine"), all)),
        (_, Some(who)) => Err(no_peer(format!("{who} may be several of the peers that run on this machine"), all)),
        (_, None) => Err(no_peer("several peers run on this machine: say which one with --peer".to_owned(), all)),
    }
}

fn no_peer(message: String, running: Vec<String>) -> Trouble {
    Trouble { cause: running, ..Trouble::new(Code::NoPeer, message) }
}

/// One line for each.
fn list(running: &[Plate]) -> Vec<String> {
    running.iter().map(web::described).collect()
}

/// By its name, its id or as much of it as its name has, its address, or its port.
fn is_meant(who: &str, plate: &Plate) -> bool {
    let id = plate.id.to_string();
    let by_id = who.len() >= plate.name.len().max(8) && id.starts_with(&who.to_ascii_lowercase());
    let by_addr = who.parse().is_ok_and(|addr: SocketAddr| {
        let is = |own: &SocketAddr| *own == addr || own.ip().is_unspecified() && own.port() == addr.port();
        plate.addrs.iter().any(is)
    });
    let by_port = who.trim_start_matches(':').parse().is_ok_and(|port: u16| {
        // Numbers up to here are names of peers.
        port > u16::from(u8::MAX) && plate.addrs.iter().any(|own| own.port() == port)
    });
    who == plate.name || by_id || by_addr || by_port
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::schema::{Hex, Mode, NamingMode};

    fn plate(name: &str, id: [u8; 20], addr: &str) -> Plate {
        Plate {
            name: name.to_owned(),
            id: Hex(id),
            addrs: vec![addr.parse().unwrap()],
            mode: Mode::Ring,
            naming: NamingMode::Numbered,
            pid: 71,
            socket: "/run/71.sock".into(),
            http: None,
            token: None,
        }
    }

    #[test]
    fn a_peer_is_meant_by_name_address_port_and_the_beginning_of_its_id() {
        let four = plate("4", [0; 20], "127.0.0.1:12004");
        for who in ["4", "127.0.0.1:12004", "12004", ":12004"] {
            assert!(is_meant(who, &four), "{who}");
        }
        for who in ["04", "5", "127.0.0.1:12005", "10.0.0.1:12004", "12", "", "000"] {
            assert!(!is_meant(who, &four), "{who}");
        }
        let hashed = plate("abababab", [0xab; 20], "0.0.0.0:7000");
        for who in ["abababab", "ABABABABab", "127.0.0.1:7000", "7000"] {
            assert!(is_meant(who, &hashed), "{who}");
        }
        assert!(!is_meant("ababab", &hashed));
    }

    #[test]
    fn the_list_names_what_tells_peers_apart() {
        assert_eq!(
            web::described(&plate("4", [0; 20], "127.0.0.1:12004")),
            "peer 4  ring  127.0.0.1:12004  process 71"
        );
    }
}
