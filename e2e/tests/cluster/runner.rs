//! Runs stories, in namespaces of their own or one after the other on a fleet that they share, and tells what a failed one
//! left behind.

use std::{
    future::Future,
    pin::Pin,
    process,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use anyhow::{Context as _, Result};
use libtest_mimic::{Arguments, Failed, Trial};
use tidemark_e2e::{install, programs, scene::Scene, target::Target};
use tokio::runtime::Runtime;

type Play = Box<dyn FnOnce(Scene) -> Pin<Box<dyn Future<Output = Result<()>>>> + Send>;

/// The namespace of the fleet that stories share.
const SHARED: &str = "e2e-shared";

/// A test on a real cluster.
pub(crate) struct Story {
    name: &'static str,
    needs_nodes: bool,
    /// It is played only where there is time, with `TIDEMARK_STORIES=all`.
    long: bool,
    /// It finds a fleet of three in sync and leaves it so, and is spared the making of one.
    shares: bool,
    play: Play,
}

/// A story that asks the API server alone.
pub(crate) fn story<F>(name: &'static str, play: impl FnOnce(Scene) -> F + Send + 'static) -> Story
where
    F: Future<Output = Result<()>> + 'static,
{
    Story {
        name,
        needs_nodes: false,
        long: false,
        shares: false,
        play: Box::new(move |scene| Box::pin(play(scene))),
    }
}

/// A story that reaches into nodes: pod networks, processes.
pub(crate) fn needs_nodes<F>(name: &'static str, play: impl FnOnce(Scene) -> F + Send + 'static) -> Story
where
    F: Future<Output = Result<()>> + 'static,
{
    Story { needs_nodes: true, ..story(name, play) }
}

/// The same story on the fleet that those around it play on too.
pub(crate) fn shared(story: Story) -> Story {
    Story { shares: true, ..story }
}

/// The same story, where there is time.
pub(crate) fn long(story: Story) -> Story {
    Story { long: true, ..story }
}

/// Where stories are played.
struct Stage {
    target: Target,
    runtime: Runtime,
    /// What the last story that shares left in order, for the next one.
    standing: Mutex<Option<Scene>>,
}

/// Runs the stories that the chosen cluster allows and exits as a test runner does.
pub(crate) fn run(stories: Vec<Story>) -> ! {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let stage = prepare(&arguments).unwrap_or_else(|error| {
        eprintln!("no story can be played: {error:#}");
        process::exit(1)
    });
    let stage = Arc::new(stage);
    let nodes = stage.target.node_access;
    let not_run: Vec<_> = stories.iter().filter(|s| s.needs_nodes && !nodes).map(|s| s.name).collect();
    let too_long: Vec<_> = stories.iter().filter(|s| s.long && !has_time()).map(|s| s.name).collect();
    let trials = stories.into_iter().map(|story| trial(story, &stage)).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let Err(error) = stage.clear() {
        eprintln!("the shared fleet cannot be removed: {error:#}");
    }
    not_run.iter().for_each(|name| println!("not run, for it needs access to the nodes: {name}"));
    too_long.iter().for_each(|name| println!("not run, for it needs TIDEMARK_STORIES=all: {name}"));
    conclusion.exit()
}

fn has_time() -> bool {
    std::env::var("TIDEMARK_STORIES").is_ok_and(|stories| stories == "all")
}

fn prepare(arguments: &Arguments) -> Result<Stage> {
    let target = Target::choose()?;
    if !arguments.list {
        install::operator(&target).context("the operator cannot be installed")?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    Ok(Stage { target, runtime, standing: Mutex::default() })
}

fn trial(story: Story, stage: &Arc<Stage>) -> Trial {
    let ignored = (story.needs_nodes && !stage.target.node_access) || (story.long && !has_time());
    let (stage, name) = (Arc::clone(stage), story.name);
    let play = move || {
        let start = Instant::now();
        let played = stage.play(story).map_err(|error| Failed::from(format!("{error:#}")));
        print!("{:3} s ", start.elapsed().as_secs());
        played
    };
    Trial::test(name, play).with_ignored_flag(ignored)
}

impl Stage {
    fn play(&self, story: Story) -> Result<()> {
        let standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (left, played) = self.runtime.block_on(async {
            let scene = match (story.shares, standing) {
                (true, Some(standing)) => standing,
                (true, None) => shared_scene(&self.target).await?,
                (false, standing) => {
                    dismiss(standing).await?;
                    Scene::set(&self.target, &namespace(story.name)).await?
                }
            };
            let played = (story.play)(scene.clone()).await;
            if played.is_err() {
                eprintln!("{}", left_behind(&scene).unwrap_or_else(|error| format!("{error:#}")));
            }
            if story.shares && played.is_ok() {
                return anyhow::Ok((Some(scene), played));
            }
            // The next story need not wait for this one's pods to end.
            Ok((None, played.and(dismiss(Some(scene)).await)))
        })?;
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner) = left;
        played
    }

    fn clear(&self) -> Result<()> {
        let standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.runtime.block_on(dismiss(standing))
    }
}

fn namespace(story: &str) -> String {
    let namespace = format!("e2e-{}", story.replace('_', "-"));
    namespace[..namespace.len().min(50)].trim_end_matches('-').to_owned()
}

async fn shared_scene(target: &Target) -> Result<Scene> {
    let scene = Scene::set(target, SHARED).await?;
    crate::pods::start(&scene).await?;
    Ok(scene)
}

async fn dismiss(scene: Option<Scene>) -> Result<()> {
    let Some(scene) = scene else { return Ok(()) };
    scene.dismiss().await.context("the story's namespace cannot be removed")
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
