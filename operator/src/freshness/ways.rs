//! The Secrets that the followers of one set are asked with: of its pods, and of its spec for those to come.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::future::select_all;

use super::{
    dial::{Line, Way},
    policy::FleetSpec,
    secrets::{Secrets, TlsSecrets, Watched},
    state::Pods,
};

/// What is read for one set.
#[derive(Debug, Default)]
pub(super) struct Ways(BTreeMap<TlsSecrets, Watched>);

impl Ways {
    /// Has read what these pods and this spec name, and nothing else.
    pub(super) fn keep(&mut self, pods: &Pods, spec: &FleetSpec, secrets: &Secrets) {
        let of_pods = pods.values().filter_map(|pod| match &pod.line {
            Line::Tls(named) => Some(Arc::as_ref(named)),
            Line::Plain | Line::Unreadable(_) => None,
        });
        let named: BTreeSet<_> = of_pods.chain(&spec.tls).collect();
        self.0.retain(|known, _| named.contains(known));
        for named in named {
            if !self.0.contains_key(named) {
                self.0.insert(named.clone(), secrets.watch(named));
            }
        }
    }

    /// What it takes to speak to a pod; None for one that was not among those before.
    pub(super) fn of(&self, line: &Line) -> Option<Way> {
        match line {
            Line::Plain => Some(Way::Plain),
            Line::Tls(named) => self.0.get(Arc::as_ref(named)).cloned().map(Way::Tls),
            Line::Unreadable(why) => Some(Way::Unreadable(Arc::clone(why))),
        }
    }

    /// Waits until something else is known.
    pub(super) async fn changed(&mut self) {
        let changes: Vec<_> = self.0.values_mut().map(|watched| Box::pin(watched.changed())).collect();
        if changes.is_empty() {
            return std::future::pending().await;
        }
        select_all(changes).await;
    }

    /// What is wrong with the Secrets, though their earlier content may still be in use.
    pub(super) fn error(&self) -> Option<String> {
        let errors: BTreeSet<_> = self.0.values().filter_map(|watched| watched.known().error).collect();
        let errors: Vec<_> = errors.into_iter().collect();
        (!errors.is_empty())
            .then(|| format!("followers are not asked as spec.follower.tls says: {}", errors.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::{FleetSpec, Line, Pods, Secrets, Way, Ways};
    use crate::{aim::Aim, freshness::member::SeenPod, metrics::Metrics};

    fn spec(tls: &Value) -> FleetSpec {
        let set = json!({ "metadata": { "name": "a", "namespace": "n" }, "spec": {
            "primary": { "url": "http://p:1" }, "follower": { "image": "i", "tls": tls },
        } });
        FleetSpec::of(&serde_json::from_value(set).expect("a set"), &Aim::default())
    }

    fn pods(stamps: &[Option<&str>]) -> Pods {
        let pod = |(ordinal, stamp): (usize, &Option<&str>)| {
            let annotations = stamp.map(|stamp| json!({ "tidemark.dev/follower-tls": stamp }));
            let metadata = json!({ "name": "a", "namespace": "n", "uid": format!("u{ordinal}"), "annotations": annotations });
            let pod = serde_json::from_value(json!({ "metadata": metadata })).expect("a pod");
            let pod = SeenPod::of(&pod).expect("it has a UID");
            (pod.uid.clone(), pod)
        };
        stamps.iter().enumerate().map(pod).collect()
    }

    fn stamp(secret: &str) -> String {
        json!({ "caSecret": secret, "serverName": "a.n.svc" }).to_string()
    }

    fn read(ways: &Ways) -> Vec<&str> {
        ways.0.keys().filter_map(|named| named.ca_secret.as_deref()).collect()
    }

    #[tokio::test]
    async fn secrets_of_pods_and_of_those_to_come_are_read_and_each_once() {
        let secrets = Secrets::new(crate::testing::nobody(), Arc::new(Metrics::new()));
        let (old, new) = (stamp("old"), stamp("new"));
        let mut ways = Ways::default();
        ways.keep(&pods(&[Some(&old), Some(&old), None]), &spec(&json!({ "certSecret": "new" })), &secrets);
        assert_eq!(read(&ways), ["new", "old"]);
        ways.keep(&pods(&[Some(&new), Some(&old), None]), &spec(&Value::Null), &secrets);
        assert_eq!(read(&ways), ["new", "old"]);
        ways.keep(&pods(&[None, None]), &spec(&Value::Null), &secrets);
        assert_eq!(read(&ways), [""; 0]);
    }

    #[tokio::test]
    async fn a_pod_is_spoken_to_as_it_says_whatever_the_set_says() {
        let secrets = Secrets::new(crate::testing::nobody(), Arc::new(Metrics::new()));
        let secure = stamp("old");
        let pods = pods(&[None, Some(&secure), Some("nonsense")]);
        for tls in [Value::Null, json!({ "certSecret": "new" })] {
            let mut ways = Ways::default();
            ways.keep(&pods, &spec(&tls), &secrets);
            let lines: Vec<&Line> = pods.values().map(|pod| &pod.line).collect();
            assert!(matches!(ways.of(lines[0]), Some(Way::Plain)));
            assert!(matches!(ways.of(lines[1]), Some(Way::Tls(_))));
            assert!(matches!(ways.of(lines[2]), Some(Way::Unreadable(_))));
        }
    }
}
