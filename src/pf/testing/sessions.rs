//! Sessions and what leads to them: invitations, registrations, re-joins, losses.

use bytes::Bytes;

use super::{ADDRESSES, BOB, FOCUS, GROUP, PHONE, ROSTER, Session, TABLET, USER, World};
use crate::endpoint::{Destination, DialogId, MsrpId, TransactionId};
use crate::pf::headers::{FEATURE_TAG, GROUP_SERVICE, Part, SESSION_SERVICE, sdp_of, with_body};
use crate::pf::{core, media};
use crate::wire::sip::{Builder, Message, Name};

impl World {
    pub(super) fn sdp(&mut self, node: usize, setup: &str) -> (MsrpId, String) {
        let (media, path) = self.peer(node).msrp_open();
        (media, sdp(node, media.0, setup, &path))
    }

    /// An original sender invites the user to a 1-1 session: its node is that of the focus.
    pub(in crate::pf) fn invite_one_to_one(&mut self, sender: &str, first: Option<&str>) -> (TransactionId, MsrpId) {
        self.invite_one_to_one_with(sender, first, |invite| invite)
    }

    /// As [`World::invite_one_to_one`], with an altered INVITE.
    pub(in crate::pf) fn invite_one_to_one_with(
        &mut self,
        sender: &str,
        first: Option<&str>,
        change: impl FnOnce(Builder) -> Builder,
    ) -> (TransactionId, MsrpId) {
        let (media, sdp) = self.sdp(FOCUS, "actpass");
        let invite = Builder::request("INVITE", USER)
            .push("Route", "<sip:pf.home1.example;lr>")
            .push("From", format!("<{sender}>"))
            .push("To", format!("<{USER}>"))
            .push("Contact", format!("<sip:{}:5060;transport=tcp>", ADDRESSES[FOCUS]))
            .push("P-Asserted-Identity", format!("<{sender}>"))
            .push("P-Asserted-Service", SESSION_SERVICE)
            .push("Accept-Contact", format!("*;{}", FEATURE_TAG))
            .push("Conversation-ID", format!("conversation of {}", &sender[4..16]))
            .push("Contribution-ID", format!("contribution of {}", &sender[4..16]))
            .push("Supported", "timer")
            .push("Session-Expires", 1800);
        let part = first.map(|text| Part {
            content_type: "message/cpim".to_owned(),
            disposition: None,
            body: Bytes::from(text.to_owned()),
        });
        let invite = with_body(change(invite), &sdp, part.as_slice());
        (self.send(FOCUS, invite), media)
    }

    /// An original sender writes these messages while the user is gone, and ends its session.
    pub(in crate::pf) fn wrote(&mut self, sender: &str, texts: &[&str]) {
        let (invite, media) = self.invite_one_to_one(sender, None);
        let session = self.accepted(FOCUS, invite, media);
        self.missed(&session, texts);
        self.bye(&session, None);
    }

    /// The focus invites the user, in the shape of V1.
    pub(in crate::pf) fn invite(&mut self) -> (TransactionId, MsrpId) {
        self.invite_to(1)
    }

    /// The focus invites the user to the group of this number.
    pub(in crate::pf) fn invite_to(&mut self, group: u32) -> (TransactionId, MsrpId) {
        let (media, sdp) = self.sdp(FOCUS, "actpass");
        let focus = format!("sip:gc-{group}@cf.home1.example");
        let invite = Builder::request("INVITE", USER)
            .push("Route", "<sip:pf.home1.example;lr>")
            .push("From", format!("<{focus}>"))
            .push("To", format!("<{USER}>"))
            .push("Contact", format!("<{focus}>;isfocus"))
            .push("P-Asserted-Identity", format!("<{focus}>"))
            .push("P-Asserted-Service", GROUP_SERVICE)
            .push("Referred-By", "<sip:+15145550101@home1.example>")
            .push("Accept-Contact", format!("*;{}", FEATURE_TAG))
            .push("Conversation-ID", format!("conversation-{group}"))
            .push("Contribution-ID", format!("contribution-{group}"))
            .push("Subject", "Hiking trip")
            .push("Supported", "timer")
            .push("Session-Expires", 1800)
            .body("application/sdp", sdp);
        (self.send(FOCUS, invite), media)
    }

    /// Bob's device answers an INVITE of the PF by 200.
    pub(in crate::pf) fn pick_up(&mut self, invite: TransactionId, request: &Message, device: &str) -> Session {
        self.pick_up_with(invite, request, device, |response| response)
    }

    /// As [`World::pick_up`], with an altered 200.
    pub(in crate::pf) fn pick_up_with(
        &mut self,
        invite: TransactionId,
        request: &Message,
        device: &str,
        change: impl FnOnce(Builder) -> Builder,
    ) -> Session {
        let (media, sdp) = self.sdp(BOB, "active");
        let contact = bob_contact(device);
        let dialog =
            self.answer_with(BOB, invite, 200, |response| change(response.set("Contact", contact).body("application/sdp", sdp)));
        self.ack(BOB);
        self.start(BOB, media, request, true);
        Session { node: BOB, dialog: dialog.expect("a dialog"), media }
    }

    /// As [`World::pick_up`], with an altered description.
    pub(in crate::pf) fn pick_up_describing(
        &mut self,
        invite: TransactionId,
        request: &Message,
        change: impl FnOnce(String) -> String,
    ) -> Session {
        self.pick_up_with(invite, request, PHONE, |response| {
            let sdp = String::from_utf8_lossy(&response.content()).into_owned();
            response.body("application/sdp", change(sdp))
        })
    }

    /// Bob's device answers by 200 and never opens its connection.
    pub(in crate::pf) fn pick_up_without_media(&mut self, invite: TransactionId, device: &str) {
        let (_, sdp) = self.sdp(BOB, "active");
        let contact = bob_contact(device);
        self.answer_with(BOB, invite, 200, |response| response.set("Contact", contact).body("application/sdp", sdp));
        self.ack(BOB);
    }

    /// Another device answers the same INVITE by 200, with a tag of its own.
    pub(in crate::pf) fn pick_up_elsewhere(&mut self, invite: TransactionId, tag: &str) {
        let response = self.peer(BOB).response(invite, 200);
        let to = core::untagged(response.value("To").expect("a To"));
        let response = response.set("To", format!("{to};tag={tag}")).set("Contact", bob_contact(TABLET));
        let now = self.now;
        self.peer(BOB).send_raw(now, Destination::Transaction(invite), response.encode());
        self.settle();
    }

    /// Another device answers the same INVITE by 200, with a tag and a medium of its own.
    pub(in crate::pf) fn pick_up_with_other_tag(&mut self, invite: TransactionId, request: &Message, tag: &str) {
        let (media, sdp) = self.sdp(BOB, "active");
        let response = self.peer(BOB).response(invite, 200);
        let to = core::untagged(response.value("To").expect("a To"));
        let response = response.set("To", format!("{to};tag={tag}")).set("Contact", bob_contact(TABLET));
        let now = self.now;
        self.peer(BOB).send_raw(now, Destination::Transaction(invite), response.body("application/sdp", sdp).encode());
        self.settle();
        self.start(BOB, media, request, true);
    }

    /// Another device opens its connection before its 200 comes: the path of the device.
    pub(in crate::pf) fn connect_early(&mut self, request: &Message, tag: &str) -> String {
        let sdp = sdp_of(request).expect("SDP");
        let to = media::read(&sdp, false).expect("a medium").path;
        let from = format!("msrp://10.0.2.2:2855/{tag};tcp");
        let binding =
            format!("MSRP early1 SEND\r\nTo-Path: {to}\r\nFrom-Path: {from}\r\nMessage-ID: early-1\r\n-------early1$\r\n");
        self.throw(2855, Bytes::from(binding));
        from
    }

    /// The 200 of that device comes.
    pub(in crate::pf) fn pick_up_late(&mut self, invite: TransactionId, tag: &str, path: &str) {
        let response = self.peer(BOB).response(invite, 200);
        let to = core::untagged(response.value("To").expect("a To"));
        let response = response.set("To", format!("{to};tag={tag}")).set("Contact", bob_contact(TABLET));
        let response = response.body("application/sdp", sdp(BOB, 950, "active", path));
        let now = self.now;
        self.peer(BOB).send_raw(now, Destination::Transaction(invite), response.encode());
        self.settle();
    }

    /// Both legs of the group session, and the invitation as Bob got it.
    pub(in crate::pf) fn established(&mut self) -> (Session, Session, Message) {
        self.established_with(1)
    }

    /// Both legs of the group session of this number.
    pub(in crate::pf) fn established_with(&mut self, group: u32) -> (Session, Session, Message) {
        let (invite, media) = self.invite_to(group);
        let (offered, _, message) = self.request(BOB, "INVITE");
        let bob = self.pick_up(offered, &message, PHONE);
        let focus = self.accepted(FOCUS, invite, media);
        (focus, bob, message)
    }

    /// The PF has answered an INVITE of this node by 200: it is acknowledged, media runs.
    pub(in crate::pf) fn accepted(&mut self, node: usize, invite: TransactionId, media: MsrpId) -> Session {
        let (_, dialog, response) = self.response(node, 200);
        self.acknowledge(node, invite, dialog.expect("a dialog"), media, &response)
    }

    /// Bob is lost: the PF subscribes, and the focus tells the roster if it is to answer.
    pub(in crate::pf) fn lose(&mut self, bob: &Session) {
        self.bye(bob, Some("SIP;cause=503;text=\"Radio lost\""));
    }

    /// Takes the SUBSCRIBE of the PF.
    pub(in crate::pf) fn subscribed(&mut self) -> DialogId {
        let (subscribe, _, message) = self.request(FOCUS, "SUBSCRIBE");
        assert_eq!(message.value(Name::Event), Some("conference"));
        self.answer_with(FOCUS, subscribe, 200, |response| response.push("Expires", 3600)).expect("a dialog")
    }

    /// Bob's device takes the BYE of a delivery that is complete.
    pub(in crate::pf) fn completed(&mut self) {
        let (bye, _, message) = self.request(BOB, "BYE");
        assert_eq!(message.value(Name::Reason), None);
        self.answer(BOB, bye, 200);
    }

    /// The S-CSCF registers Bob, from a device where one is given.
    pub(in crate::pf) fn register(&mut self, expires: u32, device: Option<&str>) {
        self.register_user(USER, expires, device);
        self.response(BOB, 200);
    }

    /// A third-party REGISTER for any user; its answer is still to be taken.
    pub(in crate::pf) fn register_user(&mut self, user: &str, expires: u32, device: Option<&str>) {
        let mut register = Builder::request("REGISTER", "sip:pf.home1.example")
            .push("From", "<sip:scscf1.home1.example>")
            .push("To", format!("<{user}>"))
            .push("Contact", "<sip:scscf1.home1.example>")
            .push("Expires", expires);
        if let Some(device) = device {
            let inner =
                format!("REGISTER sip:home1.example SIP/2.0\r\nContact: {}\r\nContent-Length: 0\r\n\r\n", bob_contact(device));
            register = register.body("message/sip", inner);
        }
        self.send(BOB, register);
    }

    /// Bob's device re-joins; the answer is still to be taken.
    pub(in crate::pf) fn rejoin(&mut self, target: &str, device: &str) -> (TransactionId, MsrpId) {
        let (media, sdp) = self.sdp(BOB, "actpass");
        let invite = rejoin_request(target, device).body("application/sdp", sdp);
        (self.send(BOB, invite), media)
    }

    /// As [`World::rejoin`], with an altered offer.
    pub(in crate::pf) fn rejoin_with(
        &mut self,
        target: &str,
        device: &str,
        change: impl FnOnce(String) -> String,
    ) -> (TransactionId, MsrpId) {
        let (media, sdp) = self.sdp(BOB, "actpass");
        let invite = rejoin_request(target, device).body("application/sdp", change(sdp));
        (self.send(BOB, invite), media)
    }

    /// Bob was lost and has missed these messages, and nothing is under way: the focus, and the
    /// invitation as Bob got it.
    pub(in crate::pf) fn held(knobs: &[(&str, &str)], texts: &[&str]) -> (Self, Session, Message) {
        let mut world = Self::with(knobs);
        let (focus, bob, invitation) = world.established();
        world.lose(&bob);
        world.subscribed();
        world.missed(&focus, texts);
        world.assert_quiet(BOB);
        (world, focus, invitation)
    }

    /// Bob was lost, missed these messages, and the focus has ended the group since; the roster
    /// that it told before names Alice, Bob and Carol.
    pub(in crate::pf) fn dormant(knobs: &[(&str, &str)], texts: &[&str], reason: Option<&str>) -> Self {
        let mut world = Self::with(knobs);
        let (focus, bob, _) = world.established();
        world.lose(&bob);
        let dialog = world.subscribed();
        world.notify(dialog, "active;expires=3600", ROSTER);
        world.missed(&focus, texts);
        world.bye(&focus, reason);
        world.notify(dialog, "terminated;reason=noresource", "");
        world.assert_quiet(BOB);
        world.assert_quiet(FOCUS);
        world
    }

    /// The PF has answered Bob's new INVITE by 200 and ends the dialog that it replaces.
    pub(in crate::pf) fn accepted_and_replaced(&mut self, invite: TransactionId, media: MsrpId, reason: &str) -> Session {
        let (_, dialog, response) = self.response(BOB, 200);
        let (bye, _, message) = self.request(BOB, "BYE");
        assert_eq!(message.value(Name::Reason), Some(reason));
        self.answer(BOB, bye, 200);
        self.acknowledge(BOB, invite, dialog.expect("a dialog"), media, &response)
    }

    /// The focus accepts the re-INVITE of a PF that was restarted; its media is still to be started.
    pub(in crate::pf) fn take_up(&mut self, focus: &mut Session, invite: TransactionId) -> Message {
        let message = self.peer(FOCUS).request(invite).cloned().expect("a request");
        let (media, sdp) = self.sdp(FOCUS, "active");
        self.answer_with(FOCUS, invite, 200, |response| response.body("application/sdp", sdp));
        focus.media = media;
        message
    }

    /// The media of a session runs, towards the description in this message.
    pub(in crate::pf) fn start_media(&mut self, session: &Session, message: &Message) {
        self.start(session.node, session.media, message, true);
    }

    /// The focus takes the session up again with a PF that was restarted.
    pub(in crate::pf) fn repaired(&mut self, focus: &mut Session, invite: TransactionId) {
        let message = self.take_up(focus, invite);
        self.start_media(focus, &message);
        while !self.events[FOCUS - 1].is_empty() {
            self.event(FOCUS);
        }
    }

    /// The focus takes an INVITE of the PF: the session is up on its side.
    pub(in crate::pf) fn accept_join(&mut self, invite: TransactionId, request: &Message) -> Session {
        let (media, sdp) = self.sdp(FOCUS, "active");
        let contact = format!("<{GROUP}>;isfocus");
        let dialog = self.answer_with(FOCUS, invite, 200, |response| response.set("Contact", contact).body("application/sdp", sdp));
        self.ack(FOCUS);
        self.start(FOCUS, media, request, true);
        Session { node: FOCUS, dialog: dialog.expect("a dialog"), media }
    }
}

pub(super) fn sdp(node: usize, origin: u32, setup: &str, path: &str) -> String {
    let address = ADDRESSES[node];
    format!(
        "v=0\r\no=- {origin} 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\nm=message 2855 TCP/MSRP *\r\n\
         a=accept-types:message/cpim application/im-iscomposing+xml\r\na=accept-wrapped-types:text/plain message/imdn+xml\r\n\
         a=setup:{setup}\r\na=path:{path}\r\na=sendrecv\r\n"
    )
}

/// A description that takes the group state object too.
pub(in crate::pf) fn taking_state(sdp: String) -> String {
    sdp.replace("a=accept-types:message/cpim", "a=accept-types:message/cpim application/group-state-object+xml")
}

pub(super) fn rejoin_request(target: &str, device: &str) -> Builder {
    Builder::request("INVITE", target)
        .push("Route", "<sip:pf.home1.example;lr>")
        .push("From", format!("<{USER}>"))
        .push("To", format!("<{target}>"))
        .push("Contact", bob_contact(device))
        .push("Conversation-ID", "conversation-1")
        .push("Supported", "timer")
        .push("Session-Expires", 1800)
}

pub(super) fn bob_contact(device: &str) -> String {
    format!("<sip:bob@{}:5060;transport=tcp>;+sip.instance=\"<{device}>\"", ADDRESSES[BOB])
}
