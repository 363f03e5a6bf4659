//! The ServiceAccount of the followers, who talk to stores and never to Kubernetes.

use k8s_openapi::api::core::v1::ServiceAccount;

use crate::api::StoreReplicaSet;

pub(super) fn account(set: &StoreReplicaSet) -> ServiceAccount {
    ServiceAccount {
        metadata: super::meta(set, super::set_name(set).to_owned()),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}
