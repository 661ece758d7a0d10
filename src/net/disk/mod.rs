//! The store of a server: records in one file that outlives the process, however it dies.
//!
//! [`Disk`] is a [`Store`] on an embedded transactional database. A commit returns when the disk
//! has it, and the one that is under way when the process is killed either took place or did not.
//! [`Committer`] puts it on a thread of its own and makes one commit of all that waits. What the
//! records mean is not known here.
//!
//! ```text
//! header    magic, format, owner, the number of the last commit
//! records   key -> value, as the engine wrote them
//! ```
//!
//! A file that is no such store, or is damaged, is told from a good one before anything is written
//! to it: see [`OpenError`].

mod committer;
mod error;
mod open;
mod rehearsal;
#[cfg(test)]
mod tests;
mod volume;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use crate::engine::{Store, Write};
use volume::Volume;

pub use committer::{Committer, Limits, Refused};
pub use error::{Fault, OpenError};

const HEADER: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("header");
const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");
/// The field of the header that counts commits.
const COMMITS: &str = "commits";
/// How much of the file the database keeps in memory: the engine has all of it anyway.
const CACHE: usize = 16 << 20;

/// A store in a file.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    /// Holds the lock, and is what the database is opened on again after a fault.
    file: File,
    /// `None` from a fault of the medium until the file could be opened again.
    database: Option<Database>,
    /// The number of the last commit.
    commits: u64,
    doubt: Option<Doubt>,
    #[cfg(test)]
    faults: volume::Faults,
}

/// A commit that failed in a way that leaves open whether it took place.
#[derive(Debug)]
struct Doubt {
    commit: u64,
    /// What brings back the state before, in this order.
    undo: Vec<Write>,
}

impl Disk {
    /// Opens the store at `path`, or makes one if there is nothing. `owner` is whose records it
    /// holds; it is written into a new store and has to be that of one that exists.
    ///
    /// # Errors
    ///
    /// When the file is not a store of this owner that this version can read in full, or cannot be
    /// had; it is left as it is then.
    pub fn open(path: &Path, owner: &str) -> Result<Self, OpenError> {
        open::open(path, owner).map_err(|fault| OpenError { path: path.to_owned(), fault })
    }

    /// Where the store is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The database and the number of its next commit. It is opened again if the last commit failed.
    fn ready(&mut self) -> io::Result<(&Database, u64)> {
        let database = match self.database.take() {
            Some(database) => database,
            None => self.reopen()?,
        };
        Ok((self.database.insert(database), self.commits + 1))
    }

    /// Opens the database again on the same file. A commit that was reported as failed and took
    /// place nevertheless is undone: nothing of it may come back.
    fn reopen(&mut self) -> io::Result<Database> {
        let volume = Volume::new(self.file.try_clone()?)?;
        #[cfg(test)]
        let volume = volume.with(self.faults.clone());
        let database = open::builder().create_with_backend(volume).map_err(fault)?;
        self.commits = commits(&database).map_err(fault)?;
        if let Some(doubt) = &self.doubt
            && doubt.commit == self.commits
        {
            transact(&database, self.commits + 1, &doubt.undo, &mut Vec::new()).map_err(fault)?;
            self.commits += 1;
        }
        self.doubt = None;
        Ok(database)
    }
}

impl Store for Disk {
    fn commit(&mut self, writes: &[Write]) -> io::Result<()> {
        let mut undo = Vec::new();
        let (database, commit) = self.ready()?;
        match transact(database, commit, writes, &mut undo) {
            Ok(()) => {
                self.commits = commit;
                Ok(())
            }
            Err(error) => {
                undo.reverse();
                self.doubt = Some(Doubt { commit, undo });
                // After a fault the database takes nothing more until it is opened again. Where
                // that fails too, the next commit tries it once more.
                self.database = None;
                drop(self.ready());
                Err(fault(error))
            }
        }
    }

    fn records(&self) -> io::Result<Vec<(Vec<u8>, Bytes)>> {
        let database = self.database.as_ref().ok_or_else(|| io::Error::other("the store could not be opened again"))?;
        let read = || -> Result<_, redb::Error> {
            let table = database.begin_read()?.open_table(RECORDS)?;
            let copied = table.iter()?.map(|entry| {
                let (key, value) = entry?;
                Ok((key.value().to_vec(), Bytes::copy_from_slice(value.value())))
            });
            copied.collect()
        };
        read().map_err(fault)
    }
}

/// Applies writes as the commit of this number. In `undo` goes what was there before, first write
/// first.
fn transact(database: &Database, commit: u64, writes: &[Write], undo: &mut Vec<Write>) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    // The database points to a commit only when a sync has put all of it on the disk. What does not
    // add up afterwards is damage and never mistaken for a commit that was cut off, and pages that a
    // failed sync has lost are pages that nothing points to.
    transaction.set_two_phase_commit(true);
    {
        let mut records = transaction.open_table(RECORDS)?;
        for write in writes {
            let (key, before) = match write {
                Write::Put { key, value } => (key, records.insert(key.as_slice(), value.as_ref())?),
                Write::Delete { key } => (key, records.remove(key.as_slice())?),
            };
            let key = key.clone();
            undo.push(match before {
                Some(value) => Write::Put { key, value: Bytes::copy_from_slice(value.value()) },
                None => Write::Delete { key },
            });
        }
        transaction.open_table(HEADER)?.insert(COMMITS, commit.to_be_bytes().as_slice())?;
    }
    Ok(transaction.commit()?)
}

/// The number of the last commit.
fn commits(database: &Database) -> Result<u64, redb::Error> {
    let header = database.begin_read()?.open_table(HEADER)?;
    let number = header.get(COMMITS)?.and_then(|value| value.value().try_into().ok());
    number.map(u64::from_be_bytes).ok_or_else(|| redb::Error::Corrupted("the number of the last commit is missing".to_owned()))
}

/// What the medium says, without the database around it.
fn fault(error: impl Into<redb::Error>) -> io::Error {
    match error.into() {
        redb::Error::Io(error) => error,
        other => io::Error::other(other),
    }
}
