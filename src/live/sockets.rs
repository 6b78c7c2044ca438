//! The UDP sockets of one peer: one, or one of each family at the same port.

use super::unreachable;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, setsockopt, socket, sockopt};
use std::io;
use std::net::{self, SocketAddr};
use std::os::fd::{AsFd, AsRawFd as _};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// What the system may hold for us while we are at something else: several thousand datagrams, a burst of answers.
/// Guess. The system may give less.
const BUFFER_BYTES: usize = 4 << 20;

/// How often a port is chosen by the system until it is free in both families.
const PORT_TRIES: usize = 20;

/// Most errors that are read at once. Guess: there are seldom more than questions under way.
const ERRORS_A_TURN: usize = 64;

/// Sockets that are bound, and not yet used by any runtime.
pub struct Bound {
    first: net::UdpSocket,
    also: Option<net::UdpSocket>,
}

/// Sockets in use.
pub struct Sockets {
    first: UdpSocket,
    also: Option<UdpSocket>,
    first_is_v4: bool,
}

impl Bound {
    /// Listens at `addr` and, in the other family, at `also`. Where the first one's port is 0, the system chooses it; the
    /// port of `also` is always the first one's. A machine without the other family does with one.
    pub fn at(addr: SocketAddr, also: Option<SocketAddr>) -> io::Result<Bound> {
        let tries = if addr.port() == 0 { PORT_TRIES } else { 1 };
        for last in (0..tries).map(|at| at + 1 == tries) {
            let first = open(addr)?;
            let port = first.local_addr()?.port();
            match also.map(|also| open(SocketAddr::new(also.ip(), port))).transpose() {
                Ok(also) => return Ok(Bound { first, also }),
                Err(error) if is_family_missing(&error) => return Ok(Bound { first, also: None }),
                Err(error) if last || error.kind() != io::ErrorKind::AddrInUse => return Err(error),
                Err(_) => {}
            }
        }
        unreachable!("the last try returns")
    }

    /// Where they listen.
    pub fn addrs(&self) -> io::Result<Vec<SocketAddr>> {
        [Some(&self.first), self.also.as_ref()].into_iter().flatten().map(net::UdpSocket::local_addr).collect()
    }
}

/// The machine does not have this family, or no address of it.
pub fn is_family_missing(error: &io::Error) -> bool {
    // EAFNOSUPPORT has no kind of its own.
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(nix::libc::EAFNOSUPPORT)
}

/// Lets this process have so many files and sockets open, as far as it may.
pub fn allow_handles(wanted: u64) {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < wanted.min(hard)
    {
        // Whoever then needs more is told that there are none left.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, wanted.min(hard), hard);
    }
}

fn open(addr: SocketAddr) -> io::Result<net::UdpSocket> {
    let family = if addr.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
    only_own_family(&fd, addr)?;
    unreachable::want(&fd, addr)?;
    let _ = setsockopt(&fd, sockopt::RcvBuf, &BUFFER_BYTES);
    bind(fd.as_raw_fd(), &SockaddrStorage::from(addr))?;
    Ok(fd.into())
}

/// Keeps an IPv6 socket from taking the IPv4 port too.
pub fn only_own_family(socket: &impl AsFd, addr: SocketAddr) -> io::Result<()> {
    if addr.is_ipv6() { Ok(setsockopt(socket, sockopt::Ipv6V6Only, &true)?) } else { Ok(()) }
}

impl Sockets {
    /// Gives the sockets to the current runtime.
    pub fn new(bound: Bound) -> io::Result<Sockets> {
        let first_is_v4 = bound.first.local_addr()?.is_ipv4();
        let also = bound.also.map(UdpSocket::from_std).transpose()?;
        Ok(Sockets { first: UdpSocket::from_std(bound.first)?, also, first_is_v4 })
    }

    /// Resolves when the sockets take what is sent. Before this, sending would be refused.
    pub async fn writable(&self) -> io::Result<()> {
        self.first.writable().await?;
        match &self.also {
            Some(also) => also.writable().await,
            None => Ok(()),
        }
    }

    /// Resolves when there is something to be read, or an error.
    pub async fn stir(&self) -> io::Result<()> {
        let Some(also) = &self.also else { return stir(&self.first).await };
        tokio::select! {
            stirred = stir(&self.first) => stirred,
            stirred = stir(also) => stirred,
        }
    }

    /// Sends a datagram from the socket of its family. An address that the system knows no way to is an error; that a
    /// full buffer loses the datagram, as any link may, is none.
    pub fn send(&self, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        let other = || self.also.as_ref().ok_or(io::ErrorKind::NetworkUnreachable);
        let socket = if to.is_ipv4() == self.first_is_v4 { &self.first } else { other()? };
        let sent = match socket.try_send_to(bytes, to) {
            // That was the word about an earlier one, which came back; this one has not been sent.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => socket.try_send_to(bytes, to),
            sent => sent,
        };
        match sent {
            Err(error) if is_hopeless(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Reads datagrams that are waiting, up to `most` of each family: a flood in one does not silence the other. True:
    /// there may be more.
    pub fn read(&self, buffer: &mut [u8], most: usize, mut each: impl FnMut(SocketAddr, &[u8])) -> bool {
        let mut more = false;
        for socket in self.each() {
            let mut read_one = || match socket.try_recv_from(buffer) {
                Ok((len, from)) => {
                    each(from, &buffer[..len]);
                    true
                }
                // Else some datagram of ours came back: `unreachable` tells which.
                Err(error) => error.kind() != io::ErrorKind::WouldBlock,
            };
            more |= (0..most).all(|_| read_one());
        }
        more
    }

    /// Addresses at which, the system says, nobody listens.
    pub fn unreachable(&self) -> Vec<SocketAddr> {
        let mut found = Vec::new();
        for socket in self.each() {
            for _ in 0..ERRORS_A_TURN {
                // No system call, while there is no error.
                match socket.try_io(Interest::ERROR, || unreachable::next(socket)) {
                    Ok(addr) => found.extend(addr),
                    Err(_) => break,
                }
            }
        }
        found
    }

    fn each(&self) -> impl Iterator<Item = &UdpSocket> {
        [Some(&self.first), self.also.as_ref()].into_iter().flatten()
    }
}

async fn stir(socket: &UdpSocket) -> io::Result<()> {
    socket.ready(Interest::READABLE | Interest::ERROR).await.map(|_| ())
}

/// No later datagram to this address will do better.
fn is_hopeless(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::runtime;
    use std::time::Duration;
    use tokio::time::timeout;

    const SOON: Duration = Duration::from_secs(5);

    fn sockets(addr: &str, also: Option<&str>) -> (Sockets, Vec<SocketAddr>) {
        let bound = Bound::at(addr.parse().unwrap(), also.map(|also| also.parse().unwrap())).unwrap();
        let addrs = bound.addrs().unwrap();
        (Sockets::new(bound).unwrap(), addrs)
    }

    async fn heard(sockets: &Sockets) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut heard = Vec::new();
        while heard.is_empty() {
            timeout(SOON, sockets.stir()).await.expect("something comes").unwrap();
            sockets.read(&mut [0; 100], 10, |from, bytes| heard.push((from, bytes.to_vec())));
        }
        heard
    }

    #[test]
    fn both_families_share_a_port_and_the_address_chooses_the_socket() {
        runtime().unwrap().block_on(async {
            let (both, addrs) = sockets("0.0.0.0:0", Some("[::]:0"));
            assert_eq!(addrs[0].port(), addrs[1].port());
            for own in ["127.0.0.1:0", "[::1]:0"] {
                let (other, own) = sockets(own, None);
                let there = SocketAddr::new(own[0].ip(), addrs[0].port());
                other.writable().await.unwrap();
                both.writable().await.unwrap();
                other.send(there, b"hello").unwrap();
                assert_eq!(heard(&both).await, [(own[0], b"hello".to_vec())]);
                both.send(own[0], b"and back").unwrap();
                assert_eq!(heard(&other).await, [(there, b"and back".to_vec())]);
            }
            let (v4, _) = sockets("127.0.0.1:0", None);
            assert!(v4.send("[::1]:9".parse().unwrap(), b"x").is_err());
        });
    }

    #[test]
    fn a_flood_in_one_family_does_not_silence_the_other() {
        runtime().unwrap().block_on(async {
            let (both, addrs) = sockets("127.0.0.1:0", Some("[::1]:0"));
            let (many, _) = sockets("127.0.0.1:0", None);
            let (one, own) = sockets("[::1]:0", None);
            many.writable().await.unwrap();
            one.writable().await.unwrap();
            one.send(addrs[1], b"hello").unwrap();
            (0..20).for_each(|_| many.send(addrs[0], b"flood").unwrap());
            let mut from = Vec::new();
            both.first.readable().await.unwrap();
            both.also.as_ref().unwrap().readable().await.unwrap();
            assert!(both.read(&mut [0; 100], 10, |at, _| from.push(at)), "there are more");
            assert!(from.contains(&own[0]), "{from:?}");
        });
    }

    #[test]
    fn a_taken_port_is_told() {
        let taken = Bound::at("127.0.0.1:0".parse().unwrap(), None).unwrap();
        let again = Bound::at(taken.addrs().unwrap()[0], None);
        assert_eq!(again.err().unwrap().kind(), io::ErrorKind::AddrInUse);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_closed_port_is_heard_of_and_no_datagram_is_lost_to_the_news() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            runtime().unwrap().block_on(async {
                let (asker, _) = sockets(host, None);
                let (living, living_at) = sockets(host, None);
                // Its port stays its own, and it hears one other alone: for all others nobody listens there.
                let taken = net::UdpSocket::bind(host).unwrap();
                let closed = taken.local_addr().unwrap();
                taken.connect(SocketAddr::new(closed.ip(), 9)).unwrap();
                asker.writable().await.unwrap();
                for _ in 0..100 {
                    asker.send(closed, b"anybody?").unwrap();
                    asker.send(living_at[0], b"hello").unwrap();
                }
                let mut found = Vec::new();
                while found.len() < 100 {
                    timeout(SOON, asker.stir()).await.expect("the system says so").unwrap();
                    asker.read(&mut [0; 100], 10, |_, _| panic!("nobody sent anything"));
                    found.extend(asker.unreachable());
                }
                assert!(found.iter().all(|addr| *addr == closed), "{found:?}");
                // Now it is quiet: waiting does not spin.
                let quiet = timeout(Duration::from_millis(50), asker.stir()).await;
                assert!(quiet.is_err(), "{quiet:?}");
                let mut count = 0;
                while count < 100 {
                    count += heard(&living).await.len();
                }
            });
        }
    }
}
