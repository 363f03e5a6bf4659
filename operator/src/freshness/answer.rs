//! From answers on the wire to samples. Pure.

use tidemark_judge::{BlockHash, BlockNumber, BootId, ContainerId, Genesis, HashAt, Moment, PodUid, Sample};
use tidemark_wire::{
    rpc::RpcStatus,
    v1::{ReplicaState, TipsResponse},
};

/// When a request went out, to whom, and about what.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) at: Moment,
    pub(super) height: Option<BlockNumber>,
    /// The container that was running then; None for a primary.
    pub(super) container: Option<ContainerId>,
}

/// Reads an answer of `tidemark.v1.Replica/Tips`.
pub(super) fn tips(asked: &Asked, received_at: Moment, answer: &TipsResponse) -> Sample {
    let hash_at = asked.height.zip(bytes(&answer.hash_at_height));
    Sample {
        asked_at: asked.at,
        received_at,
        container: asked.container.clone(),
        pod_uid: some(&answer.pod_uid).map(PodUid::from),
        boot_id: some(&answer.boot_id).map(BootId::from),
        published: answer.published_tip.map(BlockNumber),
        applied: answer.applied_tip.map(BlockNumber),
        proven: answer.proven_tip.map(BlockNumber),
        genesis: bytes(&answer.genesis).map(Genesis),
        tip_hash: bytes(&answer.tip_hash).map(BlockHash),
        hash_at: hash_at.map(|(height, hash)| HashAt { height, hash: BlockHash(hash) }),
        upstream_tip: answer.upstream_tip.filter(|_| hears_upstream(answer.state())).map(BlockNumber),
    }
}

/// Reads an answer of `rpc.Api/Status`. Without a genesis it is no sample: nothing says what its tip is a tip of.
pub(super) fn status(asked: &Asked, received_at: Moment, answer: RpcStatus) -> Option<Sample> {
    let genesis = Genesis(answer.genesis_commitment?.into());
    Some(Sample {
        asked_at: asked.at,
        received_at,
        container: asked.container.clone(),
        pod_uid: None,
        boot_id: None,
        published: Some(BlockNumber(answer.chain_tip)),
        applied: None,
        proven: None,
        genesis: Some(genesis),
        tip_hash: None,
        hash_at: None,
        upstream_tip: None,
    })
}

/// The longest word on its upstream that is kept of a follower, in bytes.
const DETAIL_LIMIT: usize = 256;

/// What a follower says of its upstream: the name of its state, and why.
pub(super) fn upstream(answer: &TipsResponse) -> (&'static str, String) {
    let state = answer.state().as_str_name();
    let mut detail = answer.state_detail.clone();
    detail.truncate(detail.floor_char_boundary(DETAIL_LIMIT));
    (state.strip_prefix("REPLICA_STATE_").unwrap_or(state), detail)
}

/// Whether a follower in this state hears its upstream's tip now, and does not only remember it.
fn hears_upstream(state: ReplicaState) -> bool {
    match state {
        ReplicaState::Syncing
        | ReplicaState::UpstreamHole
        | ReplicaState::UpstreamPruned
        | ReplicaState::UpstreamStalled
        | ReplicaState::InvalidBlock
        | ReplicaState::BlockTooLarge
        | ReplicaState::DiskFull
        | ReplicaState::Healing => true,
        ReplicaState::Unspecified
        | ReplicaState::Producing
        | ReplicaState::UpstreamUnreachable
        | ReplicaState::UpstreamBehind
        | ReplicaState::UpstreamFrozen
        | ReplicaState::UpstreamLoop
        | ReplicaState::WrongGenesis
        | ReplicaState::UnsupportedProtocol
        | ReplicaState::Diverged => false,
    }
}

fn bytes(field: &[u8]) -> Option<[u8; 32]> {
    field.try_into().ok()
}

fn some(field: &str) -> Option<&str> {
    Some(field).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use tidemark_judge::{BlockNumber, Moment};
    use tidemark_wire::{
        rpc::RpcStatus,
        v1::{ReplicaState, TipsResponse},
    };

    use super::{Asked, status, tips, upstream};

    fn read(answer: &TipsResponse, height: Option<u32>) -> tidemark_judge::Sample {
        let asked = Asked { at: Moment::default(), height: height.map(BlockNumber), container: None };
        tips(&asked, Moment::default(), answer)
    }

    #[test]
    fn an_empty_store_has_no_tip_and_no_genesis_rather_than_zeroes() {
        let sample = read(&TipsResponse::default(), Some(3));
        assert_eq!((sample.published, sample.proven, sample.genesis), (None, None, None));
        assert_eq!((sample.hash_at, sample.pod_uid, sample.boot_id), (None, None, None));
    }

    #[test]
    fn what_a_follower_says_of_its_upstream_is_named_and_cut_to_a_few_words() {
        let answer = TipsResponse {
            state: ReplicaState::UpstreamBehind.into(),
            state_detail: "é".repeat(10_000),
            ..TipsResponse::default()
        };
        let (state, detail) = upstream(&answer);
        assert_eq!((state, detail.len()), ("UPSTREAM_BEHIND", 256));
    }

    #[test]
    fn a_status_without_a_genesis_is_no_sample() {
        let asked = Asked { at: Moment::default(), height: None, container: None };
        let answer =
            |genesis| RpcStatus { genesis_commitment: genesis, chain_tip: 7, ..RpcStatus::default() };
        assert!(status(&asked, Moment::default(), answer(None)).is_none());
        let sample = status(&asked, Moment::default(), answer(Some([1; 32].into()))).expect("a sample");
        assert_eq!((sample.published, sample.upstream_tip), (Some(BlockNumber(7)), None));
    }

    #[test]
    fn hashes_of_a_wrong_length_are_none() {
        let answer = TipsResponse {
            genesis: vec![1; 31].into(),
            hash_at_height: vec![2; 33].into(),
            ..Default::default()
        };
        assert_eq!((read(&answer, Some(3)).genesis, read(&answer, Some(3)).hash_at), (None, None));
    }

    #[test]
    fn a_tip_its_upstream_had_before_it_fell_silent_is_not_reported() {
        let answer = |state: ReplicaState| TipsResponse {
            upstream_tip: Some(9),
            state: state.into(),
            ..Default::default()
        };
        assert_eq!(read(&answer(ReplicaState::Syncing), None).upstream_tip, Some(BlockNumber(9)));
        assert_eq!(read(&answer(ReplicaState::UpstreamUnreachable), None).upstream_tip, None);
        assert_eq!(read(&answer(ReplicaState::Unspecified), None).upstream_tip, None);
    }
}
