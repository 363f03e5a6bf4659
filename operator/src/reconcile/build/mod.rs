//! Renders the objects of a set. Pure: the same set gives the same objects.

mod account;
mod budget;
mod container;
mod ending;
mod follower_tls;
mod network;
mod overlay;
mod pod;
mod probes;
mod recorded;
mod secret_files;
mod services;
mod share;
mod statefulset;
mod upstream_tls;

use k8s_openapi::{
    api::{
        apps::v1::StatefulSet,
        core::v1::{Service, ServiceAccount},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};

pub(super) use container::RESERVED_ENV;
pub use overlay::MERGE_KEYS;
pub(super) use pod::template;
pub(super) use recorded::ANNOTATION as RECORD;

use super::validate::Valid;
use crate::{api::StoreReplicaSet, names};

/// Everything a set consists of, as rendered.
#[derive(Debug)]
pub(super) struct Objects {
    /// Under which the pods run; it may do nothing.
    pub(super) account: ServiceAccount,
    /// Through which the followers find each other.
    pub(super) peers: Service,
    /// Through which readers reach the replicas that are in sync.
    pub(super) read: Service,
    /// How many may be evicted at once; None: switched off.
    pub(super) budget: Option<PodDisruptionBudget>,
    /// Who may reach the pods; None: switched off.
    pub(super) policy: Option<NetworkPolicy>,
    /// The pods.
    pub(super) statefulset: StatefulSet,
}

/// Renders the objects of a valid set; `replicas` is how many the StatefulSet is to have now.
pub(super) fn build(valid: &Valid<'_>, replicas: u32) -> Objects {
    let set = valid.set;
    Objects {
        account: account::account(set),
        peers: services::peers(set),
        read: services::read(set),
        budget: set.spec.disruption_budget.create.then(|| budget::budget(set)),
        policy: set.spec.network_policy.create.then(|| network::policy(set, valid.operator_namespace)),
        statefulset: statefulset::statefulset(valid, replicas),
    }
}

/// The metadata of an object of the set.
fn meta(set: &StoreReplicaSet, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: set.metadata.namespace.clone(),
        labels: Some(names::labels(set_name(set))),
        owner_references: Some(vec![owner(set)]),
        ..ObjectMeta::default()
    }
}

fn owner(set: &StoreReplicaSet) -> OwnerReference {
    OwnerReference {
        api_version: "tidemark.dev/v1alpha1".to_owned(),
        kind: "StoreReplicaSet".to_owned(),
        name: set_name(set).to_owned(),
        uid: set.metadata.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: None,
    }
}

fn some<T>(list: impl IntoIterator<Item = T>) -> Option<Vec<T>> {
    Some(list.into_iter().collect()).filter(|list: &Vec<T>| !list.is_empty())
}

fn set_name(set: &StoreReplicaSet) -> &str {
    set.metadata.name.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{build, recorded};
    use crate::{
        api::StoreReplicaSet,
        reconcile::{
            observe::Observed,
            validate::{Rules, validate},
        },
    };

    fn set(spec: Value) -> StoreReplicaSet {
        let set = json!({
            "apiVersion": "tidemark.dev/v1alpha1",
            "kind": "StoreReplicaSet",
            "metadata": { "name": "books", "namespace": "shop", "uid": "b0" },
            "spec": spec,
        });
        serde_json::from_value(set).expect("a set")
    }

    fn smallest() -> Value {
        json!({ "primary": { "url": "http://primary:57291" }, "follower": { "image": "follower:1" } })
    }

    /// The objects as a user sees them, without the record that the StatefulSet carries.
    fn render(spec: Value, observed: &Observed) -> Vec<Value> {
        let set = set(spec);
        let rules = Rules { namespace: Some("tidemark-system".to_owned()), ..Rules::default() };
        let valid = validate(&set, observed, &rules).expect("valid");
        let objects = build(&valid, set.spec.replicas);
        let mut statefulset = serde_json::to_value(&objects.statefulset).expect("JSON");
        let annotations = statefulset["metadata"]["annotations"].as_object_mut().expect("annotations");
        assert!(annotations.remove(recorded::ANNOTATION).is_some());
        let others = [
            serde_json::to_value(objects.account),
            serde_json::to_value(objects.peers),
            serde_json::to_value(objects.read),
            serde_json::to_value(objects.budget),
            serde_json::to_value(objects.policy),
        ];
        others.into_iter().map(|other| other.expect("JSON")).chain([statefulset]).collect()
    }

    #[test]
    fn a_set_of_defaults() {
        insta::assert_yaml_snapshot!(render(smallest(), &Observed::default()));
    }

    #[test]
    fn a_set_of_any_image_that_answers_status() {
        let spec = json!({
            "primary": { "url": "http://primary:57291/" },
            "follower": { "image": "node:1", "protocol": "rpc-status", "shutdownDelay": "1500ms",
                "args": ["--from=$(UPSTREAM_URL)"],
                "tls": { "caSecret": "roots", "serverName": "books.example" } },
        });
        let objects = render(spec, &Observed::default());
        insta::assert_yaml_snapshot!([
            &objects[1]["spec"],
            &objects[4]["spec"],
            &objects[5]["spec"]["template"]["spec"],
            &objects[5]["spec"]["template"]["metadata"]["annotations"],
        ]);
    }

    #[test]
    fn a_set_with_everything() {
        let spec = json!({
            "replicas": 5,
            "primary": { "url": "http://primary:57291", "fallbackUrls": ["https://[fd00::1]:57291"],
                "requestsPerSecond": 100, "tls": { "caSecret": "roots", "clientSecret": "identity", "serverName": "primary.chain" } },
            "follower": {
                "image": "follower:2", "imagePullPolicy": "Never", "imagePullSecrets": [{ "name": "registry" }],
                "port": 6000, "sync": "poll", "format": "native",
                "tls": { "certSecret": "cert", "clientCaSecret": "readers", "clientSecret": "operator" },
                "args": ["--poll-interval", "200ms"],
                "env": [{ "name": "RUST_LOG", "value": "debug" }], "resources": { "limits": { "memory": "64Mi" } },
            },
            "storage": { "emptyDir": { "sizeLimit": "1Gi" } },
            "service": {
                "type": "LoadBalancer", "annotations": { "a": "b" }, "labels": { "team": "x" }, "nodePort": 30500,
                "externalTrafficPolicy": "Local", "loadBalancerClass": "example.com/internal",
                "loadBalancerSourceRanges": ["198.51.100.0/24"], "trafficDistribution": "PreferClose",
                "ipFamilyPolicy": "PreferDualStack",
            },
            "networkPolicy": {
                "readers": [{ "podSelector": { "matchLabels": { "app": "api" } } }],
                "monitoring": [{ "namespaceSelector": { "matchLabels": { "team": "watch" } } }],
            },
            "podTemplate": {
                "metadata": { "annotations": { "c": "d" }, "labels": { "e": "f" } },
                "spec": {
                    "nodeSelector": { "disk": "fast" }, "tolerations": [{ "key": "x", "operator": "Exists" }],
                    "priorityClassName": "high", "terminationGracePeriodSeconds": 60,
                    "topologySpreadConstraints": [{ "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway" }],
                    "readinessGates": [{ "conditionType": "example.com/warm" }],
                    "securityContext": { "runAsUser": null, "supplementalGroups": [7] },
                    "volumes": [{ "name": "scratch", "emptyDir": {} }],
                    "containers": [
                        { "name": "proxy", "image": "proxy:1" },
                        { "name": "follower", "volumeMounts": [{ "name": "scratch", "mountPath": "/scratch" }] },
                    ],
                },
            },
        });
        insta::assert_yaml_snapshot!(render(spec, &Observed::default()));
    }

    /// The template of an operator that renders otherwise, as found in the cluster.
    fn found(spec: Value) -> Observed {
        let set = set(spec);
        let nothing = Observed::default();
        let rules = Rules::default();
        let valid = validate(&set, &nothing, &rules).expect("valid");
        let mut statefulset = build(&valid, set.spec.replicas).statefulset;
        let mut template = statefulset.spec.clone().expect("spec").template;
        template.spec.as_mut().expect("spec").termination_grace_period_seconds = Some(777);
        recorded::record(&mut statefulset, &set, &template);
        Observed { statefulset: Some(statefulset), ..Observed::default() }
    }

    fn grace(objects: &[Value]) -> i64 {
        let template = &objects[5]["spec"]["template"]["spec"];
        template["terminationGracePeriodSeconds"].as_i64().expect("a number")
    }

    #[test]
    fn an_operator_that_renders_otherwise_keeps_the_template_it_finds() {
        let mut scaled = smallest();
        scaled["replicas"] = json!(4);
        scaled["health"] = json!({ "maxLagBlocks": 9 });
        let objects = render(scaled, &found(smallest()));
        assert_eq!(grace(&objects), 777);
        assert_eq!(objects[5]["spec"]["replicas"], 4);
    }

    #[test]
    fn followers_spread_over_nodes_unless_the_user_says_where_they_go() {
        let constraints = |pod_template: Value| {
            let mut spec = smallest();
            spec["podTemplate"] = pod_template;
            let objects = render(spec, &Observed::default());
            objects[5]["spec"]["template"]["spec"]["topologySpreadConstraints"].clone()
        };
        let default = constraints(json!({ "spec": { "nodeSelector": { "disk": "fast" } } }));
        assert_eq!(default[0]["labelSelector"]["matchLabels"]["app.kubernetes.io/instance"], "books");
        assert_eq!(constraints(json!({ "spec": { "affinity": { "podAntiAffinity": {} } } })), Value::Null);
        let own = json!([{ "maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule" }]);
        assert_eq!(constraints(json!({ "spec": { "topologySpreadConstraints": own } })), own);
    }

    #[test]
    fn budget_and_policy_can_be_switched_off() {
        let mut spec = smallest();
        (spec["disruptionBudget"], spec["networkPolicy"]) =
            (json!({ "create": false }), json!({ "create": false }));
        let objects = render(spec, &Observed::default());
        assert_eq!((&objects[3], &objects[4]), (&Value::Null, &Value::Null));
    }

    #[test]
    fn a_change_of_what_makes_the_template_makes_it_anew() {
        let mut changed = smallest();
        changed["follower"]["image"] = json!("follower:2");
        assert_eq!(grace(&render(changed, &found(smallest()))), 30);
    }
}
