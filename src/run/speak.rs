//! From a sending step to what an actor sends: who speaks, in which dialog, with what content.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::ground::PF_URI;
use super::world::World;
use crate::endpoint::{Destination, DialogId, MsrpId, TransactionId};
use crate::ids::Ids;
use crate::judge::expect::{Scene, Script};
use crate::msrp::{Outgoing, Report};
use crate::net::NodeId;
use crate::pattern::ast::{Codes, Key, Path, Role, Value, What};
use crate::pattern::{Env, Names, fill, substitute};
use crate::peers::{Aim, Draft, Refusal};
use crate::suite::scenario::{Sending, Step};
use crate::time::EPOCH;
use crate::trace::correlate::Symbol;
use crate::trace::event::{Content, Kind};
use crate::wire::msrp::{Chunk, ChunkBuilder, Flag};
use crate::wire::sip::Method;

/// The chunk size of actors that the script gives none (RFC 4975 5.1).
const CHUNK: usize = 2048;

/// Why a step cannot be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// What it reacts to has not reached the actor yet.
    NotYet(&'static str),
    /// It never can.
    Never(String),
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::WrongDraft => Self::Never(refusal.to_string()),
            Refusal::NoDialog | Refusal::NoRequest | Refusal::NothingToAcknowledge | Refusal::NoSession => {
                Self::NotYet(refusal.text())
            }
        }
    }
}

/// What the player knows when a step is to be done.
#[derive(Clone, Copy)]
pub(super) struct Occasion<'a, 's> {
    /// The script.
    pub(super) script: &'a Script<'s>,
    /// The Call-ID of each dialog.
    pub(super) dialogs: &'a BTreeMap<Symbol, String>,
    /// The final answers to requests, by event.
    pub(super) finals: &'a BTreeMap<u32, u16>,
    /// The step.
    pub(super) step: &'s Step,
    /// What it sends.
    pub(super) sending: &'s Sending,
}

/// Fills what the script says into what actors draft.
pub(super) struct Speech {
    ids: Ids,
    /// The names as clients use them: a group is what the PF showed them.
    clients: Option<Names>,
    /// The INVITEs that steps sent.
    invites: BTreeMap<u32, (NodeId, TransactionId)>,
}

/// A scene with names of its own.
struct Voice<'a> {
    scene: &'a Scene,
    names: &'a Names,
}

impl Env for Voice<'_> {
    fn names(&self) -> &Names {
        self.names
    }

    fn variable(&self, name: &str) -> Option<Cow<'_, str>> {
        self.scene.variable(name)
    }

    fn values_of(&self, id: &str, path: &Path) -> Option<Vec<String>> {
        self.scene.values_of(id, path)
    }
}

impl Speech {
    /// Draws identifiers that a pattern leaves open from `seed`.
    pub(super) fn new(seed: u64) -> Self {
        Self { ids: Ids::new(seed, "script"), clients: None, invites: BTreeMap::new() }
    }

    /// The PF shows a group to its clients under `uri`.
    pub(super) fn learn_address(&mut self, group: &str, uri: &str, names: &Names) {
        self.clients.get_or_insert_with(|| names.clone()).prefer_address(group, uri);
    }

    /// Does what a step says. `Ok(false)`: the base protocols have done it, or will, unasked.
    pub(super) fn send(&mut self, world: &mut World, occasion: &Occasion<'_, '_>) -> Result<bool, Fault> {
        let sending = occasion.sending;
        if let Some(raw) = &sending.raw {
            return self.send_raw(world, occasion, raw).map(|()| true);
        }
        match &sending.pattern.what {
            What::Request(Method::Ack) => self.acknowledge(world, occasion),
            What::Request(Method::Cancel) => self.cancel(world, occasion).map(|()| true),
            What::Request(method) => self.request(world, occasion, method).map(|()| true),
            What::Response(codes) => self.respond(world, occasion, *codes),
            What::MsrpSend | What::MsrpChunk => self.send_message(world, occasion).map(|()| true),
            What::MsrpResponse(codes) => answer_message(world, occasion, *codes).map(|()| true),
            What::MsrpReport => self.report(world, occasion).map(|()| true),
            What::Any | What::Lost => Err(Fault::Never("a sending step names a method or a code".to_owned())),
        }
    }

    fn request(&mut self, world: &mut World, occasion: &Occasion<'_, '_>, method: &Method) -> Result<(), Fault> {
        let (node, aim) = match self.inside(world, occasion)? {
            Some((node, dialog)) => (node, Aim::Inside(dialog)),
            None => {
                let node = world
                    .nodes(&occasion.sending.pattern.from)
                    .next()
                    .ok_or_else(|| Fault::Never("nobody has this name".to_owned()))?;
                (node, Aim::Outside(self.target(world, node, occasion, method)))
            }
        };
        let draft = world.act(node, |actor, _| actor.draft_request(method, aim)).ok_or_else(nobody)??;
        let draft = self.filled(world, node, occasion, draft)?;
        let transaction = world.act(node, |actor, now| actor.send(now, draft)).ok_or_else(nobody)??;
        self.invites.insert(occasion.step.number, (node, transaction));
        Ok(())
    }

    /// The actor and its dialog, when the step belongs to one.
    fn inside(&self, world: &World, occasion: &Occasion<'_, '_>) -> Result<Option<(NodeId, DialogId)>, Fault> {
        let Some(symbol) = occasion.script.dialog_of(occasion.step, occasion.sending) else {
            let lives = crate::judge::expect::lives_in_dialog(&occasion.sending.pattern.what);
            let opens = crate::judge::expect::opens_dialog(&occasion.sending.pattern.what) && occasion.sending.dialog.is_none();
            return if lives && !opens { Err(Fault::NotYet("no dialog is open between the two")) } else { Ok(None) };
        };
        let call_id = occasion.dialogs.get(&symbol).ok_or(Fault::NotYet("the dialog has no Call-ID"))?;
        let found =
            world.nodes(&occasion.sending.pattern.from).find_map(|node| Some((node, world.actor(node)?.dialog_of(call_id)?)));
        found.map(Some).ok_or(Fault::NotYet("the dialog is not open at the actor"))
    }

    /// Where a request outside of dialogs goes when its template is to know.
    fn target(&self, world: &World, node: NodeId, occasion: &Occasion<'_, '_>, method: &Method) -> String {
        let voice = self.voice(world, node, occasion.script.scene());
        let keys = &occasion.sending.pattern.keys;
        let told = |name: &str, wanted: Option<&str>| {
            let at = |key: &&Key| matches!(&key.path, Path::Header { name: own, part } if own == name && part.as_deref() == wanted);
            let key = keys.iter().find(at)?;
            let Value::Literal(text) = &key.value else { return None };
            let text = substitute(text, &voice);
            Some(voice.names.address(&text).map_or_else(|| text.clone().into_owned(), str::to_owned))
        };
        let wanted = if *method == Method::Register { told("To", Some("uri")) } else { told("Request-URI", None) };
        wanted.unwrap_or_else(|| PF_URI.to_owned())
    }

    fn voice<'a>(&'a self, world: &World, node: NodeId, scene: &'a Scene) -> Voice<'a> {
        let is_client = world.actor(node).is_some_and(|actor| actor.profile().role == Role::Client);
        let names = self.clients.as_ref().filter(|_| is_client).unwrap_or_else(|| scene.names());
        Voice { scene, names }
    }

    fn filled(&mut self, world: &World, node: NodeId, occasion: &Occasion<'_, '_>, mut draft: Draft) -> Result<Draft, Fault> {
        let mut ids = self.ids.clone();
        let voice = self.voice(world, node, occasion.script.scene());
        let mut supplies = supplies(world, node, &voice, &mut ids);
        supplies.roster = draft.roster.take();
        draft.message = fill::sip(draft.message, &occasion.sending.pattern.keys, &mut supplies).map_err(unfit)?;
        self.ids = ids;
        Ok(draft)
    }

    /// An ACK to a 2xx is the script's; one to a refusal comes from the transaction layer.
    fn acknowledge(&mut self, world: &mut World, occasion: &Occasion<'_, '_>) -> Result<bool, Fault> {
        let invite = occasion.script.acknowledged_invite(occasion.step, occasion.sending);
        if invite.and_then(|event| occasion.finals.get(&event)).is_some_and(|code| *code >= 300) {
            return Ok(false);
        }
        let (node, dialog) = self.inside(world, occasion)?.ok_or(Fault::NotYet("there is nothing to acknowledge"))?;
        let draft = world.actor(node).ok_or_else(nobody)?.draft_ack(dialog)?;
        let draft = self.filled(world, node, occasion, draft)?;
        world.act(node, |actor, now| actor.acknowledge(now, draft)).ok_or_else(nobody)??;
        Ok(true)
    }

    fn cancel(&mut self, world: &mut World, occasion: &Occasion<'_, '_>) -> Result<(), Fault> {
        let end = &occasion.sending.pattern.from;
        let nodes: Vec<NodeId> = world.nodes(end).collect();
        let ours = self.invites.iter().rev().find(|(step, (node, _))| **step < occasion.step.number && nodes.contains(node));
        let (node, invite) = ours.map(|(_, sent)| *sent).ok_or_else(|| Fault::Never("there is no INVITE to cancel".to_owned()))?;
        let literal = |key: &Key| match &key.value {
            Value::Literal(text) => Some((key.path.to_string(), substitute(text, occasion.script.scene()).into_owned())),
            _ => None,
        };
        let fields = occasion.sending.pattern.keys.iter().filter_map(literal).collect();
        world.act(node, |actor, now| actor.cancel(now, invite, fields)).ok_or_else(nobody)
    }

    fn respond(&mut self, world: &mut World, occasion: &Occasion<'_, '_>, codes: Codes) -> Result<bool, Fault> {
        let request = answered(world, occasion)?;
        let Content::Sip(request) = request else { return Err(Fault::Never("an MSRP message has an MSRP answer".to_owned())) };
        if request.method() == Some(Method::Cancel) && codes.low == 200 {
            return Ok(false);
        }
        let pending = |node| Some((node, world.actor(node)?.pending(request)?));
        let found = world.nodes(&occasion.sending.pattern.from).find_map(pending);
        let (node, transaction) = found.ok_or(Fault::NotYet(Refusal::NoRequest.text()))?;
        let draft = world.act(node, |actor, _| actor.draft_response(transaction, codes.low)).ok_or_else(nobody)??;
        let draft = self.filled(world, node, occasion, draft)?;
        world.act(node, |actor, now| actor.respond(now, draft)).ok_or_else(nobody)??;
        Ok(true)
    }

    fn send_message(&mut self, world: &mut World, occasion: &Occasion<'_, '_>) -> Result<(), Fault> {
        let (node, dialog) = self.inside(world, occasion)?.ok_or(Fault::NotYet(Refusal::NoSession.text()))?;
        let sending = occasion.sending;
        let mut ids = self.ids.clone();
        let draft = {
            let voice = self.voice(world, node, occasion.script.scene());
            let mut supplies = supplies(world, node, &voice, &mut ids);
            let draft = fill::msrp(fill::Draft::default(), &sending.pattern.keys, &mut supplies).map_err(unfit)?;
            if draft.content_type.is_none() && draft.body.is_empty() {
                let plain = fill::plain_message(&mut supplies).map_err(unfit)?;
                fill::Draft { content_type: plain.content_type, body: plain.body, ..draft }
            } else {
                draft
            }
        };
        self.ids = ids;
        let session = world.actor(node).and_then(|actor| actor.session_of(dialog)).ok_or(Refusal::NoSession)?;
        if is_odd(&draft) || sending.pattern.what == What::MsrpChunk {
            let chunk = self.odd_chunk(world, node, dialog, draft)?;
            return send_bytes(world, node, session, chunk.encode());
        }
        let outgoing = Outgoing {
            message_id: draft.message_id,
            content_type: draft.content_type.unwrap_or_else(|| "message/cpim".to_owned()),
            body: draft.body,
            success_report: draft.success_report.unwrap_or(false),
            failure_report: draft.failure_report.unwrap_or_default(),
            chunk_size: sending.chunk_size.unwrap_or(CHUNK),
        };
        world.act(node, |actor, now| actor.send_message(now, dialog, outgoing)).ok_or_else(nobody)??;
        Ok(())
    }

    /// One SEND request whose head no sender of ours would write.
    fn odd_chunk(&mut self, world: &World, node: NodeId, dialog: DialogId, draft: fill::Draft) -> Result<Chunk, Fault> {
        let actor = world.actor(node).ok_or_else(nobody)?;
        let (to, from) = actor.paths(dialog).ok_or(Refusal::NoSession)?;
        let to = draft.to_path.unwrap_or_else(|| to.to_owned());
        let from = draft.from_path.unwrap_or_else(|| from.to_owned());
        let size = draft.body.len();
        let mut chunk = ChunkBuilder::request(&self.ids.transact_id(), "SEND", &to, &from)
            .push("Message-ID", draft.message_id.unwrap_or_else(|| self.ids.message_id()))
            .push("Byte-Range", draft.byte_range.unwrap_or_else(|| format!("1-{size}/{size}")));
        if draft.success_report == Some(true) {
            chunk = chunk.push("Success-Report", "yes");
        }
        if let Some(report) = draft.failure_report {
            chunk = chunk.push("Failure-Report", report);
        }
        for (name, value) in draft.fields {
            chunk = match value {
                Some(value) => chunk.set(&name, value),
                None => chunk.remove(&name),
            };
        }
        let content_type = draft.content_type.unwrap_or_else(|| "message/cpim".to_owned());
        Ok(chunk.body(&content_type, draft.body).flag(draft.flag.unwrap_or(Flag::Complete)).build())
    }

    fn report(&mut self, world: &mut World, occasion: &Occasion<'_, '_>) -> Result<(), Fault> {
        let (node, dialog) = self.inside(world, occasion)?.ok_or(Fault::NotYet(Refusal::NoSession.text()))?;
        let mut ids = self.ids.clone();
        let voice = self.voice(world, node, occasion.script.scene());
        let mut supplies = supplies(world, node, &voice, &mut ids);
        let draft = fill::msrp(fill::Draft::default(), &occasion.sending.pattern.keys, &mut supplies).map_err(unfit)?;
        let message_id =
            draft.message_id.ok_or_else(|| Fault::Never("a REPORT names the message by `msrp.message-id`".to_owned()))?;
        let report = Report { message_id, code: draft.status.unwrap_or(200), size: 0 };
        world.act(node, |actor, now| actor.report(now, dialog, report)).ok_or_else(nobody)??;
        Ok(())
    }

    /// Exact bytes: MSRP goes to the latest session between the two, SIP to the PF.
    fn send_raw(&mut self, world: &mut World, occasion: &Occasion<'_, '_>, raw: &str) -> Result<(), Fault> {
        let end = &occasion.sending.pattern.from;
        let bytes = bytes::Bytes::from(substitute(raw, occasion.script.scene()).into_owned());
        if bytes.starts_with(b"MSRP ") {
            let (node, dialog) = self.inside(world, occasion)?.ok_or(Fault::NotYet(Refusal::NoSession.text()))?;
            let session = world.actor(node).and_then(|actor| actor.session_of(dialog)).ok_or(Refusal::NoSession)?;
            return send_bytes(world, node, session, bytes);
        }
        let node = world.nodes(end).next().ok_or_else(nobody)?;
        let hop = world.actor(node).and_then(|actor| actor.profile().route.clone()).unwrap_or_else(|| PF_URI.to_owned());
        let uri = hop.trim_matches(['<', '>']).to_owned();
        world.act(node, |actor, now| actor.send_raw(now, Destination::Uri(uri), bytes)).ok_or_else(nobody)
    }
}

fn send_bytes(world: &mut World, node: NodeId, session: MsrpId, bytes: bytes::Bytes) -> Result<(), Fault> {
    let sent = world.act(node, |actor, now| actor.send_raw_msrp(now, session, bytes)).ok_or_else(nobody)?;
    if sent { Ok(()) } else { Err(Fault::NotYet("the MSRP session has no connection")) }
}

fn answer_message(world: &mut World, occasion: &Occasion<'_, '_>, codes: Codes) -> Result<(), Fault> {
    let Content::Msrp(chunk) = answered(world, occasion)? else {
        return Err(Fault::Never("a SIP request has a SIP answer".to_owned()));
    };
    let message_id = chunk.message_id().unwrap_or("").to_owned();
    let holds = |node: &NodeId| world.actor(*node).is_some_and(|actor| actor.unanswered(&message_id).is_some());
    let node = world.nodes(&occasion.sending.pattern.from).find(holds).ok_or(Fault::NotYet(Refusal::NoRequest.text()))?;
    world.act(node, |actor, now| actor.answer_message(now, &message_id, codes.low)).ok_or_else(nobody)??;
    Ok(())
}

/// The message that a step answers, as it passed the edge of the IUT.
fn answered<'w>(world: &'w World, occasion: &Occasion<'_, '_>) -> Result<&'w Content, Fault> {
    let step = occasion.sending.answers.ok_or_else(|| Fault::Never("it is not known what this answers".to_owned()))?;
    let event = occasion.script.event_of(step).ok_or(Fault::NotYet("what this answers did not come"))?;
    match world.events().get(event as usize).map(|event| &event.kind) {
        Some(Kind::Message { content, .. }) => Ok(content),
        _ => Err(Fault::Never("what this answers is no message".to_owned())),
    }
}

/// Whether a chunk has to be written by hand: a sender of ours computes these.
const fn is_odd(draft: &fill::Draft) -> bool {
    draft.byte_range.is_some()
        || draft.flag.is_some()
        || draft.to_path.is_some()
        || draft.from_path.is_some()
        || !draft.fields.is_empty()
}

/// The CPIM From and To of a message whose pattern names none.
fn correspondents(world: &World, node: NodeId) -> (&str, &str) {
    let Some(profile) = world.actor(node).map(|actor| actor.profile()) else { return ("", "") };
    let group = profile.groups.first();
    let member = group.and_then(|group| group.members.first()).map_or(&profile.uri, |(uri, _)| uri);
    match profile.role {
        Role::Cf => (member, group.map_or(&profile.uri, |group| &group.focus)),
        Role::Client | Role::Core | Role::Pf => (&profile.uri, PF_URI),
    }
}

fn supplies<'a>(world: &'a World, node: NodeId, voice: &'a Voice<'_>, ids: &'a mut Ids) -> fill::Supplies<'a> {
    let (from, to) = correspondents(world, node);
    fill::Supplies { env: voice, ids, now: wall_clock(world), from, to, entity: to, roster_version: 1, roster: None }
}

/// The wall-clock time of the run, to the second.
fn wall_clock(world: &World) -> i64 {
    // Whole seconds of the sum: two fractions may make a second more.
    let passed = (world.now() + world.clock()).as_micros() / 1_000_000;
    EPOCH.saturating_add(i64::try_from(passed).unwrap_or(0)).saturating_mul(1_000_000)
}

fn nobody() -> Fault {
    Fault::Never("nobody acts for this actor".to_owned())
}

fn unfit(fault: fill::FillFault) -> Fault {
    Fault::Never(format!("{} cannot be filled in: {}", fault.path, fault.why))
}
