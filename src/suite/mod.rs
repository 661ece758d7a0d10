//! The suite: its text, its catalogue of requirements, its scenarios.
//!
//! [`load`] reads everything that [`source::Sources`] holds: text, then YAML trees ([`yaml`]), then
//! resolved values. All mistakes of all files are collected; one bad file never hides the rest.

mod arithmetic;
mod arrows;
pub mod catalogue;
pub mod codes;
mod conditions;
mod defaults;
pub mod diagnostics;
pub mod fingerprint;
mod flow;
mod fragments;
mod lint;
mod message;
mod patterns;
mod reader;
mod resolve;
mod rule_lint;
mod rules;
pub mod scenario;
pub mod schema;
mod scope;
pub mod source;
pub mod targets;
mod threads;
pub mod yaml;

use catalogue::Catalogue;
use diagnostics::{Diagnostic, Severity};
use fragments::Library;
use reader::Desk;
use resolve::Surroundings;
use rules::Rules;
use scenario::{Defaults, Scenario};
use source::Sources;
use yaml::Node;

use crate::pattern::ast::Place;

/// The place of what concerns no file that could be read.
const NOWHERE: Place = Place { file: u32::MAX, start: 0, end: 0 };

/// A suite that was read.
#[derive(Clone, Debug, Default)]
pub struct Suite {
    /// Its text.
    pub sources: Sources,
    /// What holds for every scenario.
    pub defaults: Defaults,
    /// Its requirements.
    pub catalogue: Catalogue,
    /// Its scenarios, ordered by identifier.
    pub scenarios: Vec<Scenario>,
}

impl Suite {
    /// The scenario of an identifier.
    pub fn scenario(&self, id: &str) -> Option<&Scenario> {
        self.scenarios.iter().find(|scenario| scenario.id == id)
    }
}

/// What could be read, and everything that is wrong.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// What could be read.
    pub suite: Suite,
    /// All mistakes, ordered by file and place.
    pub diagnostics: Vec<Diagnostic>,
}

impl Loaded {
    /// Whether the suite can be used: nothing is worse than a warning.
    pub fn is_usable(&self) -> bool {
        self.diagnostics.iter().all(|diagnostic| diagnostic.severity < Severity::Error)
    }
}

/// Reads a suite.
///
/// # Errors
///
/// When anything in it is a mistake; what could be read is there all the same.
pub fn load(sources: Sources) -> Result<Suite, Box<Loaded>> {
    let loaded = load_all(sources);
    if loaded.is_usable() { Ok(loaded.suite) } else { Err(Box::new(loaded)) }
}

/// Reads a suite as far as it can be read.
pub fn load_all(sources: Sources) -> Loaded {
    let desk = Desk::default();
    for (file, why) in &sources.unreadable {
        desk.say(Diagnostic::new("Y0070", NOWHERE, format!("{file} is no UTF-8: {why}")));
    }
    let parse = |(at, file): (usize, &source::SourceFile)| {
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        desk.with(|mistakes| yaml::parse(at, file, mistakes))
    };
    let trees: Vec<Option<Node>> = sources.files.iter().enumerate().map(parse).collect();
    let root = |path: &str| sources.find(path).and_then(|(at, _)| trees[at as usize].as_ref());
    let defaults = root("suite.yaml").map(|tree| defaults::read(&desk, tree)).unwrap_or_default();
    if sources.find("suite.yaml").is_none() {
        let message = format!("{} holds no `suite.yaml`, so it is no suite", sources.origin);
        desk.say(Diagnostic::new("Y0061", NOWHERE, message));
    }
    let library = Library::read(&desk, &sources, &trees);
    let mut catalogue =
        root("requirements.yaml").map(|tree| Rules::new(&desk, &defaults, &library).catalogue(tree)).unwrap_or_default();
    let mut scenarios = read_scenarios(&desk, &sources, &trees, &defaults, &library, root("requirements.yaml"));
    let ids: Vec<String> = scenario_files(&sources).map(|(_, id)| id.to_owned()).collect();
    if let Some(tree) = root("readings.yaml") {
        catalogue.readings = defaults::readings(&desk, tree, &ids, &catalogue.requirements);
    }
    lint::controls(&desk, &scenarios, &ids, &controls(&sources, &trees));
    library.report_unused(&desk);
    let diagnostics = desk.into_sorted();
    scenarios.retain(|scenario| !is_spoilt(scenario, &diagnostics));
    Loaded { suite: Suite { sources, defaults, catalogue, scenarios }, diagnostics }
}

/// Whether a file that the scenario was read from holds a mistake, told here or at another use.
fn is_spoilt(scenario: &Scenario, diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|mistake| mistake.severity == Severity::Error && scenario.files.contains(&mistake.place.file))
}

/// Files that are scenarios: everything but the suite's own files and the fragments.
fn scenario_files(sources: &Sources) -> impl Iterator<Item = (usize, &str)> {
    let own = |path: &str| matches!(path, "suite.yaml" | "requirements.yaml" | "readings.yaml") || path.starts_with("flows/");
    let files = sources.files.iter().enumerate().filter(move |(_, file)| !own(&file.path));
    files.map(|(at, file)| (at, file.path.rsplit_once('.').map_or(file.path.as_str(), |(id, _)| id)))
}

fn read_scenarios(
    desk: &Desk,
    sources: &Sources,
    trees: &[Option<Node>],
    defaults: &Defaults,
    library: &Library,
    catalogue: Option<&Node>,
) -> Vec<Scenario> {
    // Identifiers are taken from the keys, so that a requirement that is wrong in itself is known.
    let entries = catalogue.and_then(Node::entries).unwrap_or_default();
    let requirements: Vec<&str> = entries.iter().map(|entry| entry.key.text.as_str()).collect();
    let surroundings = Surroundings { desk, defaults, library, requirements: &requirements };
    let read = |(at, id): (usize, &str)| {
        let tree = trees[at].as_ref()?;
        surroundings.scenario(id, u32::try_from(at).ok()?, tree)
    };
    scenario_files(sources).filter_map(read).collect()
}

/// Where each scenario names its control.
fn controls(sources: &Sources, trees: &[Option<Node>]) -> Vec<(String, Place)> {
    let place = |(at, id): (usize, &str)| {
        let entry = trees[at].as_ref()?.entries()?.iter().find(|entry| entry.key.text == "control")?;
        Some((id.to_owned(), entry.value.place))
    };
    scenario_files(sources).filter_map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::diagnostics::{Look, render};
    use super::scenario::{Act, Step};
    use super::*;
    use crate::pattern::ast::{End, Value, What};

    const SUITE: &str = "title: t\nidentities:\n  alice: { uri: 'sip:a@x' }\n  bob: { uri: 'sip:b@x', devices: { phone: 'urn:uuid:1' } }\n\
        groups:\n  beach-trip: { focus: 'sip:g@x', conversation-id: c, contribution-id: d, members: [bob] }\n";

    fn read(flow: &str) -> Scenario {
        let client = if flow.contains("bob") || flow.contains("session") { "bob: client, " } else { "" };
        let text = format!("title: t\nactors: {{ {client}core: core }}\n{flow}");
        let fragments = [
            (
                "flows/session.yaml",
                "parameters: { client: bob }\nsteps:\n  - \"pf -> ${client} INVITE\": { id: offered }\n  - \"${client} -> pf 200\": {}\n  - \"pf -> ${client} ACK\": {}\n",
            ),
            ("flows/register.yaml", "parameters: { user: }\ntemplate: { Subject: \"${user}\", Expires: 600 }\n"),
        ];
        let used: Vec<_> = fragments.into_iter().filter(|(path, _)| flow.contains(&path[6..path.len() - 5])).collect();
        let texts = [("suite.yaml", SUITE), ("a.yaml", text.as_str())].into_iter().chain(used);
        let loaded = load_all(Sources::of_texts("test", texts));
        assert_eq!(render(&loaded.diagnostics, &loaded.suite.sources, Look::Full { colour: false }), "");
        loaded.suite.scenarios.into_iter().next().expect("one scenario")
    }

    fn flat(steps: &[Step]) -> Vec<&Step> {
        steps.iter().flat_map(|step| std::iter::once(step).chain(step.act.runs().into_iter().flat_map(flat))).collect()
    }

    /// `number: what <- answered request, ^ opener of the dialog, > step that answers it`.
    fn threads(scenario: &Scenario) -> Vec<String> {
        let number = |sign: &str, number: Option<u32>| number.map(|number| format!(" {sign}{number}")).unwrap_or_default();
        let line = |step: &Step| {
            let (pattern, answers, opened, by) = match &step.act {
                Act::Send(send) => (&send.pattern, send.answers, send.opened_by, None),
                Act::Expect(wait) => (&wait.pattern, wait.answers, wait.opened_by, wait.answered_by),
                _ => return None,
            };
            Some(format!("{} {}{}{}{}", step.number, pattern.what, number("<-", answers), number("^", opened), number(">", by)))
        };
        flat(&scenario.flow).into_iter().filter_map(line).collect()
    }

    #[test]
    fn responses_dialogs_and_answers_are_found() {
        let scenario = read(
            "flow:\n  - use: session\n  - pf -> bob INVITE: { id: again, in: session.offered, To.tag: present }\n  - bob -> pf 200: {}\n\
             \x20 - bob -> pf BYE: {}\n  - pf -> bob 200: {}\n",
        );
        let told = ["1 INVITE >2", "2 200 <-1 ^1", "3 ACK ^1", "4 INVITE ^1 >5", "5 200 <-4 ^1", "6 BYE ^1", "7 200 <-6 ^1"];
        assert_eq!(threads(&scenario), told);
        let Act::Block(steps) = &scenario.flow[0].act else { panic!("a fragment is a block") };
        let Act::Expect(first) = &steps[0].act else { panic!("the IUT is awaited") };
        assert_eq!(first.id.as_deref(), Some("session.offered"));
        assert_eq!(steps[0].via.len(), 1);
    }

    #[test]
    fn loops_are_expanded_with_their_values() {
        let scenario = read(
            "vars: { missed: [one, two] }\nflow:\n  - use: session\n  - for-each: { text: \"${missed}\" }\n    do:\n\
             \x20     - pf -> bob MSRP SEND: { cpim.text: \"${text}\" }\n      - bob -> pf MSRP 200: {}\n  - repeat: 2\n    do:\n\
             \x20     - bob -> pf MSRP SEND: { cpim.text: \"no ${i}\" }\n      - pf -> bob MSRP 200: {}\n",
        );
        let texts: Vec<String> = flat(&scenario.flow)
            .into_iter()
            .filter_map(|step| match &step.act {
                Act::Send(send) => send.pattern.keys.first().map(ToString::to_string),
                Act::Expect(wait) => wait.pattern.keys.first().map(ToString::to_string),
                _ => None,
            })
            .collect();
        assert_eq!(texts, ["cpim.text: one", "cpim.text: two", "cpim.text: no 1", "cpim.text: no 2"]);
        assert!(threads(&scenario).iter().filter(|line| line.contains("MSRP SEND")).all(|line| line.contains("^1")));
    }

    #[test]
    fn scalars_stay_what_was_written() {
        let scenario = read(
            "flow:\n  - core -> pf REGISTER: { use: register, with: { user: no }, Expires: 010, Date: 1:30, X-Own: yes }\n  - pf -> core 200: {}\n",
        );
        let Act::Send(send) = &scenario.flow[0].act else { panic!("a step of the core is sent") };
        let keys: Vec<String> = send.pattern.keys.iter().map(ToString::to_string).collect();
        assert_eq!(keys, ["Subject: no", "Expires: 010", "Date: 1:30", "X-Own: yes"]);
        assert_eq!(send.pattern.from, End::Actor { name: "core".into(), device: None });
    }

    #[test]
    fn names_give_access_to_their_attributes() {
        let scenario = read(
            "flow:\n  - pf -> bob INVITE: { Conversation-ID: \"${beach-trip.conversation-id}\", Accept-Contact.+sip.instance: \"${bob.phone}\", Subject: { not: absent } }\n",
        );
        let Act::Expect(wait) = &scenario.flow[0].act else { panic!("the IUT is awaited") };
        assert_eq!(wait.pattern.what, What::Request(crate::wire::sip::Method::Invite));
        let values: Vec<String> = wait.pattern.keys.iter().map(|key| key.value.to_string()).collect();
        assert_eq!(values, ["c", "urn:uuid:1", "not absent"]);
        assert!(matches!(&wait.pattern.keys[2].value, Value::Not(inner) if matches!(**inner, Value::Absent)));
    }

    #[test]
    fn branches_start_from_the_same_point() {
        let scenario = read(
            "flow:\n  - use: session\n  - bob -> pf BYE: { id: leaving }\n  - either:\n      - do: [ { pf -> bob 200: {} } ]\n\
             \x20     - { level: SHOULD, do: [ { pf -> bob 481: {} } ] }\n",
        );
        assert_eq!(threads(&scenario)[3..], ["4 BYE ^1", "6 200 <-4 ^1", "7 481 <-4 ^1"]);
    }
}
