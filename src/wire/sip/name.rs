//! Names of header fields: canonical, compact (RFC 3261 7.3.3) and unknown.

/// Declares every known name once: variant, spelling, compact letter (0 for none), documentation.
macro_rules! names {
    ($($name:ident, $text:literal, $letter:literal, $note:literal;)*) => {
        /// A header field name that this codec knows; every other name is [`Name::Other`].
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum Name {
            $(#[doc = concat!("`", $text, "`", $note, ".")] $name,)*
            /// A name outside this list; its spelling stands in the message.
            Other,
        }

        /// In the order of the variants.
        const KNOWN: &[(&str, u8, Name)] = &[$(($text, $letter, Name::$name),)*];
    };
}

names! {
    Accept, "Accept", 0, "";
    AcceptContact, "Accept-Contact", b'a', ", compact `a`";
    AcceptEncoding, "Accept-Encoding", 0, "";
    AcceptLanguage, "Accept-Language", 0, "";
    AlertInfo, "Alert-Info", 0, "";
    Allow, "Allow", 0, "";
    AllowEvents, "Allow-Events", b'u', ", compact `u`";
    AuthenticationInfo, "Authentication-Info", 0, "";
    Authorization, "Authorization", 0, "";
    CallId, "Call-ID", b'i', ", compact `i`";
    CallInfo, "Call-Info", 0, "";
    Contact, "Contact", b'm', ", compact `m`";
    ContentDisposition, "Content-Disposition", 0, "";
    ContentEncoding, "Content-Encoding", b'e', ", compact `e`";
    ContentLanguage, "Content-Language", 0, "";
    ContentLength, "Content-Length", b'l', ", compact `l`";
    ContentTransferEncoding, "Content-Transfer-Encoding", 0, "";
    ContentType, "Content-Type", b'c', ", compact `c`";
    ContributionId, "Contribution-ID", 0, "";
    ConversationId, "Conversation-ID", 0, "";
    CSeq, "CSeq", 0, "";
    Date, "Date", 0, "";
    ErrorInfo, "Error-Info", 0, "";
    Event, "Event", b'o', ", compact `o`";
    Expires, "Expires", 0, "";
    FeatureCaps, "Feature-Caps", 0, "";
    From, "From", b'f', ", compact `f`";
    HistoryInfo, "History-Info", 0, "";
    Identity, "Identity", b'y', ", compact `y`";
    InReplyTo, "In-Reply-To", 0, "";
    InReplyToContributionId, "InReplyTo-Contribution-ID", 0, "";
    Join, "Join", 0, "";
    MaxForwards, "Max-Forwards", 0, "";
    MimeVersion, "MIME-Version", 0, "";
    MinExpires, "Min-Expires", 0, "";
    MinSe, "Min-SE", 0, "";
    Organization, "Organization", 0, "";
    PAccessNetworkInfo, "P-Access-Network-Info", 0, "";
    PAssertedIdentity, "P-Asserted-Identity", 0, "";
    PAssertedService, "P-Asserted-Service", 0, "";
    PAssociatedUri, "P-Associated-URI", 0, "";
    PCalledPartyId, "P-Called-Party-ID", 0, "";
    PChargingVector, "P-Charging-Vector", 0, "";
    PPreferredIdentity, "P-Preferred-Identity", 0, "";
    PPreferredService, "P-Preferred-Service", 0, "";
    PServedUser, "P-Served-User", 0, "";
    PVisitedNetworkId, "P-Visited-Network-ID", 0, "";
    Path, "Path", 0, "";
    Priority, "Priority", 0, "";
    Privacy, "Privacy", 0, "";
    ProxyAuthenticate, "Proxy-Authenticate", 0, "";
    ProxyAuthorization, "Proxy-Authorization", 0, "";
    ProxyRequire, "Proxy-Require", 0, "";
    RAck, "RAck", 0, "";
    Reason, "Reason", 0, "";
    RecordRoute, "Record-Route", 0, "";
    ReferTo, "Refer-To", b'r', ", compact `r`";
    ReferredBy, "Referred-By", b'b', ", compact `b`";
    RejectContact, "Reject-Contact", b'j', ", compact `j`";
    Replaces, "Replaces", 0, "";
    ReplyTo, "Reply-To", 0, "";
    RequestDisposition, "Request-Disposition", b'd', ", compact `d`";
    Require, "Require", 0, "";
    ResourcePriority, "Resource-Priority", 0, "";
    RetryAfter, "Retry-After", 0, "";
    Route, "Route", 0, "";
    RSeq, "RSeq", 0, "";
    Server, "Server", 0, "";
    ServiceRoute, "Service-Route", 0, "";
    SessionExpires, "Session-Expires", b'x', ", compact `x`";
    SessionReplaces, "Session-Replaces", 0, "";
    SipEtag, "SIP-ETag", 0, "";
    SipIfMatch, "SIP-If-Match", 0, "";
    Subject, "Subject", b's', ", compact `s`";
    SubscriptionState, "Subscription-State", 0, "";
    Supported, "Supported", b'k', ", compact `k`";
    TargetDialog, "Target-Dialog", 0, "";
    Timestamp, "Timestamp", 0, "";
    To, "To", b't', ", compact `t`";
    Unsupported, "Unsupported", 0, "";
    UserAgent, "User-Agent", 0, "";
    Via, "Via", b'v', ", compact `v`";
    Warning, "Warning", 0, "";
    WwwAuthenticate, "WWW-Authenticate", 0, "";
}

/// Twice as many places as names and more, so that a probe seldom meets a wrong name.
const PLACES: usize = 256;
const EMPTY: u8 = u8::MAX;

/// Length, first, middle and last letter tell the known names apart well enough.
const fn place(token: &[u8]) -> usize {
    let length = token.len();
    let first = (token[0] | 0x20) as usize;
    let middle = (token[length / 2] | 0x20) as usize;
    let last = (token[length - 1] | 0x20) as usize;
    (length * 7 + first * 31 + middle * 17 + last * 5) % PLACES
}

/// An open-addressed hash table of indices into [`KNOWN`], made when this is compiled.
#[expect(clippy::cast_possible_truncation, reason = "fewer than 255 names are known")]
const TABLE: [u8; PLACES] = {
    let mut table = [EMPTY; PLACES];
    let mut index = 0;
    while index < KNOWN.len() {
        let mut at = place(KNOWN[index].0.as_bytes());
        while table[at] != EMPTY {
            at = (at + 1) % PLACES;
        }
        table[at] = index as u8;
        index += 1;
    }
    table
};

/// The index into [`KNOWN`] of each compact letter from `a` on.
#[expect(clippy::cast_possible_truncation, reason = "fewer than 255 names are known")]
const COMPACT: [u8; 26] = {
    let mut table = [EMPTY; 26];
    let mut index = 0;
    while index < KNOWN.len() {
        let letter = KNOWN[index].1;
        if letter != 0 {
            table[(letter - b'a') as usize] = index as u8;
        }
        index += 1;
    }
    table
};

impl Name {
    /// Recognises a name in any letter case, compact forms included.
    pub fn of(token: &[u8]) -> Self {
        match token {
            [] => Self::Other,
            [letter] => Self::of_compact(letter.to_ascii_lowercase()),
            _ => Self::of_long(token),
        }
    }

    fn of_compact(letter: u8) -> Self {
        let index = COMPACT.get(usize::from(letter.wrapping_sub(b'a'))).copied().unwrap_or(EMPTY);
        KNOWN.get(usize::from(index)).map_or(Self::Other, |(_, _, name)| *name)
    }

    fn of_long(token: &[u8]) -> Self {
        let mut at = place(token);
        while let Some((text, _, name)) = KNOWN.get(usize::from(TABLE[at])) {
            let text = text.as_bytes();
            // Most peers write the canonical spelling: a plain comparison decides at once.
            if text == token || (text.len() == token.len() && text.eq_ignore_ascii_case(token)) {
                return *name;
            }
            at = (at + 1) % PLACES;
        }
        Self::Other
    }

    /// The name as the standards write it; empty for [`Name::Other`].
    pub fn canonical(self) -> &'static str {
        KNOWN.get(self as usize).map_or("", |(text, _, _)| text)
    }

    /// The compact letter, if the name has one.
    pub fn compact(self) -> Option<char> {
        KNOWN.get(self as usize).map(|(_, letter, _)| char::from(*letter)).filter(|letter| *letter != '\0')
    }

    /// All known names, [`Name::Other`] left out.
    pub fn all() -> impl Iterator<Item = Self> {
        KNOWN.iter().map(|(_, _, name)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_case_and_compact() {
        assert_eq!(Name::of(b"cAlL-iD"), Name::CallId);
        assert_eq!(Name::of(b"V"), Name::Via);
        assert_eq!(Name::of(b"X-Own"), Name::Other);
        assert_eq!(Name::of(b""), Name::Other);
        assert_eq!(Name::of(b"{"), Name::Other);
        assert_eq!(Name::SessionExpires.canonical(), "Session-Expires");
        assert_eq!(Name::Other.canonical(), "");
    }

    #[test]
    fn every_known_name_is_found_by_its_spellings() {
        for name in Name::all() {
            let text = name.canonical();
            assert_eq!(Name::of(text.as_bytes()), name);
            assert_eq!(Name::of(text.to_uppercase().as_bytes()), name);
            assert_eq!(Name::of(format!("{text}x").as_bytes()), Name::Other);
            if let Some(letter) = name.compact() {
                assert_eq!(Name::of(&[letter as u8]), name);
            }
        }
    }
}
