//! A store that lasts as long as its owner: the simulator's.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::Store;
use crate::engine::Write;

/// Records in memory.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Memory {
    records: BTreeMap<Vec<u8>, Bytes>,
}

impl Store for Memory {
    fn commit(&mut self, writes: Vec<Write>) -> std::io::Result<()> {
        for write in writes {
            match write {
                Write::Put { key, value } => drop(self.records.insert(key, value)),
                Write::Delete { key } => drop(self.records.remove(&key)),
            }
        }
        Ok(())
    }

    fn records(&self) -> std::io::Result<Vec<(Vec<u8>, Bytes)>> {
        Ok(self.records.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_in_the_order_of_their_keys() {
        let mut store = Memory::default();
        let put = |key: &[u8]| Write::Put { key: key.to_vec(), value: Bytes::from_static(b"v") };
        store.commit(vec![put(b"b"), put(b"a"), put(b"c"), Write::Delete { key: b"b".to_vec() }]).expect("memory");
        let keys: Vec<Vec<u8>> = store.records().expect("memory").into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, [b"a".to_vec(), b"c".to_vec()]);
    }
}
