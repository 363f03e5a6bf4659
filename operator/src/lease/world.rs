//! Many candidates in virtual time, with everything that can go wrong between them and the server.

use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use rand::{SeedableRng as _, rngs::StdRng};
use tidemark_judge::Moment;

use super::{
    candidate::{Candidate, Step},
    record::Record,
    terms::Terms,
};

/// How far virtual time moves at once, and how often that is done.
const TICK: u64 = 50;
const STORMY: u64 = 10 * 60_000;
const CALM: u64 = 90_000;
/// After this a candidate thinks that its request failed; it may reach the server all the same, later.
const TIMEOUT: u64 = 5_000;

fn terms() -> Terms {
    Terms {
        duration: Duration::from_secs(15),
        renew_deadline: Duration::from_secs(10),
        retry: Duration::from_secs(2),
    }
}

/// The one lease, as etcd keeps it.
#[derive(Default)]
struct Server {
    lease: Option<(Record, u64)>,
    version: u64,
}

impl Server {
    fn put(&mut self, record: Record, expected: Option<u64>) -> bool {
        let unchanged = self.lease.as_ref().map(|(_, version)| *version) == expected;
        if unchanged {
            self.version += 1;
            self.lease = Some((Record { version: Some(self.version.to_string()), ..record }, self.version));
        }
        unchanged
    }
}

type Found = Option<(Record, u64)>;

enum Call {
    Get,
    Put(Record, Option<u64>),
}

/// A request under way.
struct Request {
    call: Call,
    sent: u64,
    /// When it reaches the server, and when the answer is back; None: lost.
    lands: Option<u64>,
    back: Option<u64>,
    answer: Option<Result<Found, bool>>,
}

struct Node {
    candidate: Candidate,
    /// Its clock's speed, in thousandths.
    speed: u64,
    request: Option<Request>,
    /// Requests it no longer waits for, on their way all the same.
    late: Vec<Request>,
    idle_until: u64,
    frozen_until: u64,
    cut_until: u64,
}

struct World {
    rng: StdRng,
    now: u64,
    server: Server,
    nodes: Vec<Node>,
    born: u64,
    terms_begun: u32,
    stormy: bool,
}

impl World {
    fn new(seed: u64, count: usize) -> Self {
        let rng = StdRng::seed_from_u64(seed);
        let mut world = Self {
            rng,
            now: 0,
            server: Server::default(),
            nodes: Vec::new(),
            born: 0,
            terms_begun: 0,
            stormy: true,
        };
        world.nodes = (0..count).map(|_| world.node()).collect();
        world
    }

    fn node(&mut self) -> Node {
        self.born += 1;
        Node {
            candidate: Candidate::new(format!("n_{}", self.born), terms()),
            speed: self.rng.random_range(996..=1_004),
            request: None,
            late: Vec::new(),
            idle_until: self.now + self.rng.random_range(0..3_000),
            frozen_until: 0,
            cut_until: 0,
        }
    }

    fn local(&self, node: &Node, time: u64) -> Moment {
        Moment::new(Duration::from_micros(time * node.speed))
    }

    fn leaders(&self) -> usize {
        let leads =
            |node: &&Node| node.candidate.until().is_some_and(|until| until > self.local(node, self.now));
        self.nodes.iter().filter(leads).count()
    }

    fn tick(&mut self) {
        self.now += TICK;
        for at in 0..self.nodes.len() {
            if self.stormy {
                self.trouble(at);
            }
            self.land(at);
            if self.nodes[at].frozen_until <= self.now {
                self.act(at);
            }
        }
    }

    /// Once in a while something happens to a node: it is cut off, suspended, or dies and is born again.
    fn trouble(&mut self, at: usize) {
        let long = self.now + self.rng.random_range(0..40_000);
        match self.rng.random_range(0..3_000) {
            0 => self.nodes[at].cut_until = long,
            1 => self.nodes[at].frozen_until = long,
            2 => {
                let mut newborn = self.node();
                let old = &mut self.nodes[at];
                newborn.late = std::mem::take(&mut old.late);
                newborn.late.extend(old.request.take());
                self.nodes[at] = newborn;
            }
            3 => self.release(at),
            _ => {}
        }
    }

    /// A clean end: it stops acting first, then lets the lease go; another process takes its place.
    fn release(&mut self, at: usize) {
        let identity = self.nodes[at].candidate.identity.clone();
        let mut newborn = self.node();
        newborn.late = std::mem::take(&mut self.nodes[at].late);
        newborn.late.extend(self.nodes[at].request.take());
        let theirs = self.server.lease.clone().filter(|(found, _)| found.holder == Some(identity));
        if let Some((record, version)) = theirs {
            let (lands, _) = self.way();
            let call = Call::Put(record.released(Timestamp::UNIX_EPOCH), Some(version));
            newborn.late.push(Request { call, sent: self.now, lands, back: None, answer: None });
        }
        self.nodes[at] = newborn;
    }

    /// When a request sent now lands, and when its answer is back.
    fn way(&mut self) -> (Option<u64>, Option<u64>) {
        let troubles = if self.stormy { 50 } else { 0 };
        let mut leg = || match self.rng.random_range(0..=troubles) {
            1 => None,
            2..6 => Some(self.rng.random_range(0..20_000)),
            _ => Some(self.rng.random_range(0..200)),
        };
        let lands = leg().map(|there| self.now + there);
        (lands, lands.zip(leg()).map(|(lands, back)| lands + back))
    }

    fn send(&mut self, at: usize, call: Call) {
        let (mut lands, mut back) = self.way();
        if self.nodes[at].cut_until > self.now {
            (lands, back) = (None, None);
        }
        self.nodes[at].request = Some(Request { call, sent: self.now, lands, back, answer: None });
    }

    /// What reaches the server now, whether or not anybody waits for it any more.
    fn land(&mut self, at: usize) {
        let Self { now, server, nodes, .. } = self;
        let node = &mut nodes[at];
        for request in node.late.iter_mut().chain(&mut node.request) {
            if request.answer.is_some() || request.lands.is_none_or(|lands| lands > *now) {
                continue;
            }
            request.answer = Some(match &request.call {
                Call::Get => Ok(server.lease.clone()),
                Call::Put(record, expected) => Err(server.put(record.clone(), *expected)),
            });
        }
        node.late.retain(|request| request.answer.is_none() && request.lands.is_some());
    }

    fn act(&mut self, at: usize) {
        let now = self.now;
        let moment = self.local(&self.nodes[at], now);
        if self.nodes[at].candidate.loss(moment, None).is_some() {
            self.nodes[at] = self.node();
            return;
        }
        match self.nodes[at].request.take() {
            None if self.nodes[at].idle_until <= now => self.send(at, Call::Get),
            None => {}
            Some(request) => self.wait_for(at, request),
        }
    }

    fn wait_for(&mut self, at: usize, mut request: Request) {
        let arrived = request.back.is_some_and(|back| back <= self.now);
        match request.answer.take_if(|_| arrived) {
            Some(Ok(found)) => self.decide(at, found),
            Some(Err(written)) => {
                let sent = self.local(&self.nodes[at], request.sent);
                if written {
                    self.terms_begun += u32::from(self.nodes[at].candidate.until().is_none());
                    self.nodes[at].candidate.wrote(sent);
                }
                self.rest(at);
            }
            None if self.now - request.sent >= TIMEOUT => {
                self.nodes[at].late.push(request);
                self.rest(at);
            }
            None => self.nodes[at].request = Some(request),
        }
    }

    fn decide(&mut self, at: usize, found: Found) {
        let moment = self.local(&self.nodes[at], self.now);
        let record = found.as_ref().map(|(record, _)| record);
        // Every wall clock is somewhere else, and jumps.
        let wall = Timestamp::from_second(self.rng.random_range(0..1_000)).unwrap_or_default();
        match self.nodes[at].candidate.decide(moment, wall, record) {
            Step::Wait(_) => self.rest(at),
            Step::Write(next) => self.send(at, Call::Put(next, found.map(|(_, version)| version))),
            Step::Stop(_) => self.nodes[at] = self.node(),
        }
    }

    fn rest(&mut self, at: usize) {
        self.nodes[at].idle_until = self.now + 2_000;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 0, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn never_do_two_lead_at_one_moment_and_in_calm_somebody_does(seed: u64, count in 2..5_usize) {
        let mut world = World::new(seed, count);
        while world.now < STORMY {
            world.tick();
            prop_assert!(world.leaders() <= 1, "{} lead at {} ms", world.leaders(), world.now);
        }
        world.stormy = false;
        while world.now < STORMY + CALM {
            world.tick();
            prop_assert!(world.leaders() <= 1, "{} lead at {} ms", world.leaders(), world.now);
        }
        prop_assert!(world.terms_begun > 3, "a storm in which {} terms began shows nothing", world.terms_begun);
        prop_assert_eq!(world.leaders(), 1);
    }
}
