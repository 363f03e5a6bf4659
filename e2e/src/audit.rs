//! What the operator asked of the API server, as the API server's own audit log has it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use anyhow::{Context as _, Result};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::Value;

/// A right, or the use of one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// The API group; empty for the core one.
    pub group: String,
    /// The resource, with its subresource after a slash.
    pub resource: String,
    /// What is done with it.
    pub verb: String,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, resource, verb } = self;
        write!(f, "{verb} {resource}{}{group}", if group.is_empty() { "" } else { "." })
    }
}

/// What a log says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// The rights that were used, and when each was last.
    pub used: BTreeMap<Right, Timestamp>,
    /// The rights that were refused, and granted neither shortly before nor soon after: an API server that starts refuses
    /// everything for a moment, and one whose release is uninstalled loses its rights while it ends.
    pub refused: BTreeSet<Right>,
    /// Those refused last, and when.
    pending: BTreeMap<Right, Timestamp>,
}

/// The operator tries again what was refused within this time.
const NEAR: SignedDuration = SignedDuration::from_secs(90);

impl Audit {
    /// Reads a log of one JSON event a line.
    ///
    /// # Errors
    /// If a line is no event.
    pub fn read(log: &str) -> Result<Self> {
        let mut audit = Self::default();
        for line in log.lines() {
            let event = serde_json::from_str(line).with_context(|| format!("no audit event: {line}"))?;
            audit.add(&event).with_context(|| format!("no audit event: {line}"))?;
        }
        let pending = std::mem::take(&mut audit.pending);
        audit.refused.extend(pending.into_keys());
        Ok(audit)
    }

    fn add(&mut self, event: &Value) -> Result<()> {
        let Some(right) = right_of(event) else { return Ok(()) };
        let at =
            event["requestReceivedTimestamp"].as_str().context("it has no time")?.parse::<Timestamp>()?;
        // Not by the answer's code: what is refused in a namespace that is going away bears the same.
        if event["annotations"]["authorization.k8s.io/decision"] == "forbid" {
            if self.used.get(&right).is_none_or(|granted| at.duration_since(*granted) > NEAR) {
                self.pending.entry(right).or_insert(at);
            }
            return Ok(());
        }
        if self.pending.remove(&right).is_some_and(|refused| at.duration_since(refused) > NEAR) {
            self.refused.insert(right.clone());
        }
        self.used.insert(right, at);
        Ok(())
    }

    /// The granted rights that were not used. An object that is made by being applied is recorded as patched.
    #[must_use]
    pub fn unused(&self, granted: &[PolicyRule]) -> BTreeSet<Right> {
        let applied = |right: &Right| {
            right.verb == "create"
                && self.used.contains_key(&Right { verb: "patch".to_owned(), ..right.clone() })
        };
        let was_used = |right: &Right| self.used.contains_key(right) || applied(right);
        granted_by(granted).into_iter().filter(|right| !was_used(right)).collect()
    }
}

fn right_of(event: &Value) -> Option<Right> {
    let object = event.get("objectRef")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (resource, sub) = (text(&object["resource"]), text(&object["subresource"]));
    let resource = if sub.is_empty() { resource } else { format!("{resource}/{sub}") };
    Some(Right { group: text(&object["apiGroup"]), resource, verb: text(&event["verb"]) })
}

fn granted_by(rules: &[PolicyRule]) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for rule in rules {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                let right = |verb: &String| Right {
                    group: group.clone(),
                    resource: resource.clone(),
                    verb: verb.clone(),
                };
                rights.extend(rule.verbs.iter().map(right));
            }
        }
    }
    rights
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use k8s_openapi::api::rbac::v1::PolicyRule;
    use serde_json::json;

    use super::{Audit, Right};

    fn event(verb: &str, decision: &str, second: u32) -> String {
        let object = json!({"resource": "pods", "subresource": "status", "apiVersion": "v1"});
        let annotations = json!({"authorization.k8s.io/decision": decision});
        let at = format!("2026-01-01T00:{:02}:{:02}.123456Z", second / 60, second % 60);
        json!({
            "verb": verb, "objectRef": object, "annotations": annotations, "responseStatus": {"code": 403},
            "requestReceivedTimestamp": at,
        })
        .to_string()
    }

    fn right(verb: &str) -> Right {
        Right { group: String::new(), resource: "pods/status".to_owned(), verb: verb.to_owned() }
    }

    #[test]
    fn what_was_refused_for_want_of_a_right_is_found_and_what_was_refused_otherwise_is_not() {
        let log = [
            ("patch", "forbid", 0),
            ("patch", "allow", 90),
            ("update", "forbid", 1),
            ("delete", "forbid", 2),
            ("delete", "allow", 93),
            ("list", "allow", 3),
            ("list", "forbid", 93),
            ("get", "allow", 4),
            ("get", "forbid", 95),
        ];
        let log = log.map(|(verb, decision, second)| event(verb, decision, second)).join("\n");
        let audit = Audit::read(&log).expect("a log");
        assert_eq!(
            audit.used.into_keys().collect::<BTreeSet<_>>(),
            ["delete", "get", "list", "patch"].map(right).into()
        );
        assert_eq!(audit.refused, ["delete", "get", "update"].map(right).into());
        assert_eq!(right("update").to_string(), "update pods/status");
    }

    #[test]
    fn rights_that_nobody_used_are_told() {
        let rule = PolicyRule {
            api_groups: Some(vec![String::new()]),
            resources: Some(vec!["pods/status".to_owned()]),
            verbs: ["patch", "create", "delete"].map(str::to_owned).into(),
            ..PolicyRule::default()
        };
        let audit = Audit::read(&event("patch", "allow", 0)).expect("a log");
        assert_eq!(audit.unused(&[rule]), [right("delete")].into());
    }
}
