//! The schemas that are stored for editors are those that the program writes.

use cpmcheck::suite::schema;

#[test]
fn stored_schemas_are_fresh() {
    for name in schema::NAMES {
        let fresh = format!("{:#}\n", schema::named(name).expect("a schema of this name"));
        let path = format!("{}/scenarios/schema/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let stored = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(stored == fresh, "{path} is stale: write it anew with `cargo run -- schema {name}`");
    }
}
