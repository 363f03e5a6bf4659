//! The alert rules, the dashboard and the runbooks, as those read them who check them.

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::programs;

/// Rates that are shown of a test, which scrapes each second.
pub const RATES_OVER: &str = "10s";

/// The file of rules, as Prometheus reads it.
#[must_use]
pub fn rules_file() -> PathBuf {
    programs::checkout().join("charts/tidemark/files/rules.yaml")
}

/// One rule: it records a series, or raises an alert.
#[derive(Clone, Debug, Deserialize)]
pub struct Rule {
    /// The series.
    pub record: Option<String>,
    /// The alert.
    pub alert: Option<String>,
    /// By which query.
    pub expr: String,
    /// What the alert bears.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// What the alert says.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

/// Every rule.
///
/// # Errors
/// If the file cannot be read.
pub fn rules() -> Result<Vec<Rule>> {
    let rules: Rules = serde_saphyr::from_str(&fs::read_to_string(rules_file())?)?;
    Ok(rules.groups.into_iter().flat_map(|group| group.rules).collect())
}

/// A panel of the dashboard that asks something.
#[derive(Clone, Debug, Deserialize)]
pub struct Panel {
    /// Its title.
    pub title: String,
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it asks.
    #[serde(default)]
    pub targets: Vec<Question>,
}

/// One query of a panel.
#[derive(Clone, Debug, Deserialize)]
pub struct Question {
    /// The query, with the variables of Grafana in it.
    pub expr: String,
    /// What its series are called, with their labels as `{{label}}`.
    #[serde(rename = "legendFormat")]
    pub legend: String,
}

/// A variable of the dashboard.
#[derive(Clone, Debug, Deserialize)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// `label_values(SERIES, LABEL)`, for one that asks Prometheus.
    pub definition: Option<String>,
}

impl Variable {
    /// The series it asks for, and the label whose values are to be chosen from; None: it asks Prometheus for nothing.
    #[must_use]
    pub fn asked(&self) -> Option<(&str, &str)> {
        let definition = self.definition.as_deref()?;
        let (series, label) =
            definition.strip_prefix("label_values(")?.strip_suffix(')')?.rsplit_once(',')?;
        Some((series.trim(), label.trim()))
    }
}

/// The dashboard.
#[derive(Clone, Debug, Deserialize)]
pub struct Dashboard {
    /// Its panels, and the rows between them.
    pub panels: Vec<Panel>,
    templating: Templating,
}

#[derive(Clone, Debug, Deserialize)]
struct Templating {
    list: Vec<Variable>,
}

impl Dashboard {
    /// Reads it.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn read() -> Result<Self> {
        let file = programs::checkout().join("charts/tidemark/files/dashboard.json");
        Ok(serde_json::from_str(&fs::read_to_string(file)?)?)
    }

    /// The variables that are chosen at its top.
    #[must_use]
    pub fn variables(&self) -> &[Variable] {
        &self.templating.list
    }

    /// A console of Prometheus that draws what panels with lines ask for, of this set.
    ///
    /// # Errors
    /// If its template cannot be read.
    pub fn console(&self, namespace: &str, set: &str) -> Result<String> {
        let template = fs::read_to_string(programs::checkout().join("e2e/data/dashboard.html"))?;
        let drawn = self.panels.iter().filter(|panel| panel.kind == "timeseries");
        let drawn = drawn.map(|panel| {
            let queries = panel.targets.iter().map(|asked| Self::filled_in(&asked.expr, namespace, set, RATES_OVER));
            // Its own templates are written with two braces too.
            let names = panel.targets.iter().map(|asked| asked.legend.replace("{{", "[[ ").replace("}}", " ]]"));
            json!({ "title": panel.title, "queries": queries.collect::<Vec<_>>(), "names": names.collect::<Vec<_>>() })
        });
        let drawn = Value::from_iter(drawn).to_string();
        let template = template.replace("@NAMESPACE@", namespace).replace("@SET@", set);
        Ok(template.replace("@PANELS@", &drawn))
    }

    /// A query as Grafana would ask it, for this set and with rates over so long.
    #[must_use]
    pub fn filled_in(expr: &str, namespace: &str, set: &str, rates_over: &str) -> String {
        let expr = expr.replace("$__rate_interval", rates_over);
        expr.replace("$namespace", namespace).replace("$set", set)
    }
}

/// A page on what to do about an alert.
#[derive(Clone, Debug)]
pub struct Runbook {
    /// The alert.
    pub alert: String,
    /// The page.
    pub text: String,
}

impl Runbook {
    /// Every page but the one that lists them.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn all() -> Result<Vec<Self>> {
        let mut pages = Vec::new();
        for entry in fs::read_dir(programs::checkout().join("docs/runbooks"))? {
            let path = entry?.path();
            let name = path.file_stem().and_then(|name| name.to_str()).context("a page has no name")?;
            if name != "README" {
                pages.push(Self { alert: name.to_owned(), text: fs::read_to_string(&path)? });
            }
        }
        pages.sort_by(|a, b| a.alert.cmp(&b.alert));
        Ok(pages)
    }

    /// Its blocks of commands.
    #[must_use]
    pub fn commands(&self) -> Vec<&str> {
        let blocks = self.text.split("```sh\n").skip(1);
        blocks.filter_map(|block| Some(block.split_once("```")?.0)).collect()
    }
}
