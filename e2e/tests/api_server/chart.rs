//! The chart's own ServiceAccount and permissions, as Helm renders them.

use std::process::Command;

use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams},
};
use tidemark_e2e::programs;

/// Who the chart's operator is, and the lease it leads by.
pub(crate) struct Installed {
    pub(crate) user: String,
    pub(crate) lease: String,
}

/// Makes what the chart makes for an operator that serves its own namespace alone, but its Deployment.
pub(crate) async fn install(client: &Client, namespace: &str) -> Installed {
    let helm = programs::folder().unwrap().join("helm");
    let namespaces = format!("namespaces={{{namespace}}}");
    let render = [
        "template",
        "--no-hooks",
        "--kube-version",
        "1.34",
        "--namespace",
        namespace,
        "--set",
        &namespaces,
        "release",
    ];
    let chart = programs::checkout().join("charts/tidemark");
    let rendered = programs::run(Command::new(helm).args(render).arg(chart)).unwrap();
    let mut user = None;
    for document in rendered.split("\n---") {
        let Some(object) = serde_saphyr::from_str::<Option<DynamicObject>>(document).unwrap() else {
            continue;
        };
        let kind = object.types.clone().unwrap();
        let name = object.metadata.name.clone().unwrap();
        match kind.kind.as_str() {
            "Role" | "RoleBinding" => {}
            "ServiceAccount" => user = Some(format!("system:serviceaccount:{namespace}:{name}")),
            _ => continue,
        }
        let resource = ApiResource::from_gvk(&GroupVersionKind::try_from(&kind).unwrap());
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
        api.patch(&name, &PatchParams::apply("helm").force(), &Patch::Apply(&object)).await.unwrap();
    }
    let lease = rendered.split_whitespace().find_map(|word| word.strip_prefix("--lease-name="));
    Installed { user: user.expect("the chart makes a ServiceAccount"), lease: lease.unwrap().to_owned() }
}
