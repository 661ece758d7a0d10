//! Captures: traces written as pcapng, and packets read back into traces.
//!
//! Written are two encapsulations: whole messages under link type 252, which a dissector shows one
//! by one, and raw IP with datagrams and TCP streams made up around the messages. Read is what field
//! tools write: pcapng and pcap, Ethernet, Linux cooked, raw IP and 252. Reading goes
//!
//! ```text
//! file -> frames -> IP datagrams -> TCP streams -> messages -> who is who -> trace
//! ```
//!
//! and holds no more than the file and what points into it. What a capture lacks is said, never
//! guessed: packets that were cut, bytes that were not caught, connections older than the capture.

mod checksum;
mod datagram;
mod export;
mod file;
mod frame;
mod import;
mod labels;
mod messages;
mod packets;
mod pcapng;
mod roles;
mod stream;

pub use export::{Encapsulation, Remarks, write};
pub use file::Fault;
pub use import::{Imported, is_capture, read};
pub use labels::Labels;
pub use roles::Assignment;

/// Link types (the pcap registry's numbers).
mod link {
    pub(super) const NULL: u32 = 0;
    pub(super) const ETHERNET: u32 = 1;
    pub(super) const RAW_BSD: u32 = 12;
    pub(super) const RAW_OPENBSD: u32 = 14;
    pub(super) const RAW: u32 = 101;
    pub(super) const LOOP: u32 = 108;
    pub(super) const SLL: u32 = 113;
    pub(super) const IPV4: u32 = 228;
    pub(super) const IPV6: u32 = 229;
    pub(super) const UPPER_PDU: u32 = 252;
    pub(super) const SLL2: u32 = 276;
}

/// Tags of link type 252, each a 16-bit number with a 16-bit length, all big-endian.
mod tag {
    pub(super) const END: u16 = 0;
    pub(super) const DISSECTOR: u16 = 12;
    pub(super) const IPV4_SOURCE: u16 = 20;
    pub(super) const IPV4_DESTINATION: u16 = 21;
    pub(super) const IPV6_SOURCE: u16 = 22;
    pub(super) const IPV6_DESTINATION: u16 = 23;
    pub(super) const PORT_TYPE: u16 = 24;
    pub(super) const SOURCE_PORT: u16 = 25;
    pub(super) const DESTINATION_PORT: u16 = 26;
    /// Values of the port type.
    pub(super) const TCP: u32 = 2;
    pub(super) const UDP: u32 = 3;
}

/// Flags of a TCP segment (RFC 9293 3.1).
mod flag {
    pub(super) const FIN: u8 = 0x01;
    pub(super) const SYN: u8 = 0x02;
    pub(super) const RST: u8 = 0x04;
    pub(super) const PSH: u8 = 0x08;
    pub(super) const ACK: u8 = 0x10;
}

/// Numbers of protocols above IP.
mod protocol {
    pub(super) const HOP_BY_HOP: u8 = 0;
    pub(super) const TCP: u8 = 6;
    pub(super) const UDP: u8 = 17;
    pub(super) const ROUTING: u8 = 43;
    pub(super) const FRAGMENT: u8 = 44;
    pub(super) const AUTHENTICATION: u8 = 51;
    pub(super) const DESTINATION: u8 = 60;
}
