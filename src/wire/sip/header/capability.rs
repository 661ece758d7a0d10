//! What elements can and want: features of devices (RFC 3840, 3841), media types, services.

use super::address::bare_instance;
use crate::wire::Fault;
use crate::wire::sip::set::first_of;
use crate::wire::sip::uri::Params;

/// One Accept-Contact value (RFC 3841 9.2): `*` and feature parameters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AcceptContact<'a> {
    /// The parameters: feature tags, `require`, `explicit`.
    pub params: Params<'a>,
}

impl<'a> AcceptContact<'a> {
    /// Parses one element.
    ///
    /// # Errors
    ///
    /// When it does not start with `*`.
    pub fn parse(text: &'a str) -> Result<Self, Fault> {
        let rest = text.strip_prefix('*').ok_or(Fault::new("sip-accept-contact", 0, "an asterisk"))?;
        Ok(Self { params: Params(rest.trim_start()) })
    }

    /// The wanted instance.
    pub fn instance(&self) -> Option<&'a str> {
        self.params.get("+sip.instance").map(bare_instance)
    }
}

/// A media type (RFC 3261 20.15).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MediaType<'a> {
    /// Type and subtype as written, for example `message/cpim`.
    pub essence: &'a str,
    /// The parameters.
    pub params: Params<'a>,
}

impl<'a> MediaType<'a> {
    /// Parses the value.
    ///
    /// # Errors
    ///
    /// When there is no slash between type and subtype.
    pub fn parse(text: &'a str) -> Result<Self, Fault> {
        let at = memchr::memchr(b';', text.as_bytes()).unwrap_or(text.len());
        let essence = text[..at].trim_ascii();
        let slash = first_of([b'/'], essence.as_bytes()).filter(|slash| {
            let (kind, subtype) = (&essence[..*slash], &essence[slash + 1..]);
            !kind.trim_ascii_end().is_empty() && !subtype.trim_ascii_start().is_empty()
        });
        slash.ok_or(Fault::new("media-type", 0, "a type, a slash and a subtype"))?;
        Ok(Self { essence, params: Params(&text[at..]) })
    }

    /// Whether this is the type `essence`, in any letter case.
    pub fn is(&self, essence: &str) -> bool {
        self.essence.eq_ignore_ascii_case(essence)
    }
}

/// A service of P-Asserted-Service or P-Preferred-Service (RFC 6050 4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Service<'a> {
    /// The whole URN.
    pub urn: &'a str,
    /// The name behind `urn:urn-7:`, for example `3gpp-service.ims.icsi.oma.cpm.session`.
    pub name: &'a str,
}

impl<'a> Service<'a> {
    /// Parses one element.
    ///
    /// # Errors
    ///
    /// When it is no URN of the namespace `urn-7`.
    pub fn parse(text: &'a str) -> Result<Self, Fault> {
        const PREFIX: &str = "urn:urn-7:";
        let is_urn = text.get(..PREFIX.len()).is_some_and(|prefix| prefix.eq_ignore_ascii_case(PREFIX));
        if !is_urn || text.len() == PREFIX.len() {
            return Err(Fault::new("sip-service", 0, "urn:urn-7: and the name of a service"));
        }
        Ok(Self { urn: text, name: &text[PREFIX.len()..] })
    }
}
