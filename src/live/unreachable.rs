//! What the system is told about datagrams that could not be delivered (ICMP). Only Linux says so to a socket that talks
//! to many; elsewhere silence must do.

#[cfg(target_os = "linux")]
pub use linux::{next, want};
#[cfg(not(target_os = "linux"))]
pub use others::{next, want};

#[cfg(target_os = "linux")]
mod linux {
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
    use nix::{cmsg_space, libc};
    use std::io::{self, IoSliceMut};
    use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
    use std::os::fd::{AsFd, AsRawFd};

    /// Asks for the errors of a socket that is, or will be, bound to `addr`.
    pub fn want(socket: &impl AsFd, addr: SocketAddr) -> io::Result<()> {
        match addr {
            SocketAddr::V4(_) => setsockopt(socket, sockopt::Ipv4RecvErr, &true)?,
            SocketAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvErr, &true)?,
        }
        Ok(())
    }

    /// Takes the next error of the socket: to whom the datagram was addressed, if it says that nobody is there.
    pub fn next(socket: &impl AsRawFd) -> io::Result<Option<SocketAddr>> {
        let mut space = cmsg_space!(libc::sock_extended_err, libc::sockaddr_in6);
        // The datagram itself comes too, and is of no interest.
        let mut room = [IoSliceMut::new(&mut [])];
        let message =
            recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut room, Some(&mut space), MsgFlags::MSG_ERRQUEUE)?;
        let says_so = message.cmsgs()?.any(|note| match note {
            ControlMessageOwned::Ipv4RecvErr(error, _) | ControlMessageOwned::Ipv6RecvErr(error, _) => is_end(&error),
            _ => false,
        });
        Ok(message.address.filter(|_| says_so).as_ref().and_then(address))
    }

    /// It came from the network, and no later datagram will do better.
    fn is_end(error: &libc::sock_extended_err) -> bool {
        let from_network = matches!(error.ee_origin, libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6);
        let errno = libc::c_int::try_from(error.ee_errno).unwrap_or(0);
        from_network && matches!(errno, libc::ECONNREFUSED | libc::EHOSTUNREACH | libc::ENETUNREACH)
    }

    fn address(address: &SockaddrStorage) -> Option<SocketAddr> {
        let v4 = address.as_sockaddr_in().map(|found| SocketAddrV4::from(*found).into());
        v4.or_else(|| address.as_sockaddr_in6().map(|found| SocketAddrV6::from(*found).into()))
    }
}

#[cfg(not(target_os = "linux"))]
mod others {
    use std::io;
    use std::net::SocketAddr;

    /// There is nothing to ask for.
    pub fn want<T>(_socket: &T, _addr: SocketAddr) -> io::Result<()> {
        Ok(())
    }

    /// Nothing is ever said.
    pub fn next<T>(_socket: &T) -> io::Result<Option<SocketAddr>> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}
