//! The store against what happens to files.

use std::fs;
use std::path::PathBuf;

use redb::TableDefinition;
use tempfile::TempDir;

use super::*;

const OWNER: &str = "sip:pf@home1.example";

struct World {
    folder: TempDir,
}

fn world() -> World {
    World { folder: TempDir::new().expect("a temporary folder") }
}

impl World {
    fn path(&self) -> PathBuf {
        self.folder.path().join("pf.store")
    }

    fn open(&self) -> Disk {
        Disk::open(&self.path(), OWNER).expect("a store")
    }

    fn fault(&self) -> Fault {
        Disk::open(&self.path(), OWNER).expect_err("no store").fault
    }

    /// A file with this content.
    fn write(&self, content: &[u8]) {
        fs::write(self.path(), content).expect("writable");
    }

    fn content(&self) -> Vec<u8> {
        fs::read(self.path()).expect("readable")
    }

    /// What is wrong with the file; looking at it has changed nothing and left nothing behind.
    fn refused(&self) -> String {
        let before = self.content();
        let error = Disk::open(&self.path(), OWNER).expect_err("no store");
        assert!(self.content() == before, "the file was changed: {error}");
        let names: Vec<_> =
            fs::read_dir(self.folder.path()).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
        assert_eq!(names, [self.path()]);
        assert!(error.is_input() && !error.help().is_empty());
        error.to_string().replace(&self.path().display().to_string(), "FILE")
    }
}

fn put(key: &str, value: &str) -> Write {
    Write::Put { key: key.as_bytes().to_vec(), value: Bytes::copy_from_slice(value.as_bytes()) }
}

fn delete(key: &str) -> Write {
    Write::Delete { key: key.as_bytes().to_vec() }
}

/// What is stored, as `key=value`.
fn stored(disk: &Disk) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let records = disk.records().expect("readable").into_iter();
    records.map(|(key, value)| format!("{}={}", text(&key), text(&value))).collect::<Vec<_>>().join(" ")
}

/// A store with two records, as the file that a process leaves behind that ends, or is killed.
fn image(killed: bool) -> Vec<u8> {
    let world = world();
    let mut disk = world.open();
    disk.commit(&[put("a", "1"), put("b", "2"), put("c", "3")]).expect("a disk");
    disk.commit(&[delete("c"), put("b", "4")]).expect("a disk");
    if !killed {
        drop(disk);
    }
    world.content()
}

#[test]
fn records_outlive_the_process_in_the_order_of_their_keys() {
    for killed in [false, true] {
        let world = world();
        world.write(&image(killed));
        assert_eq!(stored(&world.open()), "a=1 b=4", "killed: {killed}");
    }
}

#[test]
fn a_new_store_is_empty_and_opens_again() {
    let world = world();
    assert_eq!(stored(&world.open()), "");
    assert_eq!(stored(&world.open()), "");
}

#[test]
fn the_later_write_of_a_batch_wins() {
    let mut disk = world().open();
    disk.commit(&[put("a", "1"), delete("a"), put("b", "1"), put("b", "2"), delete("missing")]).expect("a disk");
    assert_eq!(stored(&disk), "b=2");
}

#[test]
fn a_commit_that_fails_leaves_nothing_behind_wherever_it_fails() {
    for act in ["grow", "write", "sync", "synced"] {
        for spared in 0..8 {
            let world = world();
            let mut disk = world.open();
            disk.commit(&[put("a", "1"), put("b", "2")]).expect("a disk");
            disk.faults.set(act, spared, 1);
            let large = "x".repeat(20_000);
            let batch = [put("a", "changed"), delete("b"), put("c", &large), put("c", "new")];
            let expected = if disk.commit(&batch).is_ok() { "a=changed c=new" } else { "a=1 b=2" };
            disk.faults.set(act, 0, 0);
            assert_eq!(stored(&disk), expected, "{act} after {spared}");
            disk.commit(&[put("z", "next")]).expect("the fault is over");
            drop(disk);
            assert_eq!(stored(&world.open()), format!("{expected} z=next"), "{act} after {spared}");
        }
    }
}

#[test]
fn a_commit_that_took_place_and_was_reported_as_failed_does_not_come_back() {
    let world = world();
    let mut disk = world.open();
    disk.commit(&[put("a", "1")]).expect("a disk");
    // The second sync is the one behind the switch to the new state; from then on nothing works.
    disk.faults.set("synced", 1, 100);
    assert!(disk.commit(&[put("a", "2"), put("b", "2")]).is_err());
    assert!(disk.commit(&[put("c", "3")]).is_err());
    disk.faults.set("synced", 0, 0);
    disk.commit(&[put("d", "4")]).expect("the fault is over");
    assert_eq!(stored(&disk), "a=1 d=4");
}

#[test]
fn a_full_disk_refuses_what_is_new_and_keeps_what_there_is() {
    let world = world();
    let mut disk = world.open();
    disk.commit(&[put("a", "1")]).expect("a disk");
    disk.faults.set("write", 0, 1_000);
    for _ in 0..3 {
        let error = disk.commit(&[put("b", "2")]).expect_err("no room");
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    }
    disk.faults.set("write", 0, 0);
    disk.commit(&[put("c", "3")]).expect("there is room again");
    assert_eq!(stored(&disk), "a=1 c=3");
}

#[test]
fn files_of_others_are_told_and_left_alone() {
    let cases: [(&[u8], &str); 7] = [
        (b"SQLite format 3\0\x10\0\x01\x01", "the store FILE is not one of cpmcheck: it is an SQLite database"),
        ("Einkaufsliste: Brot, Käse\n".as_bytes(), "the store FILE is not one of cpmcheck: it is a text file"),
        (b"\xfe\xfd\0\x01", "the store FILE is not one of cpmcheck: it is something else, by its first bytes"),
        (&[0; 8_192], "the store FILE is not one of cpmcheck: it is all zeros at its start"),
        (b"\x0a\x0d\x0d\x0a\x1c", "the store FILE is not one of cpmcheck: it is a pcapng capture"),
        (b"", "the store FILE is empty: a store never is, not even a new one"),
        (b"redb\x1a", "the store FILE is damaged: it ends after 5 bytes"),
    ];
    for (content, expected) in cases {
        let world = world();
        world.write(content);
        assert_eq!(world.refused(), expected);
    }
}

#[test]
fn a_database_of_another_program_is_told_by_its_tables() {
    let world = world();
    let database = Database::create(world.path()).expect("a file");
    let transaction = database.begin_write().expect("a disk");
    transaction.open_table(TableDefinition::<u64, u64>::new("orders")).expect("a table");
    transaction.commit().expect("a disk");
    drop(database);
    assert_eq!(
        world.refused(),
        "the store FILE is not one of cpmcheck: it is a redb database of another program, with the tables `orders`"
    );
}

/// A store whose header says this.
fn with_header(field: &str, value: Option<&[u8]>) -> World {
    let world = world();
    drop(world.open());
    let database = Database::create(world.path()).expect("a file");
    let transaction = database.begin_write().expect("a disk");
    {
        let mut header = transaction.open_table(HEADER).expect("a table");
        match value {
            Some(value) => drop(header.insert(field, value).expect("a disk")),
            None => drop(header.remove(field).expect("a disk")),
        }
    }
    transaction.commit().expect("a disk");
    drop(database);
    world
}

#[test]
fn a_store_of_a_later_version_or_of_somebody_else_is_told() {
    let cases: [(&str, Option<&[u8]>, &str); 5] = [
        (
            "format",
            Some(&[0, 0, 0, 9]),
            "the store FILE was written by a later version: its format is 9, this version reads up to 1",
        ),
        (
            "owner",
            Some(b"sip:other@home2.example"),
            "the store FILE belongs to sip:other@home2.example, not to sip:pf@home1.example",
        ),
        ("format", None, "the store FILE is damaged: its header names no format"),
        (
            "magic",
            Some(b"another store"),
            "the store FILE is not one of cpmcheck: it is a redb database of another program, with the tables `header`, `records`",
        ),
        ("commits", None, "the store FILE is damaged: DB corrupted: the number of the last commit is missing"),
    ];
    for (field, value, expected) in cases {
        assert_eq!(with_header(field, value).refused(), expected);
    }
}

#[test]
fn a_store_that_is_cut_off_anywhere_is_refused_and_left_alone() {
    for killed in [false, true] {
        let (whole, world) = (image(killed), world());
        for length in (0..whole.len()).step_by(whole.len() / 97).chain([1, 9, 400, whole.len() - 1]) {
            world.write(&whole[..length]);
            let said = world.refused();
            assert!(said.contains("damaged") || said.contains("empty"), "{length} of {}: {said}", whole.len());
        }
    }
}

/// The byte that says which of the two last commits counts. Nothing guards it: turned over, it gives
/// the state one commit before.
const UNGUARDED: usize = 9;

/// Damage in what the store says is found; damage where nothing is, or what can be made anew, is none.
#[test]
fn a_store_that_is_damaged_anywhere_is_refused_or_whole() {
    let mut ids = crate::ids::Ids::new(11, "damage");
    let (images, world) = ([false, true].map(image), world());
    let mut refused = 0;
    for round in 0..300 {
        let mut bytes = images[round % 2].clone();
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
        let at = if round % 4 < 2 { ids.below(400) as usize } else { ids.below(used as u64) as usize };
        if at == UNGUARDED {
            continue;
        }
        bytes[at] ^= 1 << ids.below(8);
        world.write(&bytes);
        match Disk::open(&world.path(), OWNER) {
            Ok(disk) => assert_eq!(stored(&disk), "a=1 b=4", "damage at {at}"),
            Err(error) => {
                refused += 1;
                assert!(world.content() == bytes, "changed after damage at {at}: {error}");
            }
        }
    }
    assert!(refused > 40, "{refused}");
}

#[test]
fn a_store_that_is_open_is_not_opened_again() {
    let world = world();
    let mut disk = world.open();
    assert!(matches!(world.fault(), Fault::InUse));
    disk.faults.set("sync", 0, 1);
    assert!(disk.commit(&[put("a", "1")]).is_err());
    assert!(matches!(world.fault(), Fault::InUse), "the lock outlives a fault");
    drop(disk);
    drop(world.open());
}

#[test]
fn a_folder_and_a_missing_folder_are_told() {
    let world = world();
    let told = |path: PathBuf| Disk::open(&path, OWNER).expect_err("no store").fault;
    assert!(matches!(told(world.folder.path().to_owned()), Fault::Foreign(what) if what == "a folder"));
    assert!(matches!(told(world.path().join("missing").join("pf.store")), Fault::System(_)));
}

#[test]
fn what_the_system_refuses_is_no_fault_of_the_file() {
    let error = |kind: std::io::ErrorKind| OpenError { path: "pf.store".into(), fault: Fault::System(kind.into()) };
    let denied = error(std::io::ErrorKind::PermissionDenied);
    assert_eq!(denied.to_string(), "the store pf.store cannot be opened: permission denied");
    assert_eq!((denied.is_input(), denied.code()), (false, "E0706"));
    assert_eq!(error(std::io::ErrorKind::NotFound).help(), "make the folder first");
}
