//! When two values are equal: under the grammar of the header field or part that holds them.

use crate::wire::sip::header::{self, NameAddr, bare_instance};
use crate::wire::sip::{Name, Params, Uri};

use super::env::Names;

/// How values at a path are compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Grammar {
    /// A name-addr with parameters: the URIs are equivalent, each parameter of the demand is there.
    NameAddr,
    /// A URI alone (RFC 3261 19.1.4), or the name of someone.
    Uri,
    /// A head, then parameters; the head is compared in any letter case.
    Params,
    /// A token in any letter case.
    Token,
    /// Digits.
    Number,
    /// A device instance, quotes and brackets aside; or the name of a device.
    Instance,
    /// Text with its case; runs of white space count as one space.
    Text,
    /// Text, byte for byte.
    Exact,
}

impl Grammar {
    /// The grammar of the elements of a header field.
    pub const fn of_field(name: Name) -> Self {
        match name {
            Name::From
            | Name::To
            | Name::Contact
            | Name::Route
            | Name::RecordRoute
            | Name::ReferredBy
            | Name::ReferTo
            | Name::ReplyTo
            | Name::PAssertedIdentity
            | Name::PPreferredIdentity
            | Name::PServedUser
            | Name::Path
            | Name::ServiceRoute
            | Name::HistoryInfo => Self::NameAddr,
            Name::Reason
            | Name::AcceptContact
            | Name::RejectContact
            | Name::Event
            | Name::SubscriptionState
            | Name::ContentType
            | Name::ContentDisposition
            | Name::Accept
            | Name::SessionExpires
            | Name::MinSe
            | Name::Via
            | Name::RetryAfter
            | Name::AlertInfo
            | Name::CallInfo => Self::Params,
            Name::Expires | Name::MaxForwards | Name::MinExpires | Name::ContentLength | Name::RSeq => Self::Number,
            Name::Supported
            | Name::Require
            | Name::ProxyRequire
            | Name::Unsupported
            | Name::AllowEvents
            | Name::AcceptEncoding
            | Name::AcceptLanguage
            | Name::ContentEncoding
            | Name::Privacy
            | Name::Priority
            | Name::RequestDisposition => Self::Token,
            _ => Self::Text,
        }
    }

    /// Whether `observed` equals what is demanded.
    pub fn equal(self, demanded: &str, observed: &str, names: &Names) -> bool {
        match self {
            Self::NameAddr => same_address(demanded, observed, names),
            Self::Uri => same_uri(demanded, bare_uri(observed), names),
            Self::Params => same_head_and_params(demanded, observed),
            Self::Token => demanded.trim().eq_ignore_ascii_case(observed.trim()),
            Self::Number => match (demanded.trim().parse::<f64>(), observed.trim().parse::<f64>()) {
                (Ok(left), Ok(right)) => left.total_cmp(&right).is_eq(),
                _ => demanded.trim() == observed.trim(),
            },
            Self::Instance => {
                let demanded = names.instance(demanded).unwrap_or_else(|| bare_instance(demanded));
                // Instances are strings that are equal or are not; letter case tells two devices apart.
                demanded == bare_instance(observed)
            }
            Self::Text if is_plain(demanded) && is_plain(observed) => demanded == observed,
            Self::Text => demanded.split_whitespace().eq(observed.split_whitespace()),
            Self::Exact => demanded == observed,
        }
    }

    /// Whether a text that holds `demanded` is enough: an element of a token list is compared
    /// whole, anything else may hold it anywhere.
    pub fn contains(self, demanded: &str, observed: &str, names: &Names) -> bool {
        match self {
            Self::Token => self.equal(demanded, observed, names),
            _ => observed.contains(demanded) || self.equal(demanded, observed, names),
        }
    }
}

/// The URI inside `<…>`, or the text itself.
pub fn bare_uri(text: &str) -> &str {
    match (text.find('<'), text.rfind('>')) {
        (Some(open), Some(close)) if open < close => &text[open + 1..close],
        _ => text.trim(),
    }
}

fn same_uri(demanded: &str, observed: &str, names: &Names) -> bool {
    let Ok(observed_uri) = Uri::parse(observed) else { return demanded == observed };
    let mut addresses = names.addresses(demanded).peekable();
    if addresses.peek().is_none() {
        return Uri::parse(bare_uri(demanded)).is_ok_and(|uri| uri.equivalent(&observed_uri));
    }
    addresses.any(|address| Uri::parse(address).is_ok_and(|address| address.same_user(&observed_uri)))
}

fn same_address(demanded: &str, observed: &str, names: &Names) -> bool {
    if observed.trim() == "*" || demanded.trim() == "*" {
        return observed.trim() == demanded.trim();
    }
    let Ok(observed_address) = NameAddr::parse(observed) else { return demanded == observed };
    if names.has(demanded) {
        return same_uri(demanded, observed_address.uri.text, names);
    }
    let Ok(wanted) = NameAddr::parse(demanded) else { return false };
    let display = |display: Option<&str>| display.map(header::unquote);
    wanted.uri.equivalent(&observed_address.uri)
        && has_params(wanted.params, observed_address.params)
        && (wanted.display.is_none() || display(wanted.display) == display(observed_address.display))
}

fn same_head_and_params(demanded: &str, observed: &str) -> bool {
    let cut = |text: &str| text.find(';').unwrap_or(text.len());
    let (left, right) = (cut(demanded), cut(observed));
    same_words(&demanded[..left], &observed[..right]) && has_params(Params(&demanded[left..]), Params(&observed[right..]))
}

/// Whether a text is one ASCII word at most, as most are: there is no white space to look for.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether both are the same words, in any letter case.
fn same_words(left: &str, right: &str) -> bool {
    if is_plain(left) && is_plain(right) {
        return left.eq_ignore_ascii_case(right);
    }
    let (mut left, mut right) = (left.split_whitespace(), right.split_whitespace());
    loop {
        match (left.next(), right.next()) {
            (None, None) => return true,
            (Some(one), Some(other)) if one.eq_ignore_ascii_case(other) => {}
            _ => return false,
        }
    }
}

/// Whether each parameter of `demanded` stands in `observed`; further ones do not matter.
fn has_params(demanded: Params<'_>, observed: Params<'_>) -> bool {
    demanded.iter().all(|(name, value)| {
        let value = value.unwrap_or("");
        observed.get(name).is_some_and(|found| {
            found.eq_ignore_ascii_case(value) || header::unquote(found).eq_ignore_ascii_case(&header::unquote(value))
        })
    })
}
