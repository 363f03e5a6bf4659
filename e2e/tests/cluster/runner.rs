//! Runs stories, each in a namespace of its own, and tells what a failed one left behind.

use std::{future::Future, pin::Pin, process, time::Instant};

use anyhow::{Context as _, Result};
use libtest_mimic::{Arguments, Failed, Trial};
use tidemark_e2e::{install, programs, scene::Scene, target::Target};

type Play = Box<dyn FnOnce(Scene) -> Pin<Box<dyn Future<Output = Result<()>>>> + Send>;

/// A test on a real cluster.
pub(crate) struct Story {
    name: &'static str,
    needs_nodes: bool,
    play: Play,
}

/// A story that asks the API server alone.
pub(crate) fn story<F>(name: &'static str, play: impl FnOnce(Scene) -> F + Send + 'static) -> Story
where
    F: Future<Output = Result<()>> + 'static,
{
    Story { name, needs_nodes: false, play: Box::new(move |scene| Box::pin(play(scene))) }
}

/// A story that reaches into nodes: pod networks, processes.
pub(crate) fn needs_nodes<F>(name: &'static str, play: impl FnOnce(Scene) -> F + Send + 'static) -> Story
where
    F: Future<Output = Result<()>> + 'static,
{
    Story { needs_nodes: true, ..story(name, play) }
}

/// Runs the stories that the chosen cluster allows and exits as a test runner does.
pub(crate) fn run(stories: Vec<Story>) -> ! {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let target = prepare(&arguments).unwrap_or_else(|error| {
        eprintln!("no story can be played: {error:#}");
        process::exit(1)
    });
    let not_run: Vec<_> =
        stories.iter().filter(|s| s.needs_nodes && !target.node_access).map(|s| s.name).collect();
    let trials = stories.into_iter().map(|story| trial(story, &target)).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    not_run.iter().for_each(|name| println!("not run, for it needs access to the nodes: {name}"));
    conclusion.exit()
}

fn prepare(arguments: &Arguments) -> Result<Target> {
    let target = Target::choose()?;
    if !arguments.list {
        install::operator(&target).context("the operator cannot be installed")?;
    }
    Ok(target)
}

fn trial(story: Story, target: &Target) -> Trial {
    let ignored = story.needs_nodes && !target.node_access;
    let (target, name) = (target.clone(), story.name);
    let play = move || {
        let start = Instant::now();
        let played = play(story, &target).map_err(|error| Failed::from(format!("{error:#}")));
        print!("{:3} s ", start.elapsed().as_secs());
        played
    };
    Trial::test(name, play).with_ignored_flag(ignored)
}

fn play(story: Story, target: &Target) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let namespace = format!("e2e-{}", &story.name.replace('_', "-"));
        let scene = Scene::set(target, namespace[..namespace.len().min(50)].trim_end_matches('-')).await?;
        let played = (story.play)(scene.clone()).await;
        if played.is_err() {
            eprintln!("{}", left_behind(&scene).unwrap_or_else(|error| format!("{error:#}")));
        }
        // The next story need not wait for this one's pods to end.
        played.and(scene.dismiss().await.context("the story's namespace cannot be removed"))
    })
}

/// What helps to understand a failed story.
fn left_behind(scene: &Scene) -> Result<String> {
    let namespace = ["--namespace", scene.namespace.as_str()];
    let kubectl = |args: &[&str]| programs::run(scene.target.kubectl()?.args(args));
    let objects =
        kubectl(&[&namespace[..], &["get", "storereplicasets,pods,endpointslices", "-o", "wide"]].concat())?;
    let fleets = kubectl(&[&namespace[..], &["get", "storereplicasets", "-o", "yaml"]].concat())?;
    let deployment = format!("deployment/{}", install::RELEASE);
    let logs = kubectl(&["--namespace", install::NAMESPACE, "logs", "--tail=60", &deployment])?;
    Ok(format!("{objects}\n{fleets}\n{logs}"))
}
