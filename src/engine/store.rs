//! What an engine's commits go to: records under ordered keys that outlive the process.
//!
//! An engine never sees its store. It puts out [`super::Output::Commit`], the driver applies the
//! batch to the node's [`Store`] and tells the [`super::CommitOutcome`]; a process that starts is
//! handed the records that are there.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;

use super::Write;

/// Durable records under ordered keys.
pub trait Store {
    /// Applies a batch: all of its writes or none.
    ///
    /// # Errors
    ///
    /// When the batch could not be made durable; nothing of it was applied then.
    fn commit(&mut self, writes: &[Write]) -> io::Result<()>;

    /// All records in the order of their keys.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    fn records(&self) -> io::Result<Vec<(Vec<u8>, Bytes)>>;
}

impl<S: Store + ?Sized> Store for Box<S> {
    fn commit(&mut self, writes: &[Write]) -> io::Result<()> {
        (**self).commit(writes)
    }

    fn records(&self) -> io::Result<Vec<(Vec<u8>, Bytes)>> {
        (**self).records()
    }
}

/// A store that lasts as long as its owner: the simulator's.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MemoryStore {
    records: BTreeMap<Vec<u8>, Bytes>,
}

impl Store for MemoryStore {
    fn commit(&mut self, writes: &[Write]) -> io::Result<()> {
        for write in writes {
            match write {
                Write::Put { key, value } => drop(self.records.insert(key.clone(), value.clone())),
                Write::Delete { key } => drop(self.records.remove(key)),
            }
        }
        Ok(())
    }

    fn records(&self) -> io::Result<Vec<(Vec<u8>, Bytes)>> {
        Ok(self.records.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_in_the_order_of_their_keys() {
        let mut store = MemoryStore::default();
        let put = |key: &[u8]| Write::Put { key: key.to_vec(), value: Bytes::from_static(b"v") };
        store.commit(&[put(b"b"), put(b"a"), put(b"c"), Write::Delete { key: b"b".to_vec() }]).expect("memory");
        let keys: Vec<Vec<u8>> = store.records().expect("memory").into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, [b"a".to_vec(), b"c".to_vec()]);
    }

    #[test]
    fn the_later_write_of_a_batch_wins() {
        let key = b"k".to_vec();
        let mut store = MemoryStore::default();
        let writes = [Write::Put { key: key.clone(), value: Bytes::new() }, Write::Delete { key }];
        store.commit(&writes).expect("memory");
        assert_eq!(store.records().expect("memory"), []);
    }
}
