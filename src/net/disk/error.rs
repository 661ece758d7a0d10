//! Why a store is refused, in words for the one who started the server.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// A store that was not opened. The file was left as it is.
#[derive(Debug)]
pub struct OpenError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What keeps a file from being opened as a store.
#[derive(Debug)]
pub enum Fault {
    /// It is something else: what it looks like.
    Foreign(String),
    /// It has no content at all, as after a copy that failed.
    Empty,
    /// It is a store, or was one, and its content does not add up.
    Damaged(String),
    /// A later version of this program wrote it.
    Newer {
        /// Its format.
        found: u32,
        /// The latest that this version reads.
        known: u32,
    },
    /// It holds the records of somebody else.
    Owner {
        /// Whose they are.
        found: String,
        /// Who wants to open it.
        wanted: String,
    },
    /// Another process has it open.
    InUse,
    /// The operating system does not let us.
    System(io::Error),
}

impl OpenError {
    /// The code under which it is explained.
    pub const fn code(&self) -> &'static str {
        if self.is_input() { "E0705" } else { "E0706" }
    }

    /// Whether the file itself is at fault, rather than what surrounds it.
    pub const fn is_input(&self) -> bool {
        match self.fault {
            Fault::Foreign(_) | Fault::Empty | Fault::Damaged(_) | Fault::Newer { .. } | Fault::Owner { .. } => true,
            Fault::InUse | Fault::System(_) => false,
        }
    }

    /// What can be done about it.
    pub fn help(&self) -> String {
        match &self.fault {
            Fault::Foreign(_) => "name a file that is a store, or one that does not exist: it is made then".to_owned(),
            Fault::Empty => {
                "if nothing was stored in it, remove it: a new store is made then; else restore it from a copy".to_owned()
            }
            Fault::Damaged(_) => {
                "restore it from a copy, or move it away: the server then starts without what was stored in it".to_owned()
            }
            Fault::Newer { .. } => "start the version that wrote it, or a later one".to_owned(),
            Fault::Owner { found, .. } => format!("serve as {found}, or name another file"),
            Fault::InUse => "end the process that has it open, or name another file".to_owned(),
            Fault::System(error) => match error.kind() {
                io::ErrorKind::NotFound => "make the folder first".to_owned(),
                io::ErrorKind::PermissionDenied => "the user of this process needs to read and write it".to_owned(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room".to_owned(),
                _ => "the message is that of the operating system".to_owned(),
            },
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store {} ", self.path.display())?;
        match &self.fault {
            Fault::Foreign(what) => write!(f, "is not one of cpmcheck: it is {what}"),
            Fault::Empty => f.write_str("is empty: a store never is, not even a new one"),
            Fault::Damaged(what) => write!(f, "is damaged: {what}"),
            Fault::Newer { found, known } => {
                write!(f, "was written by a later version: its format is {found}, this version reads up to {known}")
            }
            Fault::Owner { found, wanted } => write!(f, "belongs to {found}, not to {wanted}"),
            Fault::InUse => f.write_str("is open in another process"),
            Fault::System(error) => write!(f, "cannot be opened: {error}"),
        }
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.fault {
            Fault::System(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}
