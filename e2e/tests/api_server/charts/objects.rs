//! Every object that a chart renders, as the API server itself sees it.

use std::{fs, time::Duration};

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tidemark_e2e::{apiserver::ApiServer, programs, wait};

use super::{Hands, NAMES, cases, text};
use crate::world::{World, install, pod_of};

async fn namespace(client: &Client, name: &str, labels: Value) {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let body = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": labels },
    });
    namespaces.patch(name, &PatchParams::apply("tests").force(), &Patch::Apply(body)).await.unwrap();
}

/// What the charts refer to: namespaces, the definitions of Tidemark and of the Prometheus operator, a class of pods.
async fn surroundings(client: &Client, hands: &Hands) {
    install(client).await.unwrap();
    for name in ["charts", "chain-a", "chain-b"] {
        namespace(client, name, json!({})).await;
    }
    let monitoring = programs::checkout().join("e2e/data/prometheus-operator");
    hands.kubectl(&["apply", "--server-side", "-f", text(&monitoring)]).await.unwrap();
    let class = json!({
        "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "value": 2_000_000,
        "metadata": { "name": "tidemark-of-chain" },
    });
    let classes: Api<k8s_openapi::api::scheduling::v1::PriorityClass> = Api::all(client.clone());
    let params = PatchParams::apply("tests").force();
    classes.patch("tidemark-of-chain", &params, &Patch::Apply(class)).await.unwrap();
}

/// With the fields that it does not know, and those given twice, as errors.
#[tokio::test(flavor = "multi_thread")]
async fn every_object_of_every_chart_is_one_that_the_api_server_takes() {
    let (client, hands) = (ApiServer::shared().client().unwrap(), Hands::of(ApiServer::shared()));
    surroundings(&client, &hands).await;
    let strictly =
        ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-f"];
    for golden in NAMES.iter().flat_map(|chart| cases(chart, ".golden.yaml")) {
        let objects = fs::read_to_string(&golden).unwrap().matches("\nkind: ").count();
        // What was just defined is served a moment later.
        let taken = wait::until("the server to take what is rendered", Duration::from_secs(20), async || {
            hands.kubectl(&[&strictly[..], &[text(&golden)]].concat()).await
        });
        let taken = taken.await.unwrap();
        assert_eq!(
            taken.lines().filter(|line| line.ends_with("(server dry run)")).count(),
            objects,
            "{taken}"
        );
    }
    let spoilt = hands.0.path().join("spoilt.yaml");
    let golden = fs::read_to_string(&cases("tidemark", "full.golden.yaml")[0]).unwrap();
    fs::write(&spoilt, golden.replace("honorLabels: true", "honourLabels: true")).unwrap();
    let refusal =
        hands.kubectl(&[&strictly[..], &[text(&spoilt)]].concat()).await.expect_err("an unknown field");
    assert!(refusal.to_string().contains("honourLabels"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_object_of_every_kustomize_base_is_one_that_the_api_server_takes() {
    // One where nobody has installed an operator.
    let server = ApiServer::start_aside(&[]).unwrap();
    let (client, hands) = (server.client().unwrap(), Hands::of(&server));
    surroundings(&client, &hands).await;
    namespace(&client, "tidemark-system", json!({})).await;
    let strictly = ["--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-k"];
    for base in ["crds", "default", "namespaced", "ha", "overlays/example"] {
        let folder = programs::checkout().join("deploy/kustomize").join(base);
        let objects = hands.kubectl(&["kustomize", text(&folder)]).await.unwrap().matches("\nkind: ").count();
        let taken = hands.kubectl(&[&["apply"], &strictly[..], &[text(&folder)]].concat()).await.unwrap();
        let taken = taken.lines().filter(|line| line.ends_with("(server dry run)")).count();
        assert_eq!(taken, objects, "{base}");
        assert!(taken > 0, "{base}");
    }
}

/// The pods that an object makes, or is.
fn pod(object: &Value) -> Option<Value> {
    let template = match object["kind"].as_str()? {
        "Deployment" | "Job" => &object["spec"]["template"],
        "Pod" => object,
        _ => return None,
    };
    let name = format!("pod-of-{}", object["metadata"]["name"].as_str()?);
    Some(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "labels": template["metadata"]["labels"] }, "spec": template["spec"],
    }))
}

async fn try_out(client: &Client, mut pod: Pod) -> kube::Result<Pod> {
    // Who made it is elsewhere.
    pod.metadata.owner_references = None;
    let pods: Api<Pod> = Api::namespaced(client.clone(), "restricted-pods");
    pods.create(&PostParams { dry_run: true, ..PostParams::default() }, &pod).await
}

#[tokio::test(flavor = "multi_thread")]
async fn operator_hooks_and_followers_run_where_pods_must_be_restricted() {
    let (client, hands) = (ApiServer::shared().client().unwrap(), Hands::of(ApiServer::shared()));
    surroundings(&client, &hands).await;
    namespace(&client, "restricted-pods", json!({ "pod-security.kubernetes.io/enforce": "restricted" }))
        .await;
    let mut tried = 0;
    for golden in cases("tidemark", ".golden.yaml") {
        let rendered = fs::read_to_string(&golden).unwrap();
        for document in rendered.split("\n---") {
            let object: Value =
                serde_saphyr::from_str::<Option<Value>>(document).unwrap().unwrap_or_default();
            let Some(pod) = pod(&object) else { continue };
            let pod: Pod = serde_json::from_value(pod).unwrap();
            try_out(&client, pod.clone()).await.unwrap();
            tried += 1;
            let mut spoilt = pod;
            spoilt.spec.as_mut().unwrap().security_context = None;
            let refusal = try_out(&client, spoilt).await.expect_err("a pod that may be root").to_string();
            assert!(refusal.contains("violates PodSecurity \"restricted"), "{refusal}");
        }
    }
    assert!(tried >= 3 * 3, "only {tried} pods were tried");
    for (world, protocol) in [("restricted-a", "tidemark"), ("restricted-b", "rpc-status")] {
        let world = World::new(world).await;
        let mut spec = world.spec();
        spec["follower"]["protocol"] = json!(protocol);
        world.create(spec).await;
        try_out(&client, pod_of(&world.statefulset().await, 0)).await.unwrap();
    }
}
