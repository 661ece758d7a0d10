//! A file that is read and never written: what the database writes to it stays in memory.
//!
//! Opening a database repairs it where the process before was killed, and a database that is
//! damaged may be written to before the damage is found. So a store is opened in rehearsal first.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;
use redb::backends::FileBackend;

const BLOCK: usize = 4_096;

/// The file with what was written in rehearsal.
#[derive(Debug)]
pub(super) struct Rehearsal {
    file: FileBackend,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    len: u64,
    /// How much of the file still shows through: what is cut off does not come back.
    shown: u64,
    /// By their number.
    written: BTreeMap<u64, Box<[u8]>>,
}

impl Rehearsal {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let file = FileBackend::new(file).map_err(super::fault)?;
        let len = file.len()?;
        Ok(Self { file, state: Mutex::new(State { len, shown: len, written: BTreeMap::new() }) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block as it is in the file.
    fn read_block(&self, state: &State, number: u64) -> io::Result<Box<[u8]>> {
        let mut block = vec![0; BLOCK].into_boxed_slice();
        let start = number * BLOCK as u64;
        let there = usize::try_from(state.shown.saturating_sub(start)).unwrap_or(BLOCK).min(BLOCK);
        self.file.read(start, &mut block[..there])?;
        Ok(block)
    }
}

impl StorageBackend for Rehearsal {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > state.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if state.written.is_empty() && offset + out.len() as u64 <= state.shown {
            return self.file.read(offset, out);
        }
        for (number, skip, part) in blocks(offset, out.len()) {
            let (start, end) = (skip, skip + part.len());
            match state.written.get(&number) {
                Some(block) => out[part].copy_from_slice(&block[start..end]),
                None => out[part].copy_from_slice(&self.read_block(&state, number)?[start..end]),
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state();
        state.len = len;
        if len < state.shown {
            state.shown = len;
        }
        let whole = len.div_ceil(BLOCK as u64);
        state.written.retain(|number, _| *number < whole);
        if let Some(block) = state.written.get_mut(&(len / BLOCK as u64)) {
            block[(len % BLOCK as u64) as usize..].fill(0);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        for (number, skip, part) in blocks(offset, data.len()) {
            let mut block = match state.written.remove(&number) {
                Some(block) => block,
                None => self.read_block(&state, number)?,
            };
            block[skip..skip + part.len()].copy_from_slice(&data[part]);
            state.written.insert(number, block);
        }
        Ok(())
    }
}

/// The blocks that a stretch touches: their number, where in them it begins, and which part of the
/// stretch that is.
fn blocks(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let skip = (at % BLOCK as u64) as usize;
        let part = done..len.min(done + BLOCK - skip);
        done = part.end;
        (!part.is_empty()).then(|| (at / BLOCK as u64, skip, part))
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(content: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(content).expect("a temporary file");
        file
    }

    fn read(volume: &Rehearsal, offset: u64, len: usize) -> Vec<u8> {
        let mut out = vec![0xee; len];
        volume.read(offset, &mut out).expect("within the file");
        out
    }

    #[test]
    fn what_was_written_is_read_and_the_file_stays() {
        let content: Vec<u8> = (0..10_000_u32).map(|number| (number % 251) as u8).collect();
        let file = file(&content);
        let volume = Rehearsal::new(file.reopen().expect("readable")).expect("a file");
        volume.write(4_090, &[0xff; 5_000]).expect("memory");
        let mut expected = content.clone();
        expected[4_090..9_090].fill(0xff);
        assert_eq!(read(&volume, 0, 10_000), expected);
        assert_eq!(read(&volume, 4_085, 10), expected[4_085..4_095]);
        assert_eq!(std::fs::read(file.path()).expect("readable"), content);
    }

    #[test]
    fn what_was_cut_off_comes_back_as_zeros() {
        let file = file(&[7; 9_000]);
        let volume = Rehearsal::new(file.reopen().expect("readable")).expect("a file");
        volume.write(8_500, &[9]).expect("memory");
        volume.set_len(5_000).expect("memory");
        assert!(volume.read(4_999, &mut [0; 2]).is_err());
        volume.set_len(9_000).expect("memory");
        assert_eq!(read(&volume, 4_998, 4), [7, 7, 0, 0]);
        assert_eq!(read(&volume, 8_499, 3), [0, 0, 0]);
    }
}
