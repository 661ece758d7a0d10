//! Reads capture files: pcapng (draft-ietf-opsawg-pcapng) and pcap (draft-ietf-opsawg-pcap).

use std::fmt;

use bytes::Bytes;

use super::labels::Labels;
use super::pcapng::{block, option};

/// Why a file is no capture, a lower-case fragment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault(pub &'static str);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// One packet as it was caught.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// When, in microseconds since 1970.
    pub(super) at: u64,
    /// The link type.
    pub(super) link: u32,
    /// What was kept of it.
    pub(super) data: Bytes,
    /// The comments on it.
    pub(super) comments: Vec<String>,
}

/// A file, cut into packets.
#[derive(Clone, Debug, Default)]
pub(super) struct Recording {
    /// In order of time; those of one time as the file has them.
    pub(super) frames: Vec<Frame>,
    pub(super) labels: Labels,
    /// Until when was listened, where the file says.
    pub(super) ended: Option<u64>,
    /// Whether the file ends in the middle of a packet.
    pub(super) truncated: bool,
}

/// Whether bytes begin as a capture does.
pub(super) fn is_capture(data: &[u8]) -> bool {
    let Some(first) = data.first_chunk::<4>() else { return false };
    u32::from_le_bytes(*first) == block::SECTION || Order::of_pcap(*first).is_some()
}

/// Cuts a file into packets.
///
/// # Errors
///
/// When it is neither pcapng nor pcap.
pub(super) fn cut(data: &Bytes) -> Result<Recording, Fault> {
    let first = data.first_chunk::<4>().ok_or(Fault("it is too short for a capture"))?;
    let mut recording = match Order::of_pcap(*first) {
        Some((order, divisor)) => pcap(data, order, divisor)?,
        None if u32::from_le_bytes(*first) == block::SECTION => pcapng(data)?,
        None => return Err(Fault("it begins neither as pcapng nor as pcap")),
    };
    recording.frames.sort_by_key(|frame| frame.at);
    Ok(recording)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Order {
    Little,
    Big,
}

impl Order {
    /// The byte order of a pcap file, and how many of its units of time make a microsecond.
    const fn of_pcap(magic: [u8; 4]) -> Option<(Self, u64)> {
        match u32::from_le_bytes(magic) {
            0xa1b2_c3d4 => Some((Self::Little, 1)),
            0xa1b2_3c4d => Some((Self::Little, 1000)),
            0xd4c3_b2a1 => Some((Self::Big, 1)),
            0x4d3c_b2a1 => Some((Self::Big, 1000)),
            _ => None,
        }
    }

    fn u16(self, data: &[u8], at: usize) -> Option<u16> {
        let bytes = *data.get(at..)?.first_chunk::<2>()?;
        Some(match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        })
    }

    fn u32(self, data: &[u8], at: usize) -> Option<u32> {
        let bytes = *data.get(at..)?.first_chunk::<4>()?;
        Some(match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        })
    }

    /// A length or an offset.
    fn size(self, data: &[u8], at: usize) -> Option<usize> {
        usize::try_from(self.u32(data, at)?).ok()
    }

    /// A time, its upper half first.
    fn time(self, data: &[u8], at: usize) -> Option<u64> {
        Some(u64::from(self.u32(data, at)?) << 32 | u64::from(self.u32(data, at + 4)?))
    }
}

fn pcap(data: &Bytes, order: Order, divisor: u64) -> Result<Recording, Fault> {
    let link = order.u32(data, 20).ok_or(Fault("its header is cut off"))? & 0x0fff_ffff;
    let mut recording = Recording::default();
    let mut at = 24;
    while at < data.len() {
        let fields = (order.u32(data, at), order.u32(data, at + 4), order.size(data, at + 8));
        let (Some(seconds), Some(fraction), Some(kept)) = fields else {
            recording.truncated = true;
            break;
        };
        let Some(packet) = part(data, at + 16, kept) else {
            recording.truncated = true;
            break;
        };
        let time = u64::from(seconds) * 1_000_000 + u64::from(fraction) / divisor;
        recording.frames.push(Frame { at: time, link, data: packet, comments: Vec::new() });
        at += 16 + kept;
    }
    Ok(recording)
}

/// The bytes of a part of the file, shared with it.
fn part(data: &Bytes, at: usize, length: usize) -> Option<Bytes> {
    let end = at.checked_add(length)?;
    (end <= data.len()).then(|| data.slice(at..end))
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    link: u32,
    /// Units of a second.
    units: u128,
    /// Seconds to be added.
    offset: i64,
    /// How much of a packet was kept; zero for all.
    kept: usize,
}

impl Interface {
    fn micros(&self, time: u64) -> u64 {
        let micros = u128::from(time) * 1_000_000 / self.units;
        let micros = i128::try_from(micros).unwrap_or(i128::MAX).saturating_add(i128::from(self.offset) * 1_000_000);
        u64::try_from(micros).unwrap_or_default()
    }
}

fn pcapng(data: &Bytes) -> Result<Recording, Fault> {
    let mut reader = Reader { order: Order::Little, interfaces: Vec::new(), recording: Recording::default() };
    let mut at = 0;
    while at < data.len() {
        let Some(length) = reader.block(data, at)? else {
            reader.recording.truncated = true;
            break;
        };
        at += length;
    }
    Ok(reader.recording)
}

struct Reader {
    order: Order,
    interfaces: Vec<Interface>,
    recording: Recording,
}

impl Reader {
    /// Takes a block; returns its length, `None` when it is cut off.
    fn block(&mut self, data: &Bytes, at: usize) -> Result<Option<usize>, Fault> {
        let head = data.get(at..).unwrap_or_default();
        if head.len() < 12 {
            return Ok(None);
        }
        if head.starts_with(&block::SECTION.to_le_bytes()) {
            self.order = match head[8..12].first_chunk::<4>().copied().map(u32::from_le_bytes) {
                Some(block::ORDER) => Order::Little,
                Some(order) if order.swap_bytes() == block::ORDER => Order::Big,
                _ => return Err(Fault("a section has no byte order")),
            };
        }
        let (Some(kind), Some(length)) = (self.order.u32(head, 0), self.order.size(head, 4)) else { return Ok(None) };
        if length < 12 || !length.is_multiple_of(4) {
            return Err(Fault("a block has an impossible length"));
        }
        let Some(body) = part(data, at + 8, length - 12) else { return Ok(None) };
        if at + length > data.len() {
            return Ok(None);
        }
        // A block that lacks fields of its kind is passed over like one of an unknown kind.
        let _ = self.take(kind, &body);
        Ok(Some(length))
    }

    fn take(&mut self, kind: u32, body: &Bytes) -> Option<()> {
        let order = self.order;
        match kind {
            block::SECTION => {
                self.interfaces.clear();
                for comment in self.comments(body.get(16..)?) {
                    self.recording.labels.read(&comment);
                }
            }
            block::INTERFACE => self.interface(body)?,
            block::PACKET => {
                let interface = *self.interfaces.get(order.size(body, 0)?)?;
                let kept = order.size(body, 12)?;
                self.packet(interface, order.time(body, 4)?, part(body, 20, kept)?, body.get(20 + kept.next_multiple_of(4)..));
            }
            block::OLD_PACKET => {
                let interface = *self.interfaces.get(usize::from(order.u16(body, 0)?))?;
                let kept = order.size(body, 12)?;
                self.packet(interface, order.time(body, 4)?, part(body, 20, kept)?, body.get(20 + kept.next_multiple_of(4)..));
            }
            block::SIMPLE_PACKET => {
                // It has no time: that of the packet before it.
                let interface = *self.interfaces.first()?;
                let mut kept = order.size(body, 0)?.min(body.len().saturating_sub(4));
                if interface.kept > 0 {
                    kept = kept.min(interface.kept);
                }
                let at = self.recording.frames.last().map_or(0, |frame| frame.at);
                let data = part(body, 4, kept)?;
                self.recording.frames.push(Frame { at, link: interface.link, data, comments: Vec::new() });
            }
            block::STATISTICS => self.statistics(body)?,
            _ => {}
        }
        Some(())
    }

    fn interface(&mut self, body: &Bytes) -> Option<()> {
        let link = u32::from(self.order.u16(body, 0)?);
        let mut interface = Interface { link, units: 1_000_000, offset: 0, kept: self.order.size(body, 4)? };
        for (code, value) in self.options(body.get(8..)?) {
            match (code, value) {
                (option::RESOLUTION, [power, ..]) if power & 0x80 != 0 => {
                    interface.units = 1_u128 << (power & 0x7f).min(63);
                }
                (option::RESOLUTION, [power, ..]) => interface.units = 10_u128.pow(u32::from(*power).min(20)),
                (option::OFFSET, value) => {
                    let bytes = *value.first_chunk::<8>()?;
                    interface.offset = match self.order {
                        Order::Little => i64::from_le_bytes(bytes),
                        Order::Big => i64::from_be_bytes(bytes),
                    };
                }
                _ => {}
            }
        }
        self.interfaces.push(interface);
        Some(())
    }

    fn packet(&mut self, interface: Interface, time: u64, data: Bytes, options: Option<&[u8]>) {
        let comments = options.map(|options| self.comments(options)).unwrap_or_default();
        self.recording.frames.push(Frame { at: interface.micros(time), link: interface.link, data, comments });
    }

    fn statistics(&mut self, body: &Bytes) -> Option<()> {
        let interface = *self.interfaces.get(self.order.size(body, 0)?)?;
        let end = self.options(body.get(12..)?).find(|(code, _)| *code == option::END_TIME)?.1;
        let end = interface.micros(self.order.time(end, 0)?);
        self.recording.ended = self.recording.ended.max(Some(end));
        Some(())
    }

    fn comments(&self, options: &[u8]) -> Vec<String> {
        let comments = self.options(options).filter(|(code, _)| *code == option::COMMENT);
        comments.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }

    fn options<'a>(&self, mut rest: &'a [u8]) -> impl Iterator<Item = (u16, &'a [u8])> + use<'a> {
        let order = self.order;
        std::iter::from_fn(move || {
            let (code, length) = (order.u16(rest, 0)?, usize::from(order.u16(rest, 2)?));
            let value = rest.get(4..4 + length)?;
            rest = rest.get(4 + length.next_multiple_of(4)..).unwrap_or_default();
            (code != option::END).then_some((code, value))
        })
    }
}
