//! Deletes what belongs to a set and is no longer rendered, such as a budget that was switched off.
//!
//! Only what bears our labels and is controlled by this very set. Never a StatefulSet, whose pods may serve: one under
//! another name than the set's was made by hand, and is left to the hand.

use k8s_openapi::NamespaceResourceScope;
use kube::{
    Api, Client, Resource,
    api::{ApiResource, DeleteParams, DynamicObject, Preconditions},
    runtime::reflector::Store,
};

use super::{
    apply::{self, ApplyError},
    contest::Id,
    observe::Watched,
    validate::controlled_by,
};
use crate::names::SetKey;

#[derive(Debug)]
struct Orphan {
    id: Id,
    resource: ApiResource,
    must_be: Preconditions,
}

/// Deletes what of the set with this UID is not among `wanted`.
///
/// # Errors
/// The first object's that could not be deleted; it is tried again.
pub(super) async fn delete(
    client: &Client,
    watched: &Watched,
    key: &SetKey,
    uid: Option<&str>,
    wanted: &[Id],
) -> Result<(), ApplyError> {
    for Orphan { id, resource, must_be } in find(watched, key, uid, wanted) {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &key.namespace, &resource);
        let params = DeleteParams { preconditions: Some(must_be), ..DeleteParams::background() };
        apply::delete("delete", &id, &api, &params).await?;
        tracing::info!(set = %key, kind = id.0, name = id.1, "deleted what is no longer wanted");
    }
    Ok(())
}

fn find(watched: &Watched, key: &SetKey, uid: Option<&str>, wanted: &[Id]) -> Vec<Orphan> {
    let Watched { accounts, services, budgets, policies, statefulsets: _ } = watched;
    let mut orphans = of_kind(accounts, key, uid, wanted);
    orphans.extend(of_kind(services, key, uid, wanted));
    orphans.extend(of_kind(budgets, key, uid, wanted));
    orphans.extend(of_kind(policies, key, uid, wanted));
    orphans
}

fn of_kind<K>(store: &Store<K>, key: &SetKey, uid: Option<&str>, wanted: &[Id]) -> Vec<Orphan>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone,
{
    let left = store.state_filter(|object: &K| {
        let metadata = object.meta();
        metadata.namespace.as_deref() == Some(&key.namespace)
            && metadata.deletion_timestamp.is_none()
            && controlled_by(object, uid)
            && !wanted
                .iter()
                .any(|(kind, name)| *kind == K::kind(&()) && metadata.name.as_ref() == Some(name))
    });
    left.iter().map(|object| orphan(object.as_ref())).collect()
}

fn orphan<K: Resource<DynamicType = ()>>(object: &K) -> Orphan {
    let metadata = object.meta();
    Orphan {
        id: (K::kind(&()).into_owned(), metadata.name.clone().unwrap_or_default()),
        resource: ApiResource::erase::<K>(&()),
        must_be: Preconditions {
            uid: metadata.uid.clone(),
            resource_version: metadata.resource_version.clone(),
        },
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Service;
    use kube::runtime::{reflector::store, watcher::Event};
    use serde_json::json;

    use super::of_kind;
    use crate::names::SetKey;

    #[test]
    fn only_what_this_very_set_controls_and_does_not_want_is_an_orphan() {
        let (services, mut writer) = store::<Service>();
        let mut add = |namespace: &str, name: &str, uid: &str, controller: bool| {
            let service = json!({ "metadata": { "name": name, "namespace": namespace, "uid": name, "ownerReferences": [
                { "apiVersion": "v", "kind": "k", "name": "a", "uid": uid, "controller": controller }
            ] } });
            writer.apply_watcher_event(&Event::Apply(serde_json::from_value(service).expect("a Service")));
        };
        add("n", "a", "ours", true);
        add("n", "a-old", "ours", true);
        add("n", "b-old", "theirs", true);
        add("n", "c-old", "ours", false);
        add("elsewhere", "d-old", "ours", true);
        let key = SetKey { namespace: "n".to_owned(), name: "a".to_owned() };
        let wanted =
            [("Service".to_owned(), "a".to_owned()), ("ServiceAccount".to_owned(), "a-old".to_owned())];
        let orphans = of_kind(&services, &key, Some("ours"), &wanted);
        let names: Vec<_> = orphans.iter().map(|orphan| orphan.id.1.as_str()).collect();
        assert_eq!(names, ["a-old"]);
        assert!(of_kind(&services, &key, None, &[]).is_empty());
    }
}
