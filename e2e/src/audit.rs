//! What the operator asked of the API server, as the API server's own audit log has it.

use std::{collections::BTreeSet, fmt};

use anyhow::{Context as _, Result};
use k8s_openapi::api::rbac::v1::ClusterRole;
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
    /// The rights that were used.
    pub used: BTreeSet<Right>,
    /// The rights that were refused.
    pub refused: BTreeSet<Right>,
}

impl Audit {
    /// Reads a log of one JSON event a line.
    ///
    /// # Errors
    /// If a line is no event.
    pub fn read(log: &str) -> Result<Self> {
        let mut audit = Self::default();
        for line in log.lines() {
            let event = serde_json::from_str(line).with_context(|| format!("no audit event: {line}"))?;
            audit.add(&event);
        }
        Ok(audit)
    }

    fn add(&mut self, event: &Value) {
        let Some(right) = right_of(event) else { return };
        // Not by the answer's code: what is refused in a namespace that is going away bears the same.
        if event["annotations"]["authorization.k8s.io/decision"] == "forbid" {
            self.refused.insert(right);
        } else {
            self.used.insert(right);
        }
    }

    /// The rights that were refused each time they were used: an API server that starts refuses everything for a moment.
    #[must_use]
    pub fn wanting(&self) -> BTreeSet<Right> {
        self.refused.difference(&self.used).cloned().collect()
    }

    /// The granted rights that were not used. An object that is made by being applied is recorded as patched.
    #[must_use]
    pub fn unused(&self, granted: &ClusterRole) -> BTreeSet<Right> {
        let applied = |right: &Right| {
            right.verb == "create" && self.used.contains(&Right { verb: "patch".to_owned(), ..right.clone() })
        };
        granted_by(granted).difference(&self.used).filter(|right| !applied(right)).cloned().collect()
    }
}

fn right_of(event: &Value) -> Option<Right> {
    let object = event.get("objectRef")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (resource, sub) = (text(&object["resource"]), text(&object["subresource"]));
    let resource = if sub.is_empty() { resource } else { format!("{resource}/{sub}") };
    Some(Right { group: text(&object["apiGroup"]), resource, verb: text(&event["verb"]) })
}

fn granted_by(role: &ClusterRole) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for rule in role.rules.iter().flatten() {
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
    use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
    use serde_json::json;

    use super::{Audit, Right};

    fn event(verb: &str, decision: &str) -> String {
        let object = json!({"resource": "pods", "subresource": "status", "apiVersion": "v1"});
        let annotations = json!({"authorization.k8s.io/decision": decision});
        json!({"verb": verb, "objectRef": object, "annotations": annotations, "responseStatus": {"code": 403}})
            .to_string()
    }

    fn right(verb: &str) -> Right {
        Right { group: String::new(), resource: "pods/status".to_owned(), verb: verb.to_owned() }
    }

    #[test]
    fn what_was_refused_for_want_of_a_right_is_found_and_what_was_refused_otherwise_is_not() {
        let log = [("patch", "forbid"), ("patch", "allow"), ("update", "forbid")];
        let log = log.map(|(verb, decision)| event(verb, decision)).join("\n");
        let audit = Audit::read(&log).expect("a log");
        assert_eq!(audit.used, [right("patch")].into());
        assert_eq!(audit.refused, [right("patch"), right("update")].into());
        assert_eq!(audit.wanting(), [right("update")].into());
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
        let granted = ClusterRole { rules: Some(vec![rule]), ..ClusterRole::default() };
        let audit = Audit::read(&event("patch", "allow")).expect("a log");
        assert_eq!(audit.unused(&granted), [right("delete")].into());
    }
}
