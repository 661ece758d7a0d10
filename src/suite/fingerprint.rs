//! Fingerprints of the sentences that requirements come from.
//!
//! A requirement does not hold its sentence, only what is needed to recognise it: the number of its
//! words, a hash of them in order, and the smallest hashes of its pairs of words. The first two find
//! it wherever it stands in a text, however that is broken into lines and lists; the pairs tell a
//! sentence that was changed from one that is gone. The sentence cannot be made from them.

use std::fmt;

/// Pairs of words that a fingerprint keeps.
const PAIRS: usize = 8;
/// Bits of a pair's hash that are kept.
const PAIR_BITS: u32 = 20;
/// The base of the rolling hash.
const BASE: u64 = 0x0000_0100_0000_01b3;
/// The share of its pairs by which a changed sentence is still known, in percent.
const KNOWN: usize = 50;

/// What is kept of a sentence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fingerprint {
    words: usize,
    hash: u64,
    pairs: Vec<u32>,
}

impl Fingerprint {
    /// The fingerprint of a sentence; `None` when it has less than two words.
    pub fn of(sentence: &str) -> Option<Self> {
        Self::of_words(&Text::new(sentence).words)
    }

    fn of_words(words: &[Word]) -> Option<Self> {
        let mut pairs: Vec<u32> = words.windows(2).map(pair).collect();
        pairs.sort_unstable();
        pairs.dedup();
        pairs.truncate(PAIRS);
        (!pairs.is_empty()).then(|| Self { words: words.len(), hash: rolling(words), pairs })
    }

    /// Reads what [`fmt::Display`] writes: `<words> <hash> <pair>…`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let words = parts.next()?.parse().ok().filter(|words| *words > 1)?;
        let hash = parts.next().filter(|digits| digits.len() == 16).and_then(|digits| u64::from_str_radix(digits, 16).ok())?;
        let pairs: Vec<u32> = parts.map(|digits| u32::from_str_radix(digits, 16).ok()).collect::<Option<_>>()?;
        (!pairs.is_empty()).then_some(Self { words, hash, pairs })
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:016x}", self.words, self.hash)?;
        self.pairs.iter().try_for_each(|pair| write!(f, " {pair:05x}"))
    }
}

/// A word of a text, as fingerprints see it.
#[derive(Clone, Copy, Debug)]
struct Word {
    hash: u64,
    line: usize,
    /// Whether it is one of the words by which a sentence binds.
    binds: bool,
    /// Whether a sentence ends with it.
    ends: bool,
}

/// A text in which sentences are looked for.
#[derive(Clone, Debug)]
pub struct Text {
    words: Vec<Word>,
}

/// What became of a sentence in a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// It stands there, word for word.
    Same {
        /// The line where it begins, from 1.
        line: usize,
    },
    /// Something like it stands there.
    Changed {
        /// The line where that begins, from 1.
        line: usize,
        /// How much of it is left, in percent.
        alike: usize,
    },
    /// Nothing like it stands there.
    Gone,
}

impl Text {
    /// The words of a text. Letter case, punctuation, line breaks and the marks of list items do not
    /// count.
    pub fn new(text: &str) -> Self {
        let mut words: Vec<Word> = Vec::new();
        for (line, number) in text.lines().zip(1..) {
            let first = line.split_whitespace().next();
            // An empty line and a new item of a list end what stands above them.
            if let (true, Some(last)) = (first.is_none_or(opens_item), words.last_mut()) {
                last.ends = true;
            }
            words.extend(words_of(line, number));
        }
        Self { words }
    }

    /// Looks for a sentence.
    pub fn find(&self, print: &Fingerprint) -> Found {
        self.range_of(print).map_or(Found::Gone, |(found, _, _)| found)
    }

    /// The fingerprint of what a changed sentence reads now: from the end of the one before it to its
    /// own. `None` where it is unchanged or gone.
    pub fn now(&self, print: &Fingerprint) -> Option<Fingerprint> {
        let (Found::Changed { .. }, from, to) = self.range_of(print)? else { return None };
        // The pairs of a sentence lie in its middle as often as not.
        let middle = from.midpoint(to);
        let begin = self.words[..middle].iter().rposition(|word| word.ends).map_or(0, |at| at + 1);
        let end = self.words[middle..].iter().position(|word| word.ends).map_or(self.words.len(), |at| middle + at + 1);
        Fingerprint::of_words(&self.words[begin..end])
    }

    /// The lines with a word that binds (SHALL, SHOULD, MAY in capitals) which is in none of these
    /// sentences, nor in what they became.
    pub fn unclaimed<'f>(&self, prints: impl IntoIterator<Item = &'f Fingerprint>) -> Vec<usize> {
        let mut claimed = vec![false; self.words.len()];
        for print in prints {
            // The same sentence may stand in two clauses.
            self.exact(print).for_each(|from| claimed[from..from + print.words].fill(true));
            if let Some((_, from, to)) = self.range_of(print) {
                claimed[from..to].fill(true);
            }
        }
        let mut lines: Vec<usize> =
            self.words.iter().zip(&claimed).filter(|(word, claimed)| word.binds && !**claimed).map(|(word, _)| word.line).collect();
        lines.dedup();
        lines
    }

    fn range_of(&self, print: &Fingerprint) -> Option<(Found, usize, usize)> {
        if let Some(from) = self.exact(print).next() {
            return Some((Found::Same { line: self.words[from].line }, from, from + print.words));
        }
        let (hits, first, last) = self.nearest(print)?;
        let alike = hits * 100 / print.pairs.len();
        // What the pairs leave out on either side belongs to the sentence too.
        let missing = print.words.saturating_sub(last - first);
        let (from, to) = (first.saturating_sub(missing), (last + missing).min(self.words.len()));
        (alike >= KNOWN).then(|| (Found::Changed { line: self.words[first].line, alike }, from, to))
    }

    /// Where words begin that have the hash of the sentence.
    fn exact(&self, print: &Fingerprint) -> impl Iterator<Item = usize> {
        let Fingerprint { words: count, hash: wanted, .. } = *print;
        let top = (1..count).fold(1_u64, |power, _| power.wrapping_mul(BASE));
        let mut hash = self.words.get(..count).map(rolling);
        let each = (0..self.words.len()).map_while(move |from| {
            let own = hash?;
            let next = self.words.get(from + count);
            hash = next
                .map(|next| own.wrapping_sub(self.words[from].hash.wrapping_mul(top)).wrapping_mul(BASE).wrapping_add(next.hash));
            Some((from, own))
        });
        each.filter(move |(_, hash)| *hash == wanted).map(|(from, _)| from)
    }

    /// The words, as many as the sentence has and half as many more, that hold most of its pairs;
    /// among equals the first: how many, and from the first pair to the last.
    fn nearest(&self, print: &Fingerprint) -> Option<(usize, usize, usize)> {
        let places: Vec<(usize, u32)> =
            (0..).zip(self.words.windows(2).map(pair)).filter(|(_, hash)| print.pairs.contains(hash)).collect();
        let reach = print.words + print.words / 2;
        let mut best: Option<(usize, usize, usize)> = None;
        for (at, (from, _)) in places.iter().enumerate() {
            let near = places[at..].iter().take_while(|(place, _)| place - from < reach);
            let mut found: Vec<u32> = near.clone().map(|(_, hash)| *hash).collect();
            found.sort_unstable();
            found.dedup();
            let last = near.last().map_or(*from, |(place, _)| *place);
            if best.is_none_or(|(hits, ..)| found.len() > hits) {
                best = Some((found.len(), *from, last + 2));
            }
        }
        best
    }
}

fn words_of(line: &str, number: usize) -> impl Iterator<Item = Word> + '_ {
    line.split_whitespace().enumerate().filter(|(at, token)| *at > 0 || !is_list_mark(token)).filter_map(move |(_, token)| {
        let bare = token.trim_matches(|char: char| !char.is_alphanumeric());
        let binds = matches!(bare, "SHALL" | "SHOULD" | "MAY");
        let word = Word { hash: hash_of(&bare.to_lowercase()), line: number, binds, ends: ends_sentence(token, bare) };
        (!bare.is_empty()).then_some(word)
    })
}

/// Whether a line that begins with this is an item of a list.
fn opens_item(token: &str) -> bool {
    is_list_mark(token) || matches!(token, "·" | "•" | "-" | "*" | "–")
}

/// A full stop, a semicolon or a colon ends a sentence, unless it belongs to an abbreviation or a
/// number.
fn ends_sentence(token: &str, bare: &str) -> bool {
    let abbreviated = matches!(bare, "i.e" | "e.g" | "sect" | "cf" | "etc") || bare.starts_with(|char: char| char.is_ascii_digit());
    token.trim_end_matches(['"', '”', '“', '’', ')', ']']).ends_with(['.', ';', ':']) && !abbreviated
}

/// `1.`, `a)`, `iii.`: an item that moves in its list is the same.
fn is_list_mark(token: &str) -> bool {
    token.strip_suffix(['.', ')']).is_some_and(|mark| (1..=4).contains(&mark.len()) && mark.chars().all(char::is_alphanumeric))
}

fn hash_of(word: &str) -> u64 {
    word.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(BASE))
}

fn rolling(words: &[Word]) -> u64 {
    words.iter().fold(0, |hash, word| hash.wrapping_mul(BASE).wrapping_add(word.hash))
}

fn pair(words: &[Word]) -> u32 {
    let mixed = words.iter().fold(0_u64, |hash, word| (hash ^ word.hash).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    u32::try_from(mixed >> (64 - PAIR_BITS)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENTENCE: &str = "The node SHALL answer each request with a response, unless the request is an ACK;";
    const TEXT: &str = "1. Scope\nNothing here binds.\na) The node SHALL answer each\n   request with a response, unless\n   the request is an ACK; and\nb) it MAY log what it did.\n";

    fn print(sentence: &str) -> Fingerprint {
        Fingerprint::of(sentence).expect("a sentence")
    }

    #[test]
    fn a_sentence_is_found_however_its_lines_are_broken() {
        let text = Text::new(TEXT);
        assert_eq!(text.find(&print(SENTENCE)), Found::Same { line: 3 });
        let renumbered = Text::new(&TEXT.replace("a)", "7.").replace("ACK;", "ACK."));
        assert_eq!(renumbered.find(&print(SENTENCE)), Found::Same { line: 3 });
    }

    #[test]
    fn a_changed_sentence_is_told_from_one_that_is_gone() {
        let changed = Text::new(&TEXT.replace("each", "every"));
        assert!(
            matches!(changed.find(&print(SENTENCE)), Found::Changed { line: 3, alike: 50.. }),
            "{:?}",
            changed.find(&print(SENTENCE))
        );
        let gone = Text::new("1. Scope\nNothing here binds.\nb) it MAY log what it did.\n");
        assert_eq!(gone.find(&print(SENTENCE)), Found::Gone);
        assert_eq!(Text::new("").find(&print(SENTENCE)), Found::Gone);
    }

    #[test]
    fn a_changed_sentence_gets_the_fingerprint_of_what_it_reads_now() {
        let changed = TEXT.replace("each", "every").replace("a response", "a final response");
        let now = Text::new(&changed).now(&print(SENTENCE)).expect("it changed");
        assert_eq!(Text::new(&changed).find(&now), Found::Same { line: 3 });
        let written = SENTENCE.replace("each", "every").replace("a response", "a final response");
        assert_eq!(now, print(&written));
        assert_eq!(Text::new(TEXT).now(&print(SENTENCE)), None);
    }

    #[test]
    fn a_sentence_that_binds_and_that_nobody_claims_is_told() {
        let text = Text::new(TEXT);
        assert_eq!(text.unclaimed(&[print(SENTENCE)]), [6]);
        assert_eq!(text.unclaimed(&[print(SENTENCE), print("it MAY log what it did.")]), [0_usize; 0]);
    }

    #[test]
    fn a_fingerprint_reads_back_as_it_was_written() {
        let print = print(SENTENCE);
        assert_eq!(Fingerprint::parse(&print.to_string()), Some(print));
        for wrong in ["", "14", "14 12", "1 0123456789abcdef 00001", "14 0123456789abcdef", "14 0123456789abcdef xyz"] {
            assert_eq!(Fingerprint::parse(wrong), None, "{wrong}");
        }
        assert_eq!(Fingerprint::of("word"), None);
    }
}
