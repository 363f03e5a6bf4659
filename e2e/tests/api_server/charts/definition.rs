//! The definition as people install it: applied by kubectl both ways, taken over, upgraded and kept by Helm. And what is
//! known of the sets meanwhile by one who is about to uninstall the operator.

use std::{fs, path::Path, process::Command};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client, ResourceExt as _, api::PostParams};
use serde_json::json;
use tidemark_e2e::{apiserver::ApiServer, programs};
use tidemark_operator::{api::StoreReplicaSet, installed};

use super::{Hands, folder, text};
use crate::world::{set, until};

const NAME: &str = "storereplicasets.tidemark.dev";

fn definitions(client: &Client) -> Api<CustomResourceDefinition> {
    Api::all(client.clone())
}

async fn columns(client: &Client) -> usize {
    let found = definitions(client).get(NAME).await.unwrap();
    found.spec.versions[0].additional_printer_columns.as_ref().map_or(0, Vec::len)
}

/// The chart as one before it might have been: without a column.
fn earlier(into: &Path) {
    let (chart, template) = (folder("tidemark-crds"), "templates/storereplicasets.yaml");
    fs::create_dir_all(into.join("templates")).unwrap();
    for file in ["values.yaml", "values.schema.json"] {
        fs::copy(chart.join(file), into.join(file)).unwrap();
    }
    let of_now = fs::read_to_string(chart.join("Chart.yaml")).unwrap();
    fs::write(into.join("Chart.yaml"), of_now.replace("version: 0.2.0", "version: 0.1.9")).unwrap();
    let column = "    - jsonPath: .spec.replicas\n      name: Replicas\n      type: integer\n";
    let of_now = fs::read_to_string(chart.join(template)).unwrap();
    assert!(of_now.contains(column), "the column that is to be missing is there");
    fs::write(into.join(template), of_now.replace(column, "")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_definition_is_applied_both_ways_and_upgraded_and_kept_by_helm() {
    let server = ApiServer::start_aside(&[]).unwrap();
    let (client, hands) = (server.client().unwrap(), Hands::of(&server));
    assert_eq!(
        installed::in_use(&client, &[]).await.unwrap(),
        [].into(),
        "without a definition there is no set"
    );
    let crds = programs::checkout().join("crds");
    for way in [&["apply", "-f"][..], &["apply", "--server-side", "-f"], &["apply", "-f"]] {
        hands.kubectl(&[way, &[text(&crds)]].concat()).await.unwrap();
    }
    let of_now = columns(&client).await;
    let before = hands.0.path().join("earlier");
    earlier(&before);
    let upgrade = ["upgrade", "--install", "tidemark-crds"];
    hands.run("helm", &[&upgrade[..], &["--take-ownership", text(&before)]].concat()).await.unwrap();
    assert_eq!(columns(&client).await, of_now - 1);
    let sets: Api<StoreReplicaSet> = Api::default_namespaced(client.clone());
    let spec = json!({ "primary": { "url": "http://primary:57291" }, "follower": { "image": "i" } });
    until("a set", async || Ok(sets.create(&PostParams::default(), &set("kept", spec.clone())).await?)).await;
    hands.run("helm", &[&upgrade[..], &[text(&folder("tidemark-crds"))]].concat()).await.unwrap();
    assert_eq!(columns(&client).await, of_now);
    hands.run("helm", &["uninstall", "tidemark-crds"]).await.unwrap();
    let kept = definitions(&client).get(NAME).await.unwrap();
    assert_eq!(kept.annotations()["helm.sh/resource-policy"], "keep");
    assert_eq!(sets.get("kept").await.unwrap().name_any(), "kept");

    sets_are_told(&client, &hands).await;
}

/// The program says so by how it ends, in the words of an error.
async fn sets_are_told(client: &Client, hands: &Hands) {
    let of = |namespace: &str| [namespace.to_owned()];
    assert_eq!(installed::in_use(client, &of("elsewhere")).await.unwrap(), [].into());
    assert_eq!(installed::in_use(client, &of("default")).await.unwrap().len(), 1);
    let asked = |config: &Path, args: &'static [&'static str]| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_tidemark-e2e-operator"));
        program.arg("in-use").args(args).env("KUBECONFIG", config);
        let output = program.output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = asked(&hands.config(), &["--release=ours"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("default/kept") && said.contains("helm uninstall ours --namespace "), "{said}");
    assert_eq!(asked(&hands.config(), &["--namespace=elsewhere"]), (0, String::new()));
    let nobody = hands.0.path().join("nobody");
    let config = fs::read_to_string(hands.config()).unwrap();
    let (before, rest) = config.split_once("https://").unwrap();
    let (_, after) = rest.split_once('"').unwrap();
    fs::write(&nobody, format!("{before}https://127.0.0.1:1\"{after}")).unwrap();
    let (code, said) = asked(&nobody, &[]);
    assert_eq!(code, 2, "nobody answers: {said}");
}
