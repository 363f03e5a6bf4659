//! How long it takes from the sample that decides to the verdict, and from the verdict to the gate.
//!
//! A follower is held at its tip until it is out, then let go until it is in again. Its answers have the time at which it
//! gave them, the operator's log that of its verdicts and of the gates it wrote; all on one machine's clock.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::Ipv4Addr,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde::Deserialize;
use serde_json::json;
use tidemark_report::{Figure, percentile};
use tokio::{
    fs::File,
    io::{AsyncBufReadExt as _, BufReader, Lines},
};

use super::{
    crowd::{Command, Told},
    layout::Place,
    objects,
    world::{Size, World},
};

const SIZE: Size = Size { sets: 20, followers: 3, blocks: Duration::from_millis(250) };
/// How many followers fall behind and return at the same time: so few that the API server is idle between their events.
const LANES: u32 = 4;
/// Verdicts to see.
const EVENTS: usize = 240;
const WITHIN: Duration = Duration::from_secs(300);
const GOAL: Duration = Duration::from_millis(50);
const BETWEEN_PLAIN: Duration = Duration::from_millis(50);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// After this long the crowd has told of all that it answered before: the log is read no nearer to the present.
const SETTLED: Duration = Duration::from_millis(500);

/// One line of the operator's log.
#[derive(Deserialize)]
struct Line {
    timestamp: Timestamp,
    fields: Fields,
}

#[derive(Deserialize)]
struct Fields {
    message: String,
    #[serde(default)]
    pod: String,
    open: Option<bool>,
}

impl Line {
    fn is_settled(&self) -> bool {
        Timestamp::now().duration_since(self.timestamp).unsigned_abs() > SETTLED
    }
}

/// What the log says of a pod.
enum Said {
    Verdict { serves: bool },
    Wrote { open: bool },
}

#[derive(Default)]
struct Seen {
    /// The latest answer of each follower that was held once.
    answers: BTreeMap<String, Vec<Timestamp>>,
    verdicts: BTreeMap<String, (bool, Timestamp)>,
    sample_to_verdict: Vec<Duration>,
    verdict_to_gate: Vec<Duration>,
}

pub(super) async fn measure() -> Result<Vec<Figure>> {
    let mut world = World::start(SIZE).await?;
    world.start_operator().await?;
    world.populate().await?;
    let seen = Run::begin(&mut world).await?.until_enough().await?;
    let plain = plain_writes(&world.client).await?;
    let mut figures = vec![Figure::count("latency_events", seen.verdict_to_gate.len())];
    for (name, values, goal) in [
        ("sample_to_verdict", &seen.sample_to_verdict, Some(GOAL)),
        ("verdict_to_gate", &seen.verdict_to_gate, Some(GOAL)),
        ("plain_write", &plain, None),
    ] {
        for (percent, goal) in [(50, None), (99, goal)] {
            let value = percentile(values, percent).unwrap_or(Duration::MAX);
            figures.push(Figure::milliseconds(&format!("{name}_p{percent}"), value, goal));
        }
    }
    Ok(figures)
}

/// What this API server takes for a condition of a pod in the same minute, without an operator: the least that a gate can.
async fn plain_writes(client: &Client) -> Result<Vec<Duration>> {
    let mut took = Vec::new();
    // A follower that is not held.
    let place = Place::follower(SIZE.sets - 1, 0);
    let pods: Api<Pod> = Api::namespaced(client.clone(), &objects::namespace(place.set));
    for write in 0..EVENTS {
        let status = if write % 2 == 0 { "True" } else { "False" };
        let condition = json!({ "type": "e2e.tidemark.dev/plain", "status": status });
        let patch = Patch::Strategic(json!({ "status": { "conditions": [condition] } }));
        let sent = Instant::now();
        pods.patch_status(&place.pod(), &PatchParams::default(), &patch).await?;
        took.push(sent.elapsed());
        tokio::time::sleep(BETWEEN_PLAIN).await;
    }
    Ok(took)
}

struct Run<'a> {
    world: &'a mut World,
    log: Lines<BufReader<File>>,
    seen: Seen,
    held: BTreeSet<String>,
    /// Lines of the log that are not settled yet.
    waiting: VecDeque<Line>,
}

impl<'a> Run<'a> {
    async fn begin(world: &'a mut World) -> Result<Self> {
        let log = open(world.log()).await?;
        let mut run =
            Self { world, log, seen: Seen::default(), held: BTreeSet::new(), waiting: VecDeque::new() };
        // What was said before is of no interest.
        while run.log.next_line().await?.is_some() {}
        for set in 0..LANES {
            run.hold(Place::follower(set, 0)).await?;
        }
        Ok(run)
    }

    async fn until_enough(mut self) -> Result<Seen> {
        let begun = Instant::now();
        while self.seen.verdict_to_gate.len() < EVENTS {
            ensure!(begun.elapsed() < WITHIN, "only {} gates were written", self.seen.verdict_to_gate.len());
            self.take_answers().await?;
            while let Some(line) = self.log.next_line().await? {
                self.waiting.extend(serde_json::from_str::<Line>(&line));
            }
            while let Some(line) = self.waiting.pop_front_if(|line| line.is_settled()) {
                self.take(line).await?;
            }
        }
        Ok(self.seen)
    }

    /// Takes what the crowd tells, until it has nothing to tell for a moment.
    async fn take_answers(&mut self) -> Result<()> {
        while let Ok(told) = tokio::time::timeout(LOOK_EVERY, self.world.crowd.told()).await {
            if let Told::Answered(address, _, micros) = told? {
                let at = Timestamp::from_microsecond(i64::try_from(micros)?)?;
                self.seen.answers.entry(pod_at(address)).or_default().push(at);
            }
        }
        Ok(())
    }

    async fn take(&mut self, line: Line) -> Result<()> {
        let Some((pod, said)) = read(&line.fields) else { return Ok(()) };
        if !self.held.contains(&pod) {
            return Ok(());
        }
        match said {
            Said::Verdict { serves } => self.seen.judged(&pod, serves, line.timestamp),
            Said::Wrote { open } => {
                self.seen.wrote(&pod, open, line.timestamp);
                self.next(&pod, open).await?;
            }
        }
        Ok(())
    }

    /// A follower that is in is held, one that is out goes on: the next event is its own opposite.
    async fn next(&mut self, pod: &str, open: bool) -> Result<()> {
        let Some(place) = place_of(pod) else { return Ok(()) };
        if open {
            self.hold(place).await
        } else {
            self.world.crowd.tell(&Command::Release(place.address())).await
        }
    }

    async fn hold(&mut self, place: Place) -> Result<()> {
        self.held.insert(place.pod());
        self.world.crowd.tell(&Command::Hold(place.address())).await
    }
}

impl Seen {
    fn judged(&mut self, pod: &str, serves: bool, at: Timestamp) {
        let answers = self.answers.entry(pod.to_owned()).or_default();
        if let Some(deciding) = answers.iter().rev().find(|answer| **answer <= at) {
            self.sample_to_verdict.push(at.duration_since(*deciding).unsigned_abs());
            self.verdicts.insert(pod.to_owned(), (serves, at));
        }
        answers.clear();
    }

    fn wrote(&mut self, pod: &str, open: bool, at: Timestamp) {
        if let Some((serves, judged)) = self.verdicts.remove(pod)
            && serves == open
        {
            self.verdict_to_gate.push(at.duration_since(judged).unsigned_abs());
        }
    }
}

async fn open(log: PathBuf) -> Result<Lines<BufReader<File>>> {
    Ok(BufReader::new(File::open(log).await?).lines())
}

/// `fleet0001-0 is out: …` of a verdict, `wrote gate` of a gate.
fn read(fields: &Fields) -> Option<(String, Said)> {
    if fields.message == "wrote gate" {
        return Some((fields.pod.clone(), Said::Wrote { open: fields.open? }));
    }
    let (pod, said) = fields.message.split_once(" is ")?;
    let serves = said.starts_with("in:");
    (serves || said.starts_with("out:")).then(|| (pod.to_owned(), Said::Verdict { serves }))
}

fn pod_at(address: Ipv4Addr) -> String {
    Place::at(address).map(Place::pod).unwrap_or_default()
}

fn place_of(pod: &str) -> Option<Place> {
    let (set, ordinal) = pod.strip_prefix("fleet")?.split_once('-')?;
    Some(Place::follower(set.parse().ok()?, ordinal.parse().ok()?))
}
