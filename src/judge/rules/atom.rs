//! The message patterns of all rules, each kept once and filed by the kind of event that it
//! speaks of.

use std::collections::BTreeMap;
use std::fmt::Write;

use smallvec::SmallVec;

use crate::judge::Record;
use crate::pattern::ast::{Answers, Codes, End, Key, Path, Pattern, Value, What};
use crate::pattern::{Bindings, Env, Matcher, Reader, View};
use crate::trace::correlate::Facts;
use crate::trace::event::{Content, Kind};
use crate::wire::sip::Method;

/// Kinds of events, coarse enough to be told at a glance.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Bucket {
    Request(Method),
    /// By class, 1 to 6.
    Response(u16),
    MsrpSend,
    MsrpChunk,
    MsrpReport,
    MsrpResponse,
    Lost,
    /// A request at the moment of its final response.
    Answered(Method),
    /// A whole MSRP message at the moment when all its chunks are answered.
    AnsweredSend,
}

/// What a rule can look at: a message, at the moment when it counts.
pub(super) struct Occurrence<'e> {
    pub(super) bucket: Bucket,
    /// The event of the message that is looked at.
    pub(super) event: u32,
    /// What is known of that message.
    pub(super) facts: &'e Facts,
    /// The code of the final answer, when that is the moment.
    pub(super) code: u16,
    /// The event of the request that this message answers.
    pub(super) answers: Option<u32>,
    /// The method of the SIP request that this message answers.
    pub(super) answered_method: Option<&'e str>,
    /// Whether this is a request, the first of its dialog as far as it knows.
    pub(super) is_initial: bool,
    pub(super) view: View<'e>,
}

impl<'e> Occurrence<'e> {
    fn of(bucket: Bucket, record: Record<'e>, at: usize, code: u16, answers: Option<u32>) -> Self {
        let view = record.view(at);
        let sip = view.as_sip();
        Self {
            bucket,
            event: record.events[at].number,
            facts: &record.facts[at],
            code,
            answers,
            answered_method: sip.filter(|message| !message.is_request()).and_then(|message| message.method_token()),
            is_initial: sip.is_some_and(|message| message.is_request() && !message.has_to_tag()),
            view,
        }
    }
}

fn bucket_of(content: &Content) -> Option<Bucket> {
    match content {
        Content::Sip(message) => match message.status() {
            Some(code) => Some(Bucket::Response(code / 100)),
            None => Some(Bucket::Request(message.method()?)),
        },
        Content::Msrp(chunk) => match chunk.method() {
            Some("SEND") => Some(Bucket::MsrpChunk),
            Some("REPORT") => Some(Bucket::MsrpReport),
            _ => None,
        },
        Content::Broken { .. } => None,
    }
}

/// Everything that an event is to the rules. What a transport repeats is nothing.
pub(super) fn occurrences(record: Record<'_>, at: usize) -> SmallVec<[Occurrence<'_>; 2]> {
    let (event, own) = (&record.events[at], &record.facts[at]);
    let mut out = SmallVec::new();
    match &event.kind {
        Kind::Closed { .. } if own.lost => out.push(Occurrence::of(Bucket::Lost, record, at, 0, None)),
        Kind::Message { content, .. } if own.retransmission.is_none() => {
            if let Some(bucket) = bucket_of(content) {
                out.push(Occurrence::of(bucket, record, at, 0, own.answers));
            }
            if own.whole.is_some() {
                out.push(Occurrence::of(Bucket::MsrpSend, record, at, 0, None));
            }
            let Some(answered) = own.answered else { return out };
            let asked = answered.request as usize;
            if asked >= record.events.len().min(record.facts.len()) {
                return out;
            }
            match content {
                Content::Msrp(_) => {
                    out.push(Occurrence::of(Bucket::MsrpResponse, record, at, answered.code, Some(answered.request)));
                    out.push(Occurrence::of(Bucket::AnsweredSend, record, asked, answered.code, None));
                }
                Content::Sip(message) => {
                    if let Some(method) = message.method() {
                        out.push(Occurrence::of(Bucket::Answered(method), record, asked, answered.code, None));
                    }
                }
                Content::Broken { .. } => {}
            }
        }
        _ => {}
    }
    out
}

/// One pattern, prepared.
#[derive(Clone, Debug)]
pub(super) struct Atom {
    from: End,
    to: End,
    what: What,
    answers: Option<Answers>,
    answered: Option<Codes>,
    initial: Option<bool>,
    /// Keys that any instance judges alike.
    fixed: Matcher,
    /// Keys that read a variable; all keys of their prefixes, which speak of one element.
    loose: Option<Matcher>,
    /// Where the loose keys demand just `path: $variable` of an identifier.
    pub(super) join: Option<(Reader, String)>,
}

impl Atom {
    fn of(pattern: &Pattern) -> Self {
        let loose_prefixes: Vec<_> =
            pattern.keys.iter().filter(|key| reads(&key.value)).map(|key| key.path.prefix().to_owned()).collect();
        let is_loose = |key: &&Key| loose_prefixes.iter().any(|prefix| prefix == key.path.prefix());
        let loose: Vec<Key> = pattern.keys.iter().filter(is_loose).cloned().collect();
        let fixed: Vec<Key> = pattern.keys.iter().filter(|key| !is_loose(key)).cloned().collect();
        let join = match loose.as_slice() {
            [Key { path, value: Value::Variable(name), .. }] if is_identifier(path) => Some((Reader::of(path), name.clone())),
            _ => None,
        };
        Self {
            from: pattern.from.clone(),
            to: pattern.to.clone(),
            what: pattern.what.clone(),
            answers: pattern.answers.clone(),
            answered: pattern.answered,
            initial: pattern.initial,
            fixed: Matcher::of(&fixed),
            loose: (!loose.is_empty()).then(|| Matcher::of(&loose)),
            join,
        }
    }

    /// Whether an instance has a say in the match.
    pub(super) fn is_loose(&self) -> bool {
        self.loose.is_some() || self.answers_trigger()
    }

    /// Whether it demands to answer the trigger.
    pub(super) fn answers_trigger(&self) -> bool {
        self.answers == Some(Answers::Trigger)
    }

    /// What it binds when everything fits that no instance has a say in.
    pub(super) fn matches(&self, occurrence: &Occurrence<'_>, names: &dyn Env) -> Option<Bindings> {
        let facts = occurrence.facts;
        let fits = facts.runs(&self.from, &self.to)
            && self.fits_moment(occurrence)
            && self.initial.is_none_or(|initial| initial == occurrence.is_initial)
            && self.fits_answers(occurrence);
        fits.then(|| self.fixed.matches(&occurrence.view, names)).flatten()
    }

    /// What an instance adds to a match.
    pub(super) fn matches_instance(&self, occurrence: &Occurrence<'_>, env: &dyn Env, trigger: Option<u32>) -> Option<Bindings> {
        if self.answers_trigger() && (occurrence.answers.is_none() || occurrence.answers != trigger) {
            return None;
        }
        match &self.loose {
            None => Some(Bindings::default()),
            Some(matcher) => matcher.matches(&occurrence.view, env),
        }
    }

    fn fits_moment(&self, occurrence: &Occurrence<'_>) -> bool {
        match (&occurrence.bucket, self.answered) {
            (Bucket::Answered(_) | Bucket::AnsweredSend, Some(codes)) => codes.has(occurrence.code),
            (Bucket::MsrpResponse, None) => match &self.what {
                What::MsrpResponse(codes) => codes.has(occurrence.code),
                _ => false,
            },
            (Bucket::Response(_), None) => match &self.what {
                What::Response(codes) => occurrence.view.as_sip().and_then(|sip| sip.status()).is_some_and(|code| codes.has(code)),
                _ => true,
            },
            (_, answered) => answered.is_none(),
        }
    }

    fn fits_answers(&self, occurrence: &Occurrence<'_>) -> bool {
        match &self.answers {
            Some(Answers::Method(method)) => occurrence.answered_method == Some(method.token()),
            Some(Answers::Trigger) | None => true,
            // A step is known to a scenario only.
            Some(Answers::Step(_)) => false,
        }
    }

    fn buckets(&self) -> Vec<Bucket> {
        let methods = || Method::KNOWN.iter().chain(&["*"]).map(|token| Method::of(token));
        match (&self.what, self.answered) {
            (What::Request(method), Some(_)) => vec![Bucket::Answered(method.clone())],
            (What::Any, Some(_)) => methods().map(Bucket::Answered).collect(),
            (What::MsrpSend | What::MsrpChunk, Some(_)) => vec![Bucket::AnsweredSend],
            (What::Request(method), None) => vec![Bucket::Request(method.clone())],
            // A response has no answer; what it says is that it comes.
            (What::Response(codes), _) => (codes.low / 100..=codes.high / 100).map(Bucket::Response).collect(),
            (What::Any, None) if self.answers.is_some() => (1..=6).map(Bucket::Response).collect(),
            (What::Any, None) => methods().map(Bucket::Request).chain((1..=6).map(Bucket::Response)).collect(),
            (What::MsrpSend, None) => vec![Bucket::MsrpSend],
            (What::MsrpChunk, None) => vec![Bucket::MsrpChunk],
            (What::MsrpReport, _) => vec![Bucket::MsrpReport],
            (What::MsrpResponse(_), _) => vec![Bucket::MsrpResponse],
            (What::Lost, _) => vec![Bucket::Lost],
        }
    }
}

/// Paths whose values are compared byte by byte, so that equal means same.
fn is_identifier(path: &Path) -> bool {
    match path {
        Path::Part { prefix, rest } => prefix == "cpim" && rest == "imdn.Message-ID",
        Path::Header { name, part: None } => name.eq_ignore_ascii_case("Call-ID"),
        Path::Header { .. } => false,
    }
}

/// Whether a value reads a variable.
pub(super) fn reads(value: &Value) -> bool {
    match value {
        Value::Variable(_) | Value::SameAs { .. } => true,
        Value::Literal(text) => text.contains("${"),
        Value::Not(inner) | Value::Contains(inner) => reads(inner),
        Value::List(values) | Value::OneOf(values) => values.iter().any(reads),
        Value::None(keys) | Value::First(keys) => keys.iter().any(|key| reads(&key.value)),
        Value::Absent
        | Value::Present
        | Value::Matches(_)
        | Value::LessThan(_)
        | Value::GreaterThan(_)
        | Value::Bind(_)
        | Value::BindLatest(_)
        | Value::Generate { .. } => false,
    }
}

/// All patterns, each once.
#[derive(Clone, Debug, Default)]
pub(super) struct Atoms {
    all: Vec<Atom>,
    known: BTreeMap<String, u32>,
    buckets: BTreeMap<Bucket, Vec<u32>>,
}

impl Atoms {
    /// The number of a pattern, a new one when none is alike.
    pub(super) fn intern(&mut self, pattern: &Pattern) -> u32 {
        let mut text = format!("{:?} {:?} {:?}", pattern.from, pattern.to, pattern.what);
        let _ = write!(text, " {:?} {:?} {:?}", pattern.answers, pattern.answered, pattern.initial);
        for key in &pattern.keys {
            let _ = write!(text, "\n{} {:?}", key.path, key.value);
        }
        if let Some(number) = self.known.get(&text) {
            return *number;
        }
        let number = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        let atom = Atom::of(pattern);
        for bucket in atom.buckets() {
            self.buckets.entry(bucket).or_default().push(number);
        }
        self.all.push(atom);
        self.known.insert(text, number);
        number
    }

    pub(super) fn get(&self, number: u32) -> &Atom {
        &self.all[number as usize]
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The patterns that may speak of an occurrence. `*` stands for every method beyond those that
    /// have a bucket of their own.
    pub(super) fn candidates(&self, bucket: &Bucket) -> impl Iterator<Item = u32> {
        let other = match bucket {
            Bucket::Request(Method::Other(_)) => Some(Bucket::Request(Method::Other("*".into()))),
            Bucket::Answered(Method::Other(_)) => Some(Bucket::Answered(Method::Other("*".into()))),
            _ => None,
        };
        let of = |bucket: &Bucket| self.buckets.get(bucket).map_or(&[][..], Vec::as_slice);
        let others = other.as_ref().map_or(&[][..], of);
        of(bucket).iter().chain(others).copied()
    }
}
