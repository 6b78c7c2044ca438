//! What a service manager is told: that the peer is ready, and that it is going. One datagram each, as sd_notify(3) has it.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// Who started us, if it wants to know how we are.
pub struct Manager(Option<UnixDatagram>);

impl Manager {
    /// The one that `$NOTIFY_SOCKET` names: a path, or behind `@` a name without one. Nobody, where it cannot be reached.
    pub fn found() -> Manager {
        Manager(env::var_os("NOTIFY_SOCKET").and_then(|name| connected(&name).ok()))
    }

    /// The peer is a member of its network.
    pub fn ready(&self) {
        self.say("READY=1\n");
    }

    /// It is leaving, or gone. May be said more than once.
    pub fn stopping(&self) {
        self.say("STOPPING=1\n");
    }

    fn say(&self, word: &str) {
        if let Some(socket) = &self.0 {
            // A manager that does not listen loses by it, and nobody else.
            let _ = socket.send(word.as_bytes());
        }
    }
}

fn connected(name: &OsStr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    // Not a moment is lost to a manager that does not read.
    socket.set_nonblocking(true)?;
    match name.as_bytes().split_first() {
        Some((b'@', name)) => connect_without_path(&socket, name)?,
        Some(_) | None => socket.connect(Path::new(name))?,
    }
    Ok(socket)
}

#[cfg(target_os = "linux")]
fn connect_without_path(socket: &UnixDatagram, name: &[u8]) -> io::Result<()> {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::SocketAddr;
    socket.connect_addr(&SocketAddr::from_abstract_name(name)?)
}

/// Only Linux has such names.
#[cfg(not(target_os = "linux"))]
fn connect_without_path(_socket: &UnixDatagram, _name: &[u8]) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 100];
        let len = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..len].to_vec()).unwrap()
    }

    #[test]
    fn a_manager_hears_each_word_in_a_datagram_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let listening = UnixDatagram::bind(&path).unwrap();
        let manager = Manager(Some(connected(path.as_os_str()).unwrap()));
        manager.ready();
        manager.stopping();
        assert_eq!([heard(&listening), heard(&listening)], ["READY=1\n", "STOPPING=1\n"]);
        drop(listening);
        manager.stopping();
        assert!(connected(dir.path().join("nobody").as_os_str()).is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_manager_may_have_a_name_without_a_path() {
        use std::os::linux::net::SocketAddrExt as _;
        use std::os::unix::net::SocketAddr;
        let name = format!("p2p-test-{}", std::process::id());
        let listening = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        Manager(Some(connected(OsStr::new(&format!("@{name}"))).unwrap())).ready();
        assert_eq!(heard(&listening), "READY=1\n");
    }
}
