//! The SIP/IP core as one forwarding proxy: S-CSCF, registrar and what lies around them.
//!
//! ```text
//! client, outside of dialogs   -> PF; identity and service are asserted (RFC 3325)
//! PF, to a user                -> the devices that fit Accept-Contact (RFC 3841); 480 without, 404 unknown
//! INVITE to several devices    -> all at once; every 2xx goes back, the others are cancelled
//! anything with a route set    -> its next Route, else its Request-URI
//! REGISTER from a device       -> bound or unbound, answered 200
//! SUBSCRIBE to registrations    -> the registrar
//! ```
//!
//! It keeps no transactions (RFC 3261 16.11) except for the INVITEs that it forks, and it remembers
//! what went from datagrams to a stream. It puts itself
//! into the route set of every dialog. Third-party registrations are not its own business: a
//! [`super::Scripted`] of the role core sends them.

mod bindings;
mod bridge;
mod forks;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use crate::endpoint::Config;
use crate::endpoint::transport::{Arrival, Source, TransportLayer};
use crate::engine::{ConnectionId, Engine, Input, Output, Standing};
use crate::time::Instant;
use crate::wire::sip::header::{self, NameAddr};
use crate::wire::sip::{Builder, Message, Method, Name, Uri};
use bindings::Location;
use bridge::{Bridge, Known};
use forks::{Branch, Fork, Forks};

/// What the core is told about its surroundings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CoreSettings {
    /// Its own URI, `sip:scscf1.home1.example`.
    pub uri: String,
    /// The URI of the PF, on the path of all requests of its users.
    pub pf: String,
    /// The users: each with all their addresses.
    pub users: Vec<Vec<String>>,
    /// Whether the first 2xx to a forked INVITE cancels the other devices.
    pub cancel_others: bool,
}

/// Where the part of the core that registers users is reached.
const REGISTRAR: &str = "sip:registrar.home1.example";

/// How many chosen devices are remembered for a CANCEL or an ACK.
const MEMORY: usize = 1_000;

/// The core.
#[derive(Debug)]
pub struct Core {
    settings: Arc<CoreSettings>,
    transport: TransportLayer,
    /// Where the PF is.
    pf: Option<IpAddr>,
    location: Location,
    forks: Forks,
    bridge: Bridge,
    /// The device to which an INVITE went, by the branch with which it came.
    chosen: BTreeMap<String, String>,
    order: VecDeque<String>,
    registrations: u64,
    registered: VecDeque<String>,
}

impl Core {
    /// A core on a node of its own, without registered devices.
    pub fn new(settings: impl Into<Arc<CoreSettings>>, config: Config) -> Self {
        let settings = settings.into();
        let mut location = Location::default();
        for uris in &settings.users {
            location.add_user(uris.clone());
        }
        let transport = TransportLayer::new(config);
        Self {
            pf: address(&transport, &settings.pf).map(|(ip, _)| ip),
            settings,
            transport,
            location,
            forks: Forks::default(),
            bridge: Bridge::default(),
            chosen: BTreeMap::new(),
            order: VecDeque::new(),
            registrations: 0,
            registered: VecDeque::new(),
        }
    }

    /// Registers a device of a user by the Contact of its messages; returns whether the user is
    /// known.
    pub fn bind(&mut self, user: &str, contact: &str) -> bool {
        self.location.bind(user, contact)
    }

    /// Forgets a device of a user, or all of them.
    pub fn unbind(&mut self, user: &str, contact: Option<&str>) {
        self.location.unbind(user, contact);
    }

    /// The address of a user that registered a device: the S-CSCF tells it to the PF next.
    pub fn poll_registered(&mut self) -> Option<String> {
        self.registered.pop_front()
    }

    fn on_message(&mut self, now: Instant, message: Message, source: &Source) {
        if !message.is_request() {
            return self.on_response(now, message);
        }
        let hops = message.value(Name::MaxForwards).and_then(|value| header::number(value).ok()).unwrap_or(70);
        if hops == 0 {
            return self.refuse(now, 483, &message, source);
        }
        let method = message.method_token().unwrap_or("");
        let request = self.pop_route(Builder::of(&message).set("Max-Forwards", hops - 1));
        let request = self.record_route(&message, request);
        let uri = message.request_uri().unwrap_or("");
        if request.has("Route") {
            self.forward(now, request, &message, source);
        } else if method == "REGISTER" && self.is_own(uri) {
            self.register(now, &message, source);
        } else if method == "SUBSCRIBE" && message.value(Name::Event).is_some_and(|event| event.trim() == "reg") {
            // RFC 3680: the registrar tells, not the user.
            self.forward(now, request.push("Route", ["<", REGISTRAR, ";lr>"]), &message, source);
        } else if self.is_pf(source.peer.ip()) && self.location.knows(uri) {
            self.on_terminating(now, request, &message, source);
        } else if message.has_to_tag() || self.is_pf(source.peer.ip()) {
            self.forward(now, request, &message, source);
        } else {
            self.on_originating(now, request, &message, source);
        }
    }

    /// Takes our own entry out of the route set (RFC 3261 16.4).
    fn pop_route(&self, request: Builder) -> Builder {
        let Some(field) = request.value("Route").map(str::to_owned) else { return request };
        let mut routes = header::list(&field);
        let own = routes.next().and_then(|route| NameAddr::parse(route).ok()).is_some_and(|route| self.is_own(route.uri.text));
        if !own {
            return request;
        }
        let rest: Vec<_> = routes.collect();
        request.set_first("Route", (!rest.is_empty()).then(|| rest.join(", ")))
    }

    fn record_route(&self, message: &Message, request: Builder) -> Builder {
        let opens = matches!(message.method(), Some(Method::Invite | Method::Subscribe | Method::Refer)) && !message.has_to_tag();
        if opens { request.push_first("Record-Route", ["<", &self.settings.uri, ";lr>"]) } else { request }
    }

    fn is_own(&self, uri: &str) -> bool {
        let own = self.transport.config().sip;
        address(&self.transport, uri).is_some_and(|(ip, port)| ip == own.ip() && port.is_none_or(|port| port == own.port()))
    }

    fn is_pf(&self, ip: IpAddr) -> bool {
        self.pf == Some(ip)
    }

    /// A request of a user goes to the PF, whatever it is addressed to (TS 24.229 5.4.3.2).
    fn on_originating(&mut self, now: Instant, request: Builder, message: &Message, source: &Source) {
        let asserted = |request: Builder, from: &str, to: &'static str| match request.value(from).map(str::to_owned) {
            Some(value) => request.remove(from).push(to, value),
            None => request,
        };
        let request = asserted(request, "P-Preferred-Identity", "P-Asserted-Identity");
        let request = asserted(request, "P-Preferred-Service", "P-Asserted-Service");
        let there = address(&self.transport, message.request_uri().unwrap_or("")).is_some_and(|(ip, _)| self.is_pf(ip));
        let request = if there { request } else { request.push("Route", ["<", &self.settings.pf, ";lr>"]) };
        self.forward(now, request, message, source);
    }

    /// A request of the PF goes to the devices of its user.
    fn on_terminating(&mut self, now: Instant, request: Builder, message: &Message, source: &Source) {
        let uri = message.request_uri().unwrap_or("");
        let upstream = upstream_key(message);
        let method = message.method_token().unwrap_or("");
        if let ("ACK" | "CANCEL", Some(_)) = (method, self.forks.get_mut(&upstream)) {
            return self.on_fork_request(now, &upstream, message, source);
        }
        if let ("ACK" | "CANCEL", Some(device)) = (method, self.chosen.get(&upstream).cloned()) {
            return self.forward_to(now, request, &device, message, source);
        }
        let targets: Vec<String> =
            self.location.targets(uri, message).into_iter().map(|binding| binding.uri().to_owned()).collect();
        match targets.as_slice() {
            [] => self.refuse(now, 480, message, source),
            [_, _, ..] if method == "INVITE" => self.fork(now, &request, &targets, message, source),
            [device, ..] => {
                self.remember(upstream, device);
                self.forward_to(now, request, device, message, source);
            }
        }
    }

    fn remember(&mut self, upstream: String, device: &str) {
        if self.order.len() >= MEMORY
            && let Some(oldest) = self.order.pop_front()
        {
            self.chosen.remove(&oldest);
        }
        if self.chosen.insert(upstream.clone(), device.to_owned()).is_none() {
            self.order.push_back(upstream);
        }
    }

    fn forward_to(&mut self, now: Instant, request: Builder, device: &str, message: &Message, source: &Source) {
        let method = message.method_token().unwrap_or("");
        self.forward(now, request.with_start([method, " ", device, " SIP/2.0"]), message, source);
    }

    fn forward(&mut self, now: Instant, request: Builder, message: &Message, source: &Source) {
        let branch = TransportLayer::stateless_branch(message, "");
        if self.is_repetition_for_a_stream(now, &request, &branch, message, source) {
            return;
        }
        if !self.transport.forward_request(now, request, source, &branch) {
            self.refuse(now, 404, message, source);
        }
    }

    /// Whether a request is on its way over a stream already, or answered: then it is answered again.
    fn is_repetition_for_a_stream(
        &mut self,
        now: Instant,
        request: &Builder,
        branch: &str,
        message: &Message,
        source: &Source,
    ) -> bool {
        let hop = || self.transport.route(request.clone(), branch).map(|(_, hop)| hop);
        let acknowledges = message.method_token() == Some("ACK");
        if source.transport.is_reliable() || acknowledges || !hop().is_some_and(|hop| hop.transport.is_reliable()) {
            return false;
        }
        match self.bridge.take(message) {
            Known::New => return false,
            Known::UnderWay => {}
            Known::Answered(answer) => _ = self.transport.forward_response(now, Builder::of(&answer)),
        }
        self.transport.note("proxy", "a repetition went no further: its next hop is a stream");
        true
    }

    fn refuse(&mut self, now: Instant, status: u16, message: &Message, source: &Source) {
        if message.method_token() == Some("ACK") {
            return;
        }
        let tag = TransportLayer::stateless_branch(message, "tag").split_off(7);
        self.transport.reply(now, own_response(message, status, &tag), message, source);
    }

    fn register(&mut self, now: Instant, message: &Message, source: &Source) {
        let user = message.to().map(|to| to.uri.text.to_owned()).unwrap_or_default();
        if !self.location.knows(&user) {
            return self.refuse(now, 404, message, source);
        }
        let expires = message.value(Name::Expires).and_then(|value| header::number(value).ok());
        for contact in message.elements(Name::Contact) {
            let own = NameAddr::parse(contact).ok().and_then(|contact| header::number(contact.params.get("expires")?).ok());
            match own.or(expires) {
                Some(0) => self.location.unbind(&user, Some(contact).filter(|contact| *contact != "*")),
                _ => {
                    self.location.bind(&user, contact);
                    self.registered.push_back(user.clone());
                }
            }
        }
        self.registrations += 1;
        let response = own_response(message, 200, &format!("reg{}", self.registrations));
        let response = message.values(Name::Contact).fold(response, |response, contact| response.push("Contact", contact));
        self.transport.reply(now, response.push_some("Expires", expires), message, source);
    }

    fn on_response(&mut self, now: Instant, message: Message) {
        let branch = message.via().ok().and_then(|via| via.branch()).unwrap_or("").to_owned();
        if self.forks.of_response(&branch).is_some() {
            self.on_fork_response(now, &branch, message);
            return;
        }
        self.bridge.answered(&message);
        if !self.transport.forward_response(now, Builder::of(&message)) {
            self.transport.note("proxy", "response dropped: nobody behind it is known");
        }
    }
}

/// Forked INVITEs.
impl Core {
    fn fork(&mut self, now: Instant, request: &Builder, devices: &[String], message: &Message, source: &Source) {
        let upstream = upstream_key(message);
        if self.forks.get_mut(&upstream).is_some() {
            return self.repeat(&upstream);
        }
        let branches: Vec<_> = devices.iter().filter_map(|device| self.branch(request, device, message, source)).collect();
        for branch in &branches {
            self.transport.send(branch.hop, branch.sent.encode());
        }
        self.transport.reply(now, Builder::response_to(message, 100), message, source);
        let fork = Fork { request: message.clone(), source: *source, branches, answered: false };
        self.forks.insert(upstream, fork);
    }

    fn branch(&self, request: &Builder, device: &str, message: &Message, source: &Source) -> Option<Branch> {
        let key = TransportLayer::stateless_branch(message, device);
        let request = source.stamp(request.clone()).with_start(["INVITE ", device, " SIP/2.0"]);
        let (request, hop) = self.transport.route(request, &key)?;
        let sent = Message::decode(request.encode()).ok()?;
        Some(Branch { key, sent, hop, response: None, cancelled: false })
    }

    /// The INVITE came again: those who have not been heard of get it again.
    fn repeat(&mut self, upstream: &str) {
        let Some(fork) = self.forks.get_mut(upstream) else { return };
        for branch in fork.branches.iter().filter(|branch| branch.response.is_none()) {
            self.transport.send(branch.hop, branch.sent.encode());
        }
    }

    /// CANCEL and the ACK to a refusal end here (RFC 3261 16.10, 17.2.1).
    fn on_fork_request(&mut self, now: Instant, upstream: &str, message: &Message, source: &Source) {
        if message.method_token() != Some("CANCEL") {
            return;
        }
        let tag = TransportLayer::stateless_branch(message, "tag").split_off(7);
        self.transport.reply(now, own_response(message, 200, &tag), message, source);
        self.cancel_open_branches(upstream);
    }

    fn cancel_open_branches(&mut self, upstream: &str) {
        let Some(fork) = self.forks.get_mut(upstream) else { return };
        for branch in fork.branches.iter_mut().filter(|branch| branch.status() < 200 && !branch.cancelled) {
            branch.cancelled = true;
            self.transport.send(branch.hop, branch.hop_by_hop("CANCEL", None).encode());
        }
    }

    fn on_fork_response(&mut self, now: Instant, branch: &str, message: Message) {
        let status = message.status().unwrap_or(0);
        let invites = message.method() == Some(Method::Invite);
        let Some((fork, at)) = self.forks.of_response(branch) else { return };
        if !invites || status == 100 {
            return;
        }
        if status >= 300 {
            let ack = fork.branches[at].hop_by_hop("ACK", message.value(Name::To));
            self.transport.send(fork.branches[at].hop, ack.encode());
        }
        fork.branches[at].response = Some(message.clone());
        let accepts = (200..300).contains(&status);
        let passes = accepts || (status < 200 && !fork.answered);
        let best = if fork.is_over() && !fork.answered && !accepts { fork.best().cloned() } else { None };
        fork.answered |= accepts || best.is_some();
        let (request, source) = (fork.request.clone(), fork.source);
        for response in passes.then_some(message).into_iter().chain(best) {
            self.transport.reply(now, without_own_via(&response), &request, &source);
        }
        if accepts && self.settings.cancel_others {
            self.cancel_open_branches(&upstream_key(&request));
        }
    }
}

impl Engine for Core {
    fn handle(&mut self, now: Instant, input: Input) {
        let rest = self.transport.handle(now, input);
        debug_assert!(matches!(rest, None | Some(Input::Timeout | Input::Closed { .. } | Input::Accepted { .. })), "SIP only");
        while let Some(arrival) = self.transport.poll_arrival() {
            match arrival {
                Arrival::Message { message, source } => self.on_message(now, message, &source),
                Arrival::Broken { .. } => {}
            }
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.transport.poll_output()
    }

    fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        None
    }

    fn standing(&self, connection: ConnectionId) -> Standing {
        self.transport.standing(connection).unwrap_or(Standing::Idle)
    }
}

/// The address of a URI, and its port if one is written.
fn address(transport: &TransportLayer, uri: &str) -> Option<(IpAddr, Option<u16>)> {
    let uri = Uri::parse(uri).ok()?;
    Some((transport.config().hosts.resolve(uri.host?)?, uri.port))
}

/// What tells the transaction with which a request came; CANCEL and the ACK to a refusal share it
/// with their INVITE.
fn upstream_key(message: &Message) -> String {
    message.via().ok().map(|via| [via.branch().unwrap_or(""), " ", via.host.0].concat()).unwrap_or_default()
}

fn own_response(message: &Message, status: u16, tag: &str) -> Builder {
    let response = Builder::response_to(message, status).remove("Record-Route");
    match message.value(Name::To) {
        Some(to) if !message.has_to_tag() => response.set("To", [to, ";tag=", tag]),
        _ => response,
    }
}

/// A response without the Via on top, which is ours.
fn without_own_via(response: &Message) -> Builder {
    let own = Builder::of(response);
    let Some(field) = own.value("Via").map(str::to_owned) else { return own };
    let rest: Vec<_> = header::list(&field).skip(1).collect();
    own.set_first("Via", (!rest.is_empty()).then(|| rest.join(", ")))
}
