//! Whether a PF can take up all of what a store holds. It does, or it does not start: what is left
//! out silently would be lost, or come back later.

use std::collections::BTreeSet;
use std::fmt;

use bytes::Bytes;

use super::record::{Key, Record, decode};
use crate::pf::state::Users;

/// Why the records of a store cannot be taken up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BadRecord {
    /// A record that does not read: it is damaged, or of another version.
    Unreadable {
        /// Its key.
        key: Vec<u8>,
    },
    /// A message whose group or sender is missing.
    Orphan {
        /// Its key.
        key: Vec<u8>,
    },
    /// A record of a user whom the configuration does not have.
    NotServed {
        /// The user.
        user: String,
    },
    /// A record of a user who has another place among the users of the configuration.
    Moved {
        /// The user.
        user: String,
        /// The place in the store, from 0.
        was: u32,
        /// The place in the configuration, from 0.
        is: u32,
    },
}

impl BadRecord {
    /// What can be done about it.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "start the version that wrote it, or restore the store from a copy",
            Self::Orphan { .. } => "restore the store from a copy",
            Self::NotServed { .. } => "serve this user too, or name another store",
            Self::Moved { .. } => "keep the order of the users and add new ones behind the others",
        }
    }
}

impl fmt::Display for BadRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { key } => write!(f, "the record `{}` does not read", key.escape_ascii()),
            Self::Orphan { key } => write!(f, "the record `{}` belongs to nothing else in the store", key.escape_ascii()),
            Self::NotServed { user } => write!(f, "it has records of {user}, who is not served"),
            Self::Moved { user, was, is } => write!(f, "it knows {user} as user {was}, who is user {is} now"),
        }
    }
}

impl std::error::Error for BadRecord {}

/// Reads all records.
pub(in crate::pf) fn read(records: impl IntoIterator<Item = (Vec<u8>, Bytes)>, users: &Users) -> Result<Vec<Record>, BadRecord> {
    let (mut read, mut owners, mut owned) = (Vec::new(), BTreeSet::new(), Vec::new());
    for (bytes, value) in records {
        let key = Key::decode(&bytes);
        let (Some(key), Some(record)) = (key, decode(&bytes, value)) else {
            return Err(BadRecord::Unreadable { key: bytes });
        };
        check_user(key, &record, users)?;
        match key.owner() {
            Some(owner) => owned.push((owner, bytes)),
            None => drop(owners.insert(key)),
        }
        read.push(record);
    }
    match owned.into_iter().find(|(owner, _)| !owners.contains(owner)) {
        Some((_, key)) => Err(BadRecord::Orphan { key }),
        None => Ok(read),
    }
}

fn check_user(key: Key, record: &Record, users: &Users) -> Result<(), BadRecord> {
    let Some(address) = record.user() else { return Ok(()) };
    let Some(user) = users.find(address) else {
        return Err(BadRecord::NotServed { user: address.to_owned() });
    };
    match key.user() {
        Some(was) if was != user.0 => Err(BadRecord::Moved { user: address.to_owned(), was, is: user.0 }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pf::deferred::Item;
    use crate::pf::store::{encode_life, encode_message};
    use crate::pf::{PfConfig, ServedUser};
    use crate::time::Instant;

    const BOB: &str = "sip:bob@home1.example";

    fn users(addresses: &[&str]) -> Users {
        let served = |uri: &&str| ServedUser { uri: (*uri).to_owned(), aliases: Vec::new(), core: None };
        Users::new(&PfConfig {
            identity: "sip:pf@home1.example".to_owned(),
            users: addresses.iter().map(served).collect(),
            core: "sip:core.home1.example".to_owned(),
        })
    }

    fn told(key: Key, value: Bytes, addresses: &[&str]) -> String {
        read([(key.encode(), value)], &users(addresses)).expect_err("a bad record").to_string()
    }

    fn bob() -> Bytes {
        let users = users(&[BOB]);
        crate::pf::store::encode_user(&users[users.find(BOB).expect("served")])
    }

    #[test]
    fn sound_records_are_read() {
        let records = [(Key::Life.encode(), encode_life(3)), (Key::User(0).encode(), bob())];
        assert_eq!(read(records, &users(&[BOB])).map(|records| records.len()), Ok(2));
    }

    #[test]
    fn a_record_that_does_not_read_is_told_by_its_key() {
        assert_eq!(told(Key::User(0), bob().slice(..9), &[BOB]), "the record `a\\x00\\x00\\x00\\x00` does not read");
        let longer = [&bob()[..], b"x"].concat();
        assert_eq!(told(Key::User(0), longer.into(), &[BOB]), "the record `a\\x00\\x00\\x00\\x00` does not read");
        let strange = read([(b"z".to_vec(), Bytes::new())], &users(&[BOB]));
        assert!(matches!(strange, Err(BadRecord::Unreadable { .. })));
    }

    #[test]
    fn a_message_without_its_group_is_not_left_out() {
        let item = Item::new(Instant::ZERO, "message/cpim", Bytes::from_static(b"x"));
        assert!(told(Key::Message(0, 7), encode_message(&item), &[BOB]).ends_with("belongs to nothing else in the store"));
    }

    #[test]
    fn users_who_are_not_served_any_more_or_have_moved_are_told() {
        assert_eq!(told(Key::User(0), bob(), &[]), "it has records of sip:bob@home1.example, who is not served");
        assert_eq!(
            told(Key::User(0), bob(), &["sip:ann@home1.example", BOB]),
            "it knows sip:bob@home1.example as user 0, who is user 1 now"
        );
    }
}
