//! The form of the records: keys that sort as the PF reads them, values of length-prefixed fields.

use std::borrow::Cow;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::endpoint::{Dialog, Side as Role, State};
use crate::pf::core::Core;
use crate::pf::deferred::Item;
use crate::pf::headers::{Invitation, Part};
use crate::pf::leg::Leg;
use crate::pf::notifications::Notification;
use crate::pf::one_to_one::Sender;
use crate::pf::outbox::{Owed, Unsent};
use crate::pf::state::{GroupId, Phase, Registration, Side, User};
use crate::time::Instant;
use crate::wire::xml::conference_info::{self, Endpoint, User as Participant};
use crate::wire::xml::roster::Roster;

/// The key of a record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(in crate::pf) enum Key {
    /// How often the PF was started.
    Life,
    /// A served user.
    User(u32),
    /// A group session.
    Group(u32),
    /// A stored message: its group and its number.
    Message(u32, u64),
    /// An original sender of a user.
    Sender(u32),
    /// A stored message of a 1-1 session: its sender and its number.
    OneToOne(u32, u64),
    /// A stored notification: its user and its number.
    Notification(u32, u64),
    /// A message of a Client that the focus has not acknowledged: its group and its number.
    Unsent(u32, u64),
    /// A message of a 1-1 session that was delivered and whose sender is still to be told: its
    /// sender and its number.
    Delivered(u32, u64),
}

impl Key {
    /// The bytes of the key: users before groups before messages, messages in their order.
    pub(in crate::pf) fn encode(self) -> Vec<u8> {
        let (kind, owner, number) = match self {
            Self::Life => (b'L', None, None),
            Self::User(user) => (b'a', Some(user), None),
            Self::Group(group) => (b'g', Some(group), None),
            Self::Message(group, number) => (b'm', Some(group), Some(number)),
            Self::Sender(sender) => (b's', Some(sender), None),
            Self::OneToOne(sender, number) => (b't', Some(sender), Some(number)),
            Self::Notification(user, number) => (b'u', Some(user), Some(number)),
            Self::Unsent(group, number) => (b'v', Some(group), Some(number)),
            Self::Delivered(sender, number) => (b'w', Some(sender), Some(number)),
        };
        let mut out = Vec::with_capacity(13);
        out.push(kind);
        out.extend(owner.into_iter().flat_map(u32::to_be_bytes));
        out.extend(number.into_iter().flat_map(u64::to_be_bytes));
        out
    }

    pub(super) fn decode(mut key: &[u8]) -> Option<Self> {
        match (key.try_get_u8().ok()?, key.len()) {
            (b'L', 0) => Some(Self::Life),
            (b'a', 4) => Some(Self::User(key.get_u32())),
            (b'g', 4) => Some(Self::Group(key.get_u32())),
            (b's', 4) => Some(Self::Sender(key.get_u32())),
            (b't', 12) => Some(Self::OneToOne(key.get_u32(), key.get_u64())),
            (b'u', 12) => Some(Self::Notification(key.get_u32(), key.get_u64())),
            (b'm', 12) => Some(Self::Message(key.get_u32(), key.get_u64())),
            (b'v', 12) => Some(Self::Unsent(key.get_u32(), key.get_u64())),
            (b'w', 12) => Some(Self::Delivered(key.get_u32(), key.get_u64())),
            _ => None,
        }
    }
}

impl Key {
    /// The record without which this one means nothing.
    pub(super) const fn owner(self) -> Option<Self> {
        match self {
            Self::Message(group, _) | Self::Unsent(group, _) => Some(Self::Group(group)),
            Self::OneToOne(sender, _) | Self::Delivered(sender, _) => Some(Self::Sender(sender)),
            Self::Life | Self::User(_) | Self::Group(_) | Self::Sender(_) | Self::Notification(..) => None,
        }
    }

    /// The number of the user whose record it is, where the key has it.
    pub(super) const fn user(self) -> Option<u32> {
        match self {
            Self::User(user) | Self::Notification(user, _) => Some(user),
            Self::Life
            | Self::Group(_)
            | Self::Message(..)
            | Self::Unsent(..)
            | Self::Sender(_)
            | Self::OneToOne(..)
            | Self::Delivered(..) => None,
        }
    }
}

/// A record that was read back.
#[derive(Debug)]
pub(in crate::pf) enum Record {
    /// How often the PF was started.
    Life(u64),
    /// A user: address, S-CSCF, registration.
    User(String, String, Registration),
    /// A group.
    Group(u32, Box<GroupRecord<'static>>),
    /// A message: group, number, the message.
    Message(u32, u64, Item),
    /// An original sender.
    Sender(u32, SenderRecord),
    /// A message of a 1-1 session: sender, number, the message.
    OneToOne(u32, u64, Item),
    /// A notification: the address of its user, its number.
    Notification(String, u64, Notification),
    /// A message of a Client: group, number, the message.
    Unsent(u32, u64, Unsent),
    /// A message that was delivered: sender, number, the message.
    Delivered(u32, u64, Item),
}

impl Record {
    /// The address of the user whose record it is, where the record has it.
    pub(super) fn user(&self) -> Option<&str> {
        match self {
            Self::User(user, ..) | Self::Notification(user, ..) => Some(user),
            Self::Group(_, group) => Some(&group.user),
            Self::Sender(_, sender) => Some(&sender.user),
            Self::Life(_) | Self::Message(..) | Self::Unsent(..) | Self::OneToOne(..) | Self::Delivered(..) => None,
        }
    }
}

/// What is kept of an original sender.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::pf) struct SenderRecord {
    pub(in crate::pf) user: String,
    pub(in crate::pf) address: String,
    pub(in crate::pf) private: bool,
    pub(in crate::pf) sdp: String,
}

/// Reads a record, all of it; `None` for one that this version does not know.
pub(super) fn decode(key: &[u8], value: Bytes) -> Option<Record> {
    let mut fields = Fields(value);
    decode_fields(key, &mut fields).filter(|_| fields.0.is_empty())
}

fn decode_fields(key: &[u8], fields: &mut Fields) -> Option<Record> {
    Some(match Key::decode(key)? {
        Key::Life => Record::Life(fields.number()?),
        Key::User(_) => Record::User(fields.text()?, fields.text()?, fields.registration()?),
        Key::Group(group) => Record::Group(group, Box::new(GroupRecord::decode(fields)?)),
        Key::Message(group, number) => Record::Message(group, number, fields.item()?),
        Key::Sender(sender) => Record::Sender(sender, fields.sender()?),
        Key::OneToOne(sender, number) => Record::OneToOne(sender, number, fields.item()?),
        Key::Notification(_, number) => Record::Notification(fields.text()?, number, fields.notification()?),
        Key::Unsent(group, number) => Record::Unsent(group, number, fields.unsent()?),
        Key::Delivered(sender, number) => Record::Delivered(sender, number, fields.item()?),
    })
}

/// The value of the record of a life.
pub(in crate::pf) fn encode_life(number: u64) -> Bytes {
    Values::with_room(8).number(number).done()
}

/// The value of a message's record.
pub(in crate::pf) fn encode_message(item: &Item) -> Bytes {
    let out = Values::with_room(256 + item.body.len()).text(&item.content_type).bytes(&item.body).number(item.since.as_micros());
    let out = out.option(item.device.as_deref()).number(item.identifiers.len() as u64);
    item.identifiers.iter().fold(out, |out, (name, value)| out.text(name).text(value)).done()
}

/// The value of the record of a Client's message.
pub(in crate::pf) fn encode_unsent(own: &Unsent) -> Bytes {
    let out = Values::with_room(64 + own.body.len()).text(&own.content_type).bytes(&own.body).number(own.since.as_micros());
    out.flag(own.owed != Owed::Nothing).done()
}

/// The value of an original sender's record.
pub(in crate::pf) fn encode_sender(user: &str, sender: &Sender) -> Bytes {
    Values::with_room(128 + sender.sdp.len()).text(user).text(&sender.address).flag(sender.private).text(&sender.sdp).done()
}

/// The value of a notification's record.
pub(in crate::pf) fn encode_notification(user: &str, own: &Notification) -> Bytes {
    let out = Values::with_room(256 + own.body.len()).text(user).number(own.since.as_micros()).text(&own.from).flag(own.private);
    let out = out.option(own.target.as_deref()).option(own.origin.as_deref()).number(own.identifiers.len() as u64);
    own.identifiers.iter().fold(out, |out, (name, value)| out.text(name).text(value)).bytes(&own.body).done()
}

/// The value of a user's record.
pub(in crate::pf) fn encode_user(user: &User) -> Bytes {
    let until = match user.registration {
        Registration::Unknown => 0,
        Registration::Gone => 1,
        Registration::Until(end) => end.as_micros().max(2),
    };
    Values::with_room(24 + user.uri.len() + user.route.len()).text(&user.uri).text(&user.route).number(until).done()
}

/// What is kept of a group session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::pf) struct GroupRecord<'a> {
    pub(in crate::pf) user: Cow<'a, str>,
    pub(in crate::pf) focus: Cow<'a, str>,
    pub(in crate::pf) shown: Cow<'a, str>,
    pub(in crate::pf) named: bool,
    pub(in crate::pf) closed: bool,
    pub(in crate::pf) left: bool,
    pub(in crate::pf) held_since: Instant,
    pub(in crate::pf) ended: Option<Instant>,
    pub(in crate::pf) invitation: Cow<'a, Invitation>,
    pub(in crate::pf) device: Option<Cow<'a, str>>,
    pub(in crate::pf) roster: Cow<'a, Roster>,
    /// The legs to the Client and to the focus.
    pub(in crate::pf) legs: [Option<LegRecord<'a>>; 2],
}

/// What is kept of a leg.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::pf) struct LegRecord<'a> {
    pub(in crate::pf) dialog: Cow<'a, Dialog>,
    /// Whether the peer allows UPDATE.
    pub(in crate::pf) updates: bool,
    /// The number and the version of our descriptions.
    pub(in crate::pf) origin: (u64, u32),
}

/// Room for a usual group with its roster and both legs.
const USUAL_GROUP: usize = 2_048;

impl<'a> GroupRecord<'a> {
    /// What is to be kept of a group now.
    pub(in crate::pf) fn of(core: &'a Core, id: GroupId) -> Self {
        let group = &core[id];
        let record = |leg: &Leg| {
            let dialog = core.endpoint.dialog(leg.dialog)?;
            Some(LegRecord { dialog: Cow::Borrowed(dialog), updates: leg.updates, origin: leg.media.origin() })
        };
        Self {
            user: core.users[group.user].uri.as_str().into(),
            focus: group.focus.as_str().into(),
            shown: group.shown.as_str().into(),
            named: group.named,
            closed: group.closed,
            left: group.phase == Phase::Gone,
            held_since: group.held_since,
            ended: group.ended,
            invitation: Cow::Borrowed(&group.invitation),
            device: group.device.as_deref().map(Cow::Borrowed),
            roster: Cow::Borrowed(&group.roster),
            legs: [Side::Client, Side::Focus].map(|side| group.leg(side).and_then(record)),
        }
    }

    /// The value of the record.
    pub(in crate::pf) fn encode(&self) -> Bytes {
        let mut out = Values::with_room(USUAL_GROUP).text(&self.user).text(&self.focus).text(&self.shown);
        out = out.flag(self.named).flag(self.closed).flag(self.left).number(self.held_since.as_micros());
        out = out.number(self.ended.map_or(0, |ended| ended.as_micros() + 1));
        out = out.text(&self.invitation.from).text(&self.invitation.sdp).number(self.invitation.fields.len() as u64);
        for (name, value) in &self.invitation.fields {
            out = out.text(name).text(value);
        }
        out = out.number(self.invitation.parts.len() as u64);
        for part in &self.invitation.parts {
            out = out.text(&part.content_type).option(part.disposition.as_deref()).bytes(&part.body);
        }
        out = out.option(self.device.as_deref()).roster(&self.roster);
        for leg in &self.legs {
            out = out.leg(leg.as_ref());
        }
        out.done()
    }
}

impl GroupRecord<'static> {
    fn decode(fields: &mut Fields) -> Option<Self> {
        let (user, focus, shown) = (fields.text()?.into(), fields.text()?.into(), fields.text()?.into());
        let (named, closed, left) = (fields.flag()?, fields.flag()?, fields.flag()?);
        let held_since = Instant::from_micros(fields.number()?);
        let ended = fields.number()?.checked_sub(1).map(Instant::from_micros);
        let (from, sdp) = (fields.text()?, fields.text()?);
        let repeated = fields.many(|fields| Some((fields.text()?, fields.text()?)))?;
        let parts = fields
            .many(|fields| Some(Part { content_type: fields.text()?, disposition: fields.option()?, body: fields.bytes()? }))?;
        let (device, roster) = (fields.option()?.map(Cow::Owned), fields.roster()?);
        let legs = [fields.leg()?, fields.leg()?];
        let (invitation, roster) = (Cow::Owned(Invitation { fields: repeated, from, sdp, parts }), Cow::Owned(roster));
        Some(Self { user, focus, shown, named, closed, left, held_since, ended, invitation, device, roster, legs })
    }
}

/// Writes fields.
struct Values(BytesMut);

impl Values {
    /// No fields yet, with room for so many bytes.
    fn with_room(bytes: usize) -> Self {
        Self(BytesMut::with_capacity(bytes))
    }

    fn bytes(mut self, value: &[u8]) -> Self {
        self.0.put_u64(value.len() as u64);
        self.0.put_slice(value);
        self
    }

    fn text(self, value: &str) -> Self {
        self.bytes(value.as_bytes())
    }

    fn number(mut self, value: u64) -> Self {
        self.0.put_u64(value);
        self
    }

    fn flag(self, value: bool) -> Self {
        self.number(u64::from(value))
    }

    fn option(self, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.flag(true).text(value),
            None => self.flag(false),
        }
    }

    fn count(self, value: Option<u32>) -> Self {
        self.number(value.map_or(0, |value| u64::from(value) + 1))
    }

    /// A roster without users is as good as none.
    fn roster(self, roster: &Roster) -> Self {
        if roster.users.is_empty() {
            return self.flag(false);
        }
        let out = self.flag(true).text(&roster.entity).count(Some(roster.version.unwrap_or(0)));
        let out = out.option(roster.subject.as_deref()).count(roster.maximum_user_count).count(roster.active.map(u32::from));
        roster.users.iter().fold(out.number(roster.users.len() as u64), Self::participant)
    }

    fn participant(self, user: &Participant) -> Self {
        let out = self.text(&user.entity).option(user.display_text.as_deref()).flag(user.own).number(user.roles.len() as u64);
        let out = user.roles.iter().fold(out, |out, role| out.text(role)).number(user.endpoints.len() as u64);
        user.endpoints.iter().fold(out, |out, device| {
            let state = conference_info::State::ALL.iter().position(|state| *state == device.state).unwrap_or(0);
            let out = out.text(&device.entity).number(state as u64).option(device.status.as_deref());
            out.option(device.disconnection_method.as_deref()).option(device.disconnection_reason.as_deref())
        })
    }

    fn leg(self, value: Option<&LegRecord<'_>>) -> Self {
        let Some(LegRecord { dialog, updates, origin: (origin, version) }) = value else { return self.flag(false) };
        let mut out = self.flag(true).flag(*updates).number(*origin).number((*version).into()).flag(dialog.side == Role::Uac);
        for text in [&dialog.call_id, &dialog.local_tag, &dialog.remote_tag, &dialog.local_uri, &dialog.remote_uri] {
            out = out.text(text);
        }
        out = out.number(dialog.local_cseq.into()).number(dialog.remote_cseq.map_or(0, |cseq| u64::from(cseq) + 1));
        out = out.text(&dialog.remote_target).number(dialog.route_set.len() as u64);
        dialog.route_set.iter().fold(out, |out, route| out.text(route))
    }

    fn done(self) -> Bytes {
        self.0.freeze()
    }
}

/// Reads fields; anything unexpected is `None`.
struct Fields(Bytes);

impl Fields {
    fn number(&mut self) -> Option<u64> {
        self.0.try_get_u64().ok()
    }

    fn bytes(&mut self) -> Option<Bytes> {
        let length = usize::try_from(self.number()?).ok()?;
        (length <= self.0.len()).then(|| self.0.split_to(length))
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    fn flag(&mut self) -> Option<bool> {
        self.number().map(|number| number != 0)
    }

    fn option(&mut self) -> Option<Option<String>> {
        if self.flag()? { self.text().map(Some) } else { Some(None) }
    }

    fn many<T>(&mut self, read: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        (0..self.number()?).map(|_| read(self)).collect()
    }

    fn item(&mut self) -> Option<Item> {
        let (content_type, body, since) = (self.text()?, self.bytes()?, Instant::from_micros(self.number()?));
        let device = self.option()?;
        let identifiers = self.many(|fields| Some((fields.text()?, fields.text()?)))?;
        let item = Item { durable: true, ..Item::new(since, &content_type, body) }.with_device(device);
        Some(if identifiers.is_empty() { item } else { item.with_identifiers(identifiers) })
    }

    /// The session that it came by is over, so a failure cannot be told any more.
    fn unsent(&mut self) -> Option<Unsent> {
        let (content_type, body, since) = (self.text()?, self.bytes()?, Instant::from_micros(self.number()?));
        let owed = if self.flag()? { Owed::Delivery } else { Owed::Nothing };
        Some(Unsent { content_type, body, owed, since })
    }

    fn sender(&mut self) -> Option<SenderRecord> {
        Some(SenderRecord { user: self.text()?, address: self.text()?, private: self.flag()?, sdp: self.text()? })
    }

    fn notification(&mut self) -> Option<Notification> {
        let since = Instant::from_micros(self.number()?);
        let (from, private, target, origin) = (self.text()?, self.flag()?, self.option()?, self.option()?);
        let identifiers = self.many(|fields| Some((fields.text()?, fields.text()?)))?;
        Some(Notification { from, private, target, origin, identifiers, body: self.bytes()?, since })
    }

    fn registration(&mut self) -> Option<Registration> {
        Some(match self.number()? {
            0 => Registration::Unknown,
            1 => Registration::Gone,
            until => Registration::Until(Instant::from_micros(until)),
        })
    }

    fn count(&mut self) -> Option<Option<u32>> {
        self.number()?.checked_sub(1).map(u32::try_from).transpose().ok()
    }

    fn roster(&mut self) -> Option<Roster> {
        if !self.flag()? {
            return Some(Roster::default());
        }
        let (entity, version, subject, maximum_user_count) = (self.text()?, self.count()?, self.option()?, self.count()?);
        let active = self.count()?.map(|active| active != 0);
        Some(Roster { entity, version, subject, maximum_user_count, active, users: self.many(Self::participant)? })
    }

    fn participant(&mut self) -> Option<Participant> {
        let (entity, display_text, own, roles) = (self.text()?, self.option()?, self.flag()?, self.many(Self::text)?);
        let endpoints = self.many(|fields| {
            let (entity, state) = (fields.text()?, usize::try_from(fields.number()?).ok()?);
            let state = *conference_info::State::ALL.get(state)?;
            let (status, disconnection_method, disconnection_reason) = (fields.option()?, fields.option()?, fields.option()?);
            Some(Endpoint { entity, state, status, disconnection_method, disconnection_reason })
        })?;
        Some(Participant { entity, state: conference_info::State::Full, display_text, own, roles, endpoints })
    }

    fn leg(&mut self) -> Option<Option<LegRecord<'static>>> {
        if !self.flag()? {
            return Some(None);
        }
        let updates = self.flag()?;
        let origin = (self.number()?, u32::try_from(self.number()?).ok()?);
        let uac = self.flag()?;
        let (call_id, local_tag, remote_tag) = (self.text()?, self.text()?, self.text()?);
        let (local_uri, remote_uri) = (self.text()?, self.text()?);
        let local_cseq = u32::try_from(self.number()?).ok()?;
        let remote_cseq = self.number()?.checked_sub(1).and_then(|cseq| u32::try_from(cseq).ok());
        let (remote_target, route_set) = (self.text()?, self.many(Self::text)?);
        let side = if uac { Role::Uac } else { Role::Uas };
        let state = State::Confirmed;
        let dialog = Dialog {
            state,
            side,
            call_id,
            local_tag,
            remote_tag,
            local_uri,
            remote_uri,
            local_cseq,
            remote_cseq,
            remote_target,
            route_set,
        };
        Some(Some(LegRecord { dialog: Cow::Owned(dialog), updates, origin }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> GroupRecord<'static> {
        let dialog = Dialog {
            state: State::Confirmed,
            side: Role::Uas,
            call_id: "c@cf".to_owned(),
            local_tag: "l".to_owned(),
            remote_tag: "r".to_owned(),
            local_uri: "<sip:bob@home1.example>".to_owned(),
            remote_uri: "<sip:gc-1@cf.home1.example>".to_owned(),
            local_cseq: 7,
            remote_cseq: Some(2),
            remote_target: "sip:gc-1@cf.home1.example".to_owned(),
            route_set: vec!["<sip:a;lr>".to_owned()],
        };
        let part = Part { content_type: "a/b".to_owned(), disposition: None, body: Bytes::from_static(b"\0\xff") };
        GroupRecord {
            user: "sip:bob@home1.example".into(),
            focus: "sip:gc-1@cf.home1.example".into(),
            shown: "sip:gc-1@pf.home1.example".into(),
            named: true,
            closed: false,
            left: false,
            held_since: Instant::from_millis(5),
            ended: Some(Instant::ZERO),
            invitation: Cow::Owned(Invitation {
                fields: vec![("Subject".to_owned(), "Trip".to_owned())],
                from: "sip:gc-1@cf.home1.example".to_owned(),
                sdp: "v=0\r\n".to_owned(),
                parts: vec![part],
            }),
            device: Some("urn:uuid:1".into()),
            roster: Cow::Owned(roster()),
            legs: [None, Some(LegRecord { dialog: Cow::Owned(dialog), updates: true, origin: (7, 3) })],
        }
    }

    fn roster() -> Roster {
        let mut users = ["sip:a@x.example", "sip:b@x.example"].map(|uri| Participant::new(uri, "connected")).to_vec();
        users[0].roles.push("participant".to_owned());
        users[1].display_text = Some("Bob".to_owned());
        users[1].endpoints[0].state = conference_info::State::Partial;
        let subject = Some("Trip".to_owned());
        Roster {
            entity: "sip:gc-1@cf.home1.example".to_owned(),
            version: Some(0),
            subject,
            active: Some(false),
            users,
            ..Roster::default()
        }
    }

    #[test]
    fn a_group_reads_back_as_it_was_written() {
        let read = decode(&Key::Group(3).encode(), record().encode());
        assert!(matches!(read, Some(Record::Group(3, group)) if *group == record()));
    }

    #[test]
    fn a_record_that_is_cut_off_is_none() {
        let whole = record().encode();
        for length in 0..whole.len() {
            assert!(decode(&Key::Group(3).encode(), whole.slice(..length)).is_none(), "{length}");
        }
        assert!(decode(b"x", Bytes::new()).is_none());
    }

    #[test]
    fn keys_sort_users_before_groups_before_messages_in_order() {
        let keys = [
            Key::User(9),
            Key::Group(1),
            Key::Message(1, 2),
            Key::Message(1, 300),
            Key::Message(2, 1),
            Key::Sender(3),
            Key::OneToOne(1, 2),
            Key::Notification(0, 4),
            Key::Unsent(1, 5),
            Key::Delivered(3, 2),
        ];
        let encoded: Vec<Vec<u8>> = keys.iter().map(|key| key.encode()).collect();
        assert!(encoded.is_sorted());
        assert!(encoded.iter().zip(keys).all(|(bytes, key)| Key::decode(bytes) == Some(key)));
    }
}
