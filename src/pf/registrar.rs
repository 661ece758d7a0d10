//! Third-party REGISTER (3GPP TS 24.229 5.4.1.7): who is registered, until when, with which device.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::wire::mime;
use crate::wire::sip::header::{NameAddr, list, number};
use crate::wire::sip::{Message, Name};

/// The lifetime of a registration when no part of the REGISTER names one (RFC 3261 10.2).
const DEFAULT_EXPIRES: u64 = 3600;

/// What the bodies of a third-party REGISTER tell of the user's devices.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Devices {
    /// Instances that are registered now.
    pub(super) present: BTreeSet<String>,
    /// Instances that were de-registered by the REGISTER that is told of.
    pub(super) gone: BTreeSet<String>,
}

impl Devices {
    /// Whether a delivery to `device` may be tried: it is there, or nothing is known. Instances
    /// compare by case (AMB-37).
    pub(super) fn may_reach(&self, device: Option<&str>) -> bool {
        match device {
            Some(device) => self.present.contains(device) || (self.present.is_empty() && !self.gone.contains(device)),
            None => true,
        }
    }
}

/// One third-party REGISTER.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ThirdParty {
    /// The user: To.
    pub(super) user: String,
    /// The S-CSCF: Contact, or From.
    pub(super) scscf: Option<String>,
    /// The lifetime in seconds; 0 de-registers.
    pub(super) expires: u64,
    /// What is known of devices.
    pub(super) devices: Devices,
}

impl ThirdParty {
    /// Reads a REGISTER; `Err` is the status of the refusal.
    pub(super) fn read(message: &Message) -> Result<Self, u16> {
        let user = message.to().map_err(|_| 400_u16)?.uri.text.to_owned();
        let from = message.from().ok().map(|from| from.uri.text.to_owned());
        let mut devices = Devices::default();
        if let Some(content_type) = message.value(Name::ContentType) {
            for part in mime::parts(content_type, &message.body()) {
                if part.is("message/sip") {
                    devices.learn(&part.body);
                }
            }
        }
        let expires = expires(message)?;
        let contact = message.elements(Name::Contact).find_map(|contact| NameAddr::parse(contact).ok());
        Ok(Self { user, scscf: contact.map(|contact| contact.uri.text.to_owned()).or(from), expires, devices })
    }
}

impl Devices {
    /// Takes note of one device: it is registered, or is no more.
    pub(super) fn tell(&mut self, instance: &str, present: bool) {
        let (into, out_of) = if present { (&mut self.present, &mut self.gone) } else { (&mut self.gone, &mut self.present) };
        into.insert(instance.to_owned());
        out_of.remove(instance);
    }

    /// Learns from the original REGISTER or from its 200, as `message/sip` carries them.
    fn learn(&mut self, body: &Bytes) {
        let Ok(inner) = Message::decode(body.clone()) else { return };
        let whole = header_expires(&inner);
        for contact in inner.elements(Name::Contact).filter_map(|contact| NameAddr::parse(contact).ok()) {
            let Some(instance) = contact.instance() else { continue };
            let own = contact.params.get("expires").and_then(|expires| number(expires).ok());
            // The 200 lists what is left; only the REGISTER itself can take a device away.
            if own.or(whole) == Some(0) {
                self.gone.insert(instance.to_owned());
            } else {
                self.present.insert(instance.to_owned());
            }
        }
    }
}

/// The lifetime: the Contact's own, else Expires, else the default (RFC 3261 10.2.1.1).
fn expires(message: &Message) -> Result<u64, u16> {
    let header = header_expires(message);
    let mut contacts = message.values(Name::Contact).flat_map(list);
    match contacts.next() {
        // Contact: * is allowed with Expires: 0 only (RFC 3261 10.2.2).
        Some("*") if header == Some(0) => Ok(0),
        Some("*") => Err(400),
        Some(contact) => {
            let own =
                NameAddr::parse(contact).ok().and_then(|contact| contact.params.get("expires").and_then(|text| number(text).ok()));
            Ok(own.or(header).unwrap_or(DEFAULT_EXPIRES))
        }
        None => Ok(header.unwrap_or(DEFAULT_EXPIRES)),
    }
}

fn header_expires(message: &Message) -> Option<u64> {
    number(message.value(Name::Expires)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGISTER: &str = "REGISTER sip:home1.example SIP/2.0\r\nTo: <sip:bob@home1.example>\r\n\
        Contact: <sip:bob@10.0.2.1>;+sip.instance=\"<urn:gsma:imei:35824005-694458-0>\";expires=600000\r\nContent-Length: 0\r\n\r\n";

    fn read(fields: &str, body: &str) -> Result<ThirdParty, u16> {
        let text = format!(
            "REGISTER sip:pf.home1.example SIP/2.0\r\nFrom: <sip:scscf1.home1.example>;tag=1\r\nTo: <sip:bob@home1.example>\r\n\
             {fields}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        ThirdParty::read(&Message::decode(Bytes::from(text)).expect("a message"))
    }

    fn expires_of(fields: &str) -> Result<u64, u16> {
        read(fields, "").map(|register| register.expires)
    }

    #[test]
    fn the_lifetime_is_found_in_every_form() {
        assert_eq!(expires_of("Contact: <sip:scscf1.home1.example>\r\nExpires: 600000\r\n"), Ok(600_000));
        assert_eq!(expires_of("m: <sip:scscf1.home1.example>;expires=0\r\nExpires: 600\r\n"), Ok(0));
        assert_eq!(expires_of("Contact: <sip:scscf1.home1.example>\r\n"), Ok(3600));
        assert_eq!(expires_of("Contact: *\r\nExpires: 0\r\n"), Ok(0));
        assert_eq!(expires_of("Contact: *\r\nExpires: 60\r\n"), Err(400));
    }

    #[test]
    fn the_device_is_in_the_original_register() {
        let register = read("Content-Type: message/sip\r\n", REGISTER).expect("well-formed");
        assert!(register.devices.present.contains("urn:gsma:imei:35824005-694458-0"));
        assert!(register.devices.may_reach(Some("urn:gsma:imei:35824005-694458-0")));
        assert!(!register.devices.may_reach(Some("URN:gsma:imei:35824005-694458-0")));
    }

    #[test]
    fn parts_of_a_multipart_are_read_and_others_passed_over() {
        let body = format!(
            "--b\r\nContent-Type: application/3gpp-ims+xml\r\n\r\n<ims-3gpp/>\r\n--b\r\nContent-Type: message/sip\r\n\r\n{}\r\n--b--\r\n",
            REGISTER.replace("expires=600000", "expires=0")
        );
        let register = read("Content-Type: multipart/mixed;boundary=\"b\"\r\n", &body).expect("well-formed");
        assert!(register.devices.gone.contains("urn:gsma:imei:35824005-694458-0"));
        assert!(!register.devices.may_reach(Some("urn:gsma:imei:35824005-694458-0")));
        assert!(register.devices.may_reach(None));
    }

    #[test]
    fn without_a_body_any_device_may_be_there() {
        let register = read("Expires: 60\r\n", "").expect("well-formed");
        assert!(register.devices.may_reach(Some("urn:uuid:1")));
        assert_eq!(register.scscf.as_deref(), Some("sip:scscf1.home1.example"));
    }
}
