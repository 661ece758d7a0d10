//! Writes offers and answers of message media.

use bytes::Bytes;
use sdp_types::{AddrType, Attribute, Connection, Media as MediaLine, NetType, Origin, Session, Time};

use super::{Direction, Sdp, Setup};

/// A media line of type `message` with the attributes of MSRP, in the order in which they are written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Media {
    /// The port; 9 for the active side (RFC 6135 4.2), 0 to refuse.
    pub port: u16,
    /// The protocol, for example `TCP/MSRP`.
    pub proto: String,
    /// accept-types.
    pub accept_types: Vec<String>,
    /// accept-wrapped-types.
    pub accept_wrapped_types: Vec<String>,
    /// max-size.
    pub max_size: Option<u64>,
    /// setup.
    pub setup: Option<Setup>,
    /// path.
    pub path: String,
    /// The direction; not written when `None`.
    pub direction: Option<Direction>,
    /// Further attributes, written last.
    pub further: Vec<(String, Option<String>)>,
}

impl Default for Media {
    fn default() -> Self {
        Self {
            port: 2855,
            proto: "TCP/MSRP".to_owned(),
            accept_types: Vec::new(),
            accept_wrapped_types: Vec::new(),
            max_size: None,
            setup: None,
            path: String::new(),
            direction: None,
            further: Vec::new(),
        }
    }
}

impl Media {
    /// The message media of a description, for example to offer the same again.
    pub fn of(sdp: &Sdp) -> Self {
        let known = |name: &str| {
            matches!(name, "accept-types" | "accept-wrapped-types" | "max-size" | "setup" | "path") || Direction::of(name).is_some()
        };
        let owned = |value: &str| value.to_owned();
        Self {
            port: sdp.port().unwrap_or(0),
            proto: sdp.proto().unwrap_or("TCP/MSRP").to_owned(),
            accept_types: sdp.accept_types().map(owned).collect(),
            accept_wrapped_types: sdp.accept_wrapped_types().map(owned).collect(),
            max_size: sdp.max_size(),
            setup: sdp.setup(),
            path: sdp.path().unwrap_or("").to_owned(),
            direction: Some(sdp.direction()),
            further: sdp
                .attributes()
                .filter(|(name, _)| !known(name))
                .map(|(name, value)| (name.to_owned(), value.map(owned)))
                .collect(),
        }
    }

    fn line(&self) -> MediaLine {
        let mut attributes = Vec::with_capacity(8);
        let mut add = |name: &str, value: String| attributes.push(Attribute::with_value(name, value));
        for (name, types) in [("accept-types", &self.accept_types), ("accept-wrapped-types", &self.accept_wrapped_types)] {
            if !types.is_empty() {
                add(name, types.join(" "));
            }
        }
        if let Some(size) = self.max_size {
            add("max-size", size.to_string());
        }
        if let Some(setup) = self.setup {
            add("setup", setup.to_string());
        }
        if !self.path.is_empty() {
            add("path", self.path.clone());
        }
        attributes.extend(self.direction.map(|direction| Attribute::new(direction.token())));
        attributes.extend(self.further.iter().map(|(name, value)| attribute(name, value.as_deref())));
        MediaLine {
            media: "message".to_owned(),
            port: self.port,
            num_ports: None,
            proto: self.proto.clone(),
            fmt: "*".to_owned(),
            media_title: None,
            connections: Vec::new(),
            bandwidths: Vec::new(),
            key: None,
            attributes,
        }
    }
}

fn attribute(name: &str, value: Option<&str>) -> Attribute {
    match value {
        Some(value) => Attribute::with_value(name, value),
        None => Attribute::new(name),
    }
}

/// Writes a description.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SdpBuilder {
    session: Session,
}

impl SdpBuilder {
    /// A description of `address` (an IP literal) without media, its origin numbered `id` and `version`.
    pub fn new(address: &str, id: u64, version: u64) -> Self {
        let origin = Origin {
            username: None,
            sess_id: id.to_string(),
            sess_version: version,
            nettype: NetType::In,
            addrtype: address_type(address),
            unicast_address: address.to_owned(),
        };
        let session = Session {
            origin,
            session_name: "-".to_owned(),
            session_description: None,
            uri: None,
            emails: Vec::new(),
            phones: Vec::new(),
            connection: Some(connection(address)),
            bandwidths: Vec::new(),
            times: vec![Time { start_time: 0, stop_time: 0, repeats: Vec::new() }],
            time_zones: Vec::new(),
            key: None,
            attributes: Vec::new(),
            medias: Vec::new(),
        };
        Self { session }
    }

    /// The parts of a description, to be altered.
    pub fn of(sdp: &Sdp) -> Self {
        Self { session: sdp.session() }
    }

    /// Adds a media line.
    #[must_use]
    pub fn media(mut self, media: &Media) -> Self {
        self.session.medias.push(media.line());
        self
    }

    /// Adds a media line that refuses one of an offer (RFC 3264 6): the same with port 0.
    #[must_use]
    pub fn refuse(mut self, offered: super::MediaLine<'_>) -> Self {
        self.session.medias.push(MediaLine {
            media: offered.media.to_owned(),
            port: 0,
            num_ports: None,
            proto: offered.proto.to_owned(),
            fmt: offered.fmt.to_owned(),
            media_title: None,
            connections: Vec::new(),
            bandwidths: Vec::new(),
            key: None,
            attributes: Vec::new(),
        });
        self
    }

    /// Replaces the number of the origin and its version.
    #[must_use]
    pub fn origin(mut self, id: &str, version: u64) -> Self {
        id.clone_into(&mut self.session.origin.sess_id);
        self.session.origin.sess_version = version;
        self
    }

    /// Replaces the address of the origin and of the connection.
    #[must_use]
    pub fn address(mut self, address: &str) -> Self {
        self.session.origin.addrtype = address_type(address);
        address.clone_into(&mut self.session.origin.unicast_address);
        self.connection(address)
    }

    /// Replaces the connection address everywhere.
    #[must_use]
    pub fn connection(mut self, address: &str) -> Self {
        self.session.connection = Some(connection(address));
        for media in &mut self.session.medias {
            media.connections.clear();
        }
        self
    }

    /// Replaces the port of the message media.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        if let Some(media) = self.message() {
            media.port = port;
        }
        self
    }

    /// Replaces the protocol of the message media.
    #[must_use]
    pub fn proto(mut self, proto: &str) -> Self {
        if let Some(media) = self.message() {
            proto.clone_into(&mut media.proto);
        }
        self
    }

    /// Sets the direction of the message media, the one of the session left out.
    #[must_use]
    pub fn direction(mut self, direction: Direction) -> Self {
        self.session.attributes.retain(|own| Direction::of(&own.attribute).is_none());
        if let Some(media) = self.message() {
            media.attributes.retain(|own| Direction::of(&own.attribute).is_none());
            media.attributes.push(Attribute::new(direction.token()));
        }
        self
    }

    /// Sets an attribute of the message media at the place of the first of this name, or at the end.
    #[must_use]
    pub fn attribute(mut self, name: &str, value: Option<&str>) -> Self {
        if let Some(media) = self.message() {
            match media.attributes.iter().position(|own| own.attribute == name) {
                Some(at) => media.attributes[at] = attribute(name, value),
                None => media.attributes.push(attribute(name, value)),
            }
        }
        self
    }

    /// Removes an attribute of the message media and of the session.
    #[must_use]
    pub fn remove_attribute(mut self, name: &str) -> Self {
        self.session.attributes.retain(|own| own.attribute != name);
        if let Some(media) = self.message() {
            media.attributes.retain(|own| own.attribute != name);
        }
        self
    }

    fn message(&mut self) -> Option<&mut MediaLine> {
        let medias = &mut self.session.medias;
        let at = medias.iter().position(|media| media.media == "message").unwrap_or(0);
        medias.get_mut(at)
    }

    /// The bytes of the description.
    pub fn encode(&self) -> Bytes {
        if let Some(text) = super::usual::write(&self.session) {
            return Bytes::from(text);
        }
        let mut out = Vec::with_capacity(512);
        let written = self.session.write(&mut out);
        debug_assert!(written.is_ok(), "memory takes every write");
        Bytes::from(out)
    }
}

fn address_type(address: &str) -> AddrType {
    if address.contains(':') { AddrType::Ip6 } else { AddrType::Ip4 }
}

fn connection(address: &str) -> Connection {
    Connection { nettype: NetType::In, addrtype: address_type(address), connection_address: address.to_owned() }
}
