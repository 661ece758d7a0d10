//! Which devices a user has registered, and which of them a request wants (RFC 3841).

use crate::wire::sip::header::{self, AcceptContact, NameAddr};
use crate::wire::sip::{Message, Name, Params, Uri};

/// A registered device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Binding {
    /// The Contact of its registration, with its features.
    pub(super) contact: String,
}

impl Binding {
    fn parse(&self) -> Option<NameAddr<'_>> {
        NameAddr::parse(&self.contact).ok()
    }

    /// The URI to which requests for the device go.
    pub(super) fn uri(&self) -> &str {
        self.parse().map_or(self.contact.as_str(), |contact| contact.uri.text)
    }

    /// What tells two registrations apart: the instance, else the URI (RFC 5626 5.2).
    fn key(&self) -> &str {
        self.parse().and_then(|contact| contact.instance()).unwrap_or_else(|| self.uri())
    }
}

/// A user and the devices that are registered now.
#[derive(Clone, PartialEq, Eq, Debug)]
struct User {
    uris: Vec<String>,
    bindings: Vec<Binding>,
}

/// All users of the home domain.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Location {
    users: Vec<User>,
}

impl Location {
    /// Adds a user without devices.
    pub(super) fn add_user(&mut self, uris: Vec<String>) {
        self.users.push(User { uris, bindings: Vec::new() });
    }

    /// Registers a device; returns whether the user is known.
    pub(super) fn bind(&mut self, user: &str, contact: &str) -> bool {
        let binding = Binding { contact: contact.to_owned() };
        let Some(user) = self.user_mut(user) else { return false };
        user.bindings.retain(|own| own.key() != binding.key());
        user.bindings.push(binding);
        true
    }

    /// Forgets a device, or all of a user's (`None`).
    pub(super) fn unbind(&mut self, user: &str, contact: Option<&str>) {
        let gone = contact.map(|contact| Binding { contact: contact.to_owned() });
        if let Some(user) = self.user_mut(user) {
            user.bindings.retain(|own| gone.as_ref().is_some_and(|gone| gone.key() != own.key()));
        }
    }

    fn user_mut(&mut self, uri: &str) -> Option<&mut User> {
        let wanted = Uri::parse(uri).ok()?;
        self.users.iter_mut().find(|user| user.is(&wanted))
    }

    fn user(&self, uri: &str) -> Option<&User> {
        // Most requests spell an address as its user does.
        let spelt = self.users.iter().find(|user| user.uris.iter().any(|own| own == uri));
        spelt.or_else(|| {
            let wanted = Uri::parse(uri).ok()?;
            self.users.iter().find(|user| user.is(&wanted))
        })
    }

    /// The devices that a request to `uri` goes to.
    pub(super) fn targets(&self, uri: &str, request: &Message) -> Vec<&Binding> {
        let Some(user) = self.user(uri) else { return Vec::new() };
        let wanted: Vec<_> =
            request.elements(Name::AcceptContact).filter_map(|value| AcceptContact::parse(value).ok()).map(Predicate).collect();
        let scored: Vec<_> = user.bindings.iter().filter_map(|binding| Some((score(&wanted, binding)?, binding))).collect();
        let best = scored.iter().map(|(score, _)| *score).max();
        scored.into_iter().filter(|(score, _)| Some(*score) == best).map(|(_, binding)| binding).collect()
    }

    /// Whether a user has this address.
    pub(super) fn knows(&self, uri: &str) -> bool {
        self.user(uri).is_some()
    }
}

impl User {
    fn is(&self, wanted: &Uri<'_>) -> bool {
        let same = |own: &String| own == wanted.text || Uri::parse(own).is_ok_and(|own| own.same_user(wanted));
        self.uris.iter().any(same)
    }
}

/// One value of Accept-Contact.
#[derive(Clone, Copy)]
struct Predicate<'a>(AcceptContact<'a>);

/// How well a device fits all predicates, in halves of a feature; `None`: it must not be used
/// (RFC 3841 7.2.4).
fn score(wanted: &[Predicate<'_>], binding: &Binding) -> Option<u32> {
    let contact = binding.parse()?;
    wanted.iter().try_fold(0, |total, predicate| Some(total + predicate.score(contact.params)?))
}

impl Predicate<'_> {
    fn score(self, features: Params<'_>) -> Option<u32> {
        let params = self.0.params;
        let (require, explicit) = (params.has("require"), params.has("explicit"));
        let mut total = 0;
        for (name, value) in params.iter().filter(|(name, _)| !matches!(*name, "require" | "explicit")) {
            let fits = match features.get(name) {
                Some(own) => shares(own, value.unwrap_or("")),
                // A feature that the device says nothing about fits, but less well.
                None if !explicit => {
                    total += 1;
                    continue;
                }
                None => false,
            };
            match fits {
                true => total += 2,
                false if require => return None,
                false => {}
            }
        }
        Some(total)
    }
}

/// Whether two quoted lists of feature values have a member in common. A string in angle brackets
/// is compared in its case (RFC 3840 9), a token is not.
fn shares(own: &str, wanted: &str) -> bool {
    let (own, wanted) = (header::unquote(own), header::unquote(wanted));
    let same = |one: &str, other: &str| if one.starts_with('<') { one == other } else { one.eq_ignore_ascii_case(other) };
    wanted.split(',').map(str::trim).any(|wanted| own.split(',').any(|own| same(own.trim(), wanted)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sip::Builder;

    const BOB: &str = "sip:+15145550102@home1.example";
    const ICSI: &str = "+g.3gpp.icsi-ref=\"urn%3Aurn-7%3A3gpp-service.ims.icsi.oma.cpm.session\"";

    fn location() -> Location {
        let mut location = Location::default();
        location.add_user(vec![BOB.to_owned(), "tel:+15145550102".to_owned()]);
        location.bind(BOB, &format!("<sip:bob@10.0.2.1>;+sip.instance=\"<urn:uuid:phone>\";{ICSI}"));
        location.bind(BOB, &format!("<sip:bob@10.0.2.2>;+sip.instance=\"<urn:uuid:tablet>\";{ICSI}"));
        location
    }

    fn targets(location: &Location, uri: &str, accept_contact: &[&str]) -> Vec<String> {
        let request =
            accept_contact.iter().fold(Builder::request("INVITE", uri), |request, value| request.push("Accept-Contact", value));
        location.targets(uri, &request.build()).into_iter().map(|binding| binding.uri().to_owned()).collect()
    }

    #[test]
    fn without_a_wish_every_device_is_a_target() {
        let both = ["sip:bob@10.0.2.1", "sip:bob@10.0.2.2"];
        assert_eq!(targets(&location(), BOB, &[]), both);
        assert_eq!(targets(&location(), "tel:+15145550102", &[&format!("*;{ICSI};require;explicit")]), both);
    }

    #[test]
    fn an_instance_picks_its_device_in_its_letter_case() {
        let wish = |instance: &str| format!("*;+sip.instance=\"<{instance}>\";require;explicit");
        let tablet = targets(&location(), BOB, &[&wish("urn:uuid:tablet")]);
        assert_eq!(tablet, ["sip:bob@10.0.2.2"]);
        assert!(targets(&location(), BOB, &[&wish("urn:uuid:TABLET")]).is_empty());
    }

    #[test]
    fn a_wish_without_require_prefers() {
        let preferred = targets(&location(), BOB, &["*;+sip.instance=\"<urn:uuid:tablet>\""]);
        assert_eq!(preferred, ["sip:bob@10.0.2.2"]);
        assert_eq!(targets(&location(), BOB, &["*;+sip.instance=\"<urn:uuid:other>\""]).len(), 2);
    }

    #[test]
    fn a_feature_that_is_missing_counts_only_when_it_is_asked_for_explicitly() {
        assert_eq!(targets(&location(), BOB, &["*;+g.oma.sip-im;require"]).len(), 2);
        assert!(targets(&location(), BOB, &["*;+g.oma.sip-im;require;explicit"]).is_empty());
    }

    #[test]
    fn a_new_registration_of_an_instance_replaces_the_former() {
        let mut location = location();
        location.bind(BOB, "<sip:bob@10.0.2.9>;+sip.instance=\"<urn:uuid:tablet>\"");
        assert_eq!(targets(&location, BOB, &["*;+sip.instance=\"<urn:uuid:tablet>\";require"]), ["sip:bob@10.0.2.9"]);
        location.unbind(BOB, None);
        assert!(targets(&location, BOB, &[]).is_empty());
        assert!(location.knows(BOB) && !location.knows("sip:nobody@home1.example"));
    }
}
