//! How a store is opened, or made.
//!
//! ```text
//! nothing there   a new store is written aside and put in place whole; then as below
//! a file          locked; its first bytes are looked at; opened in rehearsal, where every page is
//!                 checked; its header and its records are read; then opened for good
//! ```

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use redb::{Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, TableError, TableHandle};

use super::error::Fault;
use super::rehearsal::Rehearsal;
use super::volume::Volume;
use super::{CACHE, COMMITS, Disk, HEADER, RECORDS, commits, fault};

/// What the header says first.
const MAGIC: &[u8] = b"cpmcheck store";
/// The format that this version writes. It reads those up to it.
const FORMAT: u32 = 1;
const OWNER: &str = "owner";

/// Opens the store, or makes one where nothing is.
pub(super) fn open(path: &Path, owner: &str) -> Result<Disk, Fault> {
    if !path.try_exists()? {
        create(path, owner)?;
    }
    let file = lock(path)?;
    look_at(&file)?;
    rehearse(file.try_clone()?, owner)?;
    let volume = Volume::new(file.try_clone()?)?;
    #[cfg(test)]
    let faults = super::volume::Faults::default();
    #[cfg(test)]
    let volume = volume.with(faults.clone());
    let database = builder().create_with_backend(volume).map_err(damage)?;
    let commits = commits(&database).map_err(fault)?;
    Ok(Disk {
        path: path.to_owned(),
        file,
        database: Some(database),
        commits,
        doubt: None,
        #[cfg(test)]
        faults,
    })
}

/// How a database is opened here.
pub(super) fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE);
    builder
}

/// The file, if it is one and nobody else has it.
fn lock(path: &Path) -> Result<File, Fault> {
    let kind = fs::metadata(path)?.file_type();
    if kind.is_dir() {
        return Err(Fault::Foreign("a folder".to_owned()));
    }
    if !kind.is_file() {
        return Err(Fault::Foreign("no regular file".to_owned()));
    }
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Fault::InUse),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// The first bytes of files that people have lying about.
const KNOWN: [(&[u8], &str); 11] = [
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\x1f\x8b", "a gzip file"),
    (b"PK\x03\x04", "a zip file"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
    (b"\x7fELF", "a program"),
    (b"\x89PNG", "a picture"),
    (b"%PDF", "a PDF document"),
    (b"\x0a\x0d\x0d\x0a", "a pcapng capture"),
    (b"\xd4\xc3\xb2\xa1", "a pcap capture"),
    (b"\xa1\xb2\xc3\xd4", "a pcap capture"),
    (b"-----BEGIN ", "a PEM file"),
];

/// The first bytes of a database.
const DATABASE: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";

/// Tells a database by its first bytes from anything else.
fn look_at(file: &File) -> Result<(), Fault> {
    let mut start = Vec::new();
    file.take(512).read_to_end(&mut start)?;
    if start.is_empty() {
        return Err(Fault::Empty);
    }
    if start.starts_with(DATABASE) {
        return Ok(());
    }
    if DATABASE.starts_with(&start) {
        return Err(Fault::Damaged(format!("it ends after {} bytes", start.len())));
    }
    let known = KNOWN.iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, what)| *what);
    let what = known.unwrap_or_else(|| match std::str::from_utf8(&start) {
        Err(error) if error.error_len().is_some() => "something else, by its first bytes",
        _ if start.iter().all(|byte| *byte == 0) => "all zeros at its start",
        _ if start.contains(&0) => "something else, by its first bytes",
        _ => "a text file",
    });
    Err(Fault::Foreign(what.to_owned()))
}

/// Opens the file without writing to it, checks every page, and reads all of it.
fn rehearse(file: File, owner: &str) -> Result<(), Fault> {
    let mut builder = builder();
    let database = builder.set_check_integrity_on_open(true).create_with_backend(Rehearsal::new(file)?).map_err(damage)?;
    read_header(&database, owner)?;
    let read = || -> Result<(), redb::Error> {
        commits(&database)?;
        for entry in database.begin_read()?.open_table(RECORDS)?.iter()? {
            drop(entry?);
        }
        Ok(())
    };
    read().map_err(|error| match error {
        redb::Error::Io(error) => Fault::System(error),
        other => Fault::Damaged(other.to_string()),
    })
}

fn read_header(database: &Database, owner: &str) -> Result<(), Fault> {
    let transaction = database.begin_read().map_err(|error| Fault::Damaged(error.to_string()))?;
    let header = match transaction.open_table(HEADER) {
        Ok(header) => header,
        Err(TableError::Storage(error)) => return Err(Fault::Damaged(error.to_string())),
        Err(_) => return Err(other_database(&transaction)),
    };
    let field = |name: &str| match header.get(name) {
        Ok(value) => Ok(value.map(|value| value.value().to_vec())),
        Err(error) => Err(Fault::Damaged(error.to_string())),
    };
    if field("magic")?.as_deref() != Some(MAGIC) {
        return Err(other_database(&transaction));
    }
    let format = field("format")?.and_then(|value| value.try_into().ok()).map(u32::from_be_bytes);
    match format {
        None | Some(0) => return Err(Fault::Damaged("its header names no format".to_owned())),
        Some(found) if found > FORMAT => return Err(Fault::Newer { found, known: FORMAT }),
        Some(_) => {}
    }
    let found = field(OWNER)?.and_then(|value| String::from_utf8(value).ok());
    let found = found.ok_or_else(|| Fault::Damaged("its header names no owner".to_owned()))?;
    if found != owner {
        return Err(Fault::Owner { found, wanted: owner.to_owned() });
    }
    Ok(())
}

fn other_database(transaction: &redb::ReadTransaction) -> Fault {
    let tables = transaction.list_tables().map(|tables| tables.map(|table| format!("`{}`", table.name())).collect::<Vec<_>>());
    Fault::Foreign(match tables.map(|tables| tables.join(", ")) {
        Ok(tables) if !tables.is_empty() => format!("a redb database of another program, with the tables {tables}"),
        _ => "a redb database of another program".to_owned(),
    })
}

fn damage(error: DatabaseError) -> Fault {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => Fault::InUse,
        DatabaseError::UpgradeRequired(found) => {
            Fault::Foreign(format!("a redb database in the old file format {found}, which no version of cpmcheck wrote"))
        }
        DatabaseError::Storage(redb::StorageError::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Fault::Damaged("it ends too early".to_owned())
        }
        DatabaseError::Storage(redb::StorageError::Io(error)) if error.kind() != io::ErrorKind::InvalidData => Fault::System(error),
        other => Fault::Damaged(other.to_string()),
    }
}

/// Writes a new store beside its place and links it there, so that whoever looks sees a whole store
/// or none. Somebody who was faster keeps the place.
fn create(path: &Path, owner: &str) -> Result<(), Fault> {
    let aside = beside(path);
    let database = builder().create(&aside).map_err(damage)?;
    let fill = || -> Result<(), redb::Error> {
        let mut transaction = database.begin_write()?;
        transaction.set_two_phase_commit(true);
        {
            let mut header = transaction.open_table(HEADER)?;
            header.insert("magic", MAGIC)?;
            header.insert("format", FORMAT.to_be_bytes().as_slice())?;
            header.insert(OWNER, owner.as_bytes())?;
            header.insert(COMMITS, 0_u64.to_be_bytes().as_slice())?;
            transaction.open_table(RECORDS)?;
        }
        Ok(transaction.commit()?)
    };
    let filled = fill().map_err(fault);
    drop(database);
    let linked = filled.and_then(|()| match fs::hard_link(&aside, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    });
    fs::remove_file(&aside)?;
    linked?;
    sync_folder(path);
    Ok(())
}

/// A name that is nobody's: that of the file and of this process.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".new-{}", std::process::id()));
    path.with_file_name(name)
}

/// Makes the name durable, on systems where a folder can be synced.
fn sync_folder(path: &Path) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Ok(folder) = File::open(folder) {
        drop(folder.sync_all());
    }
}
