//! Statuses that an upstream made up: each means something, and none imposes a wait without end.

use proptest::prelude::*;
use tonic::{Code, Status};

use super::{UpstreamError, classify::classify};

proptest! {
    #[test]
    fn any_status_means_something_and_no_wait_is_endless(
        code in 0..20_i32,
        message in prop_oneof!["(Too Many Requests! Wait for |retry in |banned |)[0-9]{0,25}[a-z ]{0,9}", "\\PC{0,80}"],
    ) {
        match classify(&Status::new(Code::from(code), message)) {
            UpstreamError::RateLimited(wait) => prop_assert!(wait.as_secs() <= 60, "{wait:?}"),
            UpstreamError::Banned { wait, .. } => prop_assert!(wait.as_secs() <= 600, "{wait:?}"),
            other => prop_assert!(!other.to_string().is_empty()),
        }
    }
}
