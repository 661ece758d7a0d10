//! What a trace is made of.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use crate::engine::{Closure, ConnectionId, Note, Transport};
use crate::pattern::ast::{End, Role};
use crate::time::Instant;
use crate::wire::{Fault, msrp, sip};

/// One end of a message: an actor that the trace's address book knows.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Party {
    /// Its role.
    pub role: Role,
    /// Its name, `bob`.
    pub name: Arc<str>,
    /// Its device, when it is known.
    pub device: Option<Arc<str>>,
}

impl Party {
    /// An actor without a device.
    pub fn new(role: Role, name: &str) -> Self {
        Self { role, name: name.into(), device: None }
    }

    /// An actor on one device.
    pub fn on(role: Role, name: &str, device: &str) -> Self {
        Self { role, name: name.into(), device: Some(device.into()) }
    }

    /// Whether a pattern's end speaks of this party. One whose device nobody named yet, an INVITE
    /// to whichever device for example, may be any of them.
    pub fn is(&self, end: &End) -> bool {
        match end {
            End::Any => true,
            End::Role(role) => self.role == *role,
            End::Sender => self.role == Role::Client,
            End::Actor { name, device } => {
                self.name == *name && (device.is_none() || self.device.is_none() || self.device == *device)
            }
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.device {
            Some(device) => write!(f, "{}.{device}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Who is reached at which address, and which URIs name whom. Ends are derived from it and from
/// the wire alone, so that a capture is read as a live run is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AddressBook {
    /// Addresses of nodes.
    pub nodes: Vec<(SocketAddr, Party)>,
    /// URIs of users (all aliases) and the actor that plays them.
    pub users: Vec<(String, Party)>,
    /// Instances (`+sip.instance`, bare) and the device that they belong to.
    pub instances: Vec<(String, Party)>,
    /// Host names, as Via and URIs give them, and the actor behind each.
    pub hosts: Vec<(String, Party)>,
    /// URIs of focuses, Conversation-IDs and Contribution-IDs, and the group that each one names.
    pub groups: Vec<(String, Arc<str>)>,
}

/// Where bytes went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link {
    /// How.
    pub transport: Transport,
    /// From where.
    pub source: SocketAddr,
    /// To where.
    pub destination: SocketAddr,
    /// The connection as the IUT sees it.
    pub connection: Option<ConnectionId>,
}

/// Bytes, parsed.
#[derive(Clone, PartialEq, Debug)]
pub enum Content {
    /// A SIP message.
    Sip(sip::Message),
    /// One MSRP request or response.
    Msrp(msrp::Chunk),
    /// Neither.
    Broken {
        /// What came.
        bytes: Bytes,
        /// Why it is neither.
        fault: Fault,
    },
}

/// What happened.
#[derive(Clone, PartialEq, Debug)]
pub enum Kind {
    /// A message passed the edge of the IUT.
    Message {
        /// Where it went.
        link: Link,
        /// Whether the IUT sent it.
        sent: bool,
        /// What it was.
        content: Content,
    },
    /// A connection of the IUT came up.
    Opened {
        /// Its ends; the connection is known.
        link: Link,
    },
    /// A connection of the IUT ended.
    Closed {
        /// Its ends.
        link: Link,
        /// How.
        how: Closure,
        /// Whether the IUT ended it.
        by_iut: bool,
    },
    /// The harness did something to the world: a fault, a restart, a jump of the clock.
    Fault(String),
    /// A layer of one of our own engines remarks something about the next message it sends.
    Note {
        /// Who remarks.
        node: Arc<str>,
        /// What.
        note: Note,
    },
    /// The script is over; what follows is the settling time.
    FlowEnded,
}

/// One entry of a trace.
#[derive(Clone, PartialEq, Debug)]
pub struct Event {
    /// Its number in the trace, from 0.
    pub number: u32,
    /// When.
    pub at: Instant,
    /// What.
    pub kind: Kind,
}
