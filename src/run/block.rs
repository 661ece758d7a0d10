//! Where the nodes of a world live.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU32, Ordering};

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
    pub(super) const fn at(self, group: u8, number: u8) -> IpAddr {
        let Self([first, second, third]) = self;
        IpAddr::V4(Ipv4Addr::new(first, second, third + group, number))
    }

    /// The PF.
    pub(super) const fn pf(self) -> IpAddr {
        self.at(0, 1)
    }

    /// The core.
    pub(super) const fn core(self) -> IpAddr {
        self.at(0, 2)
    }

    /// The part of the S-CSCF that registers users with the PF: it speaks from an address of its own.
    pub(super) const fn registrar(self) -> IpAddr {
        self.at(0, 3)
    }
}
