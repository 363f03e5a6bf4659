//! The NetworkPolicy: readers and peers reach the chain's port, the operator's namespace that and the admin port.

use k8s_openapi::{
    api::networking::v1::{
        NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use crate::{
    api::StoreReplicaSet,
    names::{self, ADMIN_PORT_NAME, RPC_PORT_NAME},
};

pub(super) fn policy(set: &StoreReplicaSet, operator_namespace: Option<&str>) -> NetworkPolicy {
    let name = super::set_name(set);
    let spec = NetworkPolicySpec {
        pod_selector: Some(own_pods(name)),
        policy_types: Some(vec!["Ingress".to_owned()]),
        ingress: Some(rules(set, operator_namespace.map(namespace))),
        ..NetworkPolicySpec::default()
    };
    NetworkPolicy { metadata: super::meta(set, name.to_owned()), spec: Some(spec) }
}

fn rules(set: &StoreReplicaSet, operator: Option<NetworkPolicyPeer>) -> Vec<NetworkPolicyIngressRule> {
    let access = &set.spec.network_policy;
    let peers = NetworkPolicyPeer {
        pod_selector: Some(own_pods(super::set_name(set))),
        ..NetworkPolicyPeer::default()
    };
    let readers = access.readers.iter().cloned();
    // A rule that lists nobody lets everybody in.
    let readers =
        (!access.readers.is_empty()).then(|| readers.chain([peers]).chain(operator.clone()).collect());
    let scrapers: Vec<_> = access.monitoring.iter().cloned().chain(operator).collect();
    let scraping =
        (set.spec.has_admin_port() && !scrapers.is_empty()).then(|| rule(ADMIN_PORT_NAME, Some(scrapers)));
    [rule(RPC_PORT_NAME, readers)].into_iter().chain(scraping).collect()
}

fn rule(port: &str, from: Option<Vec<NetworkPolicyPeer>>) -> NetworkPolicyIngressRule {
    let port = NetworkPolicyPort {
        port: Some(IntOrString::String(port.to_owned())),
        protocol: Some("TCP".to_owned()),
        ..NetworkPolicyPort::default()
    };
    NetworkPolicyIngressRule { ports: Some(vec![port]), from }
}

/// The label that every namespace bears by itself.
fn namespace(name: &str) -> NetworkPolicyPeer {
    let labels = [("kubernetes.io/metadata.name".to_owned(), name.to_owned())].into();
    NetworkPolicyPeer { namespace_selector: Some(selector(labels)), ..NetworkPolicyPeer::default() }
}

fn own_pods(name: &str) -> LabelSelector {
    selector(names::labels(name))
}

fn selector(labels: std::collections::BTreeMap<String, String>) -> LabelSelector {
    LabelSelector { match_labels: Some(labels), ..LabelSelector::default() }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::api::StoreReplicaSet;

    fn ingress(access: Value, operator: Option<&str>) -> Value {
        let set: StoreReplicaSet = serde_json::from_value(json!({
            "metadata": { "name": "books", "namespace": "shop" },
            "spec": { "primary": { "url": "http://p:1" }, "follower": { "image": "i" }, "networkPolicy": access },
        }))
        .expect("a set");
        serde_json::to_value(super::policy(&set, operator).spec.expect("a spec").ingress).expect("JSON")
    }

    #[test]
    fn narrowed_readers_leave_peers_and_the_operator_in() {
        let app = json!({ "podSelector": { "matchLabels": { "app": "api" } } });
        let ingress = ingress(json!({ "readers": [app] }), Some("system"));
        let operator =
            json!({ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "system" } } });
        let read = ingress[0]["from"].as_array().expect("a list");
        assert_eq!((&read[0], &read[2]), (&app, &operator));
        assert_eq!(read[1]["podSelector"]["matchLabels"]["app.kubernetes.io/instance"], "books");
        assert_eq!(ingress[1]["from"], json!([operator]));
    }

    #[test]
    fn the_admin_port_is_closed_to_everybody_who_is_not_named() {
        assert_eq!(ingress(json!({}), None).as_array().map(Vec::len), Some(1));
        let scraper = json!({ "ipBlock": { "cidr": "10.0.0.0/8" } });
        let open = ingress(json!({ "monitoring": [scraper] }), None);
        assert_eq!((&open[0]["from"], &open[1]["from"]), (&Value::Null, &json!([scraper])));
    }
}
