//! Where the public torture messages and call flows are (RFC 4475, RFC 5118 and others), which are not
//! part of this project.

use std::path::{Path, PathBuf};

/// The folder of `CPMCHECK_CORPUS`, or `../shared/corpus` beside the project, if there is one.
pub(crate) fn folder() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let folder = std::env::var_os("CPMCHECK_CORPUS").map_or_else(beside, PathBuf::from);
    folder.join("MANIFEST.tsv").is_file().then_some(folder)
}
