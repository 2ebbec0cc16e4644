//! Decides that every script in `tests/scripts` produces exactly its trace.

use std::path::Path;

#[test]
fn scripts_produce_their_traces() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    tidings_sim::script::run_folder(&folder);
}
