//! Commands that come before their time, and the end of all that have not ended.

use super::*;

/// Most commands that wait for a network whose peers have just started.
const MAX_WAITING: usize = 256;

impl Peer {
    /// Keeps a command for when it is known what is ours to keep. Gives it back if it need not wait.
    pub(super) fn let_wait(&mut self, now: Moment, ticket: Ticket, command: Command) -> Option<Command> {
        let member = self.standing == Standing::Member && self.leaving.is_none();
        let waits = member && command.is_about_places() && !self.overlay.knows_its_range(now);
        if waits && self.waiting.len() < MAX_WAITING {
            self.waiting.push((ticket, command));
            self.ask_for_our_range(now);
            return None;
        }
        Some(command)
    }

    /// Somebody waits until it is known what is ours: whoever seems to be before us is asked whether somebody is between,
    /// whoever comes after us who follows. In Kademlia a lookup is under way that tells.
    pub(super) fn ask_for_our_range(&mut self, now: Moment) {
        if self.overlay.geometry() != Geometry::Ring {
            return;
        }
        let neighbours: BTreeSet<Contact> = self.overlay.watcher().into_iter().chain(self.overlay.shown()).collect();
        for neighbour in neighbours {
            let asked = |why: &Why| matches!(why, Why::Consult(contact) if *contact == neighbour);
            if !self.rpc.reasons().any(asked) {
                self.consult(now, neighbour);
            }
        }
    }

    pub(super) fn start_waiting(&mut self, now: Moment) {
        if !self.waiting.is_empty() && self.overlay.knows_its_range(now) {
            for (ticket, command) in std::mem::take(&mut self.waiting) {
                self.command(now, ticket, command);
            }
        }
    }

    /// Ends all commands that have not ended yet.
    pub(super) fn fail_commands(&mut self, reason: &str) {
        for (ticket, command) in std::mem::take(&mut self.waiting) {
            let reason = reason.to_owned();
            self.answer(
                ticket,
                match command {
                    Command::Store { name, .. }
                    | Command::Request { name, .. }
                    | Command::Remove { name }
                    | Command::Inspect { name, .. }
                    | Command::Trace { name, .. } => Answer::Failed { name, reason },
                    _ => Answer::Unable(reason),
                },
            );
        }
        self.fail_errands(reason);
        self.fail_listings(reason);
        self.fail_lookups(reason);
        self.fail_pings(reason);
        self.fail_walks(reason);
    }
}
