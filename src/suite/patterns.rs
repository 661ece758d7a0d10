//! Patterns: the keys and values below an arrow.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::arrows;
use super::diagnostics::Diagnostic;
use super::fragments::Library;
use super::reader::{self, Desk};
use super::scenario::{Actor, Defaults};
use super::scope::{Filler, Scope};
use super::yaml::{Entry, Kind, Node, Text};
use crate::pattern::ast::{Answers, AnyOf, Bound, End, Key, Path, Pattern, Place, Role, Value};
use crate::pattern::{PREFIXES, PathFault, Wanted, wanted};
use crate::wire::sip::{Method, Name};

/// Words that stand among the keys of a pattern in a step.
pub(super) const STEP_WORDS: &[&str] = &[
    "id",
    "save",
    "in",
    "answers",
    "within",
    "after",
    "level",
    "because",
    "use",
    "with",
    "raw",
    "chunk-size",
    "unanswered",
    "initial",
];

/// Words that stand among the keys of a pattern anywhere else.
pub(super) const PATTERN_WORDS: &[&str] = &["answers", "answered", "initial"];

/// The words of a value.
pub(super) const VALUE_WORDS: &[&str] = &[
    "not",
    "one-of",
    "contains",
    "matches",
    "less-than",
    "greater-than",
    "none",
    "first",
    "same-as",
    "bind",
    "bind-latest",
    "generate",
];

/// Whom ends may name.
pub(super) enum Ends<'a> {
    /// The actors of a scenario, `pf` (or whoever is under test), and `any`.
    Actors {
        /// The declared ones.
        declared: &'a [Actor],
        /// The role under test.
        iut: Role,
        /// Those that were named so far.
        used: &'a RefCell<BTreeSet<String>>,
    },
    /// Roles; the form of rules and tamper cases.
    Roles,
}

/// Reads patterns of one scenario or of the catalogue.
pub(super) struct Patterns<'a> {
    pub(super) desk: &'a Desk,
    pub(super) defaults: &'a Defaults,
    pub(super) library: &'a Library,
    pub(super) ends: Ends<'a>,
    /// Identifiers of steps that `same-as` may name: full name by the name as written.
    pub(super) step: &'a dyn Fn(&str) -> Option<String>,
}

/// The words of a step that were found among the keys.
#[derive(Default)]
pub(super) struct Words(Vec<(String, Place, Node)>);

impl Words {
    pub(super) fn get(&self, word: &str) -> Option<&Node> {
        self.0.iter().find(|(name, ..)| name == word).map(|(_, _, node)| node)
    }

    /// Where a word stands.
    pub(super) fn place(&self, word: &str) -> Option<Place> {
        self.0.iter().find(|(name, ..)| name == word).map(|(_, place, _)| *place)
    }
}

impl Patterns<'_> {
    /// A pattern with the words of a step; variables are put in.
    pub(super) fn step(&self, key: &Text, body: &Node, scope: &Scope<'_>) -> Option<(Pattern, Words)> {
        let filler = Filler { desk: self.desk, scope, defaults: self.defaults, step: self.step };
        let key = filler.text(key);
        let body = filler.node(body);
        self.pattern_with(&key, &body, STEP_WORDS)
    }

    /// A pattern as `{ a -> b X: {…} }` or the entry of such a mapping.
    pub(super) fn one(&self, node: &Node, what: &str) -> Option<Pattern> {
        let entries = reader::Fields::of(self.desk, node, what)?.entries;
        match entries {
            [entry] => self.entry(entry),
            _ => {
                self.desk.say(
                    Diagnostic::new("Y0022", node.place, format!("{what} is one message"))
                        .label(format!("{} are written here", entries.len()))
                        .help("of several messages make a list, or `{ any: [ … ] }` in a rule"),
                );
                None
            }
        }
    }

    fn entry(&self, entry: &Entry) -> Option<Pattern> {
        let (pattern, words) = self.pattern_with(&entry.key, &entry.value, PATTERN_WORDS)?;
        self.qualified(pattern, &words)
    }

    /// A pattern, or `{ any: [P, …] }`.
    pub(super) fn any_of(&self, node: &Node, what: &str) -> Option<AnyOf> {
        if let Some([Entry { key, value }]) = node.entries()
            && key.text == "any"
        {
            let members = reader::members(self.desk, value, "`any`");
            if members.is_empty() {
                self.desk.say(Diagnostic::new("Y0040", key.place, "`any` of nothing never fits").label("empty"));
            }
            return Some(AnyOf(members.iter().filter_map(|member| self.one(member, what)).collect()));
        }
        self.one(node, what).map(|pattern| AnyOf(vec![pattern]))
    }

    /// `answers`, `answered`, `initial`.
    pub(super) fn qualified(&self, mut pattern: Pattern, words: &Words) -> Option<Pattern> {
        if let Some(node) = words.get("answers") {
            pattern.answers = Some(self.answers(node)?);
        }
        if let Some(node) = words.get("answered") {
            pattern.answered = Some(arrows::codes(self.desk, node.text().unwrap_or(""), node.place)?);
        }
        if let Some(node) = words.get("initial") {
            pattern.initial = Some(reader::flag(self.desk, node, "`initial`")?);
        }
        Some(pattern)
    }

    fn answers(&self, node: &Node) -> Option<Answers> {
        let text = reader::text(self.desk, node, "`answers`")?;
        if text == "$when" {
            return Some(Answers::Trigger);
        }
        let method = text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
        if method || matches!(self.ends, Ends::Roles) {
            return Some(Answers::Method(Method::of(text)));
        }
        match (self.step)(text) {
            Some(id) => Some(Answers::Step(id)),
            None => {
                self.desk.say(unknown_id(text, node.place));
                None
            }
        }
    }

    fn pattern_with(&self, key: &Text, body: &Node, words: &[&str]) -> Option<(Pattern, Words)> {
        let arrow = arrows::parse(self.desk, key)?;
        let from = self.end(arrow.from);
        let to = self.end(arrow.to);
        let (keys, words) = self.keys(body, words);
        let pattern = Pattern {
            from: from?,
            to: to?,
            what: arrow.what,
            keys,
            answers: None,
            answered: None,
            initial: None,
            place: key.place,
        };
        Some((pattern, words))
    }

    fn end(&self, (text, place): (&str, Place)) -> Option<End> {
        if text == "any" {
            return Some(End::Any);
        }
        match &self.ends {
            Ends::Roles if text == SENDER => Some(End::Sender),
            Ends::Roles => self.role(text, place).map(End::Role),
            Ends::Actors { declared, iut, used } => {
                let (name, device) = text.split_once('.').map_or((text, None), |(name, device)| (name, Some(device)));
                if name == iut.to_string() {
                    return Some(End::Actor { name: name.into(), device: None });
                }
                let Some(actor) = declared.iter().find(|actor| &*actor.name == name) else {
                    self.desk.say(unknown_actor(name, place, declared, *iut));
                    return None;
                };
                used.borrow_mut().insert(name.to_owned());
                let device = match device {
                    Some(device) => Some(self.device(actor, device, place)?),
                    None => None,
                };
                Some(End::Actor { name: actor.name.clone(), device })
            }
        }
    }

    fn device(&self, actor: &Actor, device: &str, place: Place) -> Option<Arc<str>> {
        if let Some(known) = actor.devices.iter().find(|known| &***known == device) {
            return Some(known.clone());
        }
        let mut diagnostic =
            Diagnostic::new("Y0012", place, format!("`{}` has no device `{device}`", actor.name)).label("not declared");
        diagnostic = if actor.devices.is_empty() {
            diagnostic.help(format!("declare it: `{}: {{ role: {}, devices: [{device}] }}`", actor.name, actor.role))
        } else {
            diagnostic.allowed("declared are", device, actor.devices.iter().map(|known| &**known))
        };
        self.desk.say(diagnostic);
        None
    }

    fn role(&self, text: &str, place: Place) -> Option<Role> {
        let found = ROLES.iter().find(|(word, _)| *word == text).map(|(_, role)| *role);
        if found.is_none() {
            self.desk.say(
                Diagnostic::new("Y0011", place, format!("`{text}` is no role")).label("rules name roles, not actors").allowed(
                    "roles are",
                    text,
                    ROLES.iter().map(|(word, _)| *word).chain([SENDER, "any"]),
                ),
            );
        }
        found
    }

    /// The keys of a pattern, those of a template first, overridden by those beside it.
    pub(super) fn keys(&self, body: &Node, words: &[&str]) -> (Vec<Key>, Words) {
        let (mut keys, mut found) = (Vec::new(), Words::default());
        let Some(fields) = reader::Fields::of(self.desk, body, "what a message holds") else { return (keys, found) };
        if let (Some(used), true) = (fields.get("use"), words.contains(&"use")) {
            for entry in self.library.template(self, used, fields.get("with")) {
                self.key(&entry, words, &mut keys, &mut found);
            }
        } else if let Some(entry) = fields.entries.iter().find(|entry| entry.key.text == "with" && words.contains(&"use")) {
            self.desk.say(Diagnostic::new("Y0003", entry.key.place, "`with` stands without `use`").label("parameters of what?"));
        }
        for entry in fields.entries {
            let own = entry.key.text.as_str();
            keys.retain(|key: &Key| !key.path.to_string().eq_ignore_ascii_case(own));
            found.0.retain(|(word, ..)| word != own);
            self.key(entry, words, &mut keys, &mut found);
        }
        (keys, found)
    }

    fn key(&self, entry: &Entry, words: &[&str], keys: &mut Vec<Key>, found: &mut Words) {
        let name = entry.key.text.as_str();
        if words.contains(&name) {
            found.0.push((name.to_owned(), entry.key.place, entry.value.clone()));
            return;
        }
        match Path::parse(name) {
            Ok(path) => self.values(&path, &entry.value, entry.key.place, keys),
            Err(fault) => self.desk.say(not_a_path(&entry.key, fault, words)),
        }
    }

    /// A mapping with several words gives a key for each.
    fn values(&self, path: &Path, node: &Node, place: Place, keys: &mut Vec<Key>) {
        let place = Place { end: node.place.end.max(place.end), ..place };
        match &node.kind {
            Kind::Mapping(entries) if !entries.is_empty() => {
                for entry in entries {
                    if let Some(value) = self.demand(path, entry) {
                        keys.push(Key { path: path.clone(), value, place });
                    }
                }
            }
            _ => {
                if let Some(value) = self.value(path, node, true) {
                    keys.push(Key { path: path.clone(), value, place });
                }
            }
        }
    }

    /// A value; `special` says whether `absent` and `present` have their meaning.
    fn value(&self, path: &Path, node: &Node, special: bool) -> Option<Value> {
        match &node.kind {
            Kind::Scalar { .. } if node.is_empty() => {
                self.desk.say(
                    Diagnostic::new("Y0007", node.place, format!("`{path}` has no value"))
                        .label("nothing here")
                        .help("write a value, `present`, or `absent`; an empty text is `''`"),
                );
                None
            }
            Kind::Scalar { text, quoted } => Some(match text.as_str() {
                "absent" if special => Value::Absent,
                "present" if special => Value::Present,
                text => match variable(text) {
                    Some(name) => {
                        self.check_variable(name, node.place);
                        Value::Variable(name.to_owned())
                    }
                    None => {
                        if !quoted {
                            self.check_name(path, text, node.place);
                        }
                        Value::Literal(text.to_owned())
                    }
                },
            }),
            Kind::Sequence(members) => {
                Some(Value::List(members.iter().filter_map(|member| self.value(path, member, false)).collect()))
            }
            Kind::Mapping(entries) => match entries.as_slice() {
                [entry] => self.demand(path, entry),
                _ => {
                    self.desk.say(reader::wrong_type(node, "a value inside another", "one demand"));
                    None
                }
            },
        }
    }

    /// A bare word where an address stands is somebody's name.
    fn check_name(&self, path: &Path, text: &str, place: Place) {
        let word = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        let defaults = self.defaults;
        let device = |text: &str| {
            let (name, device) = text.split_once('.').unwrap_or((text, ""));
            defaults.identities.get(name).is_some_and(|identity| device.is_empty() || identity.devices.contains_key(device))
        };
        let known = match wanted(path) {
            Wanted::Text => true,
            Wanted::Address => text == PF || defaults.identities.contains_key(text) || defaults.groups.contains_key(text),
            Wanted::Instance => device(text),
        };
        if known || !word {
            return;
        }
        let names = defaults.identities.keys().chain(defaults.groups.keys()).map(String::as_str).chain([PF]);
        self.desk.say(
            Diagnostic::new("Y0050", place, format!("`{text}` is nobody's name, and no address"))
                .label("not known")
                .allowed("identities and groups are", text, names)
                .note("a text that is meant as it stands is quoted"),
        );
    }

    /// `$v` is the form of rules; a scenario puts its variables in.
    fn check_variable(&self, name: &str, place: Place) {
        if matches!(self.ends, Ends::Actors { .. }) {
            self.desk.say(
                Diagnostic::new("Y0019", place, format!("`${name}` is a variable of a rule, and this is a scenario"))
                    .label("not known here")
                    .help(format!("write `\"${{{name}}}\"` for a variable of the scenario")),
            );
        }
    }

    fn demand(&self, path: &Path, entry: &Entry) -> Option<Value> {
        let (word, node) = (entry.key.text.as_str(), &entry.value);
        match word {
            "not" => self.value(path, node, true).map(|value| Value::Not(Box::new(value))),
            "contains" => self.value(path, node, false).map(|value| Value::Contains(Box::new(value))),
            "one-of" => {
                let members = reader::members(self.desk, node, "`one-of`");
                if members.is_empty() {
                    self.desk.say(Diagnostic::new("Y0040", entry.key.place, "`one-of` nothing never fits").label("empty"));
                    return None;
                }
                Some(Value::OneOf(members.iter().filter_map(|member| self.value(path, member, false)).collect()))
            }
            "matches" => self.expression(node),
            "less-than" => self.bound(node, "`less-than`").map(Value::LessThan),
            "greater-than" => self.bound(node, "`greater-than`").map(Value::GreaterThan),
            "none" => Some(Value::None(self.inner(path, node))),
            "first" => Some(Value::First(self.inner(path, node))),
            "same-as" => self.same_as(node),
            "bind" => self.binding(node).map(|name| Value::Bind(name.into())),
            "bind-latest" => self.binding(node).map(|name| Value::BindLatest(name.into())),
            "generate" => self.generate(node),
            _ => {
                self.desk.say(reader::unknown_field(entry, "a value", VALUE_WORDS));
                None
            }
        }
    }

    /// A number, or the variable that holds one: `$v` in a rule, `"${v}"` in a scenario.
    fn bound(&self, node: &Node, what: &str) -> Option<Bound> {
        let text = node.text().unwrap_or("");
        if let Some(name) = variable(text) {
            self.check_variable(name, node.place);
            return Some(Bound::Variable(name.to_owned()));
        }
        match &self.ends {
            Ends::Actors { .. } if text.contains("${") => Some(Bound::Text(text.to_owned())),
            Ends::Actors { .. } | Ends::Roles => reader::number(self.desk, node, what).map(Bound::Number),
        }
    }

    fn expression(&self, node: &Node) -> Option<Value> {
        let text = reader::text(self.desk, node, "`matches`")?;
        match regex::Regex::new(text) {
            Ok(expression) => Some(Value::Matches(expression)),
            Err(fault) => {
                let why = fault.to_string();
                let why = why.lines().last().unwrap_or("not understood").trim_start_matches("error: ").to_owned();
                self.desk.say(Diagnostic::new("Y0026", node.place, format!("`{text}` is no regular expression")).label(why));
                None
            }
        }
    }

    /// `none: { protocol: SIP }`, `none: { reason.protocol: SIP }`: keys of the same element.
    fn inner(&self, path: &Path, node: &Node) -> Vec<Key> {
        let mut keys = Vec::new();
        let Some(fields) = reader::Fields::of(self.desk, node, "`none` and `first`") else { return keys };
        for entry in fields.entries {
            let name = entry.key.text.as_str();
            let prefix = path.prefix();
            let own = name.split('.').next().unwrap_or("");
            let full = if own.eq_ignore_ascii_case(prefix) { name.to_owned() } else { format!("{prefix}.{name}") };
            match Path::parse(&full) {
                Ok(inner) => self.values(&inner, &entry.value, entry.key.place, &mut keys),
                Err(fault) => self.desk.say(not_a_path(&entry.key, fault, &[])),
            }
        }
        keys
    }

    fn binding(&self, node: &Node) -> Option<String> {
        let name = reader::text(self.desk, node, "the name of a variable")?;
        Some(name.trim_start_matches('$').to_owned())
    }

    fn generate(&self, node: &Node) -> Option<Value> {
        let fields = reader::Fields::of(self.desk, node, "`generate`")?;
        fields.known(self.desk, "`generate`", &["bytes", "seed"]);
        let bytes = reader::number(self.desk, fields.need(self.desk, "bytes", "`generate`")?, "`bytes`")?;
        let seed = fields.get("seed").map_or(Some(0), |node| reader::number(self.desk, node, "`seed`"))?;
        Some(Value::Generate { bytes, seed })
    }

    /// `same-as: x.path`. Both may hold dots: the first split counts whose left side names a step
    /// and whose right side is a path.
    fn same_as(&self, node: &Node) -> Option<Value> {
        let text = reader::text(self.desk, node, "`same-as`")?;
        let splits: Vec<(&str, Path)> = text
            .match_indices('.')
            .filter_map(|(at, _)| Path::parse(&text[at + 1..]).ok().map(|path| (&text[..at], path)))
            .collect();
        for (name, path) in &splits {
            let id = if *name == "$when" { Some("$when".to_owned()) } else { (self.step)(name) };
            if let Some(id) = id {
                return Some(Value::SameAs { id, path: path.clone() });
            }
        }
        match splits.first() {
            Some((name, _)) => self.desk.say(unknown_id(name, node.place)),
            None => self.desk.say(
                Diagnostic::new("Y0021", node.place, format!("`{text}` names no value of a message"))
                    .label("not understood")
                    .help("write the identifier of a step, a dot and a path: `same-as: invitation.Conversation-ID`"),
            ),
        }
        None
    }
}

/// Where an address stands: the identity of the PF.
const PF: &str = "pf";

/// In rules and tamper cases: the client that called the served user.
const SENDER: &str = "sender";

/// The words for roles.
pub(super) const ROLES: [(&str, Role); 4] = [("client", Role::Client), ("pf", Role::Pf), ("cf", Role::Cf), ("core", Role::Core)];

/// `$v`.
fn variable(text: &str) -> Option<&str> {
    let name = text.strip_prefix('$')?;
    let first = name.starts_with(|char: char| char.is_ascii_lowercase());
    (first && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))).then_some(name)
}

pub(super) fn unknown_id(id: &str, place: Place) -> Diagnostic {
    Diagnostic::new("Y0020", place, format!("no step before this one has the identifier `{id}`"))
        .label("not known here")
        .help("give the step an `id:`; inside a fragment it is `<name of the fragment>.<id>`")
}

pub(super) fn unknown_actor(name: &str, place: Place, declared: &[Actor], iut: Role) -> Diagnostic {
    let iut = iut.to_string();
    let names: Vec<&str> = declared.iter().map(|actor| &*actor.name).chain([iut.as_str()]).collect();
    Diagnostic::new("Y0011", place, format!("step names actor `{name}`, which is not declared")).label("not declared").allowed(
        "declared are",
        name,
        names,
    )
}

fn not_a_path(key: &Text, fault: PathFault, words: &[&str]) -> Diagnostic {
    let name = key.text.as_str();
    match fault {
        PathFault::UnknownField { prefix, known } => {
            let written = name.split_once('.').map_or(name, |(_, rest)| rest);
            Diagnostic::new("Y0021", key.place, format!("`{prefix}` has no field `{written}`")).label("not known").allowed(
                &format!("fields of `{prefix}` are"),
                written,
                known.iter().copied(),
            )
        }
        PathFault::LooksLike(known) => Diagnostic::new("Y0021", key.place, format!("unknown header field `{name}`"))
            .label("not known")
            .help(format!("did you mean `{known}`? A field of your own starts with `X-`")),
        PathFault::NotAPath | PathFault::Malformed => {
            let prefix = name.split('.').next().unwrap_or(name);
            let fields = Name::all().map(Name::canonical).find(|field| field.eq_ignore_ascii_case(prefix));
            let diagnostic = Diagnostic::new("Y0003", key.place, format!("unknown field `{name}`"))
                .label("neither a header field, a part, nor a word");
            match fields {
                Some(field) => diagnostic.help(format!("header fields start with a capital: did you mean `{field}`?")),
                None if name.contains('.') => diagnostic.allowed("parts are", prefix, PREFIXES),
                None => diagnostic.allowed("words are", name, words.iter().copied()),
            }
        }
    }
}
