//! What the machine may deny a driver.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use crate::engine::Transport;

/// What the machine denies.
#[derive(Debug)]
pub enum Fault {
    /// A socket could not be bound.
    Bind {
        /// What for.
        transport: Transport,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        cause: io::Error,
    },
    /// Fewer descriptors than needed may be open.
    Descriptors {
        /// How many may be.
        limit: u64,
        /// How many are needed.
        wanted: u64,
    },
    /// A certificate or key cannot be used.
    Tls(String),
    /// Anything else.
    Io(&'static str, io::Error),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind { transport, address, cause } => {
                let transport = transport.token().to_ascii_lowercase();
                match cause.kind() {
                    io::ErrorKind::AddrInUse => write!(f, "{transport}:{address} is in use by another process"),
                    io::ErrorKind::AddrNotAvailable => write!(f, "{transport}:{address} is no address of this machine"),
                    io::ErrorKind::PermissionDenied => write!(f, "{transport}:{address} may not be bound by this user"),
                    _ => write!(f, "{transport}:{address} cannot be bound: {cause}"),
                }
            }
            Self::Descriptors { limit, wanted } => {
                write!(f, "{wanted} descriptors are needed, and only {limit} may be open (see `ulimit -n`)")
            }
            Self::Tls(why) => write!(f, "TLS cannot be set up: {why}"),
            Self::Io(what, cause) => write!(f, "{what}: {cause}"),
        }
    }
}

impl std::error::Error for Fault {}
