//! Names of header fields: canonical, compact (RFC 3261 7.3.3) and unknown.

/// A header field name that this codec knows; every other name is [`Name::Other`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Name {
    /// `Accept`.
    Accept,
    /// `Accept-Contact`, compact `a`.
    AcceptContact,
    /// `Accept-Encoding`.
    AcceptEncoding,
    /// `Accept-Language`.
    AcceptLanguage,
    /// `Alert-Info`.
    AlertInfo,
    /// `Allow`.
    Allow,
    /// `Allow-Events`, compact `u`.
    AllowEvents,
    /// `Authentication-Info`.
    AuthenticationInfo,
    /// `Authorization`.
    Authorization,
    /// `Call-ID`, compact `i`.
    CallId,
    /// `Call-Info`.
    CallInfo,
    /// `Contact`, compact `m`.
    Contact,
    /// `Content-Disposition`.
    ContentDisposition,
    /// `Content-Encoding`, compact `e`.
    ContentEncoding,
    /// `Content-Language`.
    ContentLanguage,
    /// `Content-Length`, compact `l`.
    ContentLength,
    /// `Content-Type`, compact `c`.
    ContentType,
    /// `Contribution-ID`.
    ContributionId,
    /// `Conversation-ID`.
    ConversationId,
    /// `CSeq`.
    CSeq,
    /// `Date`.
    Date,
    /// `Error-Info`.
    ErrorInfo,
    /// `Event`, compact `o`.
    Event,
    /// `Expires`.
    Expires,
    /// `From`, compact `f`.
    From,
    /// `History-Info`.
    HistoryInfo,
    /// `In-Reply-To`.
    InReplyTo,
    /// `InReplyTo-Contribution-ID`.
    InReplyToContributionId,
    /// `Max-Forwards`.
    MaxForwards,
    /// `MIME-Version`.
    MimeVersion,
    /// `Min-Expires`.
    MinExpires,
    /// `Min-SE`.
    MinSe,
    /// `Organization`.
    Organization,
    /// `P-Access-Network-Info`.
    PAccessNetworkInfo,
    /// `P-Asserted-Identity`.
    PAssertedIdentity,
    /// `P-Asserted-Service`.
    PAssertedService,
    /// `P-Charging-Vector`.
    PChargingVector,
    /// `P-Preferred-Identity`.
    PPreferredIdentity,
    /// `P-Preferred-Service`.
    PPreferredService,
    /// `P-Served-User`.
    PServedUser,
    /// `P-Visited-Network-ID`.
    PVisitedNetworkId,
    /// `Path`.
    Path,
    /// `Priority`.
    Priority,
    /// `Privacy`.
    Privacy,
    /// `Proxy-Authenticate`.
    ProxyAuthenticate,
    /// `Proxy-Authorization`.
    ProxyAuthorization,
    /// `Proxy-Require`.
    ProxyRequire,
    /// `RAck`.
    RAck,
    /// `Reason`.
    Reason,
    /// `Record-Route`.
    RecordRoute,
    /// `Refer-To`, compact `r`.
    ReferTo,
    /// `Referred-By`, compact `b`.
    ReferredBy,
    /// `Reject-Contact`, compact `j`.
    RejectContact,
    /// `Replaces`.
    Replaces,
    /// `Reply-To`.
    ReplyTo,
    /// `Request-Disposition`, compact `d`.
    RequestDisposition,
    /// `Require`.
    Require,
    /// `Retry-After`.
    RetryAfter,
    /// `Route`.
    Route,
    /// `RSeq`.
    RSeq,
    /// `Server`.
    Server,
    /// `Service-Route`.
    ServiceRoute,
    /// `Session-Expires`, compact `x`.
    SessionExpires,
    /// `Session-Replaces`.
    SessionReplaces,
    /// `Subject`, compact `s`.
    Subject,
    /// `Subscription-State`.
    SubscriptionState,
    /// `Supported`, compact `k`.
    Supported,
    /// `Timestamp`.
    Timestamp,
    /// `To`, compact `t`.
    To,
    /// `Unsupported`.
    Unsupported,
    /// `User-Agent`.
    UserAgent,
    /// `Via`, compact `v`.
    Via,
    /// `Warning`.
    Warning,
    /// `WWW-Authenticate`.
    WwwAuthenticate,
    /// A name outside this list; its spelling stands in the message.
    Other,
}

impl Name {
    /// Recognises a name in any letter case, compact forms included.
    pub fn of(token: &[u8]) -> Self {
        if let [letter] = token {
            return Self::of_compact(letter.to_ascii_lowercase());
        }
        KNOWN
            .iter()
            .find(|(canonical, _)| canonical.len() == token.len() && canonical.as_bytes().eq_ignore_ascii_case(token))
            .map_or(Self::Other, |(_, name)| *name)
    }

    fn of_compact(letter: u8) -> Self {
        match letter {
            b'a' => Self::AcceptContact,
            b'u' => Self::AllowEvents,
            b'i' => Self::CallId,
            b'm' => Self::Contact,
            b'e' => Self::ContentEncoding,
            b'l' => Self::ContentLength,
            b'c' => Self::ContentType,
            b'o' => Self::Event,
            b'f' => Self::From,
            b'r' => Self::ReferTo,
            b'b' => Self::ReferredBy,
            b'j' => Self::RejectContact,
            b'd' => Self::RequestDisposition,
            b'x' => Self::SessionExpires,
            b's' => Self::Subject,
            b'k' => Self::Supported,
            b't' => Self::To,
            b'v' => Self::Via,
            _ => Self::Other,
        }
    }

    /// The name as the standards write it; empty for [`Name::Other`].
    pub fn canonical(self) -> &'static str {
        KNOWN.iter().find(|(_, name)| *name == self).map_or("", |(canonical, _)| canonical)
    }
}

const KNOWN: &[(&str, Name)] = &[
    ("Accept", Name::Accept),
    ("Accept-Contact", Name::AcceptContact),
    ("Accept-Encoding", Name::AcceptEncoding),
    ("Accept-Language", Name::AcceptLanguage),
    ("Alert-Info", Name::AlertInfo),
    ("Allow", Name::Allow),
    ("Allow-Events", Name::AllowEvents),
    ("Authentication-Info", Name::AuthenticationInfo),
    ("Authorization", Name::Authorization),
    ("Call-ID", Name::CallId),
    ("Call-Info", Name::CallInfo),
    ("Contact", Name::Contact),
    ("Content-Disposition", Name::ContentDisposition),
    ("Content-Encoding", Name::ContentEncoding),
    ("Content-Language", Name::ContentLanguage),
    ("Content-Length", Name::ContentLength),
    ("Content-Type", Name::ContentType),
    ("Contribution-ID", Name::ContributionId),
    ("Conversation-ID", Name::ConversationId),
    ("CSeq", Name::CSeq),
    ("Date", Name::Date),
    ("Error-Info", Name::ErrorInfo),
    ("Event", Name::Event),
    ("Expires", Name::Expires),
    ("From", Name::From),
    ("History-Info", Name::HistoryInfo),
    ("In-Reply-To", Name::InReplyTo),
    ("InReplyTo-Contribution-ID", Name::InReplyToContributionId),
    ("Max-Forwards", Name::MaxForwards),
    ("MIME-Version", Name::MimeVersion),
    ("Min-Expires", Name::MinExpires),
    ("Min-SE", Name::MinSe),
    ("Organization", Name::Organization),
    ("P-Access-Network-Info", Name::PAccessNetworkInfo),
    ("P-Asserted-Identity", Name::PAssertedIdentity),
    ("P-Asserted-Service", Name::PAssertedService),
    ("P-Charging-Vector", Name::PChargingVector),
    ("P-Preferred-Identity", Name::PPreferredIdentity),
    ("P-Preferred-Service", Name::PPreferredService),
    ("P-Served-User", Name::PServedUser),
    ("P-Visited-Network-ID", Name::PVisitedNetworkId),
    ("Path", Name::Path),
    ("Priority", Name::Priority),
    ("Privacy", Name::Privacy),
    ("Proxy-Authenticate", Name::ProxyAuthenticate),
    ("Proxy-Authorization", Name::ProxyAuthorization),
    ("Proxy-Require", Name::ProxyRequire),
    ("RAck", Name::RAck),
    ("Reason", Name::Reason),
    ("Record-Route", Name::RecordRoute),
    ("Refer-To", Name::ReferTo),
    ("Referred-By", Name::ReferredBy),
    ("Reject-Contact", Name::RejectContact),
    ("Replaces", Name::Replaces),
    ("Reply-To", Name::ReplyTo),
    ("Request-Disposition", Name::RequestDisposition),
    ("Require", Name::Require),
    ("Retry-After", Name::RetryAfter),
    ("Route", Name::Route),
    ("RSeq", Name::RSeq),
    ("Server", Name::Server),
    ("Service-Route", Name::ServiceRoute),
    ("Session-Expires", Name::SessionExpires),
    ("Session-Replaces", Name::SessionReplaces),
    ("Subject", Name::Subject),
    ("Subscription-State", Name::SubscriptionState),
    ("Supported", Name::Supported),
    ("Timestamp", Name::Timestamp),
    ("To", Name::To),
    ("Unsupported", Name::Unsupported),
    ("User-Agent", Name::UserAgent),
    ("Via", Name::Via),
    ("Warning", Name::Warning),
    ("WWW-Authenticate", Name::WwwAuthenticate),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_case_and_compact() {
        assert_eq!(Name::of(b"cAlL-iD"), Name::CallId);
        assert_eq!(Name::of(b"V"), Name::Via);
        assert_eq!(Name::of(b"X-Own"), Name::Other);
        assert_eq!(Name::SessionExpires.canonical(), "Session-Expires");
    }
}
