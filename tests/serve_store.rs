//! What `serve pf` says of a store that it does not take, and that it leaves it alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bytes::Bytes;
use cpmcheck::engine::{Store, Write};
use cpmcheck::net::disk::Disk;
use tempfile::TempDir;

/// What the PF calls itself: its store is in this name.
const PF: &str = "sip:rcse-standfw@home1.example";

/// Starts a PF that cannot start; returns what it said.
fn refused(store: &Path, code: i32) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cpmcheck"));
    command.args(["serve", "pf", "--listen", "udp:127.0.0.1:0", "--core", "sip:127.0.0.1:5060", "--store"]).arg(store);
    let Output { status, stderr, stdout } = command.output().expect("a process");
    let said = String::from_utf8_lossy(&stderr).into_owned();
    assert_eq!(status.code(), Some(code), "{said}");
    assert!(stdout.is_empty(), "it is not ready");
    said
}

fn file(folder: &TempDir) -> PathBuf {
    folder.path().join("pf.store")
}

#[test]
fn a_file_of_another_program_is_refused_by_exit_3_and_left_alone() {
    let folder = TempDir::new().expect("a folder");
    let content = b"SQLite format 3\0 and more";
    fs::write(file(&folder), content).expect("a file");
    let said = refused(&file(&folder), 3);
    assert!(said.starts_with("error[E0705]: the store ") && said.contains("it is an SQLite database"), "{said}");
    assert_eq!(fs::read(file(&folder)).expect("a file"), content);
}

#[test]
fn a_store_with_a_record_that_does_not_read_is_refused_by_exit_3_and_left_alone() {
    let folder = TempDir::new().expect("a folder");
    let mut disk = Disk::open(&file(&folder), PF).expect("a new store");
    disk.commit(&[Write::Put { key: b"strange".to_vec(), value: Bytes::from_static(b"?") }]).expect("a disk");
    drop(disk);
    let said = refused(&file(&folder), 3);
    assert!(said.contains("the record `strange` does not read"), "{said}");
    let disk = Disk::open(&file(&folder), PF).expect("still a store");
    assert_eq!(disk.records().expect("a disk").len(), 1);
}

#[test]
fn a_store_that_another_process_has_open_is_refused_by_exit_7() {
    let folder = TempDir::new().expect("a folder");
    let _open = Disk::open(&file(&folder), PF).expect("a new store");
    let said = refused(&file(&folder), 7);
    assert!(said.starts_with("error[E0706]: ") && said.contains("is open in another process"), "{said}");
}

#[test]
fn the_store_of_another_pf_is_refused_by_exit_3_and_left_alone() {
    let folder = TempDir::new().expect("a folder");
    drop(Disk::open(&file(&folder), "sip:other-pf@home2.example").expect("a new store"));
    let said = refused(&file(&folder), 3);
    assert!(said.contains("sip:other-pf@home2.example") && said.contains(PF), "{said}");
    Disk::open(&file(&folder), "sip:other-pf@home2.example").expect("still the store of that one");
}
