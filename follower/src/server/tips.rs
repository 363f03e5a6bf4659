//! `tidemark.v1.Replica/Tips`: the replica's view of itself, for the operator to judge: from memory, but for the hash
//! of a block below the tip.

use std::sync::Arc;

use tidemark_store::BlockNumber;
use tidemark_wire::v1::{ReplicaState, TipsRequest, TipsResponse, replica_server};
use tonic::{Request, Response, Status, codegen::Bytes};

use crate::{replica::Replica, state::State};

/// The service.
pub(super) struct TipsService {
    replica: Arc<Replica>,
}

impl TipsService {
    pub(super) fn new(replica: Arc<Replica>) -> Self {
        Self { replica }
    }
}

#[tonic::async_trait]
impl replica_server::Replica for TipsService {
    async fn tips(&self, request: Request<TipsRequest>) -> Result<Response<TipsResponse>, Status> {
        Ok(Response::new(answer(&self.replica, request.get_ref())))
    }
}

fn answer(replica: &Replica, request: &TipsRequest) -> TipsResponse {
    let tips = replica.tips();
    let hash = |number: Option<BlockNumber>| {
        let hash = number.and_then(|number| replica.hash_at(number));
        hash.map_or_else(Bytes::new, |hash| Bytes::copy_from_slice(hash.as_bytes()))
    };
    let genesis = replica.genesis();
    TipsResponse {
        published_tip: tips.published.map(BlockNumber::get),
        applied_tip: tips.applied.map(BlockNumber::get),
        proven_tip: tips.proven.map(BlockNumber::get),
        genesis: genesis.map_or_else(Bytes::new, |genesis| Bytes::copy_from_slice(genesis.as_bytes())),
        tip_hash: hash(tips.published),
        hash_at_height: hash(request.at_height.map(BlockNumber::new)),
        pod_uid: replica.identity().pod_uid.clone(),
        boot_id: replica.identity().boot_id.clone(),
        upstream_tip: replica.upstream_tip().map(BlockNumber::get),
        state: wire_state(replica.state()).into(),
        state_detail: replica.state_detail(),
        upstream_boot_ids: replica.upstream_boot_ids(),
    }
}

const fn wire_state(state: State) -> ReplicaState {
    match state {
        State::Syncing => ReplicaState::Syncing,
        State::Producing => ReplicaState::Producing,
        State::UpstreamUnreachable => ReplicaState::UpstreamUnreachable,
        State::UpstreamBehind => ReplicaState::UpstreamBehind,
        State::UpstreamHole => ReplicaState::UpstreamHole,
        State::UpstreamPruned => ReplicaState::UpstreamPruned,
        State::UpstreamStalled => ReplicaState::UpstreamStalled,
        State::UpstreamFrozen => ReplicaState::UpstreamFrozen,
        State::UpstreamLoop => ReplicaState::UpstreamLoop,
        State::WrongGenesis => ReplicaState::WrongGenesis,
        State::UnsupportedProtocol => ReplicaState::UnsupportedProtocol,
        State::Diverged => ReplicaState::Diverged,
        State::InvalidBlock => ReplicaState::InvalidBlock,
        State::BlockTooLarge => ReplicaState::BlockTooLarge,
        State::DiskFull => ReplicaState::DiskFull,
        State::Healing => ReplicaState::Healing,
    }
}
