//! Sets of bytes, made when this is compiled: one look per byte of a message counts.

/// Which bytes belong to it. Sets that cut text hold ASCII only, so they cut between characters.
pub(super) type Set = [bool; 256];

/// The letters and digits.
pub(super) const ALPHANUMERIC: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// The set of all bytes in `parts`.
pub(super) const fn set(parts: &[&[u8]]) -> Set {
    let mut table = [false; 256];
    let mut part = 0;
    while part < parts.len() {
        let mut at = 0;
        while at < parts[part].len() {
            table[parts[part][at] as usize] = true;
            at += 1;
        }
        part += 1;
    }
    table
}

pub(super) const fn is_in(set: &Set, byte: u8) -> bool {
    set[byte as usize]
}

/// How many bytes at the start of `text` belong to `set`.
pub(super) fn run(set: &Set, text: &[u8]) -> usize {
    text.iter().position(|byte| !is_in(set, *byte)).unwrap_or(text.len())
}
