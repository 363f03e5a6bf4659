//! Through which stores a replica gets its blocks, and whether they lead back to it. Pure.

use crate::upstream::Peer;

/// How many stores are remembered: a loop over more of them is not seen.
const LONGEST: usize = 16;
/// A longer boot id, or none, is nobody's: what is remembered is handed on to others.
const LONGEST_ID: usize = 64;

/// The stores behind one upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lineage {
    /// Their boot ids, the upstream first.
    pub(super) boot_ids: Vec<String>,
    /// How many hops lead back to the replica that asks; none: they do not.
    pub(super) loop_of: Option<usize>,
}

/// What following `peer` means for the replica with the boot id `own`.
pub(super) fn through(own: &str, peer: &Peer) -> Lineage {
    let named = std::iter::once(&peer.boot_id).chain(&peer.through);
    let sound = named.filter(|boot_id| (1..=LONGEST_ID).contains(&boot_id.len()));
    let boot_ids: Vec<String> = sound.take(LONGEST).cloned().collect();
    let back = boot_ids.iter().position(|boot_id| boot_id == own);
    Lineage { loop_of: back.map(|at| at + 1), boot_ids }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(boot_id: &str, through: &[&str]) -> Peer {
        let through = through.iter().map(ToString::to_string).collect();
        Peer { boot_id: boot_id.to_owned(), through, hash: None }
    }

    #[test]
    fn a_path_to_a_primary_is_no_loop() {
        let lineage = super::through("a", &peer("b", &["c", "primary"]));
        assert_eq!(lineage.boot_ids, ["b", "c", "primary"]);
        assert_eq!(lineage.loop_of, None);
    }

    #[test]
    fn a_path_that_leads_back_is_a_loop_of_its_length() {
        assert_eq!(super::through("a", &peer("a", &[])).loop_of, Some(1));
        assert_eq!(super::through("a", &peer("b", &["a", "b"])).loop_of, Some(2));
        assert_eq!(super::through("a", &peer("b", &["c", "a"])).loop_of, Some(3));
    }

    #[test]
    fn a_path_of_any_length_takes_bounded_memory() {
        let long: Vec<String> = (0..10_000).map(|n| n.to_string()).collect();
        let long: Vec<&str> = long.iter().map(String::as_str).collect();
        assert_eq!(super::through("a", &peer("b", &long)).boot_ids.len(), LONGEST);
        let large = "x".repeat(1 << 20);
        assert_eq!(super::through("a", &peer(&large, &["", "c"])).boot_ids, ["c"]);
    }

    #[test]
    fn whoever_has_no_boot_id_is_in_no_loop() {
        assert_eq!(super::through("", &peer("", &[""])).loop_of, None);
    }
}
