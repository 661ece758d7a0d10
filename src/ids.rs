//! Identifiers that a seed decides.
//!
//! Every Call-ID, tag, branch and Message-ID that our engines make comes from an [`Ids`], so one
//! seed gives one trace. The generator is SplitMix64: small, well mixed, and the same everywhere.

/// A deterministic source of identifiers for one node.
#[derive(Clone, Debug)]
pub struct Ids {
    state: u64,
}

impl Ids {
    /// The source for the node `name` under `seed`; nodes with different names never collide in
    /// practice, since their streams start at unrelated states.
    pub fn new(seed: u64, name: &str) -> Self {
        let state = name
            .bytes()
            .fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        Self { state }
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next_u64() % bound }
    }

    /// A Via branch with the cookie of RFC 3261 8.1.1.7.
    pub fn branch(&mut self) -> String {
        hex("z9hG4bK", self.next_u64(), 16)
    }

    /// A From or To tag (RFC 3261 19.3).
    pub fn tag(&mut self) -> String {
        hex("", self.next_u64() >> 16, 12)
    }

    /// A Call-ID at `host` (RFC 3261 8.1.1.4).
    pub fn call_id(&mut self, host: &str) -> String {
        hex("", self.next_u64(), 16) + "@" + host
    }

    /// An MSRP transaction identifier (RFC 4975 7.1).
    pub fn transact_id(&mut self) -> String {
        hex("", self.next_u64() >> 8, 14)
    }

    /// An MSRP Message-ID (RFC 4975 7.1.1).
    pub fn message_id(&mut self) -> String {
        hex("", self.next_u64(), 16)
    }

    /// The session part of an MSRP URI (RFC 4975 14.1: at least 80 bits of randomness).
    pub fn session_id(&mut self) -> String {
        hex(&hex("", self.next_u64(), 16), self.next_u64() >> 32, 8)
    }
}

/// The lowest `digits` hexadecimal digits of `value` behind `prefix`.
fn hex(prefix: &str, value: u64, digits: usize) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut all = [0; 16];
    for (place, digit) in all.iter_mut().rev().enumerate() {
        *digit = DIGITS[(value >> (4 * place)) as usize % 16];
    }
    let mut text = String::with_capacity(prefix.len() + 24);
    text.push_str(prefix);
    text.push_str(&String::from_utf8_lossy(&all[16 - digits..]));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_have_their_full_length() {
        assert_eq!(hex("z", 0xab, 6), "z0000ab");
        assert_eq!(hex("", u64::MAX, 16), "ffffffffffffffff");
        assert_eq!(Ids::new(1, "x").session_id().len(), 24);
    }

    #[test]
    fn one_seed_gives_one_stream_per_node() {
        let stream = |seed, name| {
            let mut ids = Ids::new(seed, name);
            (ids.branch(), ids.tag(), ids.call_id("pf.example"))
        };
        assert_eq!(stream(1, "pf"), stream(1, "pf"));
        assert_ne!(stream(1, "pf"), stream(2, "pf"));
        assert_ne!(stream(1, "pf"), stream(1, "bob"));
    }
}
