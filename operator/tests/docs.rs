//! What the pages for users must not lack.

use tidemark_judge::Reason;

const OPERATIONS: &str = include_str!("../../docs/operations.md");

#[test]
fn every_reason_of_a_replica_is_explained() {
    for reason in Reason::ALL {
        assert!(OPERATIONS.contains(&format!("`{reason}`")), "docs/operations.md lacks {reason}");
    }
}
