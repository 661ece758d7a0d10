//! The checksum of the Internet protocols (RFC 1071).

use std::net::IpAddr;

/// The checksum of `data`, its own field being zero.
pub(super) fn of(data: &[u8]) -> u16 {
    finish(sum(data))
}

/// The checksum of a TCP segment or UDP datagram with its pseudo-header (RFC 9293 3.1,
/// RFC 8200 8.1).
pub(super) fn with_pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, data: &[u8]) -> u16 {
    let ends = |address: IpAddr| match address {
        IpAddr::V4(address) => sum(&address.octets()),
        IpAddr::V6(address) => sum(&address.octets()),
    };
    let length = u64::try_from(data.len()).unwrap_or_default();
    finish(ends(source) + ends(destination) + u64::from(protocol) + length + sum(data))
}

fn sum(data: &[u8]) -> u64 {
    data.chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or_default())).sum()
}

const fn finish(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    #[expect(clippy::cast_possible_truncation, reason = "the carry is folded in above")]
    let sum = sum as u16;
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_of_a_datagram_sums_up_to_what_is_printed_in_textbooks() {
        let header = [0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0, 0xc7];
        assert_eq!(of(&header), 0xb861);
    }
}
