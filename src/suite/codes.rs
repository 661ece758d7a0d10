//! The codes of mistakes, each with a paragraph for `cpmcheck explain`.

/// A code and what it means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Code {
    /// `Y0011`.
    pub code: &'static str,
    /// One line.
    pub title: &'static str,
    /// One paragraph: what it means and how to mend it.
    pub text: &'static str,
}

/// The code of this name, in any letter case.
pub fn find(code: &str) -> Option<&'static Code> {
    CODES.iter().find(|known| known.code.eq_ignore_ascii_case(code))
}

const fn code(code: &'static str, title: &'static str, text: &'static str) -> Code {
    Code { code, title, text }
}

/// All codes.
pub const CODES: &[Code] = &[
    code(
        "T0001",
        "the configuration is not TOML",
        "`cpmcheck.toml` is found in the working directory or above it, or named by --config. The reader stopped at the \
         place that is shown.",
    ),
    code(
        "T0002",
        "a setting of a target that means nothing",
        "An address that is none, a number out of range, an empty command, or a kind that the name does not go with. Times are in seconds.",
    ),
    code(
        "T0003",
        "two actors at one address",
        "Who spoke is told by its address, so every actor that is played has one of its own, and none is the target's. On \
         Linux `ip address add 192.0.2.21/24 dev eth0` adds one to a network card; 127.0.0.0/8 is ours as it is.",
    ),
    code("T0004", "an unknown user or group", "`identities` of a target gives addresses to those that suite.yaml names."),
    code(
        "T0005",
        "an unknown name in a PICS file",
        "Features are what scenarios `needs`, and their tags; policies are knobs (`cpmcheck explain --policies`); optional are \
         requirements.",
    ),
    code(
        "T0006",
        "a claim about what is not optional",
        "Only a MAY can be left out by a claim. An implementation that breaks a SHALL fails; that it is known to is written \
         into a file of expected failures.",
    ),
    code("T0008", "a selector of an expected failure", "`match` is a selector: an identifier, a glob, `req:…`, `tag:…`."),
    code(
        "T0009",
        "a stale expected failure",
        "It matches no scenario, or none that was run against this target. Waivers that waive nothing are removed, else they \
         hide what comes later under the same name.",
    ),
    code("T0010", "two expected failures contradict", "One scenario is matched by two entries that expect different things of it."),
    code("T0011", "an expected failure that has expired", "Its `until` is past: mend the implementation, or renew the entry."),
    code(
        "T0012",
        "unsupported and claimed",
        "The entry expects `unsupported` where the PICS file claims the feature; one of the two is wrong.",
    ),
    code("T0013", "a date, version or link of an expected failure", "Dates are `2026-12-31`, versions `<4.2`, issues are links."),
    code(
        "T0014",
        "a setting that is not offered",
        "Other harnesses have it, this one does the same in another way, which is told. It is refused, since a setting that \
         does nothing would be believed.",
    ),
    code("T0015", "another version of cpmcheck is required", "`required-version` of the configuration does not fit this program."),
    code(
        "T0016",
        "an expected failure without a reason",
        "`expect update` writes TODO where only a person knows the answer. Until somebody says why the failure is accepted and \
         where it is followed up, the file waives nothing.",
    ),
    code(
        "Y0001",
        "a file is not YAML",
        "The reader stopped because the text is not YAML. Most often a value holds `: `, ` #`, a quote or a \
         bracket and is not quoted. Only the first such place of a file is told; the rest of the suite is read all \
         the same.",
    ),
    code(
        "Y0002",
        "a tab in the indentation",
        "YAML is indented with spaces. Replace the tab; most editors can do so for the whole file.",
    ),
    code(
        "Y0003",
        "an unknown field, step or word",
        "A mapping has a key that nothing here understands. The allowed ones are listed, and the nearest is named. \
         Header fields start with a capital (`Contact`), parts are lower case and dotted (`sdp.direction`), \
         everything else is a word of the language.",
    ),
    code(
        "Y0004",
        "a key stands twice",
        "A mapping has each key once; YAML readers differ in which of two they keep. A second message with the \
         same arrow is a step of its own and starts with `- `.",
    ),
    code(
        "Y0005",
        "an anchor, an alias, a tag or a merge key",
        "`&`, `*`, `!` and `<<` are not part of the language. To share steps or keys write a fragment or a message \
         template below `flows/` and `use` it. A text that begins with one of these signs is quoted.",
    ),
    code(
        "Y0006",
        "something has to be quoted",
        "The text is YAML, but not what was meant: inside `{ }` a comma ends a value and a colon needs a space \
         after it, and some signs cannot begin a plain value. Quote the value: `Reason: \
         'SIP;cause=503;text=\"Radio, lost\"'`.",
    ),
    code("Y0007", "a value of the wrong shape", "A text stands where a mapping or a list belongs, or the other way round."),
    code(
        "Y0008",
        "wrong indentation",
        "A line is indented differently from its siblings, or a key stands beside the message that it belongs to. \
         Indent the keys of a message by two more columns than its arrow, or put them between braces.",
    ),
    code("Y0009", "a field is missing", "A field that must be there is not."),
    code("Y0010", "a value that is not allowed", "The field takes one of a few words, which are listed."),
    code(
        "Y0011",
        "an actor that is not declared",
        "A step names somebody whom `actors:` does not declare. The IUT (`pf`) is there without being declared. \
         Rules and tamper cases name roles: `client`, `pf`, `cf`, `core`, or `any`.",
    ),
    code(
        "Y0012",
        "an unknown device",
        "`bob.tablet` is a device of `bob` that neither `actors:` nor suite.yaml knows. Declare it: `bob: { role: \
         client, devices: [phone, tablet] }`; its instance stands in suite.yaml.",
    ),
    code(
        "Y0013",
        "an unknown requirement",
        "The identifier is not in requirements.yaml. Identifiers are frozen, so it is a slip or a requirement that \
         was never written down.",
    ),
    code("Y0014", "a requirement is listed twice", "A scenario lists each requirement once."),
    code(
        "Y0015",
        "an unknown policy knob",
        "The reference PF has no such knob. `cpmcheck explain --policies` lists all of them with their values and \
         defaults.",
    ),
    code("Y0016", "a policy value that is not allowed", "The knob takes other values; they are listed."),
    code(
        "Y0017",
        "an unknown fragment or template",
        "`use` among the steps takes a fragment of steps, among the keys of a message a message template; both are \
         files below `flows/`, named without the folder and the extension.",
    ),
    code(
        "Y0018",
        "a wrong or missing parameter",
        "`with` gives values to the parameters that the fragment declares. One without a default needs a value; \
         one that is not declared is refused.",
    ),
    code(
        "Y0019",
        "an unknown variable",
        "`\"${name}\"` reads a variable of `vars`, a parameter of the fragment, the variable of a loop, something \
         that an earlier step saved, an attribute of a group or identity (`${beach-trip.focus}`), or a value of a \
         message that an earlier step named (`${invitation.Call-ID}`). A fragment sees its parameters only.",
    ),
    code(
        "Y0020",
        "an unknown step",
        "No step before this one has that `id`. A step inside a fragment is called by the name of the fragment, a \
         dot and its identifier: `group-session-established.invitation`.",
    ),
    code(
        "Y0021",
        "an unknown path",
        "The part of a message has no such field, or a header field looks like a slip of a known one. Header \
         fields of your own start with `X-`.",
    ),
    code(
        "Y0022",
        "not a message",
        "A message is written `sender -> receiver KIND`, for example `bob -> pf BYE` or `pf -> focus MSRP SEND`, \
         one in each step.",
    ),
    code(
        "Y0023",
        "an unknown kind of message",
        "KIND is a SIP method, a status (`200`, `4xx`, `4xx-6xx`, `any`), `MSRP SEND`, `MSRP CHUNK`, `MSRP \
         REPORT`, `MSRP` with a status, or `LOST`.",
    ),
    code(
        "Y0024",
        "not a span of time",
        "A span is a number and a unit: `100ms`, `5s`, `2m`, `1h`. In a rule it may be an expression over bound \
         numbers, which counts seconds.",
    ),
    code(
        "Y0025",
        "not a number, or out of range",
        "The field takes a number. What a number of a message is compared with (`less-than`, `greater-than`) may also \
         be the number that a variable holds: `$v` in a rule, `\"${v}\"` in a scenario.",
    ),
    code("Y0026", "not a regular expression", "The text after `matches:` cannot be read as a regular expression."),
    code(
        "Y0027",
        "two steps with one identifier",
        "Each `id` names one step. In a loop it means the last run; in another branch of `either` or `when` it may \
         be used again.",
    ),
    code(
        "Y0028",
        "a name that an actor cannot have",
        "The IUT and `any` are there without being declared; names have letters, digits, `-` and `_`.",
    ),
    code(
        "Y0029",
        "a response without its request",
        "A response answers a request that stands before it in the text, between the same two ends, and has no \
         final response yet. A further final response (a forked 2xx) names its request with `answers`.",
    ),
    code(
        "Y0030",
        "a response that could answer several requests",
        "Two requests between these ends are open. Give the one that is meant an `id` and write `answers: <id>`.",
    ),
    code(
        "Y0031",
        "`in` names no dialog",
        "`in` names the step of an INVITE, SUBSCRIBE or REFER that opened the dialog, or of a message inside it.",
    ),
    code(
        "Y0032",
        "a request inside a dialog without `in`",
        "A request that can open a dialog opens one. A re-INVITE and the refresh of a subscription therefore say \
         in which dialog they live: `in: <id>`.",
    ),
    code(
        "Y0033",
        "a request without a dialog",
        "A BYE, an ACK, a NOTIFY or a chat message needs a dialog between its two ends, opened by a step before \
         it. A stray request on purpose names a `Call-ID` of its own.",
    ),
    code(
        "Y0034",
        "something is owed without a bound",
        "A response that is owed for ever can never be missed, so the rule could not be violated. Say until when: \
         `within: 5s`, or `before:` a message. A `count` has at least one bound.",
    ),
    code("Y0035", "a loop that never runs", "`for-each` goes through an empty list, or `repeat` is 0."),
    code(
        "Y0036",
        "a word that does not fit the step",
        "Some words are about messages that the harness sends (`after`, `raw`, `chunk-size`), others about \
         messages that it awaits (`within`, `level`, `because`, `unanswered`). A step from a scripted actor sends; \
         a step from the IUT or a reference actor is awaited.",
    ),
    code(
        "Y0037",
        "a demand where a value is needed",
        "A sending step says what is sent: a text, a list, `absent`, `same-as`, `generate`. What a value looks \
         like (`contains`, `present`, `greater-than`) can only be demanded of a message that is awaited.",
    ),
    code(
        "Y0038",
        "an unknown scenario",
        "`control` and the readings name scenarios of this suite by their path without the extension: \
         `group/missed-messages`.",
    ),
    code("Y0039", "a scenario that checks nothing", "No step expects or forbids anything, so the scenario could not fail."),
    code("Y0040", "an empty block", "A list that must hold something is empty, or a choice has fewer than two branches."),
    code(
        "Y0041",
        "something that is never reached or does nothing",
        "The policy of the scenario decides a `when` so that one branch is never taken, a `never` ends with its \
         block before anything could come, or a run of `race` holds something that does not send.",
    ),
    code(
        "Y0042",
        "branches that begin alike",
        "`either` is decided by the first message that fits. When two branches begin with the same message, it \
         decides nothing: put what they share before the block.",
    ),
    code("Y0043", "a fragment that nobody uses", "No scenario uses the file. Use it or delete it."),
    code("Y0044", "a variable that is never read", "It is declared and no `\"${…}\"` reads it: a slip in a name, or a left-over."),
    code(
        "Y0045",
        "an actor that takes part in nothing",
        "It is declared and no step names it. A reference actor that acts on its own is declared with `reference: \
         true`.",
    ),
    code(
        "Y0046",
        "a requirement without rule or reason, or with both",
        "Every requirement is judged by a rule, or says why not: `untestable`, `implicit`, `editorial` or `todo`, \
         each with a reason. There is no third state.",
    ),
    code(
        "Y0047",
        "a tamper case that cannot work",
        "A tamper case has a name, one point to bite at (`on` a message of the IUT, or `after` one), and does one \
         thing: `drop`, `duplicate`, `delay`, `change`, `swap-with`, or after a message `inject`.",
    ),
    code(
        "Y0048",
        "a rule that demands nothing, or is never triggered",
        "A rule owes something (`must`, `then`, `needs`, `never`, `count`, `relay`, `seen`) and has something that \
         starts it (`when`, or the scope of `while`).",
    ),
    code(
        "Y0050",
        "an unknown address or name",
        "An address is a SIP or TEL URI; the members of a group are names of identities in suite.yaml.",
    ),
    code("Y0051", "a fragment that uses itself", "Fragments may use others, but not in a circle."),
    code(
        "Y0052",
        "two ends that cannot talk",
        "One end of a step is the IUT, or the core on behalf of a device. What other actors say to each other \
         concerns nobody under test.",
    ),
    code(
        "Y0057",
        "not a condition",
        "A condition is made of `policy NAME = value`, `pics NAME`, `and`, `or`, `not` and parentheses.",
    ),
    code(
        "Y0060",
        "a variable of a rule that nothing binds",
        "`$v` is read in a rule, but no key of its trigger says `{ bind: v }`.",
    ),
    code("Y0061", "no suite", "The folder holds no suite.yaml."),
    code(
        "Y0063",
        "a word of a rule without its owner",
        "`within` bounds `then` or `never`, `before` bounds `then`, `until` ends `never`; alone they say nothing.",
    ),
    code(
        "Y0064",
        "not a fingerprint",
        "A fingerprint is what `cpmcheck lint --text FILE --update` writes: the number of words of a sentence, its \
         hash, and hashes of pairs of its words. It is not written by hand.",
    ),
    code("Y0070", "a file that is no UTF-8", "Every file of a suite is UTF-8 text."),
    code(
        "Y0090",
        "a file that has no place in a suite",
        "An undecided trace (`.snap.new`) is decided about with `cpmcheck review`; the marks of a merge conflict are \
         resolved before anything is run.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_order_and_each_is_there_once() {
        assert!(CODES.windows(2).all(|pair| pair[0].code < pair[1].code));
        assert!(CODES.iter().all(|code| code.code.len() == 5 && !code.text.is_empty()));
    }
}
