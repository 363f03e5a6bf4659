//! The example of a user's own medium does what it shows, over many openings.

#[expect(dead_code, reason = "the example's own main is not called here")]
#[path = "../examples/own_medium.rs"]
mod own_medium;

use std::fs;

use tempfile::TempDir;

#[test]
fn a_medium_of_ones_own_follows_the_chain_and_is_rebuilt_when_lost() {
    let dir = TempDir::new().expect("temp dir");
    for runs in 1..4 {
        assert_eq!(own_medium::run(dir.path()).expect("must run"), runs * 14);
    }
    fs::remove_file(dir.path().join("ledger.idx")).expect("removable");
    assert_eq!(own_medium::run(dir.path()).expect("must run"), 4 * 14);
}
