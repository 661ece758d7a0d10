//! `requirements.yaml`: requirements, their rules in the rule language, their tamper cases.

use super::arithmetic;
use super::catalogue::{
    Catalogue, Count, Duty, Exemption, Per, Relay, Requirement, Rule, Scope, Tamper, TamperAct, TamperPoint, Trigger,
};
use super::conditions;
use super::diagnostics::Diagnostic;
use super::fingerprint::Fingerprint;
use super::flow::LEVELS;
use super::fragments::Library;
use super::patterns::{Ends, Patterns};
use super::reader::{self, Desk, Fields};
use super::scenario::Defaults;
use super::yaml::{Entry, Kind, Node};
use crate::pattern::ast::{AnyOf, Key, Path, Place, Span};

/// The fields of a requirement.
pub(super) const FIELDS: &[&str] = &[
    "clause",
    "fingerprint",
    "level",
    "actor",
    "summary",
    "rule",
    "tamper",
    "untestable",
    "implicit",
    "editorial",
    "todo",
    "since",
    "until",
    "cr",
];
/// The keys of a rule.
pub(super) const RULE_FIELDS: &[&str] = &[
    "per", "if", "while", "when", "must", "then", "within", "before", "needs", "never", "until", "count", "relay", "unless", "seen",
];
/// The keys that say what is owed.
const DUTIES: &[&str] = &["must", "then", "needs", "never", "count", "relay", "seen"];
/// The fields of a tamper case.
pub(super) const TAMPER_FIELDS: &[&str] =
    &["name", "on", "after", "nth", "drop", "duplicate", "delay", "change", "swap-with", "inject"];
const TAMPER_ACTS: &[&str] = &["drop", "duplicate", "delay", "change", "swap-with", "inject"];
/// The fields of `while`.
pub(super) const SCOPE_FIELDS: &[&str] = &["after", "until", "for"];
/// The fields of `relay`.
pub(super) const RELAY_FIELDS: &[&str] = &["from", "to", "key", "order", "times", "within"];
/// The fields of `count`.
pub(super) const COUNT_FIELDS: &[&str] = &["of", "at-least", "at-most"];

/// The words of `per`.
pub(super) const PER: &[(&str, Per)] = &[
    ("trace", Per::Trace),
    ("user", Per::User),
    ("device", Per::Device),
    ("group", Per::Group),
    ("one-to-one", Per::OneToOne),
    ("dialog", Per::Dialog),
    ("transaction", Per::Transaction),
    ("subscription", Per::Subscription),
    ("msrp-session", Per::MsrpSession),
    ("message", Per::Message),
];

/// Reads the catalogue.
pub(super) struct Rules<'a> {
    patterns: Patterns<'a>,
    desk: &'a Desk,
}

impl<'a> Rules<'a> {
    pub(super) fn new(desk: &'a Desk, defaults: &'a Defaults, library: &'a Library) -> Self {
        Self { patterns: Patterns { desk, defaults, library, ends: Ends::Roles, step: &|_| None }, desk }
    }

    /// Reads the file: a map from identifiers to requirements.
    pub(super) fn catalogue(&self, tree: &Node) -> Catalogue {
        let Some(fields) = Fields::of(self.desk, tree, "the catalogue") else { return Catalogue::default() };
        let requirements = fields.entries.iter().filter_map(|entry| self.requirement(entry)).collect();
        Catalogue { requirements, readings: Vec::new() }
    }

    fn requirement(&self, entry: &Entry) -> Option<Requirement> {
        let id = &entry.key.text;
        let what = format!("requirement `{id}`");
        let fields = Fields::of(self.desk, &entry.value, &what)?;
        fields.known(self.desk, "a requirement", FIELDS);
        let need = |name: &str| {
            let text = fields.need(self.desk, name, &what).and_then(|node| reader::text(self.desk, node, &format!("`{name}`")));
            text.unwrap_or_default().to_owned()
        };
        let level = fields.need(self.desk, "level", &what).and_then(|node| reader::word(self.desk, node, "`level`", &LEVELS));
        let rules = match fields.get("rule") {
            None => Vec::new(),
            Some(node) => match &node.kind {
                Kind::Sequence(members) => members.iter().filter_map(|member| self.rule(member)).collect(),
                _ => self.rule(node).into_iter().collect(),
            },
        };
        let tamper = fields.get("tamper").map(|node| reader::members(self.desk, node, "`tamper`")).unwrap_or_default();
        let exemption = self.exemption(&fields);
        self.check_coverage(entry, &fields);
        Some(Requirement {
            id: id.clone(),
            clause: need("clause"),
            level: level?,
            actor: need("actor"),
            summary: need("summary"),
            rules,
            tamper: tamper.iter().filter_map(|node| self.tamper(node)).collect(),
            exemption,
            fingerprints: self.fingerprints(&fields),
            place: entry.key.place,
        })
    }

    /// One fingerprint, or a list.
    fn fingerprints(&self, fields: &Fields<'_>) -> Vec<(Fingerprint, Place)> {
        let Some(node) = fields.get("fingerprint") else { return Vec::new() };
        let nodes = match &node.kind {
            Kind::Sequence(members) => members.iter().collect(),
            _ => vec![node],
        };
        let read = |node: &&Node| {
            let print = reader::text(self.desk, node, "`fingerprint`").map(Fingerprint::parse)?;
            if print.is_none() {
                let wrong = Diagnostic::new("Y0064", node.place, "this is not a fingerprint".to_owned());
                self.desk.say(wrong.label("not as `lint --text --update` writes it"));
            }
            Some((print?, node.place))
        };
        nodes.iter().filter_map(read).collect()
    }

    fn exemption(&self, fields: &Fields<'_>) -> Option<Exemption> {
        let reason = |name: &str| {
            fields.get(name).and_then(|node| reader::text(self.desk, node, &format!("the reason of `{name}`"))).map(str::to_owned)
        };
        reason("untestable")
            .map(Exemption::Untestable)
            .or_else(|| reason("implicit").map(Exemption::Implicit))
            .or_else(|| reason("editorial").map(Exemption::Editorial))
            .or_else(|| reason("todo").map(Exemption::Todo))
    }

    /// A rule, or the reason why there is none: one of the two, never both.
    fn check_coverage(&self, entry: &Entry, fields: &Fields<'_>) {
        let id = &entry.key.text;
        let reason =
            fields.entries.iter().find(|field| matches!(field.key.text.as_str(), "untestable" | "implicit" | "editorial" | "todo"));
        match (fields.get("rule"), reason) {
            (None, None) => self.desk.say(
                Diagnostic::new(
                    "Y0046",
                    entry.key.place,
                    format!("requirement `{id}` has neither a rule nor a reason for having none"),
                )
                .label("nothing judges it")
                .help("write a `rule:`, or say why not: `untestable:`, `implicit:`, `editorial:` or `todo:` with a reason"),
            ),
            (Some(_), Some(reason)) => self.desk.say(
                Diagnostic::new("Y0046", reason.key.place, format!("requirement `{id}` has a rule and a reason for having none"))
                    .label("one of the two")
                    .secondary(entry.key.place, "this requirement"),
            ),
            (None, Some(_)) if fields.get("tamper").is_some() => self.desk.say(
                Diagnostic::new("Y0047", entry.key.place, format!("requirement `{id}` has tamper cases and no rule to catch them"))
                    .label("no rule"),
            ),
            _ => {}
        }
    }

    fn rule(&self, node: &Node) -> Option<Rule> {
        let fields = Fields::of(self.desk, node, "a rule")?;
        fields.known(self.desk, "a rule", RULE_FIELDS);
        let place = fields.entries.first().map_or(node.place, |entry| entry.key.place);
        let per = self.per(fields.get("per"));
        let condition = match fields.get("if") {
            Some(node) => Some(conditions::read(self.desk, node)?),
            None => None,
        };
        let scope = fields.get("while").and_then(|node| self.scope(node));
        let when = match fields.get("when") {
            Some(node) => Some(self.trigger(node)?),
            None => None,
        };
        self.check_rule(&fields, place);
        let duty = self.duty(&fields);
        let unless = self.any_of(&fields, "unless");
        let rule = Rule { per, condition, scope, when, duty, unless, place };
        super::rule_lint::variables(self.desk, &rule);
        Some(rule)
    }

    fn any_of(&self, fields: &Fields<'_>, name: &str) -> Option<AnyOf> {
        fields.get(name).and_then(|node| self.patterns.any_of(node, &format!("`{name}`")))
    }

    fn per(&self, node: Option<&Node>) -> Vec<Per> {
        let Some(node) = node else { return vec![Per::Trace] };
        match &node.kind {
            Kind::Sequence(members) => members.iter().filter_map(|member| reader::word(self.desk, member, "`per`", PER)).collect(),
            _ => reader::word(self.desk, node, "`per`", PER).into_iter().collect(),
        }
    }

    fn scope(&self, node: &Node) -> Option<Scope> {
        let fields = Fields::of(self.desk, node, "`while`")?;
        fields.known(self.desk, "`while`", SCOPE_FIELDS);
        let span = fields.get("for");
        if let (Some(span), None) = (span, fields.get("after")) {
            self.desk.say(
                Diagnostic::new("Y0063", span.place, "`for` stands without `after`".to_owned())
                    .label("here")
                    .help("it counts from the message that opens the scope, and nothing does"),
            );
        }
        Some(Scope {
            after: self.any_of(&fields, "after"),
            until: self.any_of(&fields, "until"),
            span: span.and_then(|node| self.time(node, "`for`")),
        })
    }

    fn trigger(&self, node: &Node) -> Option<Trigger> {
        let list = |node: &Node| {
            let members = reader::members(self.desk, node, "`when`");
            members.iter().filter_map(|member| self.patterns.any_of(member, "`when`")).collect::<Vec<_>>()
        };
        match &node.kind {
            Kind::Sequence(_) => Some(Trigger::Chain(list(node))),
            Kind::Mapping(entries) => match entries.as_slice() {
                [Entry { key, value }] if key.text == "all" => Some(Trigger::All(list(value))),
                _ => self.patterns.any_of(node, "`when`").map(Trigger::Any),
            },
            Kind::Scalar { .. } => {
                self.desk.say(reader::wrong_type(node, "`when`", "a message, a list of them, `{ all: [] }` or `{ any: [] }`"));
                None
            }
        }
    }

    /// What the words of a rule need from each other.
    fn check_rule(&self, fields: &Fields<'_>, place: Place) {
        let has = |name: &str| fields.get(name).is_some();
        let say = |code, name: &str, message: String, help: &str| {
            let place = fields.entries.iter().find(|entry| entry.key.text == name).map_or(place, |entry| entry.key.place);
            self.desk.say(Diagnostic::new(code, place, message).label("here").help(help));
        };
        if !DUTIES.iter().any(|duty| has(duty)) {
            say(
                "Y0048",
                "",
                "the rule demands nothing".to_owned(),
                "a rule owes something: `must`, `then`, `needs`, `never`, `count`, `relay` or `seen`",
            );
        }
        let bound = has("within") || has("before");
        if has("then")
            && !bound
            && !fields.get("while").is_some_and(|scope| {
                scope
                    .entries()
                    .is_some_and(|entries| entries.iter().any(|entry| matches!(entry.key.text.as_str(), "until" | "for")))
            })
        {
            say(
                "Y0034",
                "then",
                "a response is owed without a bound, so nothing could ever violate it".to_owned(),
                "add `within: 5s`, or `before:` with the message that comes too early",
            );
        }
        for (word, owner) in [("within", &["then", "never"][..]), ("before", &["then"]), ("until", &["never"])] {
            if has(word) && !owner.iter().any(|owner| has(owner)) {
                let owners = owner.iter().map(|owner| format!("`{owner}`")).collect::<Vec<_>>().join(" or ");
                say(
                    "Y0063",
                    word,
                    format!("`{word}` stands without {owners}"),
                    "it bounds what is owed, and nothing of the kind is",
                );
            }
        }
        if !has("when") && ["must", "then", "needs"].iter().any(|duty| has(duty)) && !has("while") {
            say("Y0048", "", "nothing triggers the rule".to_owned(), "add `when:` with the message after which it is owed");
        }
        if has("must") && !has("when") {
            say("Y0048", "must", "`must` speaks of the triggering message, and there is none".to_owned(), "add `when:`");
        }
    }

    fn duty(&self, fields: &Fields<'_>) -> Duty {
        let then = match fields.get("then") {
            None => Vec::new(),
            Some(node) => match &node.kind {
                Kind::Sequence(members) => members.iter().filter_map(|member| self.patterns.any_of(member, "`then`")).collect(),
                _ => self.patterns.any_of(node, "`then`").into_iter().collect(),
            },
        };
        Duty {
            must: fields.get("must").map(|node| self.plain_keys(node, "`must`")).unwrap_or_default(),
            then,
            within: fields.get("within").and_then(|node| self.time(node, "`within`")),
            before: self.any_of(fields, "before"),
            needs: self.any_of(fields, "needs"),
            never: self.any_of(fields, "never"),
            until: self.any_of(fields, "until"),
            count: fields.get("count").and_then(|node| self.count(node)),
            relay: fields.get("relay").and_then(|node| self.relay(node)),
            seen: self.any_of(fields, "seen"),
        }
    }

    fn plain_keys(&self, node: &Node, what: &str) -> Vec<Key> {
        let (keys, _) = self.patterns.keys(node, &[]);
        if keys.is_empty() {
            self.desk.say(Diagnostic::new("Y0040", node.place, format!("{what} demands nothing")).label("empty"));
        }
        keys
    }

    fn time(&self, node: &Node, what: &str) -> Option<Span> {
        let text = reader::text(self.desk, node, what)?;
        if let Some(span) = reader::span_of(text) {
            return Some(Span::Fixed(span));
        }
        if !text.contains('$') {
            return reader::span(self.desk, node, what).map(Span::Fixed);
        }
        match arithmetic::parse(text) {
            Ok(expression) => Some(Span::Computed(expression)),
            Err(why) => {
                self.desk.say(
                    Diagnostic::new("Y0024", node.place, format!("`{text}` is no span of time"))
                        .label(why)
                        .help("an expression has numbers, `$variables`, `+ - * /`, `min(a, b)` and `max(a, b)`; it counts seconds"),
                );
                None
            }
        }
    }

    fn count(&self, node: &Node) -> Option<Count> {
        let fields = Fields::of(self.desk, node, "`count`")?;
        fields.known(self.desk, "`count`", COUNT_FIELDS);
        let bound = |name: &str| fields.get(name).and_then(|node| reader::count(self.desk, node, &format!("`{name}`")));
        let count = Count {
            of: self.patterns.any_of(fields.need(self.desk, "of", "`count`")?, "`of`")?,
            at_least: bound("at-least"),
            at_most: bound("at-most"),
        };
        if count.at_least.is_none() && count.at_most.is_none() {
            self.desk.say(
                Diagnostic::new("Y0034", node.place, "`count` has no bound").label("here").help("add `at-least:` or `at-most:`"),
            );
        }
        Some(count)
    }

    fn relay(&self, node: &Node) -> Option<Relay> {
        let fields = Fields::of(self.desk, node, "`relay`")?;
        fields.known(self.desk, "`relay`", RELAY_FIELDS);
        let key = fields.need(self.desk, "key", "`relay`")?;
        let Some(Ok(path)) = key.text().map(Path::parse) else {
            self.desk.say(
                Diagnostic::new("Y0021", key.place, "`key` is the path of the value that pairs the messages")
                    .label("not a path")
                    .help("for example `key: cpim.imdn.Message-ID`"),
            );
            return None;
        };
        let ordered = fields
            .get("order")
            .map_or(Some(false), |node| reader::word(self.desk, node, "`order`", &[("same", true), ("any", false)]))?;
        Some(Relay {
            from: self.patterns.any_of(fields.need(self.desk, "from", "`relay`")?, "`from`")?,
            to: self.patterns.any_of(fields.need(self.desk, "to", "`relay`")?, "`to`")?,
            key: path,
            ordered,
            times: fields.get("times").and_then(|node| reader::count(self.desk, node, "`times`")),
            within: fields.get("within").and_then(|node| self.time(node, "`within`")),
        })
    }

    fn tamper(&self, node: &Node) -> Option<Tamper> {
        let fields = Fields::of(self.desk, node, "a tamper case")?;
        fields.known(self.desk, "a tamper case", TAMPER_FIELDS);
        let place = fields.entries.first().map_or(node.place, |entry| entry.key.place);
        let name = reader::text(self.desk, fields.need(self.desk, "name", "a tamper case")?, "`name`")?.to_owned();
        let pattern = |word: &str| fields.get(word).and_then(|node| self.patterns.one(node, &format!("`{word}`")));
        let at = match (fields.get("on"), fields.get("after")) {
            (Some(_), None) => TamperPoint::On(pattern("on")?),
            (None, Some(_)) => TamperPoint::After(pattern("after")?),
            _ => {
                self.desk.say(
                    Diagnostic::new("Y0047", place, format!("tamper case `{name}` has no point to bite at, or two"))
                        .label("here")
                        .help("write `on: { … }` for the message that is altered, or `after: { … }` for an injected one"),
                );
                return None;
            }
        };
        let act = self.tamper_act(&fields, &name, place, matches!(at, TamperPoint::After(_)))?;
        let nth = fields.get("nth").map_or(Some(1), |node| reader::count(self.desk, node, "`nth`"))?;
        Some(Tamper { name, at, nth, act, place })
    }

    fn tamper_act(&self, fields: &Fields<'_>, name: &str, place: Place, after: bool) -> Option<TamperAct> {
        let acts: Vec<&Entry> = fields.entries.iter().filter(|entry| TAMPER_ACTS.contains(&entry.key.text.as_str())).collect();
        let [act] = acts.as_slice() else {
            let message = if acts.is_empty() { "does nothing" } else { "does two things" };
            self.desk.say(Diagnostic::new("Y0047", place, format!("tamper case `{name}` {message}")).label("here").allowed(
                "it does one of",
                "",
                TAMPER_ACTS.iter().copied(),
            ));
            return None;
        };
        let node = &act.value;
        let inject = act.key.text == "inject";
        if inject != after {
            self.desk.say(
                Diagnostic::new(
                    "Y0047",
                    act.key.place,
                    format!("`{}` goes with `{}`", act.key.text, if inject { "after" } else { "on" }),
                )
                .label("with the wrong point"),
            );
        }
        let set = || reader::flag(self.desk, node, &format!("`{}`", act.key.text));
        match act.key.text.as_str() {
            "drop" => set().map(|_| TamperAct::Drop),
            "duplicate" => set().map(|_| TamperAct::Duplicate),
            "delay" => reader::span(self.desk, node, "`delay`").map(TamperAct::Delay),
            "change" => self.change(node),
            "swap-with" => self.patterns.one(node, "`swap-with`").map(TamperAct::SwapWith),
            _ => self.patterns.one(node, "`inject`").map(TamperAct::Inject),
        }
    }

    fn change(&self, node: &Node) -> Option<TamperAct> {
        let (keys, _) = self.patterns.keys(node, &[]);
        if keys.is_empty() {
            self.desk.say(Diagnostic::new("Y0047", node.place, "`change` changes nothing").label("empty"));
            return None;
        }
        Some(TamperAct::Change(keys))
    }
}
