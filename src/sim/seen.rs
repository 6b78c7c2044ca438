//! What can be seen of a made-up network from outside.

use super::*;

impl World {
    /// One ring: everybody's first successor and predecessor are the right ones.
    pub fn check_closed(&self) -> Result<(), String> {
        self.checks.lists(&self.hosts, 1)
    }

    /// One ring, and everybody's whole list is as it should be.
    pub fn check_ideal(&self) -> Result<(), String> {
        self.checks.lists(&self.hosts, usize::MAX)
    }

    /// The running member that owns a place, or is the nearest to it in Kademlia.
    pub fn owner(&self, place: Id) -> Option<PeerIndex> {
        match self.kind {
            Kind::Ring(_) => self.checks.owner(place),
            Kind::Kademlia(_) => self.checks.nearest(place),
        }
    }

    /// Who a peer is.
    pub fn id(&self, at: PeerIndex) -> Id {
        self.hosts[at].id
    }

    /// It runs and is a member.
    pub fn is_member(&self, at: PeerIndex) -> bool {
        self.checks.is_member(self.hosts[at].id, at)
    }

    /// Where a name belongs in this network.
    pub fn place(&self, name: &str) -> Id {
        self.kind.naming(self.naming).place(&FileName::parse(name).expect("a simulated file has a good name"))
    }

    /// From now on a peer does not answer as it should.
    pub fn turn(&mut self, at: PeerIndex, malice: Malice) {
        self.hosts[at].malice = Some(malice);
    }

    /// It does not run any more.
    pub fn is_dead(&self, at: PeerIndex) -> bool {
        self.hosts[at].state == State::Dead
    }

    /// How many inputs a peer has handled.
    pub fn handled(&self, at: PeerIndex) -> u64 {
        self.hosts[at].handled
    }

    /// The bytes of a copy are not what they were.
    pub fn damage(&mut self, at: PeerIndex, content: Content) {
        self.hosts[at].disk.damage(content);
    }

    /// The versions that a peer's disk holds of a name, the highest first.
    pub fn versions(&self, at: PeerIndex, name: &str) -> Vec<Manifest> {
        let key = FileName::parse(name).expect("a simulated file has a good name").key();
        self.hosts[at].disk.versions(key).cloned().collect()
    }

    /// How many running peers have this content on their disk under this name.
    pub fn copies(&self, name: &str, content: Content) -> usize {
        let key = FileName::parse(name).expect("a simulated file has a good name").key();
        let running = self.hosts.iter().filter(|host| host.state != State::Dead);
        running.filter(|host| host.disk.serves(key, &content)).count()
    }
}
