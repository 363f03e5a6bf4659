//! Rules, dashboard, runbooks and tables of metrics tell of the same things, and of things that there are.

use std::{collections::BTreeSet, fs};

use tidemark_e2e::{
    observability::{Dashboard, Rule, Runbook, rules, rules_file},
    programs,
};
use tidemark_follower::{metrics::Metrics as FollowerMetrics, state::State};
use tidemark_operator::metrics::Metrics as OperatorMetrics;

fn page(path: &str) -> String {
    fs::read_to_string(programs::checkout().join(path)).expect("a page")
}

fn alerts() -> Vec<Rule> {
    rules().expect("rules").into_iter().filter(|rule| rule.alert.is_some()).collect()
}

fn exported() -> BTreeSet<String> {
    let names = [OperatorMetrics::new().names(), FollowerMetrics::default().names()].concat();
    assert!(names.len() > 50, "{names:?}");
    names.into_iter().collect()
}

/// The names of our metrics in a text, without what a histogram adds to its own.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_' && letter != ':');
    let ours =
        words.filter(|word| word.starts_with("tidemark_operator_") || word.starts_with("tidemark_follower_"));
    let plain = |word: &str| {
        let suffix = ["_bucket", "_sum", "_count"].into_iter().find_map(|suffix| word.strip_suffix(suffix));
        suffix.unwrap_or(word).to_owned()
    };
    ours.map(plain).collect()
}

#[test]
fn each_alert_has_a_runbook_and_each_runbook_an_alert() {
    let named: BTreeSet<_> = alerts().into_iter().filter_map(|rule| rule.alert).collect();
    let pages: BTreeSet<_> = Runbook::all().expect("runbooks").into_iter().map(|page| page.alert).collect();
    assert_eq!(named, pages);
    let listed = page("docs/runbooks/README.md");
    for alert in named {
        assert!(listed.contains(&format!("| [{alert}]({alert}.md) |")), "README.md does not list {alert}");
    }
}

#[test]
fn each_alert_says_what_it_is_how_urgent_and_where_to_read_on() {
    let listed = page("docs/runbooks/README.md");
    for rule in alerts() {
        let alert = rule.alert.clone().unwrap_or_default();
        let said = |name: &str| rule.annotations.get(name).unwrap_or_else(|| panic!("{alert} has no {name}"));
        assert!(!said("summary").is_empty() && !said("description").is_empty(), "{alert}");
        assert_eq!(*said("runbook_url"), format!("docs/runbooks/{alert}.md"));
        let severity = rule.labels.get("severity").unwrap_or_else(|| panic!("{alert} has no severity"));
        let row = listed.lines().find(|line| line.contains(&format!("[{alert}]"))).unwrap_or_default();
        assert!(row.ends_with(&format!("| {severity} |")), "{alert} is {severity}: {row}");
    }
}

#[test]
fn each_runbook_says_what_it_means_how_to_see_it_and_what_to_do_and_not_to_do() {
    for Runbook { alert, text } in Runbook::all().expect("runbooks") {
        let title = format!("# {alert}\n");
        let parts = [
            title.as_str(),
            "\n**Meaning.** ",
            "\n**Impact.** ",
            "\n## Confirm\n",
            "\n## Do\n",
            "\n## Do not\n",
        ];
        let at: Vec<_> =
            parts.iter().map(|part| text.find(*part).unwrap_or_else(|| panic!("{alert}: {part}"))).collect();
        assert!(at.is_sorted(), "{alert} is in another order");
    }
}

/// The reasons of a condition while it is what an alert tells of, as docs/operations.md lists them.
fn reasons(condition: &str) -> BTreeSet<String> {
    let good = ["AsExpected", "BlocksArrive", "Observed"];
    let operations = page("docs/operations.md");
    let rows = operations.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let (reason, of) = (cells.next()?.trim_end_matches('`'), cells.next()?);
        of.split([',', ';']).any(|of| of.trim() == condition).then(|| reason.to_owned())
    });
    rows.filter(|reason| !good.contains(&reason.as_str())).collect()
}

#[test]
fn the_runbook_of_a_condition_names_each_reason_that_it_may_have() {
    let mut checked = 0;
    for rule in alerts() {
        let Some((_, rest)) = rule.expr.split_once("condition=\"") else { continue };
        let condition = rest.split('"').next().unwrap_or_default();
        let excluded = rule.expr.split("reason!=\"").nth(1).and_then(|rest| rest.split('"').next());
        let alert = rule.alert.clone().unwrap_or_default();
        let runbook = page(&format!("docs/runbooks/{alert}.md"));
        let wanted: Vec<_> =
            reasons(condition).into_iter().filter(|reason| Some(reason.as_str()) != excluded).collect();
        assert!(!wanted.is_empty(), "docs/operations.md has no reason of {condition}");
        for reason in wanted {
            assert!(runbook.contains(&format!("`{reason}`")), "the runbook of {alert} has no {reason}");
            checked += 1;
        }
    }
    assert!(checked > 10, "only {checked} reasons");
}

#[test]
fn every_metric_that_rules_and_dashboard_ask_for_is_exported() {
    let exported = exported();
    for file in [rules_file(), programs::checkout().join("charts/tidemark/files/dashboard.json")] {
        let asked = named(&fs::read_to_string(&file).expect("a file"));
        assert!(asked.len() > 10, "{}: {asked:?}", file.display());
        let unknown: Vec<_> = asked.difference(&exported).collect();
        assert!(unknown.is_empty(), "{} asks for {unknown:?}", file.display());
    }
}

#[test]
fn every_metric_that_a_page_names_is_exported() {
    let exported = exported();
    let mut pages: Vec<_> =
        Runbook::all().expect("runbooks").into_iter().map(|page| (page.alert, page.text)).collect();
    let others = [
        "docs/observability.md",
        "docs/operations.md",
        "docs/follower.md",
        "docs/judging.md",
        "docs/install.md",
    ];
    pages.extend(others.map(|path| (path.to_owned(), page(path))));
    for (name, text) in pages {
        // Commands may name the beginning of several.
        let unknown: Vec<_> = named(&text)
            .into_iter()
            .filter(|word| !exported.iter().any(|metric| metric.starts_with(word.as_str())))
            .collect();
        assert!(unknown.is_empty(), "{name} names {unknown:?}");
    }
}

#[test]
fn rules_ask_for_states_and_conditions_that_there_are() {
    let text = fs::read_to_string(rules_file()).expect("rules");
    let states = text
        .split("state=~\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .flat_map(|all| all.split('|'));
    let states: Vec<_> = states.collect();
    assert!(states.len() > 5, "{states:?}");
    for state in states {
        assert!(State::ALL.iter().any(|known| known.name() == state), "no follower is ever {state}");
    }
    let operations = page("docs/operations.md");
    for label in ["condition=\"", "reason=\"", "reason!=\""] {
        let values: Vec<_> = text.split(label).skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(!values.is_empty(), "{label}");
        for value in values {
            assert!(operations.contains(&format!("| `{value}` |")), "docs/operations.md has no {value}");
        }
    }
}

#[test]
fn every_metric_of_a_follower_is_listed_and_no_other() {
    let docs = page("docs/follower.md");
    let (_, table) = docs.split_once("\n## Metrics\n").expect("the table");
    let names =
        table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" |")).map(|(cell, _)| cell);
    let names =
        names.flat_map(|cell| cell.split('`')).filter(|part| !part.is_empty() && !part.starts_with(", "));
    let listed: BTreeSet<_> =
        names.map(|name| name.split('{').next().unwrap_or_default().to_owned()).collect();
    let metrics = FollowerMetrics::default();
    let short = |name: &String| {
        let name = name.trim_start_matches("tidemark_follower_");
        name.trim_end_matches("_total").to_owned()
    };
    assert_eq!(listed, metrics.names().iter().map(short).collect::<BTreeSet<_>>());
}

#[test]
fn the_dashboard_asks_prometheus_for_sets_that_there_are() {
    let dashboard = Dashboard::read().expect("the dashboard");
    let names: Vec<_> = dashboard.variables().iter().map(|variable| variable.name.as_str()).collect();
    assert_eq!(names, ["datasource", "namespace", "set"]);
    for panel in dashboard.panels.iter().filter(|panel| panel.kind != "row") {
        assert!(!panel.targets.is_empty(), "{} asks nothing", panel.title);
        for question in &panel.targets {
            let filled_in = Dashboard::filled_in(&question.expr, "n", "s", "5m");
            assert!(
                !filled_in.contains('$'),
                "{}: a variable that nothing fills in {filled_in}",
                panel.title
            );
        }
    }
}
