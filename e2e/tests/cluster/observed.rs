//! What those see who watch: Prometheus, its rules and the dashboard, and people with a runbook.

use std::{process::Command, time::Duration};

use anyhow::{Context as _, Result, anyhow, ensure};
use tidemark_e2e::{
    demo,
    observability::{self, Dashboard, RATES_OVER, Rule, Runbook, Variable},
    programs,
    prometheus::{Prometheus, Series},
    scene::{SET, Scene},
    wait,
};

/// Panels that may show nothing, and why.
const MAY_BE_EMPTY: &[(&str, &str)] =
    &[("Days until the volume is full", "a follower says nothing of that in its first minute")];
/// Recorded series that may not be there, and why.
const MAY_BE_ABSENT: &[(&str, &str)] =
    &[("set:tidemark_gate_writes_failing:leader", "there is none while all gates can be written")];
const SCRAPED_WITHIN: Duration = Duration::from_secs(30);

/// The demo, watched by a real Prometheus: every rule and every panel finds what it asks for.
pub(crate) async fn by_prometheus(scene: Scene) -> Result<()> {
    let prometheus = Prometheus::start(&scene.client).await?;
    let outcome = demo::play(&scene, |_| ()).await?;
    // A rate needs more than one scrape after the last step.
    let in_ = format!(
        "replica:tidemark_replica_serves:leader{{namespace=\"{}\", reason=\"InSync\"}}",
        scene.namespace
    );
    wait::until("the return to be scraped", SCRAPED_WITHIN, async || {
        let all = prometheus.range(&format!("count({in_} == 1) == 3"))?;
        let lagging = prometheus.range(&pending(&scene.namespace, &outcome.victim))?;
        ensure!(!all.is_empty() && !lagging.is_empty(), "in sync {all:?}, alert {lagging:?}");
        Ok(())
    })
    .await?;
    let namespace = &scene.namespace;
    let failed: Vec<_> = std::iter::empty()
        .chain(targets(&prometheus, namespace))
        .chain(observability::rules()?.iter().map(|rule| check_rule(&prometheus, rule)))
        .chain(check_dashboard(&prometheus, &Dashboard::read()?, namespace))
        .chain([check_lag(&prometheus, namespace, &outcome.victim)])
        .filter_map(|checked| checked.err().map(|error| format!("{error:#}")))
        .collect();
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

fn pending(namespace: &str, pod: &str) -> String {
    format!(
        "ALERTS{{alertname=\"TidemarkReplicaLagging\", namespace=\"{namespace}\", set=\"{SET}\", pod=\"{pod}\"}}"
    )
}

/// Both operators and all three followers were scraped, each under the labels that rules and dashboard expect.
fn targets<'a>(prometheus: &'a Prometheus, namespace: &'a str) -> impl Iterator<Item = Result<()>> + 'a {
    let followers = format!(
        "up{{job=\"tidemark-follower\", namespace=\"{namespace}\", set=\"{SET}\", pod=~\"{SET}-[0-9]+\"}} == 1"
    );
    let operators = "up{job=\"tidemark-operator\", pod=~\"tidemark-.+\"} == 1".to_owned();
    [(followers, 3), (operators, 2)].into_iter().map(move |(query, least)| {
        let series = prometheus.range(&query)?;
        ensure!(series.len() >= least, "{query} finds {series:?}");
        Ok(())
    })
}

fn check_rule(prometheus: &Prometheus, rule: &Rule) -> Result<()> {
    prometheus.range(&rule.expr).with_context(|| format!("the rule {rule:?}"))?;
    let Some(recorded) = &rule.record else { return Ok(()) };
    let may_be_absent = MAY_BE_ABSENT.iter().any(|(name, _)| name == recorded);
    ensure!(may_be_absent || shows(&prometheus.range(recorded)?), "nothing was recorded as {recorded}");
    Ok(())
}

fn check_dashboard(prometheus: &Prometheus, dashboard: &Dashboard, namespace: &str) -> Vec<Result<()>> {
    let mut checked = check_variables(prometheus, dashboard, namespace);
    for panel in dashboard.panels.iter().filter(|panel| panel.kind != "row") {
        for question in &panel.targets {
            let query = Dashboard::filled_in(&question.expr, namespace, SET, RATES_OVER);
            let shown = prometheus.range(&query).with_context(|| format!("the panel {}", panel.title));
            checked.push(shown.and_then(|shown| {
                let may_be_empty = MAY_BE_EMPTY.iter().any(|(title, _)| *title == panel.title);
                ensure!(may_be_empty || shows(&shown), "the panel {} shows nothing: {query}", panel.title);
                Ok(())
            }));
        }
    }
    checked
}

/// The namespace and the set can be chosen.
fn check_variables(prometheus: &Prometheus, dashboard: &Dashboard, namespace: &str) -> Vec<Result<()>> {
    let asked = dashboard.variables().iter().filter_map(Variable::asked);
    let chosen = asked.map(|(series, label)| {
        let query = Dashboard::filled_in(series, namespace, SET, RATES_OVER);
        let found = prometheus.range(&query).with_context(|| format!("the values of {label}"))?;
        let wanted = if label == "namespace" { namespace } else { SET };
        ensure!(
            found.iter().any(|series| series.metric.get(label).is_some_and(|value| value == wanted)),
            "{query} has no {label} {wanted}"
        );
        Ok(())
    });
    let chosen: Vec<_> = chosen.collect();
    let all =
        if chosen.len() == 2 { Ok(()) } else { Err(anyhow!("{} variables ask Prometheus", chosen.len())) };
    chosen.into_iter().chain([all]).collect()
}

/// What was told of the lag is what the demo saw: the alert was about to fire for the victim, and for nobody else.
fn check_lag(prometheus: &Prometheus, namespace: &str, victim: &str) -> Result<()> {
    let alerts = prometheus
        .range(&format!("ALERTS{{alertname=\"TidemarkReplicaLagging\", namespace=\"{namespace}\"}}"))?;
    let pods: Vec<_> = alerts.iter().map(|series| series.metric["pod"].as_str()).collect();
    ensure!(pods.contains(&victim), "no alert of {victim}: {alerts:?}");
    let lag =
        format!("replica:tidemark_replica_lag_blocks:leader{{namespace=\"{namespace}\", pod=\"{victim}\"}}");
    let most = prometheus.range(&lag)?.iter().flat_map(Series::numbers).fold(0.0, f64::max);
    ensure!(most > 2.0, "the highest lag that was recorded of {victim} is {most}");
    Ok(())
}

fn shows(series: &[Series]) -> bool {
    series.iter().any(|series| !series.numbers().is_empty())
}

/// Every command of every runbook, as somebody runs it who was woken by its alert.
pub(crate) async fn by_hand(scene: Scene) -> Result<()> {
    let kubectl = scene.target.kubectl()?;
    let folder = programs::folder()?;
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
    let pod = format!("{SET}-1");
    for runbook in Runbook::all()? {
        for block in runbook.commands() {
            let mut shell = Command::new("bash");
            shell.args(["-euo", "pipefail", "-c", block]);
            shell.envs(kubectl.get_envs().filter_map(|(name, value)| Some((name, value?))));
            shell.env("PATH", &path).env("KUBECONFIG", &scene.target.kubeconfig);
            shell.env("NAMESPACE", &scene.namespace).env("SET", SET).env("POD", &pod);
            let said =
                programs::run(&mut shell).with_context(|| format!("the runbook of {}", runbook.alert))?;
            ensure!(!said.trim().is_empty(), "the runbook of {} shows nothing by\n{block}", runbook.alert);
        }
    }
    Ok(())
}
