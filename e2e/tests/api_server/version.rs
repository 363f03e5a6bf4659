//! Which Kubernetes the tests of this program ran on.

use std::{env, fs};

use serde_json::Value;
use tidemark_e2e::{
    apiserver::{ApiServer, SERVER},
    programs,
};

/// The version that the chart asks for at least.
fn oldest() -> String {
    let chart = fs::read_to_string(programs::checkout().join("charts/tidemark/Chart.yaml")).unwrap();
    let chart: Value = serde_saphyr::from_str(&chart).unwrap();
    let range = chart["kubeVersion"].as_str().unwrap();
    range.strip_prefix(">=").and_then(|range| range.strip_suffix("-0")).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_has_the_version_that_was_asked_for() {
    let version = ApiServer::shared().client().unwrap().apiserver_version().await.unwrap().git_version;
    let is_oldest = version == format!("v{}", oldest());
    assert_eq!(is_oldest, env::var(SERVER).is_ok(), "the server is {version}, the oldest is v{}", oldest());
}
