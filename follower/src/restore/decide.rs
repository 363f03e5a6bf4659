//! What follows from the answers of the sources. Pure.

use tidemark_store::{BlockNumber, Commitment};

use super::{RestoreError, survey::Surveyed};

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Copy from the source at this place, whose tip is the highest.
    Copy(usize),
    /// Not every source answers, and one that is silent may have the highest tip: ask again.
    Wait(String),
    /// No source has a block that is not held.
    Done,
}

/// Decides on what the sources answered, where `genesis` and `held` are those of the data directory.
pub(super) fn decide<U>(
    surveyed: &[Surveyed<U>],
    genesis: Option<Commitment>,
    held: Option<BlockNumber>,
) -> Result<Decision, RestoreError> {
    one_chain(surveyed, genesis.filter(|_| held.is_some()))?;
    if let Some(silent) =
        surveyed.iter().find_map(|source| Some((&source.name, source.answer.as_ref().err()?)))
    {
        let (name, error) = silent;
        return Ok(Decision::Wait(format!("{name}: {error}; leave it out if it is gone for good")));
    }
    let tips =
        surveyed.iter().enumerate().filter_map(|(at, source)| Some((source.answer.as_ref().ok()?.1.tip, at)));
    Ok(match tips.max_by_key(|(tip, at)| (*tip, std::cmp::Reverse(*at))) {
        Some((tip, at)) if Some(tip) > held => Decision::Copy(at),
        Some(_) => Decision::Done,
        None => Decision::Wait("no source has an address".to_owned()),
    })
}

/// Sources of two chains, or of another than the one held, are a mistake that no waiting mends.
fn one_chain<U>(surveyed: &[Surveyed<U>], held: Option<Commitment>) -> Result<(), RestoreError> {
    let here = held.map(|genesis| ("the data directory", genesis));
    let known = surveyed
        .iter()
        .filter_map(|source| Some((source.name.as_str(), source.answer.as_ref().ok()?.1.genesis)));
    let known: Vec<_> = here.into_iter().chain(known).collect();
    let Some((other, others)) = known.first() else { return Ok(()) };
    match known.iter().find(|(_, genesis)| genesis != others) {
        Some((one, its)) => Err(RestoreError::Contradiction {
            one: (*one).to_owned(),
            its: *its,
            other: (*other).to_owned(),
            others: *others,
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::{UpstreamError, UpstreamStatus};

    const OURS: Commitment = Commitment::from_bytes([1; 32]);
    const OTHER: Commitment = Commitment::from_bytes([2; 32]);

    fn source(genesis: Commitment, tip: u32) -> Surveyed<()> {
        let status = UpstreamStatus { genesis, tip: tip.into() };
        Surveyed { name: format!("store-{tip}"), answer: Ok(((), status)) }
    }

    fn silent() -> Surveyed<()> {
        Surveyed { name: "gone".to_owned(), answer: Err(UpstreamError::Unreachable("refused".to_owned())) }
    }

    fn check(sources: &[Surveyed<()>], held: Option<u32>) -> Decision {
        decide(sources, held.map(|_| OURS), held.map(BlockNumber::new)).expect("no contradiction")
    }

    #[test]
    fn the_highest_tip_wins_and_what_is_held_ends_it() {
        let sources = [source(OURS, 7), source(OURS, 9), source(OURS, 9), source(OURS, 8)];
        assert_eq!(check(&sources, None), Decision::Copy(1));
        assert_eq!(check(&sources, Some(8)), Decision::Copy(1));
        assert_eq!(check(&sources, Some(9)), Decision::Done);
        assert_eq!(check(&sources, Some(10)), Decision::Done);
    }

    #[test]
    fn a_silent_source_is_waited_for_since_its_tip_may_be_the_highest() {
        for held in [None, Some(5), Some(7)] {
            let Decision::Wait(why) = check(&[source(OURS, 7), silent()], held) else { panic!("no wait") };
            assert!(why.contains("gone: no answer: refused; leave it out"), "{why}");
        }
    }

    #[test]
    fn sources_without_any_address_begin_no_chain() {
        assert!(matches!(check(&[], None), Decision::Wait(_)));
    }

    #[test]
    fn two_chains_are_refused_by_name() {
        let two = decide(&[source(OURS, 7), silent(), source(OTHER, 9)], None, None);
        let said = two.expect_err("refused").to_string();
        assert!(said.contains("store-9") && said.contains("store-7"), "{said}");
        let held = decide(&[source(OTHER, 9)], Some(OURS), Some(3.into()));
        assert!(matches!(held, Err(RestoreError::Contradiction { .. })));
        let empty = decide(&[source(OTHER, 9)], Some(OURS), None);
        assert_eq!(empty.expect("an empty store is of no chain yet"), Decision::Copy(0));
    }
}
