//! The message patterns of all rules, each kept once and filed by the kind of event that it
//! speaks of.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::judge::Record;
use crate::pattern::ast::{Answers, Bound, Codes, End, Key, Path, Pattern, Role, Value, What};
use crate::pattern::{Bindings, Env, Matcher, Names, Reader, View};
use crate::trace::correlate::Facts;
use crate::trace::event::{Content, Kind, Party};
use crate::wire::sip::Method;

/// How many kinds of occurrences there are, both ends told apart.
pub(super) const PLACES: usize = Bucket::COUNT * ENDS * ENDS;

/// Kinds of events, coarse enough to be told at a glance. Methods stand for their place in
/// [`Method::KNOWN`], all others for the one after the last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Bucket {
    Request(usize),
    /// By class, the first digit of the code.
    Response(usize),
    MsrpSend,
    MsrpChunk,
    MsrpReport,
    MsrpResponse,
    Lost,
    /// A request at the moment of its final response.
    Answered(usize),
    /// A whole MSRP message at the moment when all its chunks are answered.
    AnsweredSend,
}

const METHODS: usize = Method::KNOWN.len() + 1;
const CLASSES: usize = 10;

fn method_index(token: &str) -> usize {
    Method::KNOWN.iter().position(|known| *known == token).unwrap_or(METHODS - 1)
}

impl Bucket {
    /// How many there are.
    const COUNT: usize = METHODS * 2 + CLASSES + 6;

    fn number(self) -> usize {
        const REST: usize = METHODS * 2 + CLASSES;
        match self {
            Self::Request(method) => method,
            Self::Answered(method) => METHODS + method,
            Self::Response(class) => METHODS * 2 + class.min(CLASSES - 1),
            Self::MsrpSend => REST,
            Self::MsrpChunk => REST + 1,
            Self::MsrpReport => REST + 2,
            Self::MsrpResponse => REST + 3,
            Self::Lost => REST + 4,
            Self::AnsweredSend => REST + 5,
        }
    }
}

/// What an end of a message is to patterns: its role, the sender apart from other Clients.
const ENDS: usize = 5;

fn end_of(party: &Party, with_sender: bool) -> usize {
    match party.role {
        Role::Client if with_sender => 1,
        Role::Client => 0,
        Role::Pf => 2,
        Role::Cf => 3,
        Role::Core => 4,
    }
}

/// The ends that a pattern's end may speak of.
fn ends_of(end: &End) -> std::ops::Range<usize> {
    match end {
        End::Any | End::Actor { .. } => 0..ENDS,
        End::Role(Role::Client) => 0..1,
        End::Sender => 1..2,
        End::Role(Role::Pf) => 2..3,
        End::Role(Role::Cf) => 3..4,
        End::Role(Role::Core) => 4..5,
    }
}

/// Values that were read in this occurrence, by what was asked.
type Read = SmallVec<[(u32, Option<Arc<str>>); 2]>;

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
    pub(super) view: View<'e>,
    initial: OnceCell<bool>,
    answered_method: OnceCell<Option<usize>>,
    /// What was read of the message so far, by number of the reader.
    read: RefCell<Read>,
}

impl<'e> Occurrence<'e> {
    fn of(bucket: Bucket, record: Record<'e>, at: usize, code: u16, answers: Option<u32>) -> Self {
        Self {
            bucket,
            event: record.events[at].number,
            facts: &record.facts[at],
            code,
            answers,
            view: record.view(at),
            initial: OnceCell::new(),
            answered_method: OnceCell::new(),
            read: RefCell::default(),
        }
    }

    /// The number of its kind and its ends, below [`PLACES`].
    pub(super) fn place(&self) -> usize {
        let Facts { from, to, with_sender, .. } = self.facts;
        place(self.bucket, end_of(from, *with_sender), end_of(to, *with_sender))
    }

    /// Whether this is a response to a SIP request of this method.
    fn answers_a(&self, method: &Method) -> bool {
        let token = || self.view.as_sip().filter(|message| !message.is_request()).and_then(|message| message.method_token());
        let index = *self.answered_method.get_or_init(|| token().map(method_index));
        index == Some(method_index(method.token())) && (index != Some(METHODS - 1) || token() == Some(method.token()))
    }

    /// Whether this is a request, the first of its dialog as far as it knows.
    fn is_initial(&self) -> bool {
        let read = || self.view.as_sip().is_some_and(|message| message.is_request() && !message.has_to_tag());
        *self.initial.get_or_init(read)
    }

    /// The first value at a path, read once.
    pub(super) fn first(&self, atoms: &Atoms, reader: u32) -> Option<Arc<str>> {
        let mut read = self.read.borrow_mut();
        if let Some((_, value)) = read.iter().find(|(known, _)| *known == reader) {
            return value.clone();
        }
        let value: Option<Arc<str>> = atoms.readers[reader as usize].1.first(&self.view).map(Into::into);
        read.push((reader, value.clone()));
        value
    }
}

fn bucket_of(content: &Content) -> Option<Bucket> {
    match content {
        Content::Sip(message) => match message.status() {
            Some(code) => Some(Bucket::Response(usize::from(code / 100))),
            None => Some(Bucket::Request(method_index(message.method_token()?))),
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
                    if let Some(method) = message.method_token() {
                        out.push(Occurrence::of(Bucket::Answered(method_index(method)), record, asked, answered.code, None));
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
    /// Keys that any instance judges alike, as a number of [`Atoms::demands`].
    fixed: Option<usize>,
    /// Keys that read a variable; all keys of their prefixes, which speak of one element.
    loose: Option<Matcher>,
    /// Where the loose keys demand just `path: $variable` of an identifier: who reads it.
    pub(super) join: Option<(u32, Arc<str>)>,
    /// Whether the ends have to be looked at: their roles do not say it all.
    names_actors: bool,
    /// The kinds of occurrences that it may speak of, by number.
    pub(super) places: Vec<usize>,
}

impl Atom {
    fn of(pattern: &Pattern, atoms: &mut Atoms) -> Self {
        let loose_prefixes: Vec<_> =
            pattern.keys.iter().filter(|key| reads(&key.value)).map(|key| key.path.prefix().to_owned()).collect();
        let is_loose = |key: &&Key| loose_prefixes.iter().any(|prefix| prefix == key.path.prefix());
        let loose: Vec<Key> = pattern.keys.iter().filter(is_loose).cloned().collect();
        let fixed: Vec<Key> = pattern.keys.iter().filter(|key| !is_loose(key)).cloned().collect();
        let join = match loose.as_slice() {
            [Key { path, value: Value::Variable(name), .. }] if is_identifier(path) => {
                Some((atoms.reader(path), name.as_str().into()))
            }
            _ => None,
        };
        Self {
            from: pattern.from.clone(),
            to: pattern.to.clone(),
            what: pattern.what.clone(),
            answers: pattern.answers.clone(),
            answered: pattern.answered,
            initial: pattern.initial,
            fixed: (!fixed.is_empty()).then(|| atoms.demand(&fixed)),
            loose: (!loose.is_empty()).then(|| Matcher::of(&loose)),
            join,
            names_actors: [&pattern.from, &pattern.to].into_iter().any(|end| matches!(end, End::Actor { .. })),
            places: Vec::new(),
        }
        .filed()
    }

    /// Finds out of what it may speak.
    fn filed(mut self) -> Self {
        let ends = || ends_of(&self.from).flat_map(|from| ends_of(&self.to).map(move |to| (from, to)));
        self.places = self.buckets().into_iter().flat_map(|bucket| ends().map(move |(from, to)| place(bucket, from, to))).collect();
        self
    }

    /// Whether an instance has a say in the match.
    pub(super) fn is_loose(&self) -> bool {
        self.loose.is_some() || self.answers_trigger()
    }

    /// Whether it demands to answer the trigger.
    pub(super) fn answers_trigger(&self) -> bool {
        self.answers == Some(Answers::Trigger)
    }

    /// Whether all but its keys fits an occurrence for which it is a candidate.
    fn fits(&self, occurrence: &Occurrence<'_>) -> bool {
        (!self.names_actors || occurrence.facts.runs(&self.from, &self.to))
            && self.fits_moment(occurrence)
            && self.initial.is_none_or(|initial| initial == occurrence.is_initial())
            && self.fits_answers(occurrence)
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
            (Bucket::Answered(_) | Bucket::AnsweredSend, Some(codes)) => codes.has(occurrence.code) && self.fits_method(occurrence),
            (Bucket::MsrpResponse, None) => match &self.what {
                What::MsrpResponse(codes) => codes.has(occurrence.code),
                _ => false,
            },
            (Bucket::Response(_), None) => match &self.what {
                What::Response(codes) => occurrence.view.as_sip().and_then(|sip| sip.status()).is_some_and(|code| codes.has(code)),
                _ => true,
            },
            (Bucket::Request(_), None) => self.fits_method(occurrence),
            (_, answered) => answered.is_none(),
        }
    }

    /// Methods without a name of their own share a bucket.
    fn fits_method(&self, occurrence: &Occurrence<'_>) -> bool {
        match &self.what {
            What::Request(Method::Other(token)) => occurrence.view.as_sip().and_then(|sip| sip.method_token()) == Some(&**token),
            _ => true,
        }
    }

    fn fits_answers(&self, occurrence: &Occurrence<'_>) -> bool {
        match &self.answers {
            Some(Answers::Method(method)) => occurrence.answers_a(method),
            Some(Answers::Trigger) | None => true,
            // A step is known to a scenario only.
            Some(Answers::Step(_)) => false,
        }
    }

    fn buckets(&self) -> Vec<Bucket> {
        let responses = |codes: Codes| (usize::from(codes.low / 100)..=usize::from(codes.high / 100)).map(Bucket::Response);
        let all = Codes { low: 100, high: 699 };
        match (&self.what, self.answered) {
            (What::Request(method), Some(_)) => vec![Bucket::Answered(method_index(method.token()))],
            (What::Any, Some(_)) => (0..METHODS).map(Bucket::Answered).collect(),
            (What::MsrpSend | What::MsrpChunk, Some(_)) => vec![Bucket::AnsweredSend],
            (What::Request(method), None) => vec![Bucket::Request(method_index(method.token()))],
            // A response has no answer; what it says is that it comes.
            (What::Response(codes), _) => responses(*codes).collect(),
            (What::Any, None) if self.answers.is_some() => responses(all).collect(),
            (What::Any, None) => (0..METHODS).map(Bucket::Request).chain(responses(all)).collect(),
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
        Value::LessThan(bound) | Value::GreaterThan(bound) => !matches!(bound, Bound::Number(_)),
        Value::Not(inner) | Value::Contains(inner) => reads(inner),
        Value::List(values) | Value::OneOf(values) => values.iter().any(reads),
        Value::None(keys) | Value::First(keys) => keys.iter().any(|key| reads(&key.value)),
        Value::Absent | Value::Present | Value::Matches(_) | Value::Bind(_) | Value::BindLatest(_) | Value::Generate { .. } => {
            false
        }
    }
}

/// Whether a value binds a variable.
fn binds(value: &Value) -> bool {
    match value {
        Value::Bind(_) | Value::BindLatest(_) => true,
        Value::OneOf(values) => values.iter().any(binds),
        Value::None(keys) | Value::First(keys) => keys.iter().any(|key| binds(&key.value)),
        _ => false,
    }
}

/// What keys demand of a message, whoever asks.
#[derive(Clone, Debug)]
struct Demand {
    text: String,
    matcher: Matcher,
    binds: bool,
}

/// The demands that one occurrence was found to meet or not to meet.
#[derive(Clone, Debug, Default)]
pub(super) struct Verdicts(Vec<Option<bool>>);

impl Verdicts {
    /// Forgets everything, for the next occurrence.
    pub(super) fn clear(&mut self) {
        self.0.fill(None);
    }

    fn of(&mut self, demand: usize, judge: impl FnOnce() -> bool) -> bool {
        if demand >= self.0.len() {
            self.0.resize(demand + 1, None);
        }
        *self.0[demand].get_or_insert_with(judge)
    }
}

/// Keys as a text that tells them from others.
fn text_of(keys: &[Key]) -> String {
    keys.iter().fold(String::new(), |mut text, key| {
        let _ = write!(text, "\n{} {:?}", key.path, key.value);
        text
    })
}

/// All patterns, each once.
#[derive(Clone, Debug, Default)]
pub(super) struct Atoms {
    all: Vec<Atom>,
    known: BTreeMap<String, u32>,
    /// The keys of patterns without those that read variables; each set once.
    demands: Vec<Demand>,
    /// Paths that are read of messages, each once.
    readers: Vec<(Path, Reader)>,
}

fn place(bucket: Bucket, from: usize, to: usize) -> usize {
    (bucket.number() * ENDS + from) * ENDS + to
}

impl Atoms {
    /// The number of a pattern, a new one when none is alike.
    pub(super) fn intern(&mut self, pattern: &Pattern) -> u32 {
        let mut text = format!("{:?} {:?} {:?}", pattern.from, pattern.to, pattern.what);
        let _ = write!(text, " {:?} {:?} {:?}", pattern.answers, pattern.answered, pattern.initial);
        text.push_str(&text_of(&pattern.keys));
        if let Some(number) = self.known.get(&text) {
            return *number;
        }
        let number = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        let atom = Atom::of(pattern, self);
        self.all.push(atom);
        self.known.insert(text, number);
        number
    }

    fn demand(&mut self, keys: &[Key]) -> usize {
        let text = text_of(keys);
        self.demands.iter().position(|known| known.text == text).unwrap_or_else(|| {
            let binds = keys.iter().any(|key| binds(&key.value));
            self.demands.push(Demand { text, matcher: Matcher::of(keys), binds });
            self.demands.len() - 1
        })
    }

    /// What a pattern that may speak of an occurrence binds, when everything fits that no instance has
    /// a say in.
    pub(super) fn matches(
        &self,
        number: u32,
        occurrence: &Occurrence<'_>,
        names: &Names,
        verdicts: &mut Verdicts,
    ) -> Option<Bindings> {
        let atom = self.get(number);
        if !atom.fits(occurrence) {
            return None;
        }
        let Some(at) = atom.fixed else { return Some(Bindings::default()) };
        let demand = &self.demands[at];
        if demand.binds {
            return demand.matcher.matches(&occurrence.view, names);
        }
        verdicts.of(at, || demand.matcher.matches(&occurrence.view, names).is_some()).then(Bindings::default)
    }

    /// The number of the reader of a path.
    pub(super) fn reader(&mut self, path: &Path) -> u32 {
        let known = self.readers.iter().position(|(known, _)| known == path);
        let at = known.unwrap_or_else(|| {
            self.readers.push((path.clone(), Reader::of(path)));
            self.readers.len() - 1
        });
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    /// All values at a path.
    pub(super) fn read_all(&self, reader: u32, view: &View<'_>) -> Vec<String> {
        self.readers[reader as usize].1.all(view)
    }

    pub(super) fn get(&self, number: u32) -> &Atom {
        &self.all[number as usize]
    }

    /// Whether a pattern may speak of an occurrence, by its kind and its ends.
    pub(super) fn may_speak_of(&self, number: u32, occurrence: &Occurrence<'_>) -> bool {
        self.get(number).places.contains(&occurrence.place())
    }
}
