//! Sets of bytes, made when this is compiled: one look per byte of a message counts.

/// Which bytes belong to it. Sets that cut text hold ASCII only, so they cut between characters.
pub(crate) type Set = [bool; 256];

/// The letters and digits.
pub(crate) const ALPHANUMERIC: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// The set of all bytes in `parts`.
pub(crate) const fn set(parts: &[&[u8]]) -> Set {
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

pub(crate) const fn is_in(set: &Set, byte: u8) -> bool {
    set[byte as usize]
}

/// Where the first of `marks` stands, eight bytes at a time: names, URIs and parameters are too short
/// for a vector search to pay.
#[inline]
pub(in crate::wire) fn first_of<const N: usize>(marks: [u8; N], text: &[u8]) -> Option<usize> {
    let (words, rest) = text.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        if let Some(at) = first_in(marks, *word) {
            return Some(index * 8 + at);
        }
    }
    match text.last_chunk::<8>() {
        // What is left is looked at together with the bytes before it, which are no marks.
        Some(last) if !rest.is_empty() => first_in(marks, *last).map(|at| text.len() - 8 + at),
        Some(_) => None,
        None => rest.iter().position(|byte| marks.contains(byte)),
    }
}

/// Where the first of `marks` stands in a word.
#[inline]
fn first_in<const N: usize>(marks: [u8; N], word: [u8; 8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let word = u64::from_le_bytes(word);
    // A byte that is a mark is zero once the mark is taken from it; the lowest bit that is set then
    // belongs to the first such byte.
    let found = marks.iter().fold(0, |found, mark| {
        let zeroed = word ^ (ONES * u64::from(*mark));
        found | (zeroed.wrapping_sub(ONES) & !zeroed & (ONES * 0x80))
    });
    (found != 0).then(|| found.trailing_zeros() as usize / 8)
}

/// How many bytes at the start of `text` belong to `set`.
pub(crate) fn run(set: &Set, text: &[u8]) -> usize {
    text.iter().position(|byte| !is_in(set, *byte)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_mark_is_found_wherever_it_stands() {
        for length in 0..40 {
            for at in 0..=length {
                let mut text = vec![b'x'; length];
                text.insert(at, b';');
                text.extend(b"\xbb;=");
                assert_eq!(first_of([b'=', b';'], &text), Some(at));
                assert_eq!(first_of([b'@'], &text), None);
            }
        }
    }
}
