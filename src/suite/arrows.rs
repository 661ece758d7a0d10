//! Arrow keys: `bob -> pf MSRP SEND`.

use super::diagnostics::{Diagnostic, nearest};
use super::reader::Desk;
use super::yaml::Text;
use crate::pattern::ast::{Codes, Place, What};
use crate::wire::sip::Method;

/// An arrow, split.
pub(super) struct Arrow<'t> {
    /// Who sends, and where that stands.
    pub(super) from: (&'t str, Place),
    /// Who receives.
    pub(super) to: (&'t str, Place),
    /// What kind of event.
    pub(super) what: What,
}

/// Whether a key is meant as an arrow.
pub(super) fn is_arrow(key: &str) -> bool {
    key.contains("->")
}

/// Splits an arrow key.
pub(super) fn parse<'t>(desk: &Desk, key: &'t Text) -> Option<Arrow<'t>> {
    let text = key.text.as_str();
    let malformed = |place: Place, why: &str| {
        desk.say(
            Diagnostic::new("Y0022", place, format!("`{text}` is no message"))
                .label(why.to_owned())
                .help("a message is written `sender -> receiver KIND`, for example `bob -> pf BYE` or `pf -> focus MSRP SEND`"),
        );
    };
    let Some((from, rest)) = text.split_once("->") else {
        malformed(key.place, "no arrow");
        return None;
    };
    let from_word = from.trim();
    let rest_at = from.len() + 2 + rest.len() - rest.trim_start().len();
    let rest = rest.trim();
    let (to, what) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    if from_word.is_empty() || from_word.contains(char::is_whitespace) || to.is_empty() {
        malformed(key.place, "one sender before the arrow, one receiver after it");
        return None;
    }
    let what_at = rest_at + to.len() + what.len() - what.trim_start().len() + 1;
    let what = what.trim();
    if what.is_empty() {
        malformed(part(key, rest_at, to.len()), "what is sent?");
        return None;
    }
    let place = part(key, what_at, what.len());
    let what = self::what(desk, what, place)?;
    let from_at = from.len() - from.trim_start().len();
    Some(Arrow { from: (from_word, part(key, from_at, from_word.len())), to: (to, part(key, rest_at, to.len())), what })
}

/// The place of a part of a key; the whole key when it was quoted or had variables put in.
fn part(key: &Text, at: usize, len: usize) -> Place {
    let (at, len) = (u32::try_from(at).unwrap_or(0), u32::try_from(len).unwrap_or(0));
    let whole = key.place.end.saturating_sub(key.place.start) as usize;
    if whole != key.text.len() {
        return key.place;
    }
    Place { start: key.place.start + at, end: key.place.start + at + len, ..key.place }
}

fn what(desk: &Desk, text: &str, place: Place) -> Option<What> {
    if let Some(rest) = text.strip_prefix("MSRP ").map(str::trim) {
        return msrp(desk, rest, place);
    }
    match text {
        "any" => return Some(What::Any),
        "LOST" => return Some(What::Lost),
        _ => {}
    }
    if text.starts_with(|char: char| char.is_ascii_digit()) {
        return codes(desk, text, place).map(What::Response);
    }
    if Method::KNOWN.contains(&text) {
        return Some(What::Request(Method::of(text)));
    }
    let near = nearest(text, Method::KNOWN.into_iter().chain(["LOST", "any", "MSRP SEND"]));
    let token = text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-' || byte == b'_');
    if token && near.is_none() {
        return Some(What::Request(Method::of(text)));
    }
    desk.say(
        Diagnostic::new("Y0023", place, format!("`{text}` is no kind of message")).label("neither a method nor a status").allowed(
            "a method, a status (`200`, `4xx`, `4xx-6xx`), `any`, `MSRP SEND`, `LOST`; methods are",
            text,
            Method::KNOWN,
        ),
    );
    None
}

const MSRP_WORDS: [&str; 4] = ["SEND", "CHUNK", "REPORT", "any"];

fn msrp(desk: &Desk, text: &str, place: Place) -> Option<What> {
    match text {
        "SEND" => Some(What::MsrpSend),
        "CHUNK" => Some(What::MsrpChunk),
        "REPORT" => Some(What::MsrpReport),
        "any" => Some(What::MsrpResponse(Codes { low: 100, high: 699 })),
        digits if digits.starts_with(|char: char| char.is_ascii_digit()) => codes(desk, digits, place).map(What::MsrpResponse),
        other => {
            desk.say(Diagnostic::new("Y0023", place, format!("`MSRP {other}` is no kind of message")).label("not known").allowed(
                "after MSRP comes a code, or one of",
                other,
                MSRP_WORDS,
            ));
            None
        }
    }
}

/// `200`, `4xx`, `4xx-6xx`, `any`.
pub(super) fn codes(desk: &Desk, text: &str, place: Place) -> Option<Codes> {
    let codes = read_codes(text);
    if codes.is_none() {
        desk.say(
            Diagnostic::new("Y0023", place, format!("`{text}` is no set of status codes"))
                .label("not understood")
                .help("write a code from 100 to 699 (`200`), a class (`4xx`), a range of classes (`4xx-6xx`), or `any`"),
        );
    }
    codes
}

fn read_codes(text: &str) -> Option<Codes> {
    if text == "any" {
        return Some(Codes { low: 100, high: 699 });
    }
    let bound = |text: &str| -> Option<Codes> {
        if let Some(class) = text.strip_suffix("xx") {
            let class: u16 = class.parse().ok().filter(|class| (1..=6).contains(class))?;
            return Some(Codes { low: class * 100, high: class * 100 + 99 });
        }
        let code: u16 = text.parse().ok().filter(|code| text.len() == 3 && (100..=699).contains(code))?;
        Some(Codes { low: code, high: code })
    };
    match text.split_once('-') {
        Some((low, high)) => {
            let (low, high) = (bound(low)?, bound(high)?);
            (low.low <= high.high).then_some(Codes { low: low.low, high: high.high })
        }
        None => bound(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Text {
        Text { text: text.to_owned(), place: Place { file: 0, start: 0, end: u32::try_from(text.len()).unwrap() } }
    }

    #[test]
    fn an_arrow_is_split_into_ends_and_kind() {
        let desk = Desk::default();
        let key = key("bob.phone  ->  pf MSRP 4xx-6xx");
        let arrow = parse(&desk, &key).unwrap();
        assert_eq!((arrow.from.0, arrow.to.0), ("bob.phone", "pf"));
        assert_eq!(arrow.what, What::MsrpResponse(Codes { low: 400, high: 699 }));
        assert_eq!((arrow.to.1.start, arrow.to.1.end), (15, 17));
        assert_eq!(desk.len(), 0);
    }

    #[test]
    fn what_is_no_message_is_told() {
        for text in
            ["bob -> pf", "-> pf BYE", "bob pf -> x BYE", "bob -> pf INVTE", "bob -> pf 20", "bob -> pf 7xx", "a -> b MSRP PING"]
        {
            let desk = Desk::default();
            assert!(parse(&desk, &key(text)).is_none(), "{text}");
            assert_eq!(desk.len(), 1, "{text}");
        }
    }
}
