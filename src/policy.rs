//! The knobs of a simulated run: what the reference PF decides where the change request leaves it
//! open, and how the simulated world is set up.
//!
//! This is a table and the grammar of its values, nothing that acts: the scenario reader checks
//! `policy:` against it, the reference PF and the simulator read typed values from it. Names and
//! words may be written with `-` or `_`.

use std::collections::BTreeMap;
use std::time::Duration;

/// What the value of a knob looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `true` or `false`.
    Flag,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Any of these words, separated by commas; `none` for no one.
    Choices(&'static [&'static str]),
    /// A number from the first to the second bound.
    Count(u64, u64),
    /// A span of time such as `500ms`, `30s`, `5m` or `1h`.
    Span,
    /// A span of time, or `none`.
    SpanOrNone,
    /// One or several of these words, separated by commas: without any a demand could not be met.
    SomeOf(&'static [&'static str]),
    /// Numbers separated by commas; `none` for the empty list.
    Numbers,
    /// Things of this kind, separated by commas or blanks; `none` for the empty list.
    Words(&'static str),
}

impl Kind {
    /// The name of the kind, for a person.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Choice(_) => "choice",
            Self::Choices(_) | Self::SomeOf(_) => "list",
            Self::Count(..) => "number",
            Self::Span | Self::SpanOrNone => "time",
            Self::Numbers => "numbers",
            Self::Words(_) => "words",
        }
    }

    /// The words that are allowed; empty when the value is no word.
    pub const fn words(self) -> &'static [&'static str] {
        match self {
            Self::Flag => &["true", "false"],
            Self::Choice(words) | Self::Choices(words) | Self::SomeOf(words) => words,
            Self::SpanOrNone | Self::Numbers | Self::Words(_) => &["none"],
            Self::Count(..) | Self::Span => &[],
        }
    }

    /// What is allowed, for a person.
    pub fn allowed(self) -> String {
        match self {
            Self::Flag | Self::Choice(_) => self.words().join(" or "),
            Self::Choices(words) => format!("some of {}, or none", words.join(", ")),
            Self::SomeOf(words) => format!("at least one of {}", words.join(", ")),
            Self::Count(least, u64::MAX) => format!("a number from {least}"),
            Self::Count(least, most) => format!("a number from {least} to {most}"),
            Self::Span => "a time such as 500ms, 30s, 5m or 1h".to_owned(),
            Self::SpanOrNone => "a time such as 30s or 5m, or none".to_owned(),
            Self::Numbers => "numbers separated by commas, or none".to_owned(),
            Self::Words(what) => format!("{what} separated by commas, or none"),
        }
    }
}

/// One knob.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Knob {
    /// The name, as a scenario writes it.
    pub name: &'static str,
    /// The form of its value.
    pub kind: Kind,
    /// The value that holds when nothing is said.
    pub default: &'static str,
    /// What it decides, in one sentence.
    pub doc: &'static str,
    /// The reading it switches (`AMB-10`), if the text is ambiguous there.
    pub reading: Option<&'static str>,
}

impl Knob {
    /// Whether `value` is allowed.
    ///
    /// # Errors
    ///
    /// A fragment that says what is allowed instead.
    pub fn check(&self, value: &str) -> Result<(), String> {
        let fits = match self.kind {
            Kind::Flag | Kind::Choice(_) => self.kind.words().iter().any(|word| same(word, value)),
            Kind::Choices(words) => members(value).all(|member| words.iter().any(|word| same(word, member))),
            Kind::SomeOf(words) => {
                members(value).next().is_some() && members(value).all(|member| words.iter().any(|word| same(word, member)))
            }
            Kind::Count(least, most) => value.trim().parse().is_ok_and(|number: u64| (least..=most).contains(&number)),
            Kind::Span => span(value).is_some(),
            Kind::SpanOrNone => same(value, "none") || span(value).is_some(),
            Kind::Words(_) => !value.trim().is_empty() && value.chars().all(|char| !char.is_control()),
            Kind::Numbers => members(value).all(|member| member.parse::<u64>().is_ok()),
        };
        if fits { Ok(()) } else { Err(format!("`{}` takes {}, not `{value}`", self.name, self.kind.allowed())) }
    }
}

/// The knob of this name.
pub fn knob(name: &str) -> Option<&'static Knob> {
    // Our own code writes the names as they are.
    KNOBS.iter().find(|knob| knob.name == name).or_else(|| KNOBS.iter().find(|knob| same(knob.name, name)))
}

/// Every knob, in the order of the reference.
pub const fn knobs() -> &'static [Knob] {
    KNOBS
}

/// Values of knobs, each checked; a knob without a value has its default.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Values(BTreeMap<&'static str, String>);

impl Values {
    /// Reads `name: value` pairs.
    ///
    /// # Errors
    ///
    /// All faults at once: names that no knob has, values that are not allowed.
    pub fn read<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, Vec<String>> {
        let mut values = BTreeMap::new();
        let mut faults = Vec::new();
        for (name, value) in pairs {
            match knob(name).ok_or_else(|| format!("no knob is called `{name}`")).and_then(|knob| knob.check(value).map(|()| knob))
            {
                Ok(knob) => drop(values.insert(knob.name, value.to_owned())),
                Err(fault) => faults.push(fault),
            }
        }
        let values = Self(values);
        if faults.is_empty() {
            faults = values.contradictions();
        }
        if faults.is_empty() { Ok(values) } else { Err(faults) }
    }

    /// Sets one knob.
    ///
    /// # Errors
    ///
    /// As [`Values::read`].
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), Vec<String>> {
        let own = self.0.iter().map(|(name, value)| (*name, value.as_str()));
        *self = Self::read(own.chain([(name, value)]))?;
        Ok(())
    }

    /// What these values cannot mean together, each with its reason.
    fn contradictions(&self) -> Vec<String> {
        CONTRADICTIONS.iter().filter(|(holds, _)| holds(self)).map(|(_, reason)| (*reason).to_owned()).collect()
    }

    /// The value of a knob as text, its default when it was not set.
    ///
    /// # Panics
    ///
    /// When no knob has this name: the caller's spelling is wrong.
    pub fn text(&self, name: &str) -> &str {
        let Some(knob) = knob(name) else { panic!("no knob is called `{name}`") };
        self.0.get(knob.name).map_or(knob.default, String::as_str)
    }

    /// The value of a [`Kind::Flag`].
    pub fn flag(&self, name: &str) -> bool {
        same(self.text(name), "true")
    }

    /// Whether the value of a [`Kind::Choice`] is `word`.
    pub fn is(&self, name: &str, word: &str) -> bool {
        same(self.text(name), word)
    }

    /// Whether the value of a [`Kind::Choices`] or [`Kind::SomeOf`] holds `word`.
    pub fn has(&self, name: &str, word: &str) -> bool {
        lists(self.text(name), word)
    }

    /// The value of a [`Kind::Count`].
    pub fn count(&self, name: &str) -> u64 {
        self.text(name).trim().parse().unwrap_or(0)
    }

    /// The value of a [`Kind::Span`] or [`Kind::SpanOrNone`].
    pub fn span(&self, name: &str) -> Option<Duration> {
        span(self.text(name))
    }

    /// The value of a [`Kind::Words`], as written.
    pub fn words(&self, name: &str) -> Vec<String> {
        members(self.text(name)).map(str::to_owned).collect()
    }

    /// The value of a [`Kind::Numbers`].
    pub fn numbers(&self, name: &str) -> Vec<u64> {
        members(self.text(name)).filter_map(|member| member.parse().ok()).collect()
    }
}

/// Reads a span of time: digits and `us`, `ms`, `s`, `m` or `h`; bare digits are seconds.
pub fn span(text: &str) -> Option<Duration> {
    let text = text.trim();
    let unit_at = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..unit_at].parse().ok()?;
    let micros: u64 = match text[unit_at..].trim() {
        "us" => 1,
        "ms" => 1_000,
        "s" | "" => 1_000_000,
        "m" | "min" => 60_000_000,
        "h" => 3_600_000_000,
        _ => return None,
    };
    number.checked_mul(micros).map(Duration::from_micros)
}

/// Whether two names or words are the same: letter case does not count, nor does `_` for `-`.
pub fn same(one: &str, other: &str) -> bool {
    fn letters(word: &str) -> impl Iterator<Item = u8> {
        word.trim().bytes().map(|byte| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() })
    }
    letters(one).eq(letters(other))
}

/// Whether a value that is a list holds a word.
pub fn lists(value: &str, word: &str) -> bool {
    members(value).any(|member| same(member, word))
}

/// The words of a list; `none` is an empty one.
fn members(value: &str) -> impl Iterator<Item = &str> {
    value
        .trim_matches(['[', ']', ' '])
        .split([',', ' '])
        .map(str::trim)
        .filter(|member| !member.is_empty() && !same(member, "none"))
}

/// Whether a combination is there that no PF can act by, and the reason why not.
type Contradiction = (fn(&Values) -> bool, &'static str);

/// Combinations that no PF can act by.
const CONTRADICTIONS: &[Contradiction] = &[
    (
        |values| values.is("sender.order", "list") && values.words("sender.list").is_empty(),
        "`sender.order` is `list`, but `sender.list` names no sender",
    ),
    (
        |values| values.words("sdp.default-accept-types").is_empty(),
        "`sdp.default-accept-types` is empty: a session that accepts nothing cannot be offered",
    ),
    (
        |values| !values.flag("rejoin.early-accept") && values.is("restart.fail-before-drain", "immediate"),
        "`restart.fail-before-drain` is `immediate`, but a re-join that is not accepted early has no session that could end",
    ),
    (
        |values| !values.flag("rejoin.early-accept") && values.is("msrp.fail-status-map", "focus"),
        "`msrp.fail-status-map` is set, but before a re-join is accepted no message comes that could be reported on",
    ),
    (
        |values| values.is("delivered-when", "imdn") && !values.flag("imdn.releases-message"),
        "`delivered-when` is `imdn`, but `imdn.releases-message` is false: no message would ever count as delivered",
    ),
    (
        |values| values.flag("store.drop-oldest") && values.count("store.max-messages") == u64::MAX,
        "`store.drop-oldest` has no effect while `store.max-messages` sets no limit",
    ),
    (
        |values| !values.is("imdn.instance", "target") && !values.has("imdn.ways", "session"),
        "`imdn.instance` names devices in the INVITE of a notification session, but `imdn.ways` opens none",
    ),
    (
        |values| values.numbers("stop.codes").iter().any(|code| !(300..700).contains(code)),
        "`stop.codes` holds a number that is no final error of SIP: these are 300 to 699",
    ),
    (
        |values| values.span("ringing.limit").is_none_or(|limit| limit.is_zero()),
        "`ringing.limit` is 0: every delivery INVITE would be cancelled before anyone could answer it",
    ),
    (
        |values| values.span("store.max-age").is_some_and(|age| age.is_zero()),
        "`store.max-age` is 0: every message would be dropped before it could be delivered",
    ),
];

/// The kinds of silent loss of AMB-11.
const LOSSES: &[&str] = &["session-timer", "msrp-disconnect", "deregistration", "in-dialog-408-481"];

const KNOBS: &[Knob] = &[
    Knob {
        name: "bye.no-reason",
        kind: Kind::Choice(&["leave", "defer"]),
        default: "leave",
        doc: "Whether a BYE of the Client without a usable SIP cause means that the user left or that the Client was lost",
        reading: Some("AMB-10"),
    },
    Knob {
        name: "loss.detect",
        kind: Kind::Choices(LOSSES),
        default: "session-timer, msrp-disconnect, deregistration, in-dialog-408-481",
        doc: "Which silent events count as the loss of a Client, as a BYE with another cause than 200 does",
        reading: Some("AMB-11"),
    },
    Knob {
        name: "loss.grace",
        kind: Kind::Span,
        default: "1s",
        doc: "How long the PF waits after an MSRP connection broke, since a BYE on its way may say why",
        reading: Some("AMB-11"),
    },
    Knob {
        name: "subscribe.identity",
        kind: Kind::Choice(&["user", "pf"]),
        default: "user",
        doc: "Whose identity the PF's own subscription to the focus carries",
        reading: Some("AMB-12"),
    },
    Knob {
        name: "subscribe.expires",
        kind: Kind::Count(60, 86_400),
        default: "3600",
        doc: "How many seconds the PF's own subscription to the focus asks for",
        reading: None,
    },
    Knob {
        name: "trigger.source",
        kind: Kind::Choice(&["third-party-register", "reg-event", "both"]),
        default: "third-party-register",
        doc: "What tells the PF that a user is available: third-party REGISTER, NOTIFY of the reg event package, or either",
        reading: Some("AMB-02"),
    },
    Knob {
        name: "trigger.on-reregister",
        kind: Kind::Flag,
        default: "true",
        doc: "Whether a third-party REGISTER of a user who is registered already triggers deferred delivery",
        reading: Some("AMB-14"),
    },
    Knob {
        name: "trigger.delay",
        kind: Kind::Span,
        default: "0s",
        doc: "How long the PF waits between the third-party REGISTER and its own INVITE, so that a re-join can win",
        reading: Some("AMB-50"),
    },
    Knob {
        name: "trigger.invite-when-empty",
        kind: Kind::Flag,
        default: "false",
        doc: "Whether the PF invites a returning Client although nothing was missed",
        reading: Some("AMB-51"),
    },
    Knob {
        name: "register.unknown-user",
        kind: Kind::Choice(&["200", "404"]),
        default: "200",
        doc: "The answer to a third-party REGISTER for a user whom the PF does not serve",
        reading: None,
    },
    Knob {
        name: "group.delivery",
        kind: Kind::Choice(&["serial", "parallel"]),
        default: "serial",
        doc: "Whether several pending groups are invited one after the other, oldest data first, or all at once",
        reading: Some("AMB-28"),
    },
    Knob {
        name: "group.unsubscribe-after-delivery",
        kind: Kind::Flag,
        default: "true",
        doc: "Whether the PF ends its subscription to the focus once the stored data is delivered",
        reading: None,
    },
    Knob {
        name: "stop.codes",
        kind: Kind::Numbers,
        default: "408, 480, 503",
        doc: "The errors to a delivery INVITE that end the delivery from the user's other groups and senders too, until the next trigger; a 480 to a 1-1 delivery always does",
        reading: Some("AMB-24"),
    },
    Knob {
        name: "sender.order",
        kind: Kind::Choice(&["date-time", "arrival", "list"]),
        default: "date-time",
        doc: "Whose 1-1 messages are delivered first: by the oldest CPIM DateTime, by arrival at the PF, or by `sender.list`",
        reading: None,
    },
    Knob {
        name: "sender.list",
        kind: Kind::Words("addresses"),
        default: "none",
        doc: "The order of original senders where `sender.order` is `list`; all others come after them, by arrival",
        reading: None,
    },
    Knob {
        name: "invite.from",
        kind: Kind::Choice(&["pf", "sender"]),
        default: "pf",
        doc: "Whether From of a 1-1 delivery INVITE names the PF or the original sender",
        reading: Some("AMB-16"),
    },
    Knob {
        name: "invite.first-message",
        kind: Kind::Choice(&["in-invite-only", "both", "msrp-only"]),
        default: "in-invite-only",
        doc: "Whether the first deferred message goes in the INVITE, in the INVITE and again over MSRP, or over MSRP alone",
        reading: Some("AMB-18"),
    },
    Knob {
        name: "sdp.default-accept-types",
        kind: Kind::Words("media types"),
        default: "message/cpim",
        doc: "The accept-types of a 1-1 delivery whose messages came by no session",
        reading: Some("AMB-17"),
    },
    Knob {
        name: "sdp.default-wrapped-types",
        kind: Kind::Words("media types"),
        default: "text/plain, message/imdn+xml",
        doc: "The accept-wrapped-types of a 1-1 delivery whose messages came by no session",
        reading: Some("AMB-17"),
    },
    Knob {
        name: "delivered-when",
        kind: Kind::Choice(&["msrp-200", "success-report", "imdn"]),
        default: "msrp-200",
        doc: "What makes a 1-1 message count as delivered: the 200 to its last chunk, a success report, or a disposition notification",
        reading: Some("AMB-21"),
    },
    Knob {
        name: "bye.one-to-one",
        kind: Kind::Choice(&["keep"]),
        default: "keep",
        doc: "What a BYE of the Client during a 1-1 delivery does to the rest of the messages; fixed, NOTE 1 of 8.3.2.9.1.1 keeps them whatever the cause, and the rule that discards is one for groups",
        reading: Some("AMB-22"),
    },
    Knob {
        name: "bye.group-cause-200",
        kind: Kind::Choice(&["discard"]),
        default: "discard",
        doc: "What a BYE with cause 200 of the Client does to what is stored of its group; fixed, item 5.c of 8.3.2.9.1.2 demands it",
        reading: Some("AMB-22"),
    },
    Knob {
        name: "privacy.honour",
        kind: Kind::Flag,
        default: "true",
        doc: "Whether Referred-By is anonymous when the original sender asked for privacy",
        reading: Some("AMB-48"),
    },
    Knob {
        name: "retry.count",
        kind: Kind::Count(0, 100),
        default: "0",
        doc: "How often the PF invites again by itself after an error other than 603",
        reading: None,
    },
    Knob {
        name: "retry.interval",
        kind: Kind::Span,
        default: "30s",
        doc: "How long the PF waits before it invites again; a longer Retry-After wins",
        reading: None,
    },
    Knob {
        name: "retry.on-603",
        kind: Kind::Choice(&["never"]),
        default: "never",
        doc: "Whether the PF invites again after a 603; fixed, item 1.d of 8.3.2.9.1.2 has discarded what could be delivered",
        reading: Some("AMB-04"),
    },
    Knob {
        name: "ringing.limit",
        kind: Kind::Span,
        default: "180s",
        doc: "How long a delivery INVITE may go without a final response before the PF cancels it, which is when a provisional one has come",
        reading: None,
    },
    Knob {
        name: "race.window",
        kind: Kind::Choice(&["until-final", "until-drained"]),
        default: "until-drained",
        doc: "How long after the PF's own INVITE a re-join is answered 491",
        reading: Some("AMB-41"),
    },
    Knob {
        name: "client.rejoin-retry-after-491",
        kind: Kind::Flag,
        default: "true",
        doc: "Whether the reference Client re-joins again after a 491 if no invitation of the PF has come by then",
        reading: Some("AMB-42"),
    },
    Knob {
        name: "race.per-device",
        kind: Kind::Flag,
        default: "false",
        doc: "Whether a re-join from another device than the invited one is served in place of the PF's INVITE",
        reading: Some("AMB-44"),
    },
    Knob {
        name: "device.pin-timeout",
        kind: Kind::SpanOrNone,
        default: "none",
        doc: "After which absence the delivery is offered to all devices and no longer to the one that had accepted",
        reading: Some("AMB-36"),
    },
    Knob {
        name: "accept-contact.merge",
        kind: Kind::Flag,
        default: "false",
        doc: "Whether service and instance stand in one Accept-Contact value or in two",
        reading: Some("AMB-37"),
    },
    Knob {
        name: "group-active.send-group-state",
        kind: Kind::Flag,
        default: "false",
        doc: "Whether the last roster is delivered as a group state object to an active group too",
        reading: Some("AMB-13"),
    },
    Knob {
        name: "group-state.if-not-accepted",
        kind: Kind::Choice(&["skip", "send"]),
        default: "skip",
        doc: "Whether the group state object is sent to a Client that does not list its type",
        reading: Some("AMB-34"),
    },
    Knob {
        name: "group-state.position",
        kind: Kind::Choice(&["first", "last"]),
        default: "first",
        doc: "Whether the group state object of an inactive group goes before the stored messages or behind them",
        reading: Some("AMB-34"),
    },
    Knob {
        name: "group-state.wrap",
        kind: Kind::Choice(&["none", "cpim"]),
        default: "none",
        doc: "Whether the group state object is the body of its MSRP message or the content of a CPIM message there",
        reading: Some("AMB-34"),
    },
    Knob {
        name: "group-inactive.referred-by",
        kind: Kind::Choice(&["focus", "first-sender", "per-sender-sessions"]),
        default: "focus",
        doc: "Whom Referred-By names when an inactive group is delivered; the last word gives each original sender a session",
        reading: Some("AMB-06"),
    },
    Knob {
        name: "rejoin.early-accept",
        kind: Kind::Flag,
        default: "true",
        doc: "Whether a re-join into an inactive group with pending data is answered 200 before the CF has answered the re-start",
        reading: Some("AMB-20"),
    },
    Knob {
        name: "restart.target",
        kind: Kind::Choice(&["factory", "old-focus"]),
        default: "factory",
        doc: "Where a re-start goes: to the conference factory with the roster as list of recipients, or to the old focus",
        reading: Some("AMB-38"),
    },
    Knob {
        name: "restart.fail-before-drain",
        kind: Kind::Choice(&["drain", "immediate"]),
        default: "drain",
        doc: "Whether a session whose re-start failed ends when the stored data is delivered, or at once",
        reading: Some("AMB-39"),
    },
    Knob {
        name: "msrp.fail-status-map",
        kind: Kind::Choice(&["mapped", "focus"]),
        default: "mapped",
        doc: "The status of the failure reports after a failed re-start: 403 for a 403 and 408 for all else, or what the focus answered",
        reading: Some("AMB-40"),
    },
    Knob {
        name: "imdn.ways",
        kind: Kind::SomeOf(&["ongoing", "session", "message"]),
        default: "ongoing, session, message",
        doc: "How stored notifications may travel, tried in this order; one way at least must be open, since they have to be delivered",
        reading: Some("AMB-27"),
    },
    Knob {
        name: "imdn.instance",
        kind: Kind::Choice(&["target", "origin", "both"]),
        default: "target",
        doc: "Which device a notification INVITE names: the one that is to have it, the one that made it, or both",
        reading: Some("AMB-26"),
    },
    Knob {
        name: "imdn.support-detection",
        kind: Kind::Choice(&["wrapped-types", "always", "never"]),
        default: "wrapped-types",
        doc: "Whether a Client counts as able to send notifications: by accept-wrapped-types of its SDP answer, always, or never",
        reading: Some("AMB-25"),
    },
    Knob {
        name: "imdn.generate",
        kind: Kind::Flag,
        default: "true",
        doc: "Whether the PF makes the delivery notifications of a Client that cannot",
        reading: None,
    },
    Knob {
        name: "imdn.releases-message",
        kind: Kind::Flag,
        default: "true",
        doc: "Whether a delivery notification ends the storing of the message that it speaks of",
        reading: None,
    },
    Knob {
        name: "msrp.window",
        kind: Kind::Count(1, 1_000),
        default: "16",
        doc: "How many live messages may wait for their 200 at a time; stored ones go out one by one",
        reading: None,
    },
    Knob {
        name: "msrp.chunk-size",
        kind: Kind::Count(1, 1_048_576),
        default: "2048",
        doc: "The largest chunk of a message that the PF sends, in bytes",
        reading: None,
    },
    Knob {
        name: "store.max-messages",
        kind: Kind::Count(1, u64::MAX),
        default: "10000",
        doc: "How many messages the PF keeps for one user; a further one is refused with 413, or drops the oldest",
        reading: Some("AMB-31"),
    },
    Knob {
        name: "store.drop-oldest",
        kind: Kind::Flag,
        default: "false",
        doc: "Whether a message beyond `store.max-messages` drops the oldest one in place of being refused",
        reading: Some("AMB-31"),
    },
    Knob {
        name: "store.max-age",
        kind: Kind::SpanOrNone,
        default: "none",
        doc: "How long a message is kept; an older one is dropped",
        reading: Some("AMB-31"),
    },
    Knob {
        name: "store.max-size",
        kind: Kind::Count(1, u64::MAX),
        default: "1048576",
        doc: "The largest message that the PF takes, in bytes; a larger one is refused with 413",
        reading: Some("AMB-31"),
    },
    Knob {
        name: "store.commit-delay",
        kind: Kind::Span,
        default: "0s",
        doc: "How long the simulated store takes to make a batch durable",
        reading: None,
    },
    Knob {
        name: "store.commit-fail",
        kind: Kind::Numbers,
        default: "none",
        doc: "Which commits of the run fail, counted from 1",
        reading: None,
    },
    Knob {
        name: "sip.transport",
        kind: Kind::Choice(&["tcp", "udp"]),
        default: "tcp",
        doc: "The transport of SIP in the simulated network",
        reading: None,
    },
    Knob {
        name: "sip.timers",
        kind: Kind::Choice(&["default", "radio"]),
        default: "default",
        doc: "T1, T2 and T4 of every node: those of RFC 3261, or those of 3GPP TS 24.229 for a radio access",
        reading: None,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_allowed() {
        for knob in knobs() {
            assert_eq!(knob.check(knob.default), Ok(()), "{}", knob.name);
        }
    }

    #[test]
    fn names_are_unique_and_written_with_hyphens() {
        for (at, one) in knobs().iter().enumerate() {
            assert!(!one.name.contains('_'));
            assert!(knobs()[at + 1..].iter().all(|other| other.name != one.name), "{}", one.name);
        }
    }

    #[test]
    fn underscores_and_hyphens_are_the_same() {
        let values = Values::read([("bye.no_reason", "defer"), ("race.window", "until_final")]);
        let values = values.expect("both are knobs");
        assert!(values.is("bye.no-reason", "defer"));
        assert!(values.is("race.window", "until-final"));
    }

    #[test]
    fn all_faults_come_at_once() {
        let faults = Values::read([("bye.reason", "leave"), ("retry.count", "many"), ("trigger.delay", "5s")]);
        let faults = faults.expect_err("two are wrong");
        assert_eq!(faults, ["no knob is called `bye.reason`", "`retry.count` takes a number from 0 to 100, not `many`"]);
    }

    #[test]
    fn lists_may_be_empty() {
        let values = Values::read([("loss.detect", "[session_timer, deregistration]"), ("stop.codes", "none")]).expect("valid");
        assert!(values.has("loss.detect", "deregistration"));
        assert!(!values.has("loss.detect", "msrp-disconnect"));
        assert!(values.numbers("stop.codes").is_empty());
        assert_eq!(Values::default().numbers("stop.codes"), [408, 480, 503]);
    }

    #[test]
    fn a_demand_needs_one_way_at_least() {
        let faults = Values::read([("imdn.ways", "none")]).expect_err("no way is open");
        assert_eq!(faults, ["`imdn.ways` takes at least one of ongoing, session, message, not `none`"]);
        assert!(Values::read([("imdn.ways", "message, ongoing")]).is_ok_and(|values| !values.has("imdn.ways", "session")));
    }

    #[test]
    fn impossible_combinations_are_refused_with_the_reason() {
        let faults = Values::read([("sender.order", "list")]).expect_err("there is no list");
        assert_eq!(faults, ["`sender.order` is `list`, but `sender.list` names no sender"]);
        let mut values = Values::read([("sender.list", "tel:+1514, SIP:carol_b@home1.example")]).expect("a list");
        values.set("sender.order", "list").expect("there is a list");
        assert_eq!(values.words("sender.list"), ["tel:+1514", "SIP:carol_b@home1.example"]);
        assert!(values.set("sender.list", "none").is_err());
        assert!(values.is("sender.order", "list"));
    }

    #[test]
    fn what_no_pf_can_act_by_is_refused() {
        let refused: [&[(&str, &str)]; 11] = [
            &[("sender.order", "list")],
            &[("sdp.default-accept-types", "none")],
            &[("rejoin.early-accept", "false"), ("restart.fail-before-drain", "immediate")],
            &[("rejoin.early-accept", "false"), ("msrp.fail-status-map", "focus")],
            &[("delivered-when", "imdn"), ("imdn.releases-message", "false")],
            &[("store.drop-oldest", "true"), ("store.max-messages", "18446744073709551615")],
            &[("imdn.instance", "both"), ("imdn.ways", "ongoing, message")],
            &[("stop.codes", "480, 200")],
            &[("ringing.limit", "0s")],
            &[("store.max-age", "0s")],
            &[("imdn.ways", "none")],
        ];
        for pairs in refused {
            let faults = Values::read(pairs.iter().copied()).expect_err("impossible");
            assert_eq!(faults.len(), 1, "{pairs:?}: {faults:?}");
        }
        assert_eq!(CONTRADICTIONS.len() + 1, refused.len());
    }

    #[test]
    fn spans_have_units() {
        assert_eq!(span("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(span("2h"), Some(Duration::from_secs(7200)));
        assert_eq!(span("7"), Some(Duration::from_secs(7)));
        assert_eq!(span("soon"), None);
        assert_eq!(Values::default().span("device.pin-timeout"), None);
    }
}
