//! The shape of a pattern after it was read and its names were resolved.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::wire::sip::Method;

/// A place in a source file, as a byte range. The file is known to whoever holds the place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Place {
    /// Index of the file among the suite's sources.
    pub file: u32,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// What an actor is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Role {
    /// A CPM Client.
    Client,
    /// The Participating Function.
    Pf,
    /// The Controlling Function, the conference focus.
    Cf,
    /// The SIP/IP core: S-CSCF and what lies around it.
    Core,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Pf => "pf",
            Self::Cf => "cf",
            Self::Core => "core",
        })
    }
}

/// One end of a message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum End {
    /// Everyone.
    Any,
    /// Every actor of a role; the form of rules and tamper cases. A client is the one of the
    /// served user.
    Role(Role),
    /// The client that calls a served user: the original sender of what is stored for that one.
    Sender,
    /// A named actor, on one device or on whichever; the form of scenarios.
    Actor {
        /// The actor's name.
        name: Arc<str>,
        /// Its device.
        device: Option<Arc<str>>,
    },
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Role(role) => role.fmt(f),
            Self::Sender => f.write_str("sender"),
            Self::Actor { name, device: None } => f.write_str(name),
            Self::Actor { name, device: Some(device) } => write!(f, "{name}.{device}"),
        }
    }
}

/// A set of status codes: `200`, `4xx`, `4xx-6xx`, `any`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Codes {
    /// The lowest code.
    pub low: u16,
    /// The highest code.
    pub high: u16,
}

impl Codes {
    /// Whether `code` is among them.
    pub const fn has(self, code: u16) -> bool {
        self.low <= code && code <= self.high
    }
}

/// What kind of event a pattern speaks of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    /// Any SIP message.
    Any,
    /// A SIP request.
    Request(Method),
    /// A SIP response.
    Response(Codes),
    /// A whole MSRP message, at its last chunk.
    MsrpSend,
    /// One MSRP SEND request.
    MsrpChunk,
    /// An MSRP REPORT.
    MsrpReport,
    /// The MSRP answers to all chunks of a message, at the last of them.
    MsrpResponse(Codes),
    /// A connection broke.
    Lost,
}

/// Where in a message a value stands.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Path {
    /// A header field, or a part of it: `Contact`, `Contact.uri`, `Contact.+sip.instance`.
    Header {
        /// The name as the author wrote it; matched in any letter case and compact.
        name: String,
        /// What follows the first dot.
        part: Option<String>,
    },
    /// A part of a body or of the protocol: `sdp.direction`, `cpim.imdn.Message-ID`.
    Part {
        /// `sdp cpim imdn reason msrp conference-info group-state body`.
        prefix: String,
        /// What follows the first dot.
        rest: String,
    },
}

impl Path {
    /// Keys with one prefix speak of one and the same element.
    pub fn prefix(&self) -> &str {
        match self {
            Self::Header { name, .. } => name,
            Self::Part { prefix, .. } => prefix,
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header { name, part: None } => f.write_str(name),
            Self::Header { name, part: Some(part) } => write!(f, "{name}.{part}"),
            Self::Part { prefix, rest } => write!(f, "{prefix}.{rest}"),
        }
    }
}

/// What is demanded of the value at a path, or put there when sending.
#[derive(Clone, Debug)]
pub enum Value {
    /// Equal under the grammar of the header or part. May hold `${variable}`.
    Literal(String),
    /// The same members in any order.
    List(Vec<Value>),
    /// Nothing stands there.
    Absent,
    /// Something stands there.
    Present,
    /// A value is there and differs.
    Not(Box<Value>),
    /// A value is there and fits one of these.
    OneOf(Vec<Value>),
    /// A text that holds this text; a list that holds this element.
    Contains(Box<Value>),
    /// A text that this expression matches.
    Matches(regex::Regex),
    /// A number below this.
    LessThan(Bound),
    /// A number above this.
    GreaterThan(Bound),
    /// No element fits all of these.
    None(Vec<Key>),
    /// The first element fits all of these.
    First(Vec<Key>),
    /// Equal to the value at a path of a message that a step named.
    SameAs {
        /// The step's identifier.
        id: String,
        /// The path in that message.
        path: Path,
    },
    /// Equal to a bound variable (`$v`).
    Variable(String),
    /// Starts an instance of the rule for each value.
    Bind(Arc<str>),
    /// Replaces what the variable held.
    BindLatest(Arc<str>),
    /// Made content, for sending.
    Generate {
        /// How many bytes.
        bytes: usize,
        /// What decides them.
        seed: u64,
    },
}

/// What a number is compared with.
#[derive(Clone, PartialEq, Debug)]
pub enum Bound {
    /// A number.
    Number(f64),
    /// What a variable of a rule (`$v`) holds. While it is not bound, or holds no number, nothing fits.
    Variable(String),
    /// As written in a scenario, with `${variable}` in it. While that is no number, nothing fits.
    Text(String),
}

/// One demand of a pattern.
#[derive(Clone, Debug)]
pub struct Key {
    /// Where.
    pub path: Path,
    /// What.
    pub value: Value,
    /// Where it was written.
    pub place: Place,
}

/// Which request a response answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answers {
    /// A request of this method; the form of rules.
    Method(Method),
    /// The message that completed the trigger of the rule (`$when`).
    Trigger,
    /// The step of this identifier; the form of scenarios.
    Step(String),
}

/// A message pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// Who sends.
    pub from: End,
    /// Who receives.
    pub to: End,
    /// What kind of event.
    pub what: What,
    /// What else must hold.
    pub keys: Vec<Key>,
    /// The request that the response answers.
    pub answers: Option<Answers>,
    /// The request is taken at the moment of its final response, which is one of these.
    pub answered: Option<Codes>,
    /// `true`: the request has no To tag.
    pub initial: Option<bool>,
    /// Where the arrow was written.
    pub place: Place,
}

/// A pattern or several of which one must fit.
#[derive(Clone, Debug)]
pub struct AnyOf(pub Vec<Pattern>);

/// A span of time: written, or computed from bound numbers in seconds.
#[derive(Clone, Debug)]
pub enum Span {
    /// As written, times `--timeout-scale`.
    Fixed(Duration),
    /// An expression over bound numbers, in seconds; not scaled, since it comes from the wire.
    Computed(Expression),
}

/// Arithmetic over bound numbers.
#[derive(Clone, Debug)]
pub enum Expression {
    /// A number.
    Number(f64),
    /// A bound variable.
    Variable(String),
    /// `+ - * /`.
    Binary(Box<Expression>, char, Box<Expression>),
    /// The smaller of two.
    Min(Box<Expression>, Box<Expression>),
    /// The larger of two.
    Max(Box<Expression>, Box<Expression>),
}

/// A condition over policy and PICS.
#[derive(Clone, Debug)]
pub enum Condition {
    /// `policy NAME = value`.
    Policy {
        /// The knob.
        name: String,
        /// The value, as written.
        value: String,
    },
    /// `policy NAME contains value`: of a knob that is a list.
    PolicyHas {
        /// The knob.
        name: String,
        /// The member, as written.
        value: String,
    },
    /// `pics NAME`.
    Pics(String),
    /// Both.
    And(Box<Condition>, Box<Condition>),
    /// Either.
    Or(Box<Condition>, Box<Condition>),
    /// Not.
    Not(Box<Condition>),
}
