//! Transactions (RFC 3261 17, RFC 6026), as an onlooker sees them: what repeats what, which
//! request a response answers, which ACK acknowledges which INVITE.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::dialogs::DialogId;
use super::head::Head;
use super::{Answered, Facts, Symbol, Symbols};
use crate::trace::event::Party;

#[derive(Clone, Debug)]
struct Transaction {
    symbol: Symbol,
    request: u32,
    from: Party,
    to: Party,
    user: Option<Symbol>,
    device: Option<Symbol>,
    group: Option<Symbol>,
    with_sender: bool,
    message: Option<Symbol>,
    dialog: Option<DialogId>,
    is_invite: bool,
    answered: bool,
    /// Whether its request came to the IUT again.
    repeated: bool,
    /// The responses so far: To tag, code, event.
    responses: Vec<(String, u16, u32)>,
    /// The first ACK of each To tag.
    acks: Vec<(String, u32)>,
}

/// What a request that belongs to an earlier one takes over from it.
#[derive(Clone, Debug)]
pub(super) struct Original {
    at: usize,
    /// The other end.
    pub(super) peer: Party,
    pub(super) dialog: Option<DialogId>,
}

/// What the transaction of a response tells.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) symbol: Symbol,
    pub(super) request: u32,
    pub(super) from: Party,
    pub(super) to: Party,
    pub(super) user: Option<Symbol>,
    pub(super) device: Option<Symbol>,
    pub(super) group: Option<Symbol>,
    pub(super) with_sender: bool,
    pub(super) message: Option<Symbol>,
    pub(super) dialog: Option<DialogId>,
    pub(super) retransmission: Option<u32>,
    pub(super) answered: Option<Answered>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Transactions {
    all: Vec<Transaction>,
    /// By side, branch and method (RFC 3261 17.1.3, 17.2.3).
    branches: BTreeMap<String, usize>,
    /// INVITEs by side, Call-ID, CSeq number and tag of the UAC: where the ACK of a 2xx belongs.
    invites: BTreeMap<String, usize>,
}

fn branch_key<'a>(scratch: &'a mut String, message: &Head<'_>, client: bool, method: &str) -> Option<&'a str> {
    scratch.clear();
    scratch.push_str(if client { "c\n" } else { "s\n" });
    message.via?;
    match message.branch.filter(|branch| branch.len() > 7) {
        Some(branch) => scratch.extend([branch, "\n", method]),
        // RFC 2543 style (RFC 3261 17.2.3): what else makes a request unique.
        None => {
            let tag = message.from_tag.unwrap_or("");
            write!(scratch, "{}\n{}\n{tag}\n{method}", message.call_id?, message.cseq?.number).ok()?;
        }
    }
    Some(scratch)
}

fn invite_key<'a>(scratch: &'a mut String, message: &Head<'_>, client: bool) -> Option<&'a str> {
    scratch.clear();
    let side = if client { 'c' } else { 's' };
    let tag = message.from_tag?;
    write!(scratch, "{side}\n{}\n{}\n{tag}", message.call_id?, message.cseq?.number).ok()?;
    Some(scratch)
}

impl Transactions {
    /// The transaction that a request repeats, acknowledges or cancels.
    pub(super) fn original(&self, request: &Head<'_>, sent: bool, scratch: &mut String) -> Option<Original> {
        let method = request.method;
        let same = if method == "ACK" || method == "CANCEL" { "INVITE" } else { method };
        let by_branch = branch_key(scratch, request, sent, same).and_then(|key| self.branches.get(key)).copied();
        let at = match by_branch {
            None if method == "ACK" => *self.invites.get(invite_key(scratch, request, sent)?)?,
            found => found?,
        };
        let transaction = &self.all[at];
        let peer = if sent { transaction.to.clone() } else { transaction.from.clone() };
        Some(Original { at, peer, dialog: transaction.dialog })
    }

    /// Files a request and completes what is known of it.
    pub(super) fn request(&mut self, filing: &Filing<'_>, facts: &mut Facts, symbols: &mut Symbols, scratch: &mut String) {
        let method = filing.request.method;
        match &filing.original {
            Some(original) if method == "ACK" => return self.acknowledge(filing, original.at, facts),
            Some(original) if method == "CANCEL" => {
                facts.answers = Some(self.all[original.at].request);
                if let Some(at) = branch_key(scratch, filing.request, filing.sent, method).and_then(|key| self.branches.get(key)) {
                    return self.repeat(*at, filing, facts);
                }
            }
            Some(original) => return self.repeat(original.at, filing, facts),
            None => {}
        }
        let branch = filing.request.branch.unwrap_or("");
        let symbol = symbols.fresh(branch);
        facts.transaction = Some(symbol);
        let at = self.all.len();
        self.all.push(Transaction {
            symbol,
            request: filing.number,
            from: facts.from.clone(),
            to: facts.to.clone(),
            user: facts.user,
            device: facts.device,
            group: facts.group,
            with_sender: facts.with_sender,
            message: facts.message,
            dialog: filing.dialog,
            is_invite: method == "INVITE",
            answered: false,
            repeated: false,
            responses: Vec::new(),
            acks: Vec::new(),
        });
        if let Some(key) = branch_key(scratch, filing.request, filing.sent, method) {
            self.branches.insert(key.to_owned(), at);
        }
        if method == "INVITE"
            && let Some(key) = invite_key(scratch, filing.request, filing.sent)
        {
            self.invites.insert(key.to_owned(), at);
        }
    }

    /// The same request again. Only an unreliable transport repeats requests (RFC 3261 17.1.1.2,
    /// 17.1.2.2), so that one which the IUT repeats on a stream is an event of its own. What comes to
    /// it twice on a stream was repeated before a proxy, which hands it on as it came (16.11).
    fn repeat(&mut self, at: usize, filing: &Filing<'_>, facts: &mut Facts) {
        let transaction = &mut self.all[at];
        facts.transaction = Some(transaction.symbol);
        transaction.repeated |= !filing.sent;
        facts.retransmission = (!filing.reliable || !filing.sent).then_some(transaction.request);
    }

    /// An ACK. Each further 2xx, and each further final response, is acknowledged anew
    /// (RFC 3261 13.2.2.4, 17.1.1.2).
    fn acknowledge(&mut self, filing: &Filing<'_>, at: usize, facts: &mut Facts) {
        let tag = filing.request.to_tag.unwrap_or("");
        let transaction = &mut self.all[at];
        facts.transaction = Some(transaction.symbol);
        facts.answers = Some(transaction.request);
        match transaction.acks.iter().find(|(known, _)| known == tag) {
            Some((_, first)) => facts.retransmission = Some(*first),
            None => transaction.acks.push((tag.to_owned(), filing.number)),
        }
    }

    /// Files a response and finds its request.
    pub(super) fn response(
        &mut self,
        number: u32,
        response: &Head<'_>,
        sent: bool,
        reliable: bool,
        scratch: &mut String,
    ) -> Option<Found> {
        let method = response.cseq?.method;
        let at = *self.branches.get(branch_key(scratch, response, !sent, method)?)?;
        let transaction = &mut self.all[at];
        let (code, tag) = (response.message.status()?, response.to_tag.unwrap_or(""));
        let earlier = transaction.responses.iter().find(|(known, status, _)| *status == code && known == tag);
        let earlier = earlier.map(|(_, _, event)| *event);
        let repeats_by_right = !reliable || transaction.repeated || (transaction.is_invite && (200..300).contains(&code));
        let retransmission = earlier.filter(|_| repeats_by_right);
        if earlier.is_none() {
            transaction.responses.push((tag.to_owned(), code, number));
        }
        let answered = (code >= 200 && !transaction.answered).then_some(Answered { request: transaction.request, code });
        transaction.answered |= code >= 200;
        Some(Found {
            symbol: transaction.symbol,
            request: transaction.request,
            from: transaction.from.clone(),
            to: transaction.to.clone(),
            user: transaction.user,
            device: transaction.device,
            group: transaction.group,
            with_sender: transaction.with_sender,
            message: transaction.message,
            dialog: transaction.dialog,
            retransmission,
            answered,
        })
    }
}

/// A request to be filed.
pub(super) struct Filing<'a> {
    pub(super) number: u32,
    pub(super) request: &'a Head<'a>,
    pub(super) sent: bool,
    pub(super) reliable: bool,
    pub(super) original: Option<Original>,
    pub(super) dialog: Option<DialogId>,
}
