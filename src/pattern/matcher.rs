//! Whether a message fits the keys of a pattern, and where it does not.

use std::borrow::Cow;

use smallvec::{SmallVec, smallvec};

use super::ast::{Bound, Key, Path, Place, Value};
use super::bindings::Bindings;
use super::env::{Env, substitute};
use super::grammar::Grammar;
use super::path::{Selector, Subject, Values};
use super::view::View;

/// One demand that a message does not meet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mismatch {
    /// Where.
    pub path: Path,
    /// What was demanded, as a person reads it.
    pub expected: String,
    /// What stands there; `None`: nothing.
    pub observed: Option<String>,
    /// Where the demand was written.
    pub place: Place,
}

/// The keys of a pattern, made ready to be matched often.
#[derive(Clone, Debug, Default)]
pub struct Matcher {
    groups: Vec<Group>,
}

/// The keys of one prefix: they speak of one and the same element.
#[derive(Clone, Debug)]
struct Group {
    subject: Subject,
    /// Keys about one element.
    each: Vec<Test>,
    /// Keys about all elements together: a list, `absent`, `none`, `first`.
    all: Vec<Test>,
}

#[derive(Clone, Debug)]
struct Test {
    key: Key,
    selector: Selector,
    grammar: Grammar,
    /// The keys inside `none` and `first`.
    inner: Vec<Test>,
}

impl Test {
    fn of(key: &Key) -> Self {
        let selector = Selector::of(&key.path);
        let inner = match &key.value {
            Value::None(keys) | Value::First(keys) => keys.iter().map(Self::of).collect(),
            _ => Vec::new(),
        };
        Self { key: key.clone(), grammar: selector.grammar(), selector, inner }
    }

    /// Whether the test looks at all elements together.
    fn is_about_all(&self) -> bool {
        match &self.key.value {
            Value::None(_) | Value::First(_) => true,
            Value::Absent | Value::List(_) => self.selector.inner.is_empty(),
            Value::SameAs { path, .. } => self.selector.inner.is_empty() && !matches!(path, Path::Header { part: Some(_), .. }),
            _ => false,
        }
    }
}

impl Matcher {
    /// Prepares keys.
    pub fn of(keys: &[Key]) -> Self {
        let mut groups: Vec<Group> = Vec::new();
        for key in keys {
            let test = Test::of(key);
            let at = groups.iter().position(|group| group.subject == test.selector.subject).unwrap_or_else(|| {
                groups.push(Group { subject: test.selector.subject.clone(), each: Vec::new(), all: Vec::new() });
                groups.len() - 1
            });
            let group = &mut groups[at];
            if test.is_about_all() { group.all.push(test) } else { group.each.push(test) }
        }
        Self { groups }
    }

    /// What the message binds when it fits; `None` when it does not.
    pub fn matches(&self, view: &View<'_>, env: &dyn Env) -> Option<Bindings> {
        let mut bindings = Bindings::default();
        self.groups.iter().all(|group| group.fits(view, env, &mut bindings)).then_some(bindings)
    }

    /// As [`Matcher::matches`], and says what does not fit.
    ///
    /// # Errors
    ///
    /// Every demand that the message does not meet; of several elements the nearest one is told.
    pub fn explain(&self, view: &View<'_>, env: &dyn Env) -> Result<Bindings, Vec<Mismatch>> {
        let (mut bindings, mut mismatches) = (Bindings::default(), Vec::new());
        for group in &self.groups {
            if !group.fits(view, env, &mut bindings) {
                group.explain(view, env, &mut mismatches);
            }
        }
        if mismatches.is_empty() { Ok(bindings) } else { Err(mismatches) }
    }
}

impl Group {
    fn fits(&self, view: &View<'_>, env: &dyn Env, bindings: &mut Bindings) -> bool {
        let elements = self.subject.elements(view);
        if !self.all.iter().all(|test| test.fits_all(view, &elements, env, bindings)) {
            return false;
        }
        if self.each.is_empty() {
            return true;
        }
        let mark = bindings.len();
        let mut fits = |element: Option<&str>| {
            let fits = self.each.iter().all(|test| test.fits_element(view, element, env, bindings));
            if !fits {
                bindings.truncate(mark);
            }
            fits
        };
        if elements.is_empty() { fits(None) } else { elements.iter().any(|element| fits(Some(element))) }
    }

    fn explain(&self, view: &View<'_>, env: &dyn Env, out: &mut Vec<Mismatch>) {
        let elements = self.subject.elements(view);
        let mut scratch = Bindings::default();
        for test in &self.all {
            if !test.fits_all(view, &elements, env, &mut scratch) {
                let observed = (!elements.is_empty()).then(|| elements.join(", "));
                out.push(test.mismatch(observed, env));
            }
        }
        let candidates: Vec<Option<&str>> =
            if elements.is_empty() { vec![None] } else { elements.iter().map(|element| Some(*element)).collect() };
        let misses = |element: &Option<&str>| {
            let mut scratch = Bindings::default();
            let missed = self.each.iter().filter(|test| !test.fits_element(view, *element, env, &mut scratch));
            missed.map(|test| test.mismatch(test.observed(view, *element), env)).collect::<Vec<_>>()
        };
        out.extend(candidates.iter().map(misses).min_by_key(Vec::len).unwrap_or_default());
    }
}

impl Test {
    fn values<'a>(&self, view: &'a View<'_>, element: Option<&'a str>) -> Values<'a> {
        element.map_or_else(Values::none, |element| self.selector.read(view, element))
    }

    fn observed(&self, view: &View<'_>, element: Option<&str>) -> Option<String> {
        let values = self.values(view, element);
        (!values.is_empty()).then(|| values.items.join(", "))
    }

    fn mismatch(&self, observed: Option<String>, env: &dyn Env) -> Mismatch {
        Mismatch {
            path: self.key.path.clone(),
            expected: substitute(&self.key.value.to_string(), env).into_owned(),
            observed,
            place: self.key.place,
        }
    }

    fn fits_element(&self, view: &View<'_>, element: Option<&str>, env: &dyn Env, bindings: &mut Bindings) -> bool {
        let judge = Judge { grammar: self.grammar, env };
        judge.fits(&self.key.value, &self.values(view, element), bindings)
    }

    fn fits_all(&self, view: &View<'_>, elements: &[&str], env: &dyn Env, bindings: &mut Bindings) -> bool {
        let fits = |element: &str, bindings: &mut Bindings| {
            self.inner.iter().all(|test| test.fits_element(view, Some(element), env, bindings))
        };
        match &self.key.value {
            Value::None(_) => !elements.iter().any(|element| fits(element, &mut Bindings::default())),
            Value::First(_) => elements.first().is_some_and(|element| fits(element, bindings)),
            value => {
                let items = elements.iter().map(|element| self.selector.read(view, element)).flat_map(|values| values.items);
                let values = Values { items: items.collect(), listed: true };
                Judge { grammar: self.grammar, env }.fits(value, &values, bindings)
            }
        }
    }
}

/// Judges values that were read.
struct Judge<'e> {
    grammar: Grammar,
    env: &'e dyn Env,
}

impl Judge<'_> {
    fn fits(&self, value: &Value, observed: &Values<'_>, bindings: &mut Bindings) -> bool {
        let items = &observed.items;
        match value {
            Value::Literal(text) => self.is_single(observed) && self.equal(&substitute(text, self.env), &items[0]),
            Value::List(members) => self.same_members(members, observed),
            Value::Absent => items.is_empty(),
            Value::Present => !items.is_empty(),
            Value::Not(inner) => !items.is_empty() && !self.fits(inner, observed, &mut Bindings::default()),
            Value::OneOf(choices) => !items.is_empty() && choices.iter().any(|choice| self.fits(choice, observed, bindings)),
            Value::Contains(inner) => self.contains(inner, observed),
            Value::Matches(expression) => items.iter().any(|item| expression.is_match(item)),
            Value::LessThan(bound) => self.compare(bound, items, |number, bound| number < bound),
            Value::GreaterThan(bound) => self.compare(bound, items, |number, bound| number > bound),
            Value::SameAs { id, path } => {
                self.env.values_of(id, path).is_some_and(|other| !other.is_empty() && self.same_texts(&other, observed))
            }
            Value::Variable(name) => self.env.variable(name).is_some_and(|value| self.equals_variable(&value, observed)),
            Value::Bind(name) | Value::BindLatest(name) => {
                let latest = matches!(value, Value::BindLatest(_));
                // A list is bound whole, a member a line: no value holds a line feed.
                match items.first() {
                    Some(_) if observed.listed => bindings.push(name, &items.join("\n"), latest),
                    Some(only) => bindings.push(name, only, latest),
                    None => {}
                }
                !items.is_empty()
            }
            Value::Generate { bytes, seed } => self.is_single(observed) && super::fill::generated(*bytes, *seed) == items[0],
            // Their elements were judged one by one.
            Value::None(_) | Value::First(_) => false,
        }
    }

    /// Whether some item is a number that stands so to the bound. Without one nothing does.
    fn compare(&self, bound: &Bound, items: &[Cow<'_, str>], holds: impl Fn(f64, f64) -> bool) -> bool {
        let bound = match bound {
            Bound::Number(number) => Some(*number),
            Bound::Variable(name) => self.env.variable(name).and_then(|value| number(&value)),
            Bound::Text(text) => number(&substitute(text, self.env)),
        };
        bound.is_some_and(|bound| items.iter().filter_map(|item| number(item)).any(|number| holds(number, bound)))
    }

    fn is_single(&self, observed: &Values<'_>) -> bool {
        observed.items.len() == 1 || (!observed.listed && !observed.items.is_empty())
    }

    fn equals_variable(&self, value: &str, observed: &Values<'_>) -> bool {
        if observed.listed {
            let members: SmallVec<[&str; 4]> = value.split('\n').collect();
            return self.same_texts(&members, observed);
        }
        self.is_single(observed) && self.equal(value, &observed.items[0])
    }

    fn equal(&self, demanded: &str, observed: &str) -> bool {
        self.grammar.equal(demanded, observed, self.env.names())
    }

    fn contains(&self, inner: &Value, observed: &Values<'_>) -> bool {
        let one = |item: &Cow<'_, str>| match inner {
            Value::Literal(text) => {
                let text = substitute(text, self.env);
                if observed.listed { self.equal(&text, item) } else { self.grammar.contains(&text, item, self.env.names()) }
            }
            other => {
                let single = Values::one(Some(item.as_ref()));
                self.fits(other, &single, &mut Bindings::default())
            }
        };
        match inner {
            // A list that holds each of these.
            Value::List(members) => members.iter().all(|member| self.contains(member, observed)),
            _ => observed.items.iter().any(one),
        }
    }

    fn same_texts(&self, demanded: &[impl AsRef<str>], observed: &Values<'_>) -> bool {
        let fits = |text: &str, item: &str| self.equal(&substitute(text, self.env), item);
        is_assignment(demanded, &observed.items, &|text, item| fits(text.as_ref(), item))
    }

    fn same_members(&self, members: &[Value], observed: &Values<'_>) -> bool {
        let fits = |member: &Value, item: &str| self.fits(member, &Values::one(Some(item)), &mut Bindings::default());
        is_assignment(members, &observed.items, &|member, item| fits(member, item))
    }
}

/// Whether each member fits an item of its own, none left over.
fn is_assignment<M>(members: &[M], items: &[Cow<'_, str>], fits: &dyn Fn(&M, &str) -> bool) -> bool {
    members.len() == items.len() && assign(members, items, &mut smallvec![true; items.len()], fits)
}

fn assign<M>(members: &[M], items: &[Cow<'_, str>], free: &mut SmallVec<[bool; 8]>, fits: &dyn Fn(&M, &str) -> bool) -> bool {
    let Some((member, rest)) = members.split_first() else { return true };
    (0..free.len()).any(|at| {
        if !free[at] || !fits(member, &items[at]) {
            return false;
        }
        free[at] = false;
        let done = assign(rest, items, free, fits);
        free[at] = !done;
        done
    })
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::ast::Key;
    use super::super::env::Names;
    use super::super::testing::{bob, invite, key};
    use super::*;
    use crate::wire::sip::Message;

    fn fits(message: &Message, keys: &[(&str, Value)]) -> bool {
        let keys: Vec<Key> = keys.iter().map(|(path, value)| key(path, value.clone())).collect();
        let (view, names) = (View::sip(message), bob());
        let matcher = Matcher::of(&keys);
        let fits = matcher.matches(&view, &names).is_some();
        assert_eq!(fits, matcher.explain(&view, &names).is_ok());
        fits
    }

    fn text(text: &str) -> Value {
        Value::Literal(text.to_owned())
    }

    #[test]
    fn keys_of_one_prefix_speak_of_one_element() {
        let message = invite(&["Reason: Q.850;cause=503, SIP;cause=200;text=\"done\""], "");
        assert!(!fits(&message, &[("reason.protocol", text("sip")), ("reason.cause", text("503"))]));
        assert!(fits(&message, &[("reason.protocol", text("sip")), ("reason.cause", text("200"))]));
        assert!(fits(&message, &[("Reason.protocol", text("Q.850")), ("reason.cause", Value::Not(Box::new(text("200"))))]));
        assert!(fits(&message, &[("Reason", text("SIP;cause=200"))]));
    }

    #[test]
    fn only_absent_and_none_accept_a_missing_value() {
        let message = invite(&["Reason: SIP;cause=abc"], "");
        assert!(fits(&message, &[("reason.cause", Value::Absent)]));
        assert!(!fits(&message, &[("reason.cause", Value::Not(Box::new(text("200"))))]));
        assert!(!fits(&message, &[("Referred-By", Value::Not(Box::new(text("sip:a@b"))))]));
        assert!(fits(&message, &[("Referred-By", Value::None(vec![key("Referred-By.uri", Value::Present)]))]));
        assert!(!fits(&message, &[("Referred-By", Value::First(vec![key("Referred-By.uri", Value::Present)]))]));
        assert!(!fits(&message, &[("Expires", Value::LessThan(Bound::Number(5.0)))]));
    }

    #[test]
    fn values_compare_under_the_grammar_of_their_field() {
        let message = invite(
            &[
                "P-Asserted-Identity: \"Bob\" <tel:+1-514-555-0102>",
                "Supported: TIMER, 100rel",
                "Expires: 0600",
                "Event: conference;id=1",
            ],
            "",
        );
        assert!(fits(&message, &[("P-Asserted-Identity", text("bob"))]));
        assert!(!fits(&message, &[("P-Asserted-Identity", text("alice"))]));
        assert!(fits(&message, &[("Supported", Value::List(vec![text("100rel"), text("timer")]))]));
        assert!(!fits(&message, &[("Supported", Value::List(vec![text("timer")]))]));
        assert!(fits(&message, &[("Supported", Value::Contains(Box::new(text("timer"))))]));
        assert!(!fits(&message, &[("Supported", Value::Contains(Box::new(text("tim"))))]));
        assert!(fits(&message, &[("Expires", text("600"))]));
        assert!(fits(&message, &[("Event", text("Conference"))]));
        assert!(fits(&message, &[("Request-URI", text("bob")), ("Request-URI.user", text("+15145550102"))]));
        assert!(fits(&message, &[("Contact.isfocus", Value::Present), ("Contact.+sip.instance", text("bob.phone"))]));
        assert!(!fits(&message, &[("To.tag", Value::Present)]));
    }

    #[test]
    fn a_match_binds_what_stands_in_the_message() {
        let message = invite(&["Conversation-ID: abc", "Session-Expires: 1800;refresher=uac"], "");
        let keys = [key("Conversation-ID", Value::Bind("c".into())), key("Session-Expires.value", Value::BindLatest("e".into()))];
        let bindings = Matcher::of(&keys).matches(&View::sip(&message), &bob()).unwrap();
        assert_eq!((bindings.get("c"), bindings.get("e")), (Some("abc"), Some("1800")));
    }

    /// Names, and one variable.
    struct Knowing(Names, &'static str);

    impl Env for Knowing {
        fn names(&self) -> &Names {
            &self.0
        }

        fn variable(&self, name: &str) -> Option<Cow<'_, str>> {
            (name == "v").then_some(Cow::Borrowed(self.1))
        }

        fn values_of(&self, _: &str, _: &Path) -> Option<Vec<String>> {
            None
        }
    }

    #[test]
    fn numbers_compare_with_the_number_that_a_variable_holds() {
        let message = invite(&["Expires: 600"], "");
        let fits = |bound: Bound, held| {
            let keys = |value| Matcher::of(&[key("Expires", value)]);
            let env = Knowing(bob(), held);
            let [less, greater] = [Value::LessThan(bound.clone()), Value::GreaterThan(bound)].map(keys);
            [less, greater].map(|matcher| matcher.matches(&View::sip(&message), &env).is_some())
        };
        for (held, expected) in
            [("601", [true, false]), ("600", [false, false]), ("599.5", [false, true]), ("soon", [false, false])]
        {
            assert_eq!(fits(Bound::Variable("v".to_owned()), held), expected, "{held}");
            assert_eq!(fits(Bound::Text("${v}".to_owned()), held), expected, "{held}");
        }
        assert_eq!(fits(Bound::Variable("w".to_owned()), "599"), [false, false], "nothing binds it");
        assert_eq!(fits(Bound::Text("${w}".to_owned()), "599"), [false, false], "nobody saved it");
    }

    #[test]
    fn a_mismatch_tells_what_was_demanded_and_what_came() {
        let message = invite(&["Reason: SIP;cause=480"], "");
        let keys = [key("reason.cause", text("503")), key("Subject", text("x"))];
        let mismatches = super::super::fits(&keys, &View::sip(&message), &bob()).unwrap_err();
        let told: Vec<_> =
            mismatches.iter().map(|miss| (miss.path.to_string(), miss.expected.as_str(), miss.observed.as_deref())).collect();
        assert_eq!(told, [("reason.cause".to_owned(), "503", Some("480")), ("Subject".to_owned(), "x", None)]);
    }

    #[test]
    fn session_descriptions_are_looked_into() {
        let sdp = "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\nm=message 2855 TCP/MSRP *\r\n\
                   a=accept-types:message/cpim text/plain\r\na=path:msrp://10.0.0.1:2855/x;tcp\r\na=sendonly\r\n";
        let message = invite(&["Content-Type: application/sdp"], sdp);
        assert!(fits(&message, &[("sdp.direction", text("sendonly")), ("sdp.port", text("2855"))]));
        assert!(fits(&message, &[("sdp.accept-types", Value::List(vec![text("text/plain"), text("MESSAGE/cpim")]))]));
        assert!(!fits(&message, &[("sdp.accept-types", text("message/cpim"))]));
        assert!(fits(&message, &[("sdp.accept-types", Value::Contains(Box::new(text("message/cpim"))))]));
        assert!(fits(&message, &[("sdp.accept-wrapped-types", Value::Absent), ("sdp.attribute.sendonly", Value::Present)]));
        assert!(fits(&message, &[("body.parts", Value::List(vec![text("application/sdp")]))]));
    }
}
