//! Definition, operator and fleet converge in whichever order they are applied.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, api::DeleteParams};
use serde_json::json;
use tidemark_e2e::{apiserver::ApiServer, process::OperatorProcess, programs, proxy::Proxy};

use crate::{
    clients::{Clients, text},
    controller::Controller,
    limited::start_process,
    replacing::all_run,
    world::{World, until},
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    Definition,
    Operator,
    Fleet,
}

use Part::{Definition, Fleet, Operator};

const ORDERS: [[Part; 3]; 6] = [
    [Definition, Operator, Fleet],
    [Definition, Fleet, Operator],
    [Operator, Definition, Fleet],
    [Operator, Fleet, Definition],
    [Fleet, Definition, Operator],
    [Fleet, Operator, Definition],
];

/// A namespace with its manifests, and the operator as it would run once its Deployment is there.
struct Stage<'a> {
    server: &'a ApiServer,
    world: World,
    user: Clients,
    overlay: PathBuf,
    fleet: PathBuf,
    operator: Option<(Proxy, OperatorProcess)>,
}

impl<'a> Stage<'a> {
    async fn set(server: &'a ApiServer, namespace: &str) -> Self {
        let world = World::bare(server.client().unwrap(), namespace).await;
        let user = Clients::of(server, namespace);
        let mut spec = world.spec();
        spec["replicas"] = json!(1);
        spec["follower"]["image"] = json!("tidemark.local/follower:first");
        let fleet = json!({
            "apiVersion": "tidemark.dev/v1alpha1", "kind": "StoreReplicaSet", "metadata": { "name": "set" }, "spec": spec,
        });
        let fleet = user.write("fleet.json", &fleet.to_string());
        let overlay = user.overlay("namespaced", namespace);
        Self { server, world, user, overlay, fleet, operator: None }
    }

    fn apply(&self, part: Part) -> Result<()> {
        let crds = programs::checkout().join("deploy/kustomize/crds");
        let what = match part {
            Definition => ["-k", text(&crds)],
            Operator => ["-k", text(&self.overlay)],
            Fleet => ["-f", text(&self.fleet)],
        };
        self.user.kubectl(&["apply", what[0], what[1]]).map(drop)
    }

    /// Starts the operator with the rights of the account that the manifests made.
    async fn start_operator(&mut self) {
        let account = format!("system:serviceaccount:{}:tidemark", self.world.namespace);
        let mut config = self.server.config();
        config.headers.push((http::HeaderName::from_static("impersonate-user"), account.parse().unwrap()));
        let proxy = Proxy::start(config).await.unwrap();
        let operator = start_process(&proxy, &self.world.namespace, &[]);
        self.operator = Some((proxy, operator));
    }

    /// As an engine does: what is refused is tried again, as often as it takes.
    async fn converge(&mut self, order: [Part; 3]) {
        let mut left = order.to_vec();
        let mut refused = Vec::new();
        while let Some(part) = left.first().copied() {
            left.remove(0);
            let applied = self.apply(part);
            if part == Operator {
                applied.unwrap();
                self.start_operator().await;
            } else if let Err(why) = applied {
                refused.push((part, format!("{why:#}")));
                left.push(part);
            }
        }
        let too_early =
            order.iter().position(|part| *part == Fleet) < order.iter().position(|part| *part == Definition);
        assert!(
            !too_early || !refused.is_empty(),
            "the fleet cannot have been applied before its definition"
        );
        for (part, why) in refused {
            assert_eq!(part, Fleet, "{why}");
            let unknown =
                why.contains("no matches for kind") || why.contains("could not find the requested resource");
            assert!(unknown, "{why}");
        }
        self.is_served(&format!("{order:?}")).await;
        self.assert_permitted();
    }

    async fn is_served(&self, order: &str) {
        eprintln!("{order}");
        all_run(&self.world, 1, "first").await;
        self.world.condition_is("Ready", "True", "EnoughReplicasServe").await;
    }

    fn assert_permitted(&self) {
        let (proxy, _) = self.operator.as_ref().unwrap();
        let forbidden = proxy.answered(|_, _, status| status == http::StatusCode::FORBIDDEN);
        assert_eq!(forbidden, 0, "the base's role lacks something");
    }

    /// Takes everything away again, and the definition with all its sets.
    async fn strike(mut self) {
        self.operator = None;
        let definitions: Api<CustomResourceDefinition> = Api::all(self.world.client.clone());
        let name = "storereplicasets.tidemark.dev";
        definitions.delete(name, &DeleteParams::default()).await.unwrap();
        until("the definition to be gone", async || {
            ensure!(definitions.get_opt(name).await?.is_none(), "it is still there");
            Ok(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn definition_operator_and_fleet_converge_in_any_order() {
    let server = ApiServer::start_aside(&[]).unwrap();
    for (number, order) in ORDERS.into_iter().enumerate() {
        let mut stage = Stage::set(&server, &format!("order-{number}")).await;
        let _controller = Controller::start(stage.world.client.clone(), &stage.world.namespace);
        stage.converge(order).await;
        stage.strike().await;
    }
    at_once(&server).await;
}

/// All of it in one go, again until nothing is refused, with an operator that runs before it has any right.
async fn at_once(server: &ApiServer) {
    let mut stage = Stage::set(server, "at-once").await;
    let _controller = Controller::start(stage.world.client.clone(), "at-once");
    stage.start_operator().await;
    let crds = programs::checkout().join("deploy/kustomize/crds");
    let built =
        [&crds, &stage.overlay].map(|folder| stage.user.kubectl(&["kustomize", text(folder)]).unwrap());
    let fleet = std::fs::read_to_string(&stage.fleet).unwrap();
    let all = stage.user.write("all.yaml", &[fleet, built.join("\n---\n")].join("\n---\n"));
    until("all of it to be applied", async || stage.user.kubectl(&["apply", "-f", text(&all)])).await;
    stage.is_served("at once").await;
}
