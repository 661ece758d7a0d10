//! The file under the database. It is locked by its owner, not by the database, so that it stays
//! locked when the database is opened again.

use std::fs::File;
use std::io;

use redb::StorageBackend;
use redb::backends::FileBackend;

/// A file as the database sees it.
#[derive(Debug)]
pub(super) struct Volume {
    file: FileBackend,
    #[cfg(test)]
    faults: Faults,
}

impl Volume {
    pub(super) fn new(file: File) -> io::Result<Self> {
        Ok(Self {
            file: FileBackend::new(file).map_err(super::fault)?,
            #[cfg(test)]
            faults: Faults::default(),
        })
    }

    #[cfg(test)]
    pub(super) fn with(self, faults: Faults) -> Self {
        Self { faults, ..self }
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "faults are made in tests only")]
    const fn check(&self, _act: &str) -> io::Result<()> {
        Ok(())
    }

    #[cfg(test)]
    fn check(&self, act: &str) -> io::Result<()> {
        self.faults.check(act)
    }
}

impl StorageBackend for Volume {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check("grow")?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check("sync")?;
        self.file.sync_data()?;
        self.check("synced")
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check("write")?;
        self.file.write(offset, data)
    }
}

/// Which acts of the file fail, in a test.
#[cfg(test)]
#[derive(Clone, Debug, Default)]
pub(super) struct Faults(std::sync::Arc<std::sync::Mutex<Option<Plan>>>);

/// The act's name, how many are spared, how many fail after that.
#[cfg(test)]
type Plan = (&'static str, u32, u32);

#[cfg(test)]
impl Faults {
    /// After `spared` acts of this name, `times` of them fail.
    pub(super) fn set(&self, act: &'static str, spared: u32, times: u32) {
        *self.0.lock().expect("no test has panicked") = Some((act, spared, times));
    }

    fn check(&self, act: &str) -> io::Result<()> {
        let mut plan = self.0.lock().expect("no test has panicked");
        match plan.as_mut() {
            Some((name, 0, times)) if *name == act && *times > 0 => {
                *times -= 1;
                Err(io::Error::from(io::ErrorKind::StorageFull))
            }
            Some((name, spared, _)) if *name == act && *spared > 0 => {
                *spared -= 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
