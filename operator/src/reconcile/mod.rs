//! Reconcile.
/// x
pub fn primary_refusal(_url: &str, _allow: bool) -> Option<String> { None }
