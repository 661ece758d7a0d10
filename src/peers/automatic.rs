//! What a scripted actor does without being told: one list per role.
//!
//! | what comes | client | cf | core |
//! |---|---|---|---|
//! | any INVITE | 100 after 200 ms (RFC 3261 17.2.1) | the same | proxied |
//! | INVITE outside of dialogs | 200 with the answer | 200 with the answer, as focus | 501 |
//! | re-INVITE, UPDATE | 200, description mirrored, timer as asked | the same | 501 |
//! | BYE | 200, the MSRP connection is closed | the same | 501 |
//! | CANCEL | 200; the INVITE is answered 487 | the same | the same |
//! | SUBSCRIBE | 489 | 200, then NOTIFY with the full roster; with Expires 0 the last NOTIFY | 489 |
//! | NOTIFY, MESSAGE, OPTIONS, INFO | 200 | 200 | 200 |
//! | REGISTER | 405 | 405 | 200 |
//! | any other request | 501 | 501 | 501 |
//! | a request in a dialog that is gone | 481 | 481 | 481 |
//! | a request that crosses ours, or comes out of order | 491, or 500 (RFC 3261 12.2.2, 14.2) | the same | the same |
//! | a merged request | 482 (RFC 3261 8.2.2.2) | the same | the same |
//! | 2xx to INVITE | ACK; the active side connects MSRP | the same | the same |
//! | ACK | the active side connects MSRP, if it has not with its 2xx (`connects-early`) | the same | - |
//! | 3xx-6xx to INVITE | ACK (RFC 3261 17.1.1.3) | the same | the same |
//! | no ACK within 64*T1, session expired | BYE | BYE | BYE |
//! | refresh due | re-INVITE, unless its declaration says that it does not refresh | the same | - |
//! | MSRP SEND | 200 to every chunk; a success REPORT when it was asked for | the same | - |
//!
//! A *reference* focus, which no script moves, also passes every message that it receives on to the
//! other sessions of the group; what else reference actors do is said in `reference`.
//!
//! A scripted PF, which stands in for the IUT in tests of the peers, follows the list of the client.
//!
//! 100, the answer to CANCEL, the ACK to a refusal and the 200 to all chunks but the last are
//! the base protocols' and come in any case; everything else in the list happens only when the
//! owner of the actor leaves the event to it.

use super::script::Scripted;
use crate::endpoint::{Change, DialogId, Event, MsrpId, TransactionId};
use crate::msrp;
use crate::pattern::ast::Role;
use crate::time::Instant;
use crate::wire::cpim::Cpim;
use crate::wire::msrp::FailureReport;
use crate::wire::sip::{Message, Method};

/// The status with which a role answers a request that no script answers.
pub fn status(role: Role, method: &Method) -> u16 {
    match (role, method) {
        (Role::Cf, Method::Subscribe) | (Role::Core, Method::Register) => 200,
        (_, Method::Subscribe) => 489,
        (_, Method::Register) => 405,
        (_, Method::Notify | Method::Message | Method::Options | Method::Info) => 200,
        (Role::Client | Role::Cf | Role::Pf, Method::Invite | Method::Update | Method::Bye) => 200,
        (Role::Core, Method::Invite | Method::Update | Method::Bye) => 501,
        (_, Method::Ack | Method::Cancel | Method::Prack | Method::Refer | Method::Publish | Method::Other(_)) => 501,
    }
}

/// Does what the list says about an event.
pub(super) fn act(actor: &mut Scripted, now: Instant, event: &Event) {
    if actor.with_habits(|habits, actor| habits.before(actor, now, event)) {
        return;
    }
    follow(actor, now, event);
    actor.with_habits(|habits, actor| habits.after(actor, now, event));
}

fn follow(actor: &mut Scripted, now: Instant, event: &Event) {
    match event {
        Event::Request { transaction, message, .. } => answer(actor, now, *transaction, message),
        Event::Response { dialog: Some(dialog), message, .. } => on_response(actor, now, *dialog, message),
        Event::Cancelled { transaction, .. } => respond(actor, now, *transaction, 487),
        Event::AckMissing { dialog } | Event::SessionExpired { dialog } => actor.request_inside(now, &Method::Bye, *dialog),
        Event::RefreshDue { dialog } if actor.profile().refreshes => actor.request_inside(now, &Method::Invite, *dialog),
        Event::Msrp { session, event: msrp::Event::Received(incoming) } => take(actor, now, *session, incoming),
        Event::Subscription { change: Change::Notified { transaction, .. }, .. } => respond(actor, now, *transaction, 200),
        Event::Subscription { change: Change::Expired { dialog }, .. } => actor.end_subscription(now, *dialog),
        Event::Response { .. }
        | Event::Ack { .. }
        | Event::Failed { .. }
        | Event::Subscription { .. }
        | Event::Msrp { .. }
        | Event::RefreshDue { .. } => {}
    }
}

fn answer(actor: &mut Scripted, now: Instant, transaction: TransactionId, request: &Message) {
    let Some(method) = request.method() else { return };
    if actor.refuse(now, transaction) {
        return;
    }
    let dialog = respond_in(actor, now, transaction, status(actor.profile().role, &method));
    if let (Method::Subscribe, true, Some(dialog)) = (method, actor.is_focus(), dialog) {
        actor.notify(now, dialog);
    }
}

fn respond(actor: &mut Scripted, now: Instant, transaction: TransactionId, status: u16) {
    respond_in(actor, now, transaction, status);
}

/// A request that is gone needs no answer.
fn respond_in(actor: &mut Scripted, now: Instant, transaction: TransactionId, status: u16) -> Option<DialogId> {
    let draft = actor.draft_response(transaction, status).ok()?;
    actor.respond(now, draft).ok().flatten()
}

fn on_response(actor: &mut Scripted, now: Instant, dialog: DialogId, response: &Message) {
    let accepted = response.status().is_some_and(|status| (200..300).contains(&status));
    if accepted && response.method() == Some(Method::Invite) {
        acknowledge(actor, now, dialog);
    }
}

/// Whatever waits for an ACK in this dialog gets it.
fn acknowledge(actor: &mut Scripted, now: Instant, dialog: DialogId) {
    let sent = actor.draft_ack(dialog).and_then(|draft| actor.acknowledge(now, draft));
    debug_assert!(!matches!(sent, Err(super::Refusal::WrongDraft)), "an ACK was drafted");
}

fn take(actor: &mut Scripted, now: Instant, session: MsrpId, incoming: &msrp::Incoming) {
    if actor.answer_message(now, &incoming.message_id, 200).is_err() {
        return;
    }
    let Some(dialog) = actor.dialog_of_session(session) else { return };
    if incoming.success_report {
        let size = u64::try_from(incoming.body.len()).unwrap_or(u64::MAX);
        let report = msrp::Report { message_id: incoming.message_id.clone(), code: 200, size };
        let sent = actor.report(now, dialog, report);
        debug_assert!(sent.is_ok(), "the session of a message that came has a dialog");
    }
    if actor.is_focus() && actor.profile().reference && !incoming.body.is_empty() {
        relay(actor, now, dialog, incoming);
    }
}

/// A focus sends what one participant wrote to all others.
fn relay(actor: &mut Scripted, now: Instant, from: DialogId, incoming: &msrp::Incoming) {
    let others = actor.others_in_group(from);
    let addressee = Cpim::decode(incoming.body.clone()).ok().and_then(|message| Some(message.to()?.uri.to_owned()));
    // What is meant for one participant, a notification for example, goes to that one alone.
    let meant = others.iter().copied().find(|dialog| actor.peer_of(*dialog) == addressee);
    for dialog in meant.map_or(others, |dialog| vec![dialog]) {
        let message = msrp::Outgoing {
            message_id: None,
            content_type: incoming.content_type.clone(),
            body: incoming.body.clone(),
            success_report: false,
            failure_report: FailureReport::Yes,
            chunk_size: 2_048,
        };
        let sent = actor.send_message(now, dialog, message);
        debug_assert!(sent.is_ok(), "the dialogs of a group have sessions");
    }
}
