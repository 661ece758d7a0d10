//! Captures taken apart and put together again in other ways.

use bytes::Bytes;

/// A pcapng file of ours as blocks.
pub(crate) fn blocks(file: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = file;
    let mut blocks = Vec::new();
    while rest.len() >= 12 {
        let length = u32::from_le_bytes([rest[4], rest[5], rest[6], rest[7]]) as usize;
        blocks.push(rest[..length].to_vec());
        rest = &rest[length..];
    }
    blocks
}

pub(crate) fn is_packet(block: &[u8]) -> bool {
    block.starts_with(&[6, 0, 0, 0])
}

/// The packet in a block.
pub(crate) fn packet(block: &[u8]) -> &[u8] {
    let length = u32::from_le_bytes([block[20], block[21], block[22], block[23]]) as usize;
    &block[28..28 + length]
}

/// The time of a block, in microseconds.
pub(crate) fn time(block: &[u8]) -> u64 {
    let half = |at: usize| u64::from(u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]));
    half(12) << 32 | half(16)
}

/// A block with the time of another one.
pub(crate) fn at_time_of(block: &[u8], other: &[u8]) -> Vec<u8> {
    let mut block = block.to_vec();
    block[12..20].copy_from_slice(&other[12..20]);
    block
}

/// Both ends of a TCP segment in an IPv4 packet, as bytes.
pub(crate) fn ends(packet: &[u8]) -> &[u8] {
    &packet[12..24]
}

/// Whether an IPv4 packet is a TCP segment.
pub(crate) fn is_segment(packet: &[u8]) -> bool {
    packet[9] == 6
}

/// How many bytes a TCP segment in an IPv4 packet carries; none in any other packet.
pub(crate) fn carried(packet: &[u8]) -> usize {
    if is_segment(packet) { packet.len() - 20 - usize::from(packet[32] >> 4) * 4 } else { 0 }
}

pub(crate) fn joined(blocks: impl IntoIterator<Item = Vec<u8>>) -> Bytes {
    blocks.into_iter().flatten().collect::<Vec<u8>>().into()
}

/// A classic pcap file, big-endian with nanoseconds, of the packets of a pcapng file of ours, each
/// behind `head`.
pub(crate) fn classic(file: &[u8], link: u32, head: &[u8]) -> Bytes {
    let mut out = Vec::new();
    out.extend(0xa1b2_3c4d_u32.to_be_bytes());
    out.extend([0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0]);
    out.extend(link.to_be_bytes());
    for block in blocks(file).iter().filter(|block| is_packet(block)) {
        let (at, packet) = (time(block), packet(block));
        let length = u32::try_from(head.len() + packet.len()).expect("a short packet");
        for field in [(at / 1_000_000) as u32, (at % 1_000_000) as u32 * 1000, length, length] {
            out.extend(field.to_be_bytes());
        }
        out.extend(head);
        out.extend(packet);
    }
    out.into()
}
