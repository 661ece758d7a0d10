//! The reference PF as a process of its own, started for one scenario.

use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::serve::Settings;

/// A `serve pf` of this very program. It is killed when it is let go of.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
}

impl Process {
    /// Starts the process, and waits until its sockets are bound.
    ///
    /// # Errors
    ///
    /// What it said in place of `ready`.
    pub(super) fn start(settings: &Settings) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|why| format!("this program cannot be found: {why}"))?;
        let mut command = Command::new(program);
        command.args(["serve", "pf", "--config", "-", "--log", "error"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A signal from the terminal is for us: the run ends what it has begun, and needs its PF for that.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().map_err(|why| format!("the PF cannot be started: {why}"))?;
        let mut process = Self { child };
        process.tell(settings).map_err(|why| format!("the PF cannot be configured: {why}"))?;
        process.wait_until_ready()?;
        Ok(process)
    }

    fn tell(&mut self, settings: &Settings) -> io::Result<()> {
        match self.child.stdin.take() {
            Some(mut stdin) => stdin.write_all(settings.to_toml().as_bytes()),
            None => Ok(()),
        }
    }

    /// The process says `ready`, or ends: either way its output comes to an end of waiting.
    fn wait_until_ready(&mut self) -> Result<(), String> {
        let Some(stdout) = self.child.stdout.take() else { return Err("the PF has no output".to_owned()) };
        for line in BufReader::new(stdout).lines() {
            if line.is_ok_and(|line| line == "ready") {
                return Ok(());
            }
        }
        let mut said = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            // What cannot be read was not said.
            let _ = io::Read::read_to_string(&mut stderr, &mut said);
        }
        Err(format!("the PF did not start: {}", said.trim()))
    }

    /// Whether it has ended by itself, and how.
    pub(super) fn ended(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(|status| format!("the process of the PF ended: {status}"))
    }
}

impl Process {
    /// Kills it as a power cut would.
    pub(super) fn kill(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A folder for what outlives a process but not the run.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes one that nobody else has.
    ///
    /// # Errors
    ///
    /// What the machine said.
    pub(super) fn make() -> io::Result<Self> {
        let mut number = 0_u32;
        loop {
            let path = std::env::temp_dir().join(format!("cpmcheck-{}-{number}", std::process::id()));
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(fault) if fault.kind() == ErrorKind::AlreadyExists => number += 1,
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left behind there is no fault of the run.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
