//! Datagrams that arrive: answers find their questions, questions get answers.

use super::liveness::Proof;
use super::*;
use crate::ground::krpc::{self, BadMessage, Body, Errand, MAX_NODES, Ping, Program, Refusal, Want};
use crate::ground::{FileName, address_id};
use crate::overlay::{Geometry, Near};

/// Most questions that wait for a look into the working folder. More are answered "not here".
const MAX_LOOKS: usize = 64;

/// A request that waits for a look into the working folder.
pub(super) enum PendingLook {
    /// Somebody asked; where that is shown, so is what is found.
    Question { asker: Asking, transaction: Vec<u8>, name: FileName, shown: bool, answer: Box<krpc::Answer> },
    /// We ask ourselves.
    Errand(ErrandId),
}

/// Where a question came from, and how long it was: what an answer is measured by.
#[derive(Clone, Copy)]
pub(super) struct Asking {
    pub addr: SocketAddr,
    pub len_bytes: usize,
    /// Its address is its own (see `limits`).
    pub proven: bool,
}

/// Most ids remembered of those that take no files, apart from contacts.
const MAX_STRANGERS: usize = 4096;

/// A question, apart from what is asked.
struct Asked {
    asker: Contact,
    asking: Asking,
    program: Program,
    read_only: bool,
    leaving: bool,
    want: Want,
}

impl Peer {
    pub(super) fn receive(&mut self, now: Moment, from: SocketAddr, bytes: &[u8]) {
        if from.port() == 0 {
            // Nobody can be answered there.
            return;
        }
        let message = match Message::decode(bytes) {
            Ok(message) => message,
            Err(BadMessage::Refused { transaction, refusal }) => {
                let asking = Asking { addr: from, len_bytes: bytes.len(), proven: self.is_proven(from) };
                if self.gate.admits(now, from, asking.proven) && !self.read_only {
                    self.reply(now, asking, transaction, Body::Refusal(refusal), false);
                }
                return;
            }
            Err(_) => return,
        };
        match message.body {
            Body::Question { from: id, read_only, want, question } => {
                let asking = Asking { addr: from, len_bytes: bytes.len(), proven: self.is_proven(from) };
                if self.gate.admits(now, from, asking.proven) && !self.read_only {
                    let addr = address::whereabouts(from, message.reached_at);
                    let (asker, program) = (Contact { id, addr }, message.program);
                    let asked = Asked { asker, asking, program, read_only, leaving: message.leaving, want };
                    self.receive_question(now, asked, message.transaction, question);
                }
            }
            Body::Answer { from: id, seen_at, answer } => {
                let Some(closed) = self.rpc.answered(now, from, &message.transaction, Some(id)) else { return };
                let seen = Contact { id, addr: from };
                let contact = Contact { id, addr: address::whereabouts(from, message.reached_at) };
                let proof = match (closed.as_expected, message.leaving) {
                    (false, _) => Proof::SomebodyElse { instead_of: closed.expected },
                    (true, true) => Proof::Leaving,
                    (true, false) => Proof::Alive,
                };
                if closed.as_expected {
                    self.note_program(id, message.program);
                    seen_at.into_iter().for_each(|seen_at| self.seen_at(now, from, seen_at));
                }
                if closed.as_expected && contact != seen {
                    self.is_reached_elsewhere(now, seen, contact, &closed.why);
                } else {
                    self.proof_of_life(now, seen, proof);
                }
                if closed.as_expected {
                    self.receive_answer(now, contact, message.program, closed.why, answer);
                } else {
                    self.silent(now, closed.why);
                }
            }
            Body::Refusal(refusal) => {
                if let Some(closed) = self.rpc.answered(now, from, &message.transaction, None) {
                    self.refused(now, closed.why, refusal);
                }
            }
        }
    }

    /// Takes note of who takes files, and who does not.
    fn note_program(&mut self, id: Id, program: Program) {
        if program == Program::Keeper {
            self.strangers.remove(&id);
        } else if self.strangers.insert(id) && self.strangers.len() > MAX_STRANGERS {
            let known: BTreeSet<Id> = self.overlay.contacts().iter().map(|contact| contact.id).collect();
            self.strangers.retain(|stranger| *stranger == id || known.contains(stranger));
        }
    }

    fn receive_question(&mut self, now: Moment, asked: Asked, transaction: Vec<u8>, question: Question) {
        let Asked { asker, asking, program, read_only, leaving, want } = asked;
        if asker.id == self.me.id
            && let Some(why) = self.rpc.came_back(&transaction)
        {
            // Somebody remembers us at an address that we do not know to be ours.
            return self.silent(now, why);
        }
        let heard_once = question.is_heard_once();
        if heard_once && let Some(answer) = self.rpc.given_before(asking.addr, &transaction) {
            let bytes = answer.clone();
            return self.send_answer(asking, bytes);
        }
        // A question is a notice too. Neither is believed before its sender was asked back.
        let curious = match leaving {
            true => self.overlay.contact(asker.id) == Some(asker),
            false => !read_only && self.overlay.heard_of(asker),
        };
        if curious && self.standing == Standing::Member {
            self.verify(now, asker);
        }
        let answer = match question {
            // An answer would make us a contact of whoever has heard of us.
            Question::Ping(_) if self.standing == Standing::Joining && self.overlay.geometry() == Geometry::Ring => {
                Err(Refusal::busy())
            }
            Question::Ping(ping) => self.answer_ping(now, asker, ping, read_only),
            _ if self.standing == Standing::Joining => Err(Refusal::busy()),
            Question::FindNode {
                target,
                errand: Some(Errand::Store(ref name) | Errand::Request(ref name) | Errand::Find(ref name)),
            } if self.standing == Standing::Member
                && !self.overlay.knows_its_range(now)
                && self.overlay.owns(target)
                && self.shelf.named(name).is_none() =>
            {
                // It will be asked again, and know then: whoever else is before us makes our range smaller, not larger.
                // Who holds the file says so at once: others may have died.
                return self.ask_for_our_range(now);
            }
            Question::FindNode { target, errand } => {
                if target == asker.id && !read_only && self.overlay.contact(asker.id) == Some(asker) {
                    let between = self.overlay.contradict(now, asker.id);
                    between.into_iter().for_each(|contact| self.verify(now, contact));
                }
                let joins = read_only && target == asker.id;
                let answer = self.answer_find_node(asker, target, errand.as_ref(), joins, want);
                match errand {
                    Some(Errand::Request(_) | Errand::Find(_))
                        if self.is_being_looked_for(asking.addr, &transaction) =>
                    {
                        return;
                    }
                    Some(Errand::Request(ref name) | Errand::Find(ref name)) if self.worth_a_look(name, &answer) => {
                        let shown = matches!(errand, Some(Errand::Request(_)));
                        let (name, answer) = (name.clone(), Box::new(answer));
                        let question =
                            PendingLook::Question { asker: asking, transaction, name: name.clone(), shown, answer };
                        return self.look(name, question);
                    }
                    Some(Errand::Request(name)) => {
                        self.tell_request(name, &answer);
                        Ok(answer)
                    }
                    _ => Ok(answer),
                }
            }
            Question::Holds(files) => Ok(self.answer_holds(&files)),
            Question::Digest(range) => Ok(self.answer_digest(asker.id, &range)),
            Question::Mend(files) => {
                self.mend(now, &files);
                Ok(krpc::Answer::default())
            }
            Question::Remember(files) => {
                files.into_iter().for_each(|file| self.known.remember(file));
                Ok(krpc::Answer::default())
            }
            Question::GetPeers { info_hash, scrape } => {
                Ok(self.answer_get_peers(now, asking.addr, program, info_hash, scrape, want))
            }
            Question::AnnouncePeer(said) => self.answer_announce(now, asking.addr, asker, &said),
            Question::Get { target, seq } => Ok(self.answer_get(now, asking.addr, target, seq, want)),
            Question::Put(offer) => self.answer_put(now, asking.addr, &offer),
            Question::SampleInfohashes { target } => Ok(self.answer_sample(now, asking.addr, target, want)),
        };
        let generous = self.gate.is_generous(now, asking.addr, asking.proven);
        let body = match answer {
            Ok(mut answer) if !generous => {
                answer.make_lean();
                Body::Answer { from: self.me.id, seen_at: None, answer }
            }
            Ok(answer) => Body::Answer { from: self.me.id, seen_at: None, answer },
            Err(refusal) => Body::Refusal(refusal),
        };
        self.reply(now, asking, transaction, body, heard_once);
    }

    pub(super) fn send_answer(&mut self, to: Asking, bytes: Vec<u8>) {
        self.gate.charge(to.addr, to.proven, to.len_bytes, bytes.len());
        self.out.push_back(Output::Send { to: to.addr, bytes });
    }

    /// It has answered us not long ago: nobody forged its address. Where that is not counted, nobody is looked up.
    pub(super) fn is_proven(&self, addr: SocketAddr) -> bool {
        address_id::is_exempt(addr.ip()) || self.rpc.expected(addr).is_some()
    }

    fn answer_ping(
        &mut self,
        now: Moment,
        asker: Contact,
        ping: Ping,
        read_only: bool,
    ) -> Result<krpc::Answer, Refusal> {
        match ping {
            Ping::Shown if self.standing == Standing::Member && !read_only => self.news(News::PingReceived(asker.id)),
            Ping::Moved if self.overlay.shown().first() == Some(&asker) => {
                self.news(News::SuccessorChangeReceived);
                self.consult(now, asker);
            }
            Ping::Lost(id) => {
                if let Some(contact) =
                    self.overlay.contact(id).filter(|_| self.overlay.contact(asker.id) == Some(asker))
                {
                    self.told_dead(now, contact);
                }
            }
            Ping::Quiet | Ping::Shown | Ping::Moved => {}
        }
        self.asked_back(asker);
        // Who is no member yet may be about to join.
        let network = read_only.then(|| self.network());
        Ok(krpc::Answer { network, ..krpc::Answer::default() })
    }

    fn answer_find_node(
        &mut self,
        asker: Contact,
        target: Id,
        errand: Option<&Errand>,
        joins: bool,
        want: Want,
    ) -> krpc::Answer {
        if self.overlay.geometry() != Geometry::Ring {
            return krpc::Answer { nodes: self.name(asker.addr, target, want), ..krpc::Answer::default() };
        }
        let own = self.standing == Standing::Member && self.overlay.owns(target);
        let arrived = match errand {
            None => true,
            Some(Errand::Join) => self.answer_join(asker, own),
            Some(Errand::Store(name)) => {
                self.news(if own { News::StoreAccepted(name.clone()) } else { News::StoreForwarded(name.clone()) });
                own
            }
            Some(Errand::Request(_) | Errand::Find(_)) => own,
        };
        let files = match errand {
            Some(Errand::Store(name) | Errand::Request(name) | Errand::Find(name)) => {
                self.shelf.named(name).into_iter().collect()
            }
            Some(Errand::Join) | None => Vec::new(),
        };
        let hop = if arrived { None } else { self.overlay.next_hop() };
        let near = match hop {
            Some(contacts) => Near { contacts, ..Near::default() },
            None if joins => self.overlay.near_newcomer(target, MAX_NODES),
            None => self.overlay.near(target, MAX_NODES),
        };
        let Near { contacts: nodes, gapless, everybody } = near.without(|contact| *contact == asker);
        krpc::Answer { nodes, gapless, everybody, own, files, ..krpc::Answer::default() }
    }

    /// A joining peer asks for its place. The search ends at who is just before it; the next after it hears of it too.
    fn answer_join(&mut self, joiner: Contact, own: bool) -> bool {
        if self.overlay.geometry() != Geometry::Ring {
            return true;
        }
        let after_me = self.overlay.precedes(joiner.id);
        if after_me {
            self.news(News::JoinReceived(joiner.id));
        } else if !own {
            self.news(News::JoinForwarded(joiner.id));
        }
        after_me || own
    }

    /// The assignment's files may lie in the owner's working folder though nobody stored them.
    fn worth_a_look(&self, name: &FileName, answer: &krpc::Answer) -> bool {
        answer.own && answer.files.is_empty() && name.four_digits().is_some() && self.looks.len() < MAX_LOOKS
    }

    /// The same question was asked before, and is answered when the look is over.
    fn is_being_looked_for(&self, from: SocketAddr, question: &[u8]) -> bool {
        self.looks.values().any(|look| match look {
            PendingLook::Question { asker, transaction, .. } => asker.addr == from && transaction == question,
            PendingLook::Errand(_) => false,
        })
    }

    fn tell_request(&mut self, name: FileName, answer: &krpc::Answer) {
        let here = !answer.files.is_empty() || answer.lying;
        match (here, answer.own) {
            (true, true) => self.news(News::FileHere(name)),
            (false, _) => self.news(News::NotHere(name)),
            // A keeper on the way has it too: nothing to tell before somebody wants it from here.
            (true, false) => {}
        }
    }

    /// Looks into our working folder.
    pub(super) fn look(&mut self, name: FileName, waiting: PendingLook) {
        let ticket = self.fresh_ticket();
        self.out.push_back(Output::Look { ticket, name });
        self.looks.insert(ticket, waiting);
    }

    pub(super) fn looked(&mut self, now: Moment, ticket: Ticket, found: bool) {
        match self.looks.remove(&ticket) {
            Some(PendingLook::Question { asker, transaction, name, shown, mut answer }) => {
                answer.lying = found;
                if shown {
                    self.tell_request(name, &answer);
                }
                let body = Body::Answer { from: self.me.id, seen_at: None, answer: *answer };
                self.reply(now, asker, transaction, body, true);
            }
            Some(PendingLook::Errand(errand)) => self.errand_looked(now, errand, found),
            None => {}
        }
    }
}
