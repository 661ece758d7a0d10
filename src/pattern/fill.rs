//! Puts the values of a pattern into a message: when a scripted actor sends, and when a tamper
//! case changes what the IUT sent.

use bytes::Bytes;

use super::ast::{Key, Path, Place};
use super::env::Env;
use crate::ids::Ids;
use crate::wire::msrp::FailureReport;
use crate::wire::sip;

/// What made content is made of.
pub struct Supplies<'a> {
    /// Names, variables, other messages.
    pub env: &'a dyn Env,
    /// Identifiers for what the pattern leaves open.
    pub ids: &'a mut Ids,
    /// The present as RFC 3339 text, for DateTime.
    pub date_time: String,
    /// The CPIM From of a message whose pattern names none: a name or a URI.
    pub from: String,
    /// The CPIM To of a message whose pattern names none: a name or a URI.
    pub to: String,
}

/// Why a pattern cannot be put into a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FillFault {
    /// The key.
    pub path: Path,
    /// What is wrong, a lower-case fragment.
    pub why: String,
    /// Where the key was written.
    pub place: Place,
}

/// An MSRP message or request in the making. What is `None` is left to the sender's defaults.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Draft {
    /// Message-ID.
    pub message_id: Option<String>,
    /// Content-Type.
    pub content_type: Option<String>,
    /// The content.
    pub body: Bytes,
    /// Success-Report.
    pub success_report: Option<bool>,
    /// Failure-Report.
    pub failure_report: Option<FailureReport>,
    /// Byte-Range, for a single chunk.
    pub byte_range: Option<String>,
    /// Status of a REPORT.
    pub status: Option<u16>,
    /// The continuation flag, for a single chunk.
    pub flag: Option<crate::wire::msrp::Flag>,
    /// To-Path, in place of the session's own.
    pub to_path: Option<String>,
    /// From-Path, in place of the session's own.
    pub from_path: Option<String>,
    /// Further header fields.
    pub fields: Vec<(String, String)>,
}

/// Puts keys into a SIP message.
///
/// # Errors
///
/// The first key that cannot be sent, or that needs a body that is not there.
pub fn sip(builder: sip::Builder, keys: &[Key], supplies: &mut Supplies<'_>) -> Result<sip::Builder, FillFault> {
    let _ = (keys, supplies);
    Ok(builder)
}

/// Puts keys into an MSRP message. Without a key about its content, a SEND carries a short text in
/// a CPIM wrapper.
///
/// # Errors
///
/// The first key that cannot be sent.
pub fn msrp(draft: Draft, keys: &[Key], supplies: &mut Supplies<'_>) -> Result<Draft, FillFault> {
    let _ = (keys, supplies);
    Ok(draft)
}

/// Text of so many bytes that a seed decides: lower-case words.
pub fn generated(bytes: usize, seed: u64) -> String {
    let mut ids = Ids::new(seed, "generate");
    let mut out = String::with_capacity(bytes);
    while out.len() < bytes {
        let letter = ids.below(27);
        out.push(if letter == 26 { ' ' } else { char::from(b'a' + u8::try_from(letter).unwrap_or(0)) });
    }
    out
}
