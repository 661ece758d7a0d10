//! Which grammar each header field follows, where it is defined, and whether it may be repeated.

use crate::wire::sip::Name;
use crate::wire::sip::grammar::{Rule, fields};

/// What the standards say of one header field.
pub(super) struct Row {
    pub(super) name: Name,
    pub(super) code: &'static str,
    pub(super) rfc: &'static str,
    /// Whether a message holds at most one.
    pub(super) once: bool,
    pub(super) grammar: Rule,
}

const fn one(name: Name, code: &'static str, rfc: &'static str, grammar: Rule) -> Row {
    Row { name, code, rfc, once: true, grammar }
}

const fn many(name: Name, code: &'static str, rfc: &'static str, grammar: Rule) -> Row {
    Row { name, code, rfc, once: false, grammar }
}

/// The row of a name; `None` for a field without grammar of its own.
pub(super) fn row(name: Name) -> Option<&'static Row> {
    ROWS.get(usize::from(PLACES[name as usize]))
}

/// Where the row of each name stands; past the end for a name without one.
#[expect(clippy::cast_possible_truncation, reason = "there are fewer rows than names, and fewer than 256 names")]
static PLACES: [u8; Name::Other as usize + 1] = {
    let mut places = [u8::MAX; Name::Other as usize + 1];
    let mut at = 0;
    while at < ROWS.len() {
        places[ROWS[at].name as usize] = at as u8;
        at += 1;
    }
    places
};

/// One row per header field, in alphabetical order.
const ROWS: &[Row] = &[
    many(Name::Accept, "sip-accept", "RFC 3261 20.1", fields::maybe_media_types),
    many(Name::AcceptContact, "sip-accept-contact", "RFC 3841 9.2", fields::feature_sets),
    many(Name::AcceptEncoding, "sip-accept-encoding", "RFC 3261 20.2", fields::maybe_tokens),
    many(Name::AcceptLanguage, "sip-accept-language", "RFC 3261 20.3", fields::maybe_tokens),
    many(Name::AlertInfo, "sip-alert-info", "RFC 3261 20.4", fields::infos),
    many(Name::Allow, "sip-allow", "RFC 3261 20.5", fields::maybe_tokens),
    many(Name::AllowEvents, "sip-allow-events", "RFC 6665 8.2.2", fields::tokens),
    one(Name::AuthenticationInfo, "sip-authentication-info", "RFC 3261 20.6", fields::auth_parameters),
    many(Name::Authorization, "sip-authorization", "RFC 3261 20.7", fields::credentials),
    one(Name::CallId, "sip-call-id", "RFC 3261 20.8", fields::call_id),
    many(Name::CallInfo, "sip-call-info", "RFC 3261 20.9", fields::infos),
    many(Name::Contact, "sip-contact", "RFC 3261 20.10", fields::contact),
    one(Name::ContentDisposition, "sip-content-disposition", "RFC 3261 20.11", fields::token_parameters),
    many(Name::ContentEncoding, "sip-content-encoding", "RFC 3261 20.12", fields::tokens),
    many(Name::ContentLanguage, "sip-content-language", "RFC 3261 20.13", fields::tokens),
    one(Name::ContentLength, "sip-content-length", "RFC 3261 20.14", fields::number),
    one(Name::ContentTransferEncoding, "sip-content-transfer-encoding", "RFC 2045 6.1", fields::one_token),
    one(Name::ContentType, "sip-content-type", "RFC 3261 20.15", fields::media_type),
    one(Name::ContributionId, "sip-contribution-id", "OMA CPM appendix C.1", fields::opaque),
    one(Name::ConversationId, "sip-conversation-id", "OMA CPM appendix C.1", fields::opaque),
    one(Name::CSeq, "sip-cseq", "RFC 3261 20.16", fields::cseq),
    one(Name::Date, "sip-date", "RFC 3261 20.17", fields::date),
    many(Name::ErrorInfo, "sip-error-info", "RFC 3261 20.18", fields::infos),
    one(Name::Event, "sip-event", "RFC 6665 8.2.1", fields::token_parameters),
    one(Name::Expires, "sip-expires", "RFC 3261 20.19", fields::number),
    many(Name::FeatureCaps, "sip-feature-caps", "RFC 6809 4.3", fields::feature_sets),
    one(Name::From, "sip-from", "RFC 3261 20.20", fields::address_parameters),
    many(Name::HistoryInfo, "sip-history-info", "RFC 7044 5", fields::routes),
    many(Name::InReplyTo, "sip-in-reply-to", "RFC 3261 20.21", fields::call_ids),
    one(Name::InReplyToContributionId, "sip-in-reply-to-contribution-id", "OMA CPM appendix C.1", fields::opaque),
    one(Name::Join, "sip-join", "RFC 3911 7.1", fields::dialog),
    one(Name::MaxForwards, "sip-max-forwards", "RFC 3261 20.22", fields::number),
    one(Name::MimeVersion, "sip-mime-version", "RFC 3261 20.24", fields::mime_version),
    one(Name::MinExpires, "sip-min-expires", "RFC 3261 20.23", fields::number),
    one(Name::MinSe, "sip-min-se", "RFC 4028 5", fields::interval),
    one(Name::Organization, "sip-organization", "RFC 3261 20.25", fields::text),
    many(Name::PAccessNetworkInfo, "sip-p-access-network-info", "RFC 7315 5.4", fields::tokens),
    many(Name::PAssertedIdentity, "sip-p-asserted-identity", "RFC 3325 9.1", fields::addresses),
    many(Name::PAssertedService, "sip-p-asserted-service", "RFC 6050 4.1", fields::service_ids),
    many(Name::PAssociatedUri, "sip-p-associated-uri", "RFC 7315 5.1", fields::maybe_addresses),
    one(Name::PCalledPartyId, "sip-p-called-party-id", "RFC 7315 5.2", fields::address_parameters),
    one(Name::PChargingVector, "sip-p-charging-vector", "RFC 7315 5.6", fields::only_parameters),
    many(Name::PPreferredIdentity, "sip-p-preferred-identity", "RFC 3325 9.2", fields::addresses),
    many(Name::PPreferredService, "sip-p-preferred-service", "RFC 6050 4.2", fields::service_ids),
    one(Name::PServedUser, "sip-p-served-user", "RFC 5502 6", fields::address_parameters),
    many(Name::PVisitedNetworkId, "sip-p-visited-network-id", "RFC 7315 5.3", fields::networks),
    many(Name::Path, "sip-path", "RFC 3327 4", fields::routes),
    one(Name::Priority, "sip-priority", "RFC 3261 20.26", fields::one_token),
    many(Name::Privacy, "sip-privacy", "RFC 3323 4.2", fields::privacy),
    many(Name::ProxyAuthenticate, "sip-proxy-authenticate", "RFC 3261 20.27", fields::credentials),
    many(Name::ProxyAuthorization, "sip-proxy-authorization", "RFC 3261 20.28", fields::credentials),
    many(Name::ProxyRequire, "sip-proxy-require", "RFC 3261 20.29", fields::tokens),
    one(Name::RAck, "sip-rack", "RFC 3262 7.2", fields::rack),
    many(Name::Reason, "sip-reason", "RFC 3326 2", fields::tokens),
    many(Name::RecordRoute, "sip-record-route", "RFC 3261 20.30", fields::routes),
    one(Name::ReferTo, "sip-refer-to", "RFC 3515 2.1", fields::address_parameters),
    one(Name::ReferredBy, "sip-referred-by", "RFC 3892 3", fields::address_parameters),
    many(Name::RejectContact, "sip-reject-contact", "RFC 3841 9.2", fields::feature_sets),
    one(Name::Replaces, "sip-replaces", "RFC 3891 6.1", fields::dialog),
    one(Name::ReplyTo, "sip-reply-to", "RFC 3261 20.31", fields::address_parameters),
    many(Name::RequestDisposition, "sip-request-disposition", "RFC 3841 9.1", fields::tokens),
    many(Name::Require, "sip-require", "RFC 3261 20.32", fields::tokens),
    many(Name::ResourcePriority, "sip-resource-priority", "RFC 4412 3.1", fields::tokens),
    one(Name::RetryAfter, "sip-retry-after", "RFC 3261 20.33", fields::retry_after),
    many(Name::Route, "sip-route", "RFC 3261 20.34", fields::routes),
    one(Name::RSeq, "sip-rseq", "RFC 3262 7.1", fields::number),
    one(Name::Server, "sip-server", "RFC 3261 20.35", fields::products),
    many(Name::ServiceRoute, "sip-service-route", "RFC 3608 5", fields::routes),
    one(Name::SessionExpires, "sip-session-expires", "RFC 4028 4", fields::interval),
    one(Name::SessionReplaces, "sip-session-replaces", "OMA CPM appendix C.1", fields::opaque),
    one(Name::SipEtag, "sip-etag", "RFC 3903 11.3.1", fields::one_token),
    one(Name::SipIfMatch, "sip-if-match", "RFC 3903 11.3.2", fields::one_token),
    one(Name::Subject, "sip-subject", "RFC 3261 20.36", fields::text),
    one(Name::SubscriptionState, "sip-subscription-state", "RFC 6665 8.2.3", fields::token_parameters),
    many(Name::Supported, "sip-supported", "RFC 3261 20.37", fields::maybe_tokens),
    one(Name::TargetDialog, "sip-target-dialog", "RFC 4538 7", fields::dialog),
    one(Name::Timestamp, "sip-timestamp", "RFC 3261 20.38", fields::timestamp),
    one(Name::To, "sip-to", "RFC 3261 20.39", fields::address_parameters),
    many(Name::Unsupported, "sip-unsupported", "RFC 3261 20.40", fields::tokens),
    one(Name::UserAgent, "sip-user-agent", "RFC 3261 20.41", fields::products),
    many(Name::Via, "sip-via", "RFC 3261 20.42", fields::via),
    many(Name::Warning, "sip-warning", "RFC 3261 20.43", fields::warnings),
    many(Name::WwwAuthenticate, "sip-www-authenticate", "RFC 3261 20.44", fields::credentials),
];
