//! What of the rendered template the operator relies on, and a user's `spec.podTemplate` may not take away.

use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec, Volume};

use crate::{
    api::StoreReplicaSet,
    names::{self, CONTAINER, FOLLOWER_TLS, GATE, VOLUME},
    reconcile::{
        build::ending::{self, CLOSING_SECONDS, USUAL_GRACE},
        validate::Rejection,
    },
};

/// Refuses a template that lacks what the operator relies on.
///
/// # Errors
/// A rejection that names the first thing that is lacking.
pub(super) fn check(
    rendered: &PodTemplateSpec,
    merged: &PodTemplateSpec,
    set: &StoreReplicaSet,
) -> Result<(), Rejection> {
    labels(merged, set)?;
    follower_tls(rendered, merged)?;
    let (Some(rendered), Some(merged)) = (&rendered.spec, &merged.spec) else {
        return Err(taken("spec", "must not be null: it is what the pods are"));
    };
    gate(merged)?;
    volumes(rendered, merged)?;
    follower(rendered, merged)?;
    grace(merged, set)
}

fn taken(field: &str, why: &str) -> Rejection {
    Rejection { reason: "ProtectedField", message: format!("spec.podTemplate.{field} {why}") }
}

fn labels(merged: &PodTemplateSpec, set: &StoreReplicaSet) -> Result<(), Rejection> {
    let found = merged.metadata.as_ref().and_then(|metadata| metadata.labels.as_ref());
    let ours = names::labels(set.metadata.name.as_deref().unwrap_or_default());
    match ours.iter().find(|(key, value)| found.and_then(|found| found.get(*key)) != Some(value)) {
        Some((key, _)) => {
            let why = format!("must leave {key} as it is, by which the Services find the pods: remove it");
            Err(taken("metadata.labels", &why))
        }
        None => Ok(()),
    }
}

/// Neither taken away, which would have a follower asked without TLS, nor made up.
fn follower_tls(rendered: &PodTemplateSpec, merged: &PodTemplateSpec) -> Result<(), Rejection> {
    let said = |template: &PodTemplateSpec| template.metadata.clone()?.annotations?.remove(FOLLOWER_TLS);
    if said(rendered) == said(merged) {
        return Ok(());
    }
    let why = format!(
        "must leave {FOLLOWER_TLS} to the operator, which reads there how a follower is asked: use spec.follower.tls"
    );
    Err(taken("metadata.annotations", &why))
}

fn gate(merged: &PodSpec) -> Result<(), Rejection> {
    let mut gates = merged.readiness_gates.iter().flatten();
    if gates.any(|gate| gate.condition_type == GATE) {
        return Ok(());
    }
    let why = format!(
        "must not leave out {GATE}, which keeps stale followers out of the Service: add to it instead"
    );
    Err(taken("spec.readinessGates", &why))
}

/// Those rendered are as they were, and a claim's volume is not made something else.
fn volumes(rendered: &PodSpec, merged: &PodSpec) -> Result<(), Rejection> {
    let (ours, found) = (all(&rendered.volumes), all(&merged.volumes));
    let changed = ours.iter().find(|volume| !found.contains(volume)).map(|volume| volume.name.as_str());
    let is_data = |volumes: &[Volume]| volumes.iter().any(|volume| volume.name == VOLUME);
    let data = (is_data(found) && !is_data(ours)).then_some(VOLUME);
    match changed.or(data) {
        Some(name) => {
            let why = format!(
                "must leave the volume {name} to the operator: use spec.storage, spec.primary.tls and spec.follower.tls, or another name"
            );
            Err(taken("spec.volumes", &why))
        }
        None => Ok(()),
    }
}

fn follower(rendered: &PodSpec, merged: &PodSpec) -> Result<(), Rejection> {
    let named = |pod: &PodSpec| pod.containers.iter().find(|container| container.name == CONTAINER).cloned();
    let (Some(ours), Some(found)) = (named(rendered), named(merged)) else {
        return Err(taken("spec.containers", "must not leave out the container follower: add to it instead"));
    };
    match changed(&ours, &found) {
        Some((field, instead)) => {
            let why = format!("of the container follower must stay as the operator renders it: {instead}");
            Err(taken(&format!("spec.containers.{field}"), &why))
        }
        None => Ok(()),
    }
}

/// The first field that was changed and may not be, and what to use instead.
fn changed(ours: &Container, found: &Container) -> Option<(&'static str, &'static str)> {
    let lacks = |kept: bool, field, instead| (!kept).then_some((field, instead));
    lacks(ours.image == found.image, "image", "use spec.follower.image")
        .or_else(|| lacks(ours.args == found.args, "args", "use spec.follower.args"))
        .or_else(|| {
            lacks(
                keeps(&ours.ports, &found.ports),
                "ports",
                "add others, and use spec.follower.port for its own",
            )
        })
        .or_else(|| {
            lacks(keeps(&ours.env, &found.env), "env", "add others, and use spec.follower.env for your own")
        })
        .or_else(|| lacks(keeps(&ours.volume_mounts, &found.volume_mounts), "volumeMounts", "add others"))
}

fn keeps<T: PartialEq>(ours: &Option<Vec<T>>, found: &Option<Vec<T>>) -> bool {
    all(ours).iter().all(|element| all(found).contains(element))
}

fn all<T>(list: &Option<Vec<T>>) -> &[T] {
    list.as_deref().unwrap_or_default()
}

fn grace(merged: &PodSpec, set: &StoreReplicaSet) -> Result<(), Rejection> {
    let least = ending::least_grace(set);
    if merged.termination_grace_period_seconds.unwrap_or(USUAL_GRACE) >= least {
        return Ok(());
    }
    let why = format!(
        "must be at least {least}, which is spec.follower.shutdownDelay and {CLOSING_SECONDS} s to close: raise it"
    );
    Err(taken("spec.terminationGracePeriodSeconds", &why))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::{api::StoreReplicaSet, reconcile::build::template};

    fn set(storage: &Value, over: &Value) -> StoreReplicaSet {
        let set = json!({
            "metadata": { "name": "books" },
            "spec": {
                "primary": { "url": "https://p:1", "tls": { "caSecret": "roots" } }, "storage": storage,
                "follower": { "image": "i", "shutdownDelay": "20s", "tls": { "certSecret": "cert" } }, "podTemplate": over,
            },
        });
        serde_json::from_value(set).expect("a set")
    }

    fn check(over: &Value, message: Result<(), &str>) {
        for storage in [json!({ "size": "1Gi" }), json!({ "emptyDir": {} })] {
            let rejection = template(&set(&storage, over))
                .map(drop)
                .map_err(|rejection| (rejection.reason, rejection.message));
            match (&rejection, message) {
                (Ok(()), Ok(())) => {}
                (Err(("ProtectedField", found)), Err(start)) if found.starts_with(start) => {}
                _ => panic!("{over}: {rejection:?}"),
            }
        }
    }

    #[test]
    fn what_the_operator_relies_on_is_not_taken_away() {
        let follower = |change: Value| {
            let mut container = json!({ "name": "follower" });
            container
                .as_object_mut()
                .expect("an object")
                .extend(change.as_object().cloned().unwrap_or_default());
            json!({ "spec": { "containers": [container] } })
        };
        let cases = [
            (
                json!({ "metadata": { "labels": { "app.kubernetes.io/name": "x" } } }),
                "spec.podTemplate.metadata.labels must leave app.kubernetes.io/name",
            ),
            (json!({ "metadata": { "labels": null } }), "spec.podTemplate.metadata.labels must leave"),
            (
                json!({ "metadata": { "annotations": { "tidemark.dev/follower-tls": "{}" } } }),
                "spec.podTemplate.metadata.annotations must leave tidemark.dev/follower-tls",
            ),
            (
                json!({ "metadata": { "annotations": null } }),
                "spec.podTemplate.metadata.annotations must leave",
            ),
            (json!({ "spec": null }), "spec.podTemplate.spec must not be null"),
            (
                json!({ "spec": { "readinessGates": null } }),
                "spec.podTemplate.spec.readinessGates must not leave out tidemark.dev/in-sync",
            ),
            (
                json!({ "spec": { "volumes": [{ "name": "data", "hostPath": { "path": "/" } }] } }),
                "spec.podTemplate.spec.volumes must leave the volume data",
            ),
            (
                json!({ "spec": { "volumes": [{ "name": "upstream-ca", "secret": { "secretName": "x" } }] } }),
                "spec.podTemplate.spec.volumes must leave the volume upstream-ca",
            ),
            (
                json!({ "spec": { "volumes": [{ "name": "follower-tls", "secret": { "secretName": "x" } }] } }),
                "spec.podTemplate.spec.volumes must leave the volume follower-tls",
            ),
            (
                json!({ "spec": { "containers": null } }),
                "spec.podTemplate.spec.containers must not leave out the container follower",
            ),
            (
                follower(json!({ "image": "other" })),
                "spec.podTemplate.spec.containers.image of the container follower",
            ),
            (
                follower(json!({ "args": [] })),
                "spec.podTemplate.spec.containers.args of the container follower",
            ),
            (
                follower(json!({ "ports": [{ "containerPort": 57291, "name": "other" }] })),
                "spec.podTemplate.spec.containers.ports of the",
            ),
            (
                follower(json!({ "env": [{ "name": "POD_UID", "value": "x" }] })),
                "spec.podTemplate.spec.containers.env of the",
            ),
            (
                follower(json!({ "volumeMounts": [{ "mountPath": "/data", "name": "x" }] })),
                "spec.podTemplate.spec.containers.volumeMounts of the",
            ),
            (
                json!({ "spec": { "terminationGracePeriodSeconds": 29 } }),
                "spec.podTemplate.spec.terminationGracePeriodSeconds must be at least 30",
            ),
        ];
        for (over, start) in &cases {
            check(over, Err(start));
        }
    }

    #[test]
    fn everything_else_may_be_added_and_overridden() {
        let over = json!({
            "metadata": { "labels": { "app.kubernetes.io/version": "1" }, "annotations": { "a": "b" } },
            "spec": {
                "terminationGracePeriodSeconds": 30, "serviceAccountName": "other", "securityContext": null, "hostNetwork": true,
                "volumes": [{ "name": "more", "emptyDir": {} }], "readinessGates": [{ "conditionType": "example.com/warm" }],
                "initContainers": [{ "name": "first", "image": "i" }],
                "containers": [{
                    "name": "follower", "command": ["/bin/other"], "env": [{ "name": "MORE", "value": "1" }],
                    "ports": [{ "containerPort": 9, "name": "more" }], "livenessProbe": { "periodSeconds": 60 },
                    "startupProbe": null, "volumeMounts": [{ "mountPath": "/more", "name": "more" }, { "mountPath": "/again", "name": "data" }],
                }],
            },
        });
        check(&over, Ok(()));
    }
}
