//! The suite on disk: it reads without a mistake, and code and catalogue know the same requirements.

use std::path::Path;
use std::time::Duration;

use cpmcheck::clause::CATALOGUE;
use cpmcheck::suite::diagnostics::{Look, render};
use cpmcheck::suite::scenario::{Act, Scenario, Step};
use cpmcheck::suite::source::Sources;
use cpmcheck::suite::{Loaded, load_all};

const SUITE: &str = "scenarios/deferred-delivery";

fn sources() -> Sources {
    Sources::read(Path::new(SUITE)).expect("the suite is readable")
}

fn complaints(loaded: &Loaded) -> String {
    render(&loaded.diagnostics, &loaded.suite.sources, Look::Full { colour: false })
}

#[test]
fn the_suite_reads_without_a_mistake() {
    let loaded = load_all(sources());
    assert_eq!(complaints(&loaded), "");
    assert!(loaded.suite.scenarios.len() >= 50);
}

#[test]
fn code_may_cite_what_the_catalogue_holds() {
    let loaded = load_all(sources());
    let mut known: Vec<&str> = loaded.suite.catalogue.requirements.iter().map(|requirement| requirement.id.as_str()).collect();
    let mut cited = CATALOGUE.to_vec();
    known.sort_unstable();
    cited.sort_unstable();
    assert_eq!(known, cited);
}

/// The shape that the description of the language promises: every form of step that it shows.
const EXAMPLE: &str = r#"title: Missed group messages are delivered in order once the client registers again
requirements: [DGC-9-02, DGC-9-03, DGC-1.2-01, DGC-1.2-07]
tags: [group, register]
policy: { group.unsubscribe-after-delivery: false }
actors: { bob: client, focus: cf, core: core }
vars: { missed: [one, two, three] }
flow:
  - use: group-session-established
    with: { client: bob, focus: focus, group: beach-trip }
  - bob -> pf BYE: { Reason: 'SIP;cause=503;text="Radio lost"' }
  - pf -> bob 200: {}
  - pf -> focus SUBSCRIBE: { Event: conference, Expires: { greater-than: 0 }, id: sub }
  - focus -> pf 200: {}
  - focus -> pf NOTIFY: { conference-info.users: [alice, bob, carol] }
  - pf -> focus 200: {}
  - for-each: { text: "${missed}" }
    do:
      - focus -> pf MSRP SEND: { cpim.from: alice, cpim.text: "${text}" }
      - pf -> focus MSRP 200: {}
  - wait: 90s
  - core -> pf REGISTER: { use: third-party-register, with: { user: bob } }
  - pf -> core 200: {}
  - pf -> bob INVITE:
      within: 5s
      Accept-Contact: { contains: '+g.3gpp.icsi-ref="urn%3Aurn-7%3A3gpp-service.ims.icsi.oma.cpm.session"' }
      sdp.direction: sendrecv
  - bob -> pf 200: { sdp.accept-types: [message/cpim] }
  - pf -> bob ACK: {}
  - for-each: { text: "${missed}" }
    do:
      - pf -> bob MSRP SEND: { cpim.text: "${text}" }
      - bob -> pf MSRP 200: {}
  - never: { pf -> bob BYE: {} }
"#;

fn example() -> Scenario {
    let mut sources = sources();
    sources.put("group/example.yaml", "group/example.yaml", EXAMPLE.to_owned());
    let loaded = load_all(sources);
    assert_eq!(complaints(&loaded), "");
    loaded.suite.scenario("group/example").cloned().expect("the example is there")
}

fn count(steps: &[Step], wanted: &dyn Fn(&Act) -> bool) -> usize {
    let own = |step: &Step| usize::from(wanted(&step.act)) + step.act.runs().iter().map(|run| count(run, wanted)).sum::<usize>();
    steps.iter().map(own).sum()
}

#[test]
fn the_example_of_the_language_is_read_as_it_is_meant() {
    let scenario = example();
    assert_eq!(count(&scenario.flow, &|act| matches!(act, Act::Never(_))), 1);
    assert_eq!(count(&scenario.flow, &|act| matches!(act, Act::Repeat(runs) if runs.len() == 3)), 2);
    assert_eq!(count(&scenario.flow, &|act| matches!(act, Act::Wait(time) if *time == Duration::from_secs(90))), 1);
    let answered = |act: &Act| matches!(act, Act::Expect(wait) if wait.answered_by.is_some());
    // Two INVITEs, a SUBSCRIBE and three chat messages of the PF.
    assert_eq!(count(&scenario.flow, &|act| answered(act)), 6);
    let inside = |act: &Act| match act {
        Act::Send(send) => send.opened_by.is_some(),
        Act::Expect(wait) => wait.opened_by.is_some(),
        _ => false,
    };
    let messages = |act: &Act| matches!(act, Act::Send(_) | Act::Expect(_));
    // All but the openers (two of the session, the subscription, the delivery) and the REGISTER with its 200.
    assert_eq!(count(&scenario.flow, &|act| messages(act) && !inside(act)), 6);
    assert_eq!(scenario.variants[0].policy["group.unsubscribe-after-delivery"], "false");
}
