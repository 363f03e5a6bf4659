//! Lets volumes grow: claims are enlarged, and the StatefulSet, whose claim templates the server does not let change, is
//! made anew around the pods that run.
//!
//! Can be interrupted anywhere. Until the new StatefulSet stands the old one's claim template or a memento on the peer
//! Service says that there is work left, and the memento keeps the record of the template, so that no pod is replaced.

use std::time::Duration;

use k8s_openapi::api::{
    apps::v1::{StatefulSet, StatefulSetSpec},
    core::v1::{PersistentVolumeClaim, Service},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions, PropagationPolicy},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;

use super::{
    apply::{ApplyError, call, delete},
    build::RECORD,
    contest::Id,
    observe::Observed,
    quantity,
};
use crate::names::{self, FIELD_MANAGER, SetKey, VOLUME};

/// Where the peer Service keeps the record of a StatefulSet that is being made anew.
const MEMENTO: &str = "tidemark.dev/making-anew";
/// How long a refusal to enlarge a claim is taken as the last word; somebody may change the StorageClass.
const ASK_AGAIN: Duration = Duration::from_secs(120);

/// What is remembered of a growth that was refused.
#[derive(Clone, Debug, Default)]
pub(super) struct Growth(Option<Refusal>);

#[derive(Clone, Debug)]
struct Refusal {
    size: String,
    at: Instant,
    message: String,
}

impl Growth {
    /// Why the volumes are not enlarged.
    pub(super) fn refusal(&self) -> Option<&str> {
        Some(&self.0.as_ref()?.message)
    }

    fn stands(&self, size: &str, now: Instant) -> bool {
        self.0.as_ref().is_some_and(|refusal| refusal.size == size && now < refusal.at + ASK_AGAIN)
    }
}

/// What must outlive a StatefulSet that is made anew: from how many pods to go on, and the record of their template, as
/// its annotation has it.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Memento {
    replicas: Option<i32>,
    record: String,
}

/// What the peer Service remembers of a StatefulSet that is being made anew. What cannot be read is as good as none.
pub(super) fn memento(peers: &Service) -> Option<StatefulSet> {
    let Memento { replicas, record } = serde_json::from_str(peers.annotations().get(MEMENTO)?).ok()?;
    let annotations = Some([(RECORD.to_owned(), record)].into());
    Some(StatefulSet {
        metadata: ObjectMeta { annotations, ..ObjectMeta::default() },
        spec: Some(StatefulSetSpec { replicas, ..StatefulSetSpec::default() }),
        status: None,
    })
}

/// A StatefulSet that is to be made anew.
#[derive(Debug)]
pub(super) struct Renewal {
    uid: Option<String>,
    memento: Memento,
    /// What its claims are to have; None: they are right.
    size: Option<String>,
    peers: Option<String>,
}

/// Finds out whether the StatefulSet must be made anew to become what is rendered, and whether its claims may grow.
/// One whose claims may not is rendered with the size that is there, so that all else is followed.
///
/// # Errors
/// If the claims cannot be read or tried.
pub(super) async fn prepare(
    client: &Client,
    key: &SetKey,
    observed: &Observed,
    rendered: &mut StatefulSet,
    growth: &mut Growth,
) -> Result<Option<Renewal>, ApplyError> {
    let found = observed.statefulset.as_ref().filter(|found| found.metadata.deletion_timestamp.is_none());
    let size = found.and_then(|found| grown(found, rendered));
    let Some(size) = &size else {
        *growth = Growth::default();
        return Ok(found
            .filter(|found| is_frozen(found, rendered))
            .map(|found| Renewal::of(found, None, observed)));
    };
    if !growth.stands(size, Instant::now()) {
        *growth = ask(client, key, size).await?;
    }
    if let (Some(found), None) = (found, growth.refusal()) {
        return Ok(Some(Renewal::of(found, Some(size.clone()), observed)));
    }
    keep_claims(found, rendered);
    Ok(None)
}

/// Asks the server whether the claims may grow.
async fn ask(client: &Client, key: &SetKey, size: &str) -> Result<Growth, ApplyError> {
    let Err(error) = enlarge(client, key, size, true).await else { return Ok(Growth::default()) };
    let Some(words) = error.refusal() else { return Err(error) };
    let message = format!(
        "volumes are not enlarged to {size}: {words}: have their StorageClass allow expansion, or create another \
         StoreReplicaSet"
    );
    Ok(Growth(Some(Refusal { size: size.to_owned(), at: Instant::now(), message })))
}

/// The size that is rendered, if it is more than what is there.
fn grown(found: &StatefulSet, rendered: &StatefulSet) -> Option<String> {
    let (before, size) = (claim_size(found)?, claim_size(rendered)?);
    (quantity::bytes(size)? > quantity::bytes(before)?).then(|| size.to_owned())
}

fn claim_size(statefulset: &StatefulSet) -> Option<&str> {
    let claims = statefulset.spec.as_ref()?.volume_claim_templates.as_ref()?;
    let claim = claims.iter().find(|claim| claim.metadata.name.as_deref() == Some(VOLUME))?;
    let requests = claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?;
    requests.get("storage").map(|size| size.0.as_str())
}

/// Whether something else differs that the server lets nobody change. A selector is not made anew: the pods that run
/// would belong to nobody.
fn is_frozen(found: &StatefulSet, rendered: &StatefulSet) -> bool {
    let (Some(found), Some(rendered)) = (&found.spec, &rendered.spec) else { return false };
    found.selector == rendered.selector
        && (found.service_name != rendered.service_name
            || found.pod_management_policy != rendered.pod_management_policy)
}

fn keep_claims(found: Option<&StatefulSet>, rendered: &mut StatefulSet) {
    if let (Some(found), Some(rendered)) = (found.and_then(|found| found.spec.as_ref()), &mut rendered.spec) {
        rendered.volume_claim_templates.clone_from(&found.volume_claim_templates);
    }
}

impl Renewal {
    fn of(found: &StatefulSet, size: Option<String>, observed: &Observed) -> Self {
        let memento = Memento {
            replicas: found.spec.as_ref().and_then(|spec| spec.replicas),
            record: found.annotations().get(RECORD).cloned().unwrap_or_default(),
        };
        let peers = observed.peers.as_ref().and_then(|peers| peers.metadata.uid.clone());
        Self { uid: found.metadata.uid.clone(), memento, size, peers }
    }

    /// Enlarges the claims, keeps the record, and takes the StatefulSet away without its pods; the next reconciliation
    /// makes it again.
    ///
    /// # Errors
    /// Whatever of it could not be done; what was done stands.
    pub(super) async fn make_anew(self, client: &Client, key: &SetKey) -> Result<(), ApplyError> {
        if let Some(size) = &self.size {
            enlarge(client, key, size, false).await?;
        }
        remember(client, key, self.peers.as_deref(), Some(&self.memento)).await?;
        let id = ("StatefulSet".to_owned(), key.name.clone());
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Orphan),
            preconditions: Some(Preconditions { uid: self.uid, resource_version: None }),
            ..DeleteParams::default()
        };
        let api: Api<StatefulSet> = Api::namespaced(client.clone(), &key.namespace);
        delete("make anew", &id, &api, &params).await?;
        tracing::info!(set = %key, "the StatefulSet is made anew around its pods, which run on");
        Ok(())
    }
}

/// Once the new StatefulSet stands, enlarges claims that its predecessor made meanwhile, and forgets the record.
///
/// # Errors
/// If either could not be done; it is tried again.
pub(super) async fn conclude(client: &Client, key: &SetKey, observed: &Observed) -> Result<(), ApplyError> {
    let stands = observed.statefulset.as_ref().filter(|found| found.metadata.deletion_timestamp.is_none());
    let (Some(statefulset), Some(peers)) = (stands, &observed.peers) else { return Ok(()) };
    if !peers.annotations().contains_key(MEMENTO) {
        return Ok(());
    }
    if let Some(size) = claim_size(statefulset) {
        enlarge(client, key, size, false).await?;
    }
    remember(client, key, peers.metadata.uid.as_deref(), None).await
}

/// Writes the memento on the peer Service, or takes it away.
async fn remember(
    client: &Client,
    key: &SetKey,
    uid: Option<&str>,
    memento: Option<&Memento>,
) -> Result<(), ApplyError> {
    let name = names::peers_service(&key.name);
    let api: Api<Service> = Api::namespaced(client.clone(), &key.namespace);
    let text = memento.map(|memento| json!(memento).to_string());
    let mut patch = json!({ "metadata": { "annotations": { MEMENTO: text } } });
    if let Some(uid) = uid {
        patch["metadata"]["uid"] = json!(uid);
    }
    let id = ("Service".to_owned(), name);
    call("annotate", &id, api.patch(&id.1, &patch_params(false), &Patch::Merge(patch))).await.map(drop)
}

/// Enlarges the claims of a set that are smaller than `size`.
async fn enlarge(client: &Client, key: &SetKey, size: &str, dry_run: bool) -> Result<(), ApplyError> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &key.namespace);
    let list = ListParams::default().labels(&names::selector(&key.name));
    let claims = call("list", &claim_id(&key.name), api.list(&list)).await?;
    for claim in claims.iter().filter(|claim| is_smaller(claim, &key.name, size)) {
        let patch = json!({
            "metadata": { "uid": claim.metadata.uid },
            "spec": { "resources": { "requests": { "storage": size } } },
        });
        let (params, id) = (patch_params(dry_run), claim_id(&claim.name_any()));
        call("enlarge", &id, api.patch(&id.1, &params, &Patch::Merge(patch))).await?;
    }
    Ok(())
}

fn patch_params(dry_run: bool) -> PatchParams {
    PatchParams { dry_run, field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

fn claim_id(name: &str) -> Id {
    ("PersistentVolumeClaim".to_owned(), name.to_owned())
}

/// Whether this is a claim of one of the set's pods and asks for less than `size`.
fn is_smaller(claim: &PersistentVolumeClaim, set: &str, size: &str) -> bool {
    let name = claim.name_any();
    let pod = name.strip_prefix(VOLUME).and_then(|name| name.strip_prefix('-'));
    let is_ours = pod.is_some_and(|pod| names::ordinal(set, pod).is_some());
    let has = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()?.requests.as_ref()?.get("storage"));
    let has = has.and_then(|has| quantity::bytes(&has.0));
    is_ours && has.zip(quantity::bytes(size)).is_some_and(|(has, size)| has < size)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::{
        apps::v1::StatefulSet,
        core::v1::{PersistentVolumeClaim, Service},
    };
    use serde_json::{Value, json};

    use super::{Memento, RECORD, grown, is_frozen, is_smaller, memento};

    fn statefulset(size: &str, change: Value) -> StatefulSet {
        let mut spec = json!({
            "selector": { "matchLabels": { "a": "b" } }, "serviceName": "a-peers", "podManagementPolicy": "Parallel",
            "template": {},
            "volumeClaimTemplates": [{
                "metadata": { "name": "data" }, "spec": { "resources": { "requests": { "storage": size } } },
            }],
        });
        spec.as_object_mut().expect("an object").extend(change.as_object().cloned().unwrap_or_default());
        serde_json::from_value(json!({ "metadata": { "name": "a" }, "spec": spec })).expect("a StatefulSet")
    }

    #[test]
    fn only_a_larger_size_is_growth_however_it_is_spelt() {
        let check = |before: &str, after: &str, expected: Option<&str>| {
            let grown = grown(&statefulset(before, json!({})), &statefulset(after, json!({})));
            assert_eq!(grown.as_deref(), expected, "{before} to {after}");
        };
        check("1Gi", "2Gi", Some("2Gi"));
        check("1Gi", "1024Mi", None);
        check("2Gi", "1Gi", None);
        check("1G", "1Gi", Some("1Gi"));
        let none = statefulset("1Gi", json!({ "volumeClaimTemplates": [] }));
        assert_eq!(grown(&none, &statefulset("1Gi", json!({}))), None);
    }

    #[test]
    fn what_nobody_may_change_is_made_anew_unless_pods_would_be_left_behind() {
        let found = statefulset("1Gi", json!({}));
        let check = |change: Value| is_frozen(&found, &statefulset("1Gi", change));
        assert!(!check(json!({})));
        assert!(!check(json!({ "replicas": 9 })));
        assert!(check(json!({ "serviceName": "a" })));
        assert!(check(json!({ "podManagementPolicy": "OrderedReady" })));
        assert!(!check(json!({ "serviceName": "a", "selector": { "matchLabels": { "a": "c" } } })));
    }

    #[test]
    fn a_memento_is_read_back_and_nonsense_is_none() {
        let peers = |memento: &str| {
            let annotations = json!({ "tidemark.dev/making-anew": memento });
            serde_json::from_value::<Service>(json!({ "metadata": { "annotations": annotations } }))
                .expect("a Service")
        };
        let written = Memento { replicas: Some(5), record: "r".to_owned() };
        let read = memento(&peers(&json!(written).to_string())).expect("a memento");
        assert_eq!(read.metadata.annotations.and_then(|mut all| all.remove(RECORD)).as_deref(), Some("r"));
        assert_eq!(read.spec.and_then(|spec| spec.replicas), Some(5));
        assert!(memento(&peers("nonsense")).is_none());
    }

    #[test]
    fn only_claims_of_the_sets_own_pods_are_enlarged() {
        let claim = |name: &str, size: &str| {
            let spec = json!({ "resources": { "requests": { "storage": size } } });
            let claim = json!({ "metadata": { "name": name }, "spec": spec });
            serde_json::from_value::<PersistentVolumeClaim>(claim).expect("a claim")
        };
        assert!(is_smaller(&claim("data-a-0", "1Gi"), "a", "2Gi"));
        assert!(is_smaller(&claim("data-a-17", "1Gi"), "a", "2Gi"));
        assert!(!is_smaller(&claim("data-a-0", "2Gi"), "a", "2Gi"));
        assert!(!is_smaller(&claim("data-a-0", "3Gi"), "a", "2Gi"));
        for name in ["data-a-", "data-a-x", "data-a-b-0", "other-a-0", "data-b-0"] {
            assert!(!is_smaller(&claim(name, "1Gi"), "a", "2Gi"), "{name}");
        }
    }
}
