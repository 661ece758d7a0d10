//! The transactions of one node, and the rules by which messages find theirs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::sip::timers::Timing;
use crate::time::{Deadlines, Instant};
use crate::wire::sip::{Message, Method};

use super::{ClientInvite, ClientNonInvite, Effect, Effects, Machine, ServerInvite, ServerNonInvite, TransactionId};

/// The transactions of one node.
///
/// A transaction that ended stays readable until [`Transactions::sweep`], so that a user who is
/// told its end can still look at its request.
#[derive(Debug)]
pub struct Transactions {
    timing: Timing,
    next: u32,
    machines: BTreeMap<TransactionId, AnyMachine>,
    clients: Matches<ClientKey>,
    servers: Matches<ServerKey>,
    deadlines: Deadlines<TransactionId>,
    effects: VecDeque<(TransactionId, Effect)>,
    ended: BTreeSet<TransactionId>,
}

/// What a received request is to the transactions there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reception {
    /// A new transaction was created for it.
    New(TransactionId),
    /// It belongs to a transaction, which dealt with it.
    Absorbed(TransactionId),
    /// An ACK that no transaction knows: the ACK to a 2xx.
    Ack,
}

/// RFC 3261 17.1.3: the branch of the topmost Via and the method of CSeq.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct ClientKey {
    branch: String,
    method: Method,
}

/// RFC 3261 17.2.3: branch, sent-by, and the method with ACK counted as INVITE.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct ServerKey {
    branch: String,
    /// Host and port of the topmost Via.
    sent_by: (String, u16),
    method: Method,
}

/// Which transaction a message of this key belongs to, and the key of each, which was read once from
/// the message that started it.
#[derive(Debug)]
struct Matches<K> {
    ids: BTreeMap<Arc<K>, TransactionId>,
    keys: BTreeMap<TransactionId, Arc<K>>,
}

impl<K> Default for Matches<K> {
    fn default() -> Self {
        Self { ids: BTreeMap::new(), keys: BTreeMap::new() }
    }
}

impl<K: Ord> Matches<K> {
    fn find(&self, key: &K) -> Option<TransactionId> {
        self.ids.get(key).copied()
    }

    fn insert(&mut self, key: K, id: TransactionId) {
        let key = Arc::new(key);
        self.ids.insert(Arc::clone(&key), id);
        self.keys.insert(id, key);
    }

    fn remove(&mut self, id: TransactionId) {
        if let Some(key) = self.keys.remove(&id) {
            self.ids.remove(&key);
        }
    }
}

#[expect(clippy::enum_variant_names, reason = "the names of the RFC's four transactions")]
#[derive(Debug)]
enum AnyMachine {
    ClientInvite(ClientInvite),
    ClientNonInvite(ClientNonInvite),
    ServerInvite(ServerInvite),
    ServerNonInvite(ServerNonInvite),
}

impl AnyMachine {
    fn machine(&self) -> &dyn Machine {
        match self {
            Self::ClientInvite(machine) => machine,
            Self::ClientNonInvite(machine) => machine,
            Self::ServerInvite(machine) => machine,
            Self::ServerNonInvite(machine) => machine,
        }
    }

    fn machine_mut(&mut self) -> &mut dyn Machine {
        match self {
            Self::ClientInvite(machine) => machine,
            Self::ClientNonInvite(machine) => machine,
            Self::ServerInvite(machine) => machine,
            Self::ServerNonInvite(machine) => machine,
        }
    }
}

impl Transactions {
    /// No transactions yet.
    pub fn new(timing: Timing) -> Self {
        Self {
            timing,
            next: 1,
            machines: BTreeMap::new(),
            clients: Matches::default(),
            servers: Matches::default(),
            deadlines: Deadlines::default(),
            effects: VecDeque::new(),
            ended: BTreeSet::new(),
        }
    }

    /// How many there are, those included that ended and wait for [`Transactions::sweep`].
    pub fn len(&self) -> usize {
        self.machines.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.machines.is_empty()
    }

    /// The request of a transaction.
    pub fn request(&self, id: TransactionId) -> Option<&Message> {
        self.machines.get(&id).map(|any| any.machine().request())
    }

    /// Whether this is a client transaction.
    pub fn is_client(&self, id: TransactionId) -> bool {
        matches!(self.machines.get(&id), Some(AnyMachine::ClientInvite(_) | AnyMachine::ClientNonInvite(_)))
    }

    /// The state of an INVITE client transaction.
    pub fn client_invite(&self, id: TransactionId) -> Option<super::client_invite::State> {
        match self.machines.get(&id) {
            Some(AnyMachine::ClientInvite(machine)) => Some(machine.state()),
            Some(AnyMachine::ClientNonInvite(_) | AnyMachine::ServerInvite(_) | AnyMachine::ServerNonInvite(_)) | None => None,
        }
    }

    /// Whether a server transaction waits for its final response.
    pub fn is_unanswered(&self, id: TransactionId) -> bool {
        use super::{server_invite, server_non_invite};
        match self.machines.get(&id) {
            Some(AnyMachine::ServerInvite(machine)) => machine.state() == server_invite::State::Proceeding,
            Some(AnyMachine::ServerNonInvite(machine)) => {
                matches!(machine.state(), server_non_invite::State::Trying | server_non_invite::State::Proceeding)
            }
            Some(AnyMachine::ClientInvite(_) | AnyMachine::ClientNonInvite(_)) | None => false,
        }
    }

    /// Starts a client transaction and sends its request; an ACK has none (RFC 3261 17).
    pub fn start_client(&mut self, now: Instant, request: Message, reliable: bool) -> TransactionId {
        let id = self.allocate();
        if let Some(key) = client_key(&request) {
            self.clients.insert(key, id);
        }
        self.restart_client(now, id, request, reliable);
        id
    }

    /// Sends the request of a client transaction by another transport, with the timers that it
    /// asks for; branch and method stay.
    pub fn restart_client(&mut self, now: Instant, id: TransactionId, request: Message, reliable: bool) {
        let mut effects = Effects::new();
        let any = if request.method_token() == Some("INVITE") {
            AnyMachine::ClientInvite(ClientInvite::start(now, request, reliable, self.timing, &mut effects))
        } else {
            AnyMachine::ClientNonInvite(ClientNonInvite::start(now, request, reliable, self.timing, &mut effects))
        };
        self.machines.insert(id, any);
        self.settle(id, effects);
    }

    /// Hands a response to its client transaction; `None` when there is none.
    pub fn handle_response(&mut self, now: Instant, response: Message) -> Option<TransactionId> {
        let id = self.clients.find(&client_key(&response)?)?;
        let mut effects = Effects::new();
        match self.machines.get_mut(&id)? {
            AnyMachine::ClientInvite(machine) => machine.handle_response(now, response, &mut effects),
            AnyMachine::ClientNonInvite(machine) => machine.handle_response(now, response, &mut effects),
            AnyMachine::ServerInvite(_) | AnyMachine::ServerNonInvite(_) => return None,
        }
        self.settle(id, effects);
        Some(id)
    }

    /// Hands a request to its server transaction, or creates one.
    pub fn handle_request(&mut self, now: Instant, request: Message, reliable: bool) -> Reception {
        let key = server_key(&request, None);
        let is_ack = request.method_token() == Some("ACK");
        let mut effects = Effects::new();
        let Some(id) = self.servers.find(&key) else {
            return if is_ack { Reception::Ack } else { Reception::New(self.start_server(now, key, request, reliable)) };
        };
        match self.machines.get_mut(&id) {
            Some(AnyMachine::ServerInvite(machine)) if is_ack => machine.handle_ack(now, request, &mut effects),
            Some(AnyMachine::ServerInvite(machine)) => machine.handle_repeated(&mut effects),
            Some(AnyMachine::ServerNonInvite(machine)) => machine.handle_repeated(&mut effects),
            Some(AnyMachine::ClientInvite(_) | AnyMachine::ClientNonInvite(_)) | None => {}
        }
        self.settle(id, effects);
        Reception::Absorbed(id)
    }

    fn start_server(&mut self, now: Instant, key: ServerKey, request: Message, reliable: bool) -> TransactionId {
        let id = self.allocate();
        let any = if request.method_token() == Some("INVITE") {
            AnyMachine::ServerInvite(ServerInvite::start(now, request, reliable, self.timing))
        } else {
            AnyMachine::ServerNonInvite(ServerNonInvite::start(request, reliable, self.timing))
        };
        self.machines.insert(id, any);
        self.servers.insert(key, id);
        self.settle(id, Effects::new());
        id
    }

    /// Whether a request belongs to a transaction that is there already.
    pub fn knows(&self, request: &Message) -> bool {
        self.servers.find(&server_key(request, None)).is_some()
    }

    /// The INVITE that a CANCEL is meant for (RFC 3261 9.2).
    pub fn cancelled_by(&self, cancel: &Message) -> Option<TransactionId> {
        self.servers.find(&server_key(cancel, Some("INVITE")))
    }

    /// Sends a response of the user. Returns whether the transaction is there to do it.
    pub fn respond(&mut self, now: Instant, id: TransactionId, status: u16, response: bytes::Bytes) -> bool {
        let mut effects = Effects::new();
        match self.machines.get_mut(&id) {
            Some(AnyMachine::ServerInvite(machine)) => machine.respond(now, status, response, &mut effects),
            Some(AnyMachine::ServerNonInvite(machine)) => machine.respond(now, status, response, &mut effects),
            Some(AnyMachine::ClientInvite(_) | AnyMachine::ClientNonInvite(_)) | None => return false,
        }
        self.settle(id, effects);
        true
    }

    /// Tells an INVITE client transaction that its CANCEL was sent.
    pub fn cancelled(&mut self, now: Instant, id: TransactionId) {
        if let Some(AnyMachine::ClientInvite(machine)) = self.machines.get_mut(&id) {
            machine.cancelled(now);
            self.settle(id, Effects::new());
        }
    }

    /// Tells a client transaction that what it sent may be lost for good.
    pub fn handle_transport_error(&mut self, id: TransactionId) {
        let mut effects = Effects::new();
        match self.machines.get_mut(&id) {
            Some(AnyMachine::ClientInvite(machine)) => machine.handle_transport_error(&mut effects),
            Some(AnyMachine::ClientNonInvite(machine)) => machine.handle_transport_error(&mut effects),
            Some(AnyMachine::ServerInvite(_) | AnyMachine::ServerNonInvite(_)) | None => {}
        }
        self.settle(id, effects);
    }

    /// Fires the timers that are due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(id) = self.deadlines.expire(now) {
            let mut effects = Effects::new();
            if let Some(any) = self.machines.get_mut(&id) {
                any.machine_mut().handle_timeout(now, &mut effects);
            }
            self.settle(id, effects);
        }
    }

    /// The next effect and the transaction that asks for it.
    pub fn poll_effect(&mut self) -> Option<(TransactionId, Effect)> {
        self.effects.pop_front()
    }

    /// The earliest deadline of all transactions and its timer.
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let (_, id) = self.deadlines.next()?;
        self.machines.get(id)?.machine().poll_timeout()
    }

    /// Forgets the next transaction that ended, and returns it.
    pub fn sweep(&mut self) -> Option<TransactionId> {
        let ended = self.ended.pop_first()?;
        self.machines.remove(&ended);
        Some(ended)
    }

    /// A number for a request that never becomes a transaction.
    pub fn allocate(&mut self) -> TransactionId {
        let id = TransactionId(self.next);
        self.next = self.next.wrapping_add(1);
        id
    }

    /// Takes the effects of one machine over and keeps its deadline and its end. One that ended
    /// matches nothing any more.
    fn settle(&mut self, id: TransactionId, effects: Effects) {
        self.effects.extend(effects.into_iter().map(|effect| (id, effect)));
        let Some(any) = self.machines.get(&id) else { return };
        let machine = any.machine();
        self.deadlines.set(id, machine.poll_timeout().map(|(at, _)| at));
        if !machine.is_terminated() || self.ended.contains(&id) {
            return;
        }
        match any {
            AnyMachine::ClientInvite(_) | AnyMachine::ClientNonInvite(_) => self.clients.remove(id),
            AnyMachine::ServerInvite(_) | AnyMachine::ServerNonInvite(_) => self.servers.remove(id),
        }
        self.ended.insert(id);
    }
}

fn client_key(message: &Message) -> Option<ClientKey> {
    let branch = message.via().ok()?.branch()?.to_ascii_lowercase();
    Some(ClientKey { branch, method: Method::of(message.cseq().ok()?.method) })
}

/// `method` stands for the request's own where a CANCEL asks for its INVITE. A request without a
/// branch is told from others by what identifies it besides.
fn server_key(request: &Message, method: Option<&str>) -> ServerKey {
    let via = request.via().ok();
    let own = match request.method_token() {
        Some("ACK") => "INVITE",
        Some(other) => other,
        None => "",
    };
    let branch = match via.and_then(|via| via.branch()) {
        Some(branch) => branch.to_ascii_lowercase(),
        None => format!("{} {}", request.call_id().unwrap_or_default(), request.cseq().map_or(0, |cseq| cseq.number)),
    };
    let sent_by = via.map(|via| (via.host.0.to_ascii_lowercase(), via.port.unwrap_or(5060)));
    ServerKey { branch, sent_by: sent_by.unwrap_or_default(), method: Method::of(method.unwrap_or(own)) }
}

#[cfg(test)]
mod tests {
    use super::super::script::{ms, request, response};
    use super::*;
    use crate::wire::sip::Builder;

    #[test]
    fn a_response_matches_by_branch_and_method() {
        let mut table = Transactions::new(Timing::default());
        let invite = table.start_client(ms(0), request("INVITE"), true);
        assert_eq!(table.handle_response(ms(1), response(&request("INVITE"), 180)), Some(invite));
        assert_eq!(table.handle_response(ms(1), response(&request("BYE"), 200)), None);
    }

    #[test]
    fn the_ack_to_a_refusal_belongs_to_the_invite_and_any_other_ack_to_nothing() {
        let mut table = Transactions::new(Timing::default());
        let Reception::New(invite) = table.handle_request(ms(0), request("INVITE"), false) else { panic!("a new transaction") };
        table.respond(ms(1), invite, 486, response(&request("INVITE"), 486).encode());
        assert_eq!(table.handle_request(ms(2), request("ACK"), false), Reception::Absorbed(invite));
        let other = Builder::of(&request("ACK")).set("Via", "SIP/2.0/UDP a.example:5060;branch=z9hG4bK2").build();
        assert_eq!(table.handle_request(ms(3), other, false), Reception::Ack);
    }

    #[test]
    fn a_cancel_finds_its_invite_and_is_a_transaction_of_its_own() {
        let mut table = Transactions::new(Timing::default());
        let Reception::New(invite) = table.handle_request(ms(0), request("INVITE"), true) else { panic!("a new transaction") };
        assert_eq!(table.cancelled_by(&request("CANCEL")), Some(invite));
        assert!(matches!(table.handle_request(ms(1), request("CANCEL"), true), Reception::New(id) if id != invite));
    }

    #[test]
    fn the_same_branch_from_another_sender_is_another_transaction() {
        let mut table = Transactions::new(Timing::default());
        let first = table.handle_request(ms(0), request("BYE"), false);
        let other = Builder::of(&request("BYE")).set("Via", "SIP/2.0/UDP c.example;branch=z9hG4bK1").build();
        let second = table.handle_request(ms(0), other, false);
        assert!(matches!((first, second), (Reception::New(one), Reception::New(two)) if one != two));
    }

    #[test]
    fn what_ended_stays_readable_until_swept() {
        let mut table = Transactions::new(Timing::default());
        let bye = table.start_client(ms(0), request("BYE"), true);
        table.handle_response(ms(1), response(&request("BYE"), 200));
        assert!(table.request(bye).is_some());
        assert_eq!(table.handle_response(ms(2), response(&request("BYE"), 200)), None);
        assert_eq!((table.sweep(), table.sweep()), (Some(bye), None));
        assert!(table.is_empty());
    }

    #[test]
    fn the_deadline_of_the_table_is_the_earliest_of_its_machines() {
        let mut table = Transactions::new(Timing::default());
        table.start_client(ms(100), request("BYE"), false);
        let other = Builder::of(&request("INVITE")).set("Via", "SIP/2.0/UDP a.example:5060;branch=z9hG4bK2").build();
        table.start_client(ms(50), other, false);
        assert_eq!(table.poll_timeout(), Some((ms(550), "A")));
        table.handle_timeout(ms(550));
        assert_eq!(table.poll_timeout(), Some((ms(600), "E")));
    }
}
