//! Numbers that order requests and provisional responses: CSeq, RAck.

use nom::Parser;

use crate::wire::Fault;
use crate::wire::sip::grammar;

/// CSeq (RFC 3261 20.16).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CSeq<'a> {
    /// The sequence number, below 2^31 in a valid message.
    pub number: u32,
    /// The method.
    pub method: &'a str,
}

impl<'a> CSeq<'a> {
    /// Parses the value.
    ///
    /// # Errors
    ///
    /// When the number or the method is missing or malformed.
    pub fn parse(text: &'a str) -> Result<Self, Fault> {
        let fault = |offset, expected| Fault::new("sip-cseq", offset, expected);
        let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
        let number = text[..end].parse().map_err(|_| fault(0, "a number below 2^32"))?;
        let method = text[end..].trim_ascii();
        if method.is_empty() || method.bytes().any(|byte| byte.is_ascii_whitespace()) {
            return Err(fault(end, "one method"));
        }
        Ok(Self { number, method })
    }
}

/// RAck (RFC 3262 7.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RAck<'a> {
    /// The RSeq of the response that is acknowledged.
    pub response: u32,
    /// The CSeq of that response.
    pub cseq: CSeq<'a>,
}

impl<'a> RAck<'a> {
    /// Parses the value.
    ///
    /// # Errors
    ///
    /// When one of the numbers or the method is missing or malformed.
    pub fn parse(text: &'a str) -> Result<Self, Fault> {
        let fault = Fault::new("sip-rack", 0, "a number below 2^32");
        let (rest, response) = grammar::digits.parse(text).map_err(|_| fault)?;
        let lead = text.len() - rest.trim_ascii_start().len();
        let cseq = CSeq::parse(rest.trim_ascii_start()).map_err(|inner| Fault { code: "sip-rack", ..inner.at(lead) })?;
        Ok(Self { response: response.parse().map_err(|_| fault)?, cseq })
    }
}
