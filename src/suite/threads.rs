//! What belongs together in a flow, found while it is read in the order of its text: which request
//! a response answers, which dialog a message lives in, who answers an expected request.

use std::collections::BTreeMap;

use super::diagnostics::Diagnostic;
use super::reader::Desk;
use crate::pattern::ast::{Codes, End, Path, Pattern, Place, Value, What};
use crate::wire::sip::Method;

/// A request of the text.
#[derive(Clone, Debug)]
struct Request {
    step: u32,
    from: End,
    to: End,
    method: Kind,
    /// Number of the step that opened its dialog, itself included.
    dialog: Option<u32>,
    /// Whether a later step gave it a final response.
    answered: bool,
    /// Whether it is awaited: someone has to answer it.
    expected: bool,
    unanswered: bool,
    place: Place,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Kind {
    Sip(Method),
    Msrp,
}

/// A dialog of the text.
#[derive(Clone, Debug)]
struct Dialog {
    opener: u32,
    from: End,
    to: End,
    method: Method,
    open: bool,
}

/// A named step.
#[derive(Clone, Debug)]
struct Named {
    step: u32,
    place: Place,
}

/// What was found out about one step.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Found {
    pub(super) answers: Option<u32>,
    pub(super) opened_by: Option<u32>,
}

/// A step as the threads see it.
pub(super) struct Thread<'a> {
    pub(super) step: u32,
    pub(super) pattern: &'a Pattern,
    /// The full name that `in` resolved to, and where `in` stands.
    pub(super) dialog: Option<(&'a str, Place)>,
    /// The full name that `answers` resolved to, and where it stands.
    pub(super) answers: Option<(&'a str, Place)>,
    pub(super) expected: bool,
    pub(super) unanswered: bool,
}

/// Requests, dialogs and names up to a point of the text.
#[derive(Clone, Debug, Default)]
pub(super) struct Threads {
    /// In the order of their steps.
    requests: Vec<Request>,
    /// Which of them nobody has answered yet.
    open: Vec<usize>,
    dialogs: Vec<Dialog>,
    names: BTreeMap<String, Named>,
    /// The step that first answers an expected request, by the step that expects it.
    pub(super) answered_by: BTreeMap<u32, u32>,
}

impl Threads {
    /// Names a step; a name that is taken is a mistake unless `again` says that it is a repetition.
    pub(super) fn name(&mut self, desk: &Desk, name: &str, step: u32, place: Place) {
        if let Some(first) = self.names.get(name)
            && first.place != place
            && !name.contains('.')
        {
            desk.say(
                Diagnostic::new("Y0027", place, format!("two steps have the identifier `{name}`"))
                    .label("again here")
                    .secondary(first.place, "first here")
                    .help("give each step an identifier of its own"),
            );
        }
        self.names.insert(name.to_owned(), Named { step, place });
    }

    /// The full name of a step as a fragment or the flow calls it: its own names first.
    pub(super) fn resolve(&self, prefix: &str, name: &str) -> Option<String> {
        let mut prefix = prefix;
        loop {
            let full = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
            if self.names.contains_key(&full) {
                return Some(full);
            }
            if prefix.is_empty() {
                return None;
            }
            prefix = prefix.rfind('.').map_or("", |at| &prefix[..at]);
        }
    }

    /// Names of all steps so far, as `prefix` calls them.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// After branches: what one of them answered is answered, what one of them opened is open.
    pub(super) fn join(&mut self, branches: Vec<Self>) {
        for branch in branches {
            for request in branch.requests {
                match self.position(request.step) {
                    Some(at) => self.requests[at].answered |= request.answered,
                    None => self.requests.push(request),
                }
            }
            for dialog in branch.dialogs {
                match self.dialogs.iter_mut().find(|known| known.opener == dialog.opener) {
                    Some(known) => known.open &= dialog.open,
                    None => self.dialogs.push(dialog),
                }
            }
            self.names.extend(branch.names);
            for (request, answer) in branch.answered_by {
                self.answered_by.entry(request).or_insert(answer);
            }
        }
        self.open = (0..self.requests.len()).filter(|at| !self.requests[*at].answered).collect();
    }

    fn position(&self, step: u32) -> Option<usize> {
        self.requests.binary_search_by_key(&step, |request| request.step).ok()
    }

    /// Takes a step in.
    pub(super) fn step(&mut self, desk: &Desk, thread: &Thread<'_>) -> Found {
        match &thread.pattern.what {
            What::Request(method) => self.request(desk, thread, method),
            What::MsrpSend | What::MsrpChunk => self.msrp(desk, thread),
            What::MsrpReport | What::Lost => Found { opened_by: self.session(desk, thread), answers: None },
            What::Response(codes) => self.response(desk, thread, *codes, false),
            What::MsrpResponse(codes) => self.response(desk, thread, *codes, true),
            What::Any => Found { opened_by: thread.dialog.and_then(|(name, _)| self.dialog_of(name)), answers: None },
        }
    }

    fn request(&mut self, desk: &Desk, thread: &Thread<'_>, method: &Method) -> Found {
        let opens = matches!(method, Method::Invite | Method::Subscribe | Method::Refer);
        let dialog = match thread.dialog {
            Some((name, place)) => self.named_dialog(desk, name, place),
            None if opens => {
                self.check_refresh(desk, thread, method);
                self.dialogs.push(Dialog {
                    opener: thread.step,
                    from: thread.pattern.from.clone(),
                    to: thread.pattern.to.clone(),
                    method: method.clone(),
                    open: true,
                });
                Some(thread.step)
            }
            None if is_standalone(method) => None,
            None => self.latest(desk, thread, method),
        };
        if *method == Method::Bye
            && let Some(dialog) = self.dialogs.iter_mut().find(|known| Some(known.opener) == dialog)
        {
            dialog.open = false;
        }
        if *method != Method::Ack {
            self.push(thread, Kind::Sip(method.clone()), dialog);
        }
        Found { answers: None, opened_by: dialog.filter(|opener| *opener != thread.step) }
    }

    fn msrp(&mut self, desk: &Desk, thread: &Thread<'_>) -> Found {
        let dialog = self.session(desk, thread);
        self.push(thread, Kind::Msrp, dialog);
        Found { answers: None, opened_by: dialog }
    }

    fn push(&mut self, thread: &Thread<'_>, method: Kind, dialog: Option<u32>) {
        self.open.push(self.requests.len());
        self.requests.push(Request {
            step: thread.step,
            from: thread.pattern.from.clone(),
            to: thread.pattern.to.clone(),
            method,
            dialog,
            answered: false,
            expected: thread.expected,
            unanswered: thread.unanswered,
            place: thread.pattern.place,
        });
    }

    /// A request that can open a dialog and carries a To tag, or ends a subscription, needs `in`.
    fn check_refresh(&self, desk: &Desk, thread: &Thread<'_>, method: &Method) {
        let keys = &thread.pattern.keys;
        let tag = |path: &Path| matches!(path, Path::Header { name, part: Some(part) } if name.eq_ignore_ascii_case("To") && part == "tag");
        let tagged = keys.iter().find(|key| tag(&key.path) && !matches!(key.value, Value::Absent));
        let later = tagged.or_else(|| keys.iter().find(|_| thread.pattern.initial == Some(false)));
        let Some(key) = later else { return };
        desk.say(
            Diagnostic::new(
                "Y0032",
                thread.pattern.place,
                format!("{} {method} inside a dialog says in which", if *method == Method::Invite { "an" } else { "a" }),
            )
            .label("no `in`")
            .secondary(key.place, "this makes it a request inside a dialog")
            .help("add `in: <identifier of the step that opened the dialog>`"),
        );
    }

    /// The MSRP session that a message belongs to: that of the latest INVITE dialog.
    fn session(&self, desk: &Desk, thread: &Thread<'_>) -> Option<u32> {
        match thread.dialog {
            Some((name, place)) => self.named_dialog(desk, name, place),
            None => self.latest(desk, thread, &Method::Bye),
        }
    }

    fn dialog_of(&self, name: &str) -> Option<u32> {
        let step = self.names.get(name)?.step;
        if self.dialogs.iter().any(|dialog| dialog.opener == step) {
            return Some(step);
        }
        self.requests[self.position(step)?].dialog
    }

    fn named_dialog(&self, desk: &Desk, name: &str, place: Place) -> Option<u32> {
        let dialog = self.dialog_of(name);
        if dialog.is_none() {
            let mut diagnostic = Diagnostic::new("Y0031", place, format!("`{name}` opens no dialog")).label("not a dialog");
            if let Some(named) = self.names.get(name) {
                diagnostic = diagnostic.secondary(named.place, "this message");
            }
            desk.say(diagnostic.help("`in` names the step of an INVITE, SUBSCRIBE or REFER that opened the dialog"));
        }
        dialog
    }

    /// The latest dialog between the two ends that this request can belong to; an open one first.
    fn latest(&self, desk: &Desk, thread: &Thread<'_>, method: &Method) -> Option<u32> {
        let pattern = thread.pattern;
        let fits = |dialog: &&Dialog| {
            let subscription = dialog.method != Method::Invite;
            let between = (meet(&dialog.from, &pattern.from) && meet(&dialog.to, &pattern.to))
                || (meet(&dialog.from, &pattern.to) && meet(&dialog.to, &pattern.from));
            between && subscription == (*method == Method::Notify)
        };
        if matches!(method, Method::Ack | Method::Cancel | Method::Prack) {
            let invite = |request: &&Request| {
                request.method == Kind::Sip(Method::Invite) && meet(&request.from, &pattern.from) && meet(&request.to, &pattern.to)
            };
            if let Some(request) = self.requests.iter().rev().find(invite) {
                return request.dialog;
            }
        }
        let found = self.dialogs.iter().rev().find(|dialog| dialog.open && fits(dialog));
        let found = found.or_else(|| self.dialogs.iter().rev().find(fits));
        let stray = pattern.keys.iter().any(|key| key.path.prefix().eq_ignore_ascii_case("Call-ID"));
        if found.is_none() && !stray {
            let opener = if *method == Method::Notify { "SUBSCRIBE" } else { "INVITE" };
            desk.say(
                Diagnostic::new(
                    "Y0033",
                    pattern.place,
                    format!("no dialog between `{}` and `{}` is open here", pattern.from, pattern.to),
                )
                .label("belongs to no dialog")
                .help(format!("an {opener} between the two comes first; a stray request names a `Call-ID` of its own")),
            );
        }
        found.map(|dialog| dialog.opener)
    }

    fn response(&mut self, desk: &Desk, thread: &Thread<'_>, codes: Codes, msrp: bool) -> Found {
        let Some(at) = self.answered_request(desk, thread, codes, msrp) else { return Found::default() };
        let request = &mut self.requests[at];
        if codes.high >= 200 {
            request.answered = true;
            self.open.retain(|open| *open != at);
        }
        let (step, expected, opener) = (request.step, request.expected, request.dialog);
        if request.unanswered {
            desk.say(
                Diagnostic::new("Y0029", thread.pattern.place, "this answers a request that is to stay unanswered")
                    .label("an answer")
                    .secondary(request.place, "`unanswered: true` here"),
            );
        }
        let failed = codes.low >= 300 && !msrp;
        if expected && !thread.expected {
            self.answered_by.entry(step).or_insert(thread.step);
        }
        if let Some(dialog) = self.dialogs.iter_mut().find(|dialog| dialog.opener == step && failed) {
            dialog.open = false;
        }
        Found { answers: Some(step), opened_by: opener }
    }

    fn answered_request(&self, desk: &Desk, thread: &Thread<'_>, codes: Codes, msrp: bool) -> Option<usize> {
        let pattern = thread.pattern;
        let fits = |request: &Request| {
            meet(&request.from, &pattern.to) && meet(&request.to, &pattern.from) && (request.method == Kind::Msrp) == msrp
        };
        if let Some((name, place)) = thread.answers {
            let named = self.names.get(name)?;
            let at = self.position(named.step);
            if at.is_none_or(|at| !fits(&self.requests[at])) {
                let why = if at.is_none() { "is no request" } else { "goes another way" };
                desk.say(
                    Diagnostic::new("Y0029", place, format!("`{name}` {why}, so `{}` cannot answer it", pattern.what))
                        .label("not answered by this")
                        .secondary(named.place, format!("`{name}` is this")),
                );
                return None;
            }
            return at;
        }
        let provisional = codes.high < 200;
        let open = |request: &Request| {
            fits(request)
                && !request.answered
                && (!provisional || !matches!(&request.method, Kind::Sip(Method::Cancel | Method::Bye)))
        };
        let candidates: Vec<usize> = self.open.iter().copied().filter(|at| open(&self.requests[*at])).collect();
        match candidates.as_slice() {
            [one] => Some(*one),
            [] => {
                desk.say(
                    Diagnostic::new(
                        "Y0029",
                        pattern.place,
                        format!("nothing that `{}` sent to `{}` awaits an answer here", pattern.to, pattern.from),
                    )
                    .label("answers nothing")
                    .help("the request comes before its response; a second final response names its request with `answers`"),
                );
                None
            }
            several => {
                let mut diagnostic =
                    Diagnostic::new("Y0030", pattern.place, "this could answer several requests").label("which one?");
                for at in several {
                    diagnostic = diagnostic.secondary(self.requests[*at].place, "this one is open");
                }
                desk.say(diagnostic.help("give the request an `id:` and write `answers: <id>`"));
                None
            }
        }
    }
}

/// Requests that live outside dialogs unless `in` says otherwise.
fn is_standalone(method: &Method) -> bool {
    matches!(method, Method::Register | Method::Message | Method::Options | Method::Publish | Method::Other(_))
}

/// Whether two ends can be one: a user is any of its devices.
fn meet(left: &End, right: &End) -> bool {
    match (left, right) {
        (End::Any, _) | (_, End::Any) => true,
        (End::Actor { name, device }, End::Actor { name: other, device: another }) => {
            name == other && (device.is_none() || another.is_none() || device == another)
        }
        (left, right) => left == right,
    }
}
