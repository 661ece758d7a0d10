//! Where the nodes of a world live.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::suite::targets::Addresses;

/// Where the nodes of a world live: side by side in a block, or where a target says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Land<'a> {
    /// Side by side.
    Block(Block),
    /// Where the target says.
    Told(&'a Addresses),
}

impl Land<'_> {
    /// The PF.
    pub(super) fn pf(self) -> IpAddr {
        match self {
            Self::Block(block) => block.at(0, 1),
            Self::Told(told) => told.pf.first().map_or(NOWHERE, |reach| reach.address.ip()),
        }
    }

    /// The core.
    pub(super) fn core(self) -> IpAddr {
        match self {
            Self::Block(block) => block.at(0, 2),
            Self::Told(told) => told.core.unwrap_or(NOWHERE),
        }
    }

    /// The part of the S-CSCF that registers users with the PF: it speaks from an address of its own.
    pub(super) fn registrar(self) -> IpAddr {
        match self {
            Self::Block(block) => block.at(0, 3),
            Self::Told(told) => told.registrar.unwrap_or(NOWHERE),
        }
    }

    /// A focus by its number from 1.
    pub(super) fn focus(self, number: u8) -> IpAddr {
        match self {
            Self::Block(block) => block.at(1, number),
            Self::Told(told) => nth(&told.cf, number),
        }
    }

    /// A device by its number from 1.
    pub(super) fn device(self, number: u8) -> IpAddr {
        match self {
            Self::Block(block) => block.at(2, number),
            Self::Told(told) => nth(&told.client, number),
        }
    }
}

/// No address; a target that names too few is asked nothing that needs more.
const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

fn nth(addresses: &[IpAddr], number: u8) -> IpAddr {
    addresses.get(usize::from(number).wrapping_sub(1)).copied().unwrap_or(NOWHERE)
}

/// A block of addresses for one world, so that many can stand side by side and every
/// actor has an address of its own with the usual ports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Block([u8; 3]);

impl Block {
    /// The addresses of the simulator.
    pub(super) const SIMULATED: Self = Self([10, 0, 0]);

    /// The next block that this process has not used lately.
    pub(super) fn next_loopback() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(std::process::id().wrapping_mul(61));
        let (second, third) = (2 + number / 60 % 250, number % 60 * 4);
        Self([127, u8::try_from(second).unwrap_or(2), u8::try_from(third).unwrap_or(0)])
    }

    /// An address: 0 is for the PF and the core, 1 for focuses, 2 for devices.
    const fn at(self, group: u8, number: u8) -> IpAddr {
        let Self([first, second, third]) = self;
        IpAddr::V4(Ipv4Addr::new(first, second, third + group, number))
    }
}
