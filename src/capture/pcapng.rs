//! Writes pcapng (draft-ietf-opsawg-pcapng): one section, one interface, packets with comments.

/// Types of blocks.
pub(super) mod block {
    pub(in crate::capture) const SECTION: u32 = 0x0a0d_0d0a;
    pub(in crate::capture) const INTERFACE: u32 = 1;
    pub(in crate::capture) const OLD_PACKET: u32 = 2;
    pub(in crate::capture) const SIMPLE_PACKET: u32 = 3;
    pub(in crate::capture) const STATISTICS: u32 = 5;
    pub(in crate::capture) const PACKET: u32 = 6;
    /// What tells the byte order of a section.
    pub(in crate::capture) const ORDER: u32 = 0x1a2b_3c4d;
}

/// Options of blocks.
pub(super) mod option {
    pub(in crate::capture) const END: u16 = 0;
    pub(in crate::capture) const COMMENT: u16 = 1;
    /// Of a section.
    pub(in crate::capture) const APPLICATION: u16 = 4;
    /// Of an interface.
    pub(in crate::capture) const NAME: u16 = 2;
    pub(in crate::capture) const RESOLUTION: u16 = 9;
    pub(in crate::capture) const OFFSET: u16 = 14;
    /// Of statistics.
    pub(in crate::capture) const START_TIME: u16 = 2;
    pub(in crate::capture) const END_TIME: u16 = 3;
}

/// The longest comment; an option holds 65535 bytes.
const COMMENT: usize = 32 * 1024;

/// A file in the making; times are microseconds since 1970.
#[derive(Debug)]
pub(super) struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// Begins a section with one interface of this link type.
    pub(super) fn begin(comment: &str, link: u32, interface: &str) -> Self {
        let mut writer = Self { out: Vec::new() };
        let mut body = Vec::new();
        body.extend(block::ORDER.to_le_bytes());
        body.extend([1, 0, 0, 0]);
        body.extend(u64::MAX.to_le_bytes());
        put_option(&mut body, option::COMMENT, short(comment).as_bytes());
        put_option(&mut body, option::APPLICATION, concat!("cpmcheck ", env!("CARGO_PKG_VERSION")).as_bytes());
        put_option(&mut body, option::END, &[]);
        writer.block(block::SECTION, &body);
        let mut body = Vec::new();
        body.extend(link.to_le_bytes());
        // No packet is cut.
        body.extend(0_u32.to_le_bytes());
        put_option(&mut body, option::NAME, interface.as_bytes());
        put_option(&mut body, option::RESOLUTION, &[6]);
        put_option(&mut body, option::END, &[]);
        writer.block(block::INTERFACE, &body);
        writer
    }

    /// Adds a packet.
    pub(super) fn packet<'a>(&mut self, at: u64, data: &[u8], comments: impl IntoIterator<Item = &'a str>) {
        let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let mut body = Vec::with_capacity(data.len() + 32);
        body.extend(0_u32.to_le_bytes());
        body.extend(time(at));
        body.extend(length.to_le_bytes());
        body.extend(length.to_le_bytes());
        body.extend(data);
        pad(&mut body);
        let before = body.len();
        for comment in comments {
            put_option(&mut body, option::COMMENT, short(comment).as_bytes());
        }
        if body.len() > before {
            put_option(&mut body, option::END, &[]);
        }
        self.block(block::PACKET, &body);
    }

    /// Ends the file: the statistics say how long was listened.
    pub(super) fn finish(mut self, started: u64, ended: u64) -> Vec<u8> {
        let mut body = Vec::new();
        body.extend(0_u32.to_le_bytes());
        body.extend(time(ended));
        put_option(&mut body, option::START_TIME, &time(started));
        put_option(&mut body, option::END_TIME, &time(ended));
        put_option(&mut body, option::END, &[]);
        self.block(block::STATISTICS, &body);
        self.out
    }

    fn block(&mut self, kind: u32, body: &[u8]) {
        let length = u32::try_from(body.len() + 12).unwrap_or(u32::MAX);
        self.out.extend(kind.to_le_bytes());
        self.out.extend(length.to_le_bytes());
        self.out.extend(body);
        self.out.extend(length.to_le_bytes());
    }
}

/// A time as blocks hold it: the upper half first, each in the byte order of the section.
fn time(at: u64) -> [u8; 8] {
    (at.rotate_left(32)).to_le_bytes()
}

fn put_option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    body.extend(code.to_le_bytes());
    body.extend(u16::try_from(value.len()).unwrap_or_default().to_le_bytes());
    body.extend(value);
    pad(body);
}

fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}

fn short(text: &str) -> &str {
    &text[..text.floor_char_boundary(COMMENT)]
}
