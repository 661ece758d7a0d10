//! Event notification (RFC 6665 8.2).

use super::number;
use crate::wire::Fault;
use crate::wire::sip::uri::Params;

/// A token with parameters: Event, Subscription-State, Content-Disposition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Token<'a> {
    /// The token.
    pub value: &'a str,
    /// The parameters.
    pub params: Params<'a>,
}

impl<'a> Token<'a> {
    /// Parses the value.
    ///
    /// # Errors
    ///
    /// When the token is missing.
    pub fn parse(text: &'a str) -> Result<Self, Fault> {
        let at = memchr::memchr(b';', text.as_bytes()).unwrap_or(text.len());
        let value = text[..at].trim();
        if value.is_empty() {
            return Err(Fault::new("sip-token", 0, "a token"));
        }
        Ok(Self { value, params: Params(&text[at..]) })
    }
}

/// Event: the package and the `id` that tells subscriptions apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event<'a> {
    /// The event package, templates included; compared byte by byte.
    pub package: &'a str,
    /// The `id`.
    pub id: Option<&'a str>,
    /// All parameters.
    pub params: Params<'a>,
}

impl<'a> Event<'a> {
    /// Parses the value.
    ///
    /// # Errors
    ///
    /// When the package is missing.
    pub fn parse(text: &'a str) -> Result<Self, Fault> {
        let Token { value, params } = Token::parse(text)?;
        Ok(Self { package: value, id: params.get("id"), params })
    }

    /// Whether both name the same subscription of a dialog (RFC 6665 8.2.1).
    pub fn matches(&self, other: &Event<'_>) -> bool {
        self.package == other.package && self.id == other.id
    }
}

/// The state of a subscription.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State<'a> {
    /// `active`.
    Active,
    /// `pending`.
    Pending,
    /// `terminated`.
    Terminated,
    /// An extension.
    Other(&'a str),
}

/// Subscription-State.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SubscriptionState<'a> {
    /// The state.
    pub state: State<'a>,
    /// The parameters.
    pub params: Params<'a>,
}

impl<'a> SubscriptionState<'a> {
    /// Parses the value.
    ///
    /// # Errors
    ///
    /// When the state is missing.
    pub fn parse(text: &'a str) -> Result<Self, Fault> {
        let Token { value, params } = Token::parse(text)?;
        let state = match value {
            value if value.eq_ignore_ascii_case("active") => State::Active,
            value if value.eq_ignore_ascii_case("pending") => State::Pending,
            value if value.eq_ignore_ascii_case("terminated") => State::Terminated,
            value => State::Other(value),
        };
        Ok(Self { state, params })
    }

    /// How many seconds are left.
    pub fn expires(&self) -> Option<u64> {
        number(self.params.get("expires")?).ok()
    }

    /// Why it ended.
    pub fn reason(&self) -> Option<&'a str> {
        self.params.get("reason")
    }

    /// After how many seconds it may be tried again.
    pub fn retry_after(&self) -> Option<u64> {
        number(self.params.get("retry-after")?).ok()
    }
}
