//! What goes wrong in a fleet, and what ends it.

use super::dice::Dice;
use crate::world::{CHAIN, OTHER_CHAIN, World, ms};
use tidemark_judge::{Intent, Mode, VolumeUid};

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Fault { $($(#[$doc])* $name),* }

        impl Fault {
            pub(super) const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

faults! {
    /// A store gets no more blocks.
    UpstreamCut,
    /// A store gives no more answers.
    Silent,
    /// Half of the stores give no more answers.
    Partition,
    /// Nobody answers the operator.
    OperatorCutOff,
    PrimarySilent,
    ContainerRestarted,
    ContainerDown,
    PodReplaced,
    PodTerminating,
    VolumeLost,
    /// A store starts again without its blocks.
    StoreEmptied,
    RogueTip,
    Forked,
    OtherChain,
    /// The chain itself loses its last blocks.
    ChainRewound,
    ChainStalled,
    LeaderChanged,
    /// One who stood by and saw the same becomes the leader.
    StandbyTookOver,
    KubeletDown,
    /// No gate write arrives.
    ApiServerGone,
    /// The operator's process stood still for some seconds.
    ClockLeapt,
    /// It stood still for longer than anything is remembered.
    ClockLeaptFar,
    Fenced,
    FloorChanged,
    ObserveOnly,
    /// Every pod is to be made anew, one after the other.
    RolledOut,
    Rebuilt,
    ScaledDown,
}

impl Fault {
    /// Whether the chain itself is another for some, so that no side need be right. One that only says that it is
    /// higher than it is must harm nobody.
    pub(super) const fn is_schism(self) -> bool {
        matches!(self, Self::Forked | Self::OtherChain | Self::ChainRewound)
    }
}

/// A fault that lasts: which, whom it struck, and until when.
struct Lasting {
    fault: Fault,
    at: usize,
    until: u32,
}

/// The faults of one fleet.
pub(super) struct Faults {
    /// What it is prone to, and how often something begins, in seconds.
    prone_to: Vec<Fault>,
    every: u64,
    next_rogue: u32,
    lasting: Vec<Lasting>,
    pub(super) chain_stands: bool,
    pub(super) rewind: u32,
}

impl Faults {
    /// Those of a fleet that is prone to about half of what may befall it.
    pub(super) fn draw(dice: &mut Dice, may: impl Fn(Fault) -> bool) -> Self {
        let every = [10, 30, 120][dice.index(3)];
        let prone_to = Fault::ALL.iter().copied().filter(|fault| may(*fault) && dice.once_in(2)).collect();
        Self { prone_to, every, next_rogue: 0, lasting: Vec::new(), chain_stands: false, rewind: 0 }
    }

    /// Ends what is over, and begins another fault now and then.
    pub(super) fn advance(&mut self, second: u32, world: &mut World, dice: &mut Dice) -> Option<Fault> {
        let over: Vec<_> = self.lasting.extract_if(.., |lasting| lasting.until <= second).collect();
        over.into_iter().for_each(|lasting| self.end(&lasting, world));
        if self.prone_to.is_empty() || !dice.once_in(self.every) {
            return None;
        }
        let fault = self.prone_to[dice.index(self.prone_to.len())];
        let at = dice.index(world.stores.len());
        let busy =
            self.lasting.iter().any(|lasting| lasting.fault == fault) || self.would_be_two(fault, second);
        let longest = if dice.once_in(10) { 900 } else { 60 };
        let until = second + 1 + dice.small(longest);
        if busy {
            return None;
        }
        self.begin(fault, at, world, dice);
        self.lasting.push(Lasting { fault, at, until });
        Some(fault)
    }

    /// Two that tell the same lie confirm each other, and so does one whose last word still counts.
    fn would_be_two(&mut self, fault: Fault, second: u32) -> bool {
        let again = fault == Fault::RogueTip && second < self.next_rogue;
        if fault == Fault::RogueTip && !again {
            self.next_rogue = second + 1000;
        }
        again
    }

    pub(super) fn is_in_schism(&self) -> bool {
        self.lasting.iter().any(|lasting| lasting.fault.is_schism())
    }

    fn begin(&mut self, fault: Fault, at: usize, world: &mut World, dice: &mut Dice) {
        match fault {
            Fault::UpstreamCut => world.stores[at].upstream = None,
            Fault::Silent => world.stores[at].answers = false,
            Fault::Partition => {
                world.stores.iter_mut().step_by(2).for_each(|store| store.answers = false);
            }
            Fault::OperatorCutOff => {
                world.primary.answers = false;
                world.stores.iter_mut().for_each(|store| store.answers = false);
            }
            Fault::PrimarySilent => world.primary.answers = false,
            Fault::ContainerRestarted => world.restart(at),
            Fault::ContainerDown => world.member(at).container = None,
            Fault::PodReplaced => world.recreate(at),
            Fault::PodTerminating => world.member(at).terminating = true,
            Fault::VolumeLost => lose_volume(world, at),
            Fault::StoreEmptied => {
                world.restart(at);
                world.stores[at].tip = None;
            }
            Fault::RogueTip => world.stores[at].rogue = Some(1_000_000),
            Fault::Forked => world.stores[at].forks_at = world.primary.tip,
            Fault::OtherChain => world.stores[at].genesis = OTHER_CHAIN,
            Fault::ChainRewound => self.rewind = 1 + dice.small(20),
            Fault::ChainStalled => self.chain_stands = true,
            Fault::LeaderChanged => world.change_leader(),
            Fault::StandbyTookOver => world.standby_takes_over(),
            Fault::KubeletDown => world.kubelet = false,
            Fault::ApiServerGone => world.writes_arrive = false,
            Fault::ClockLeapt => world.advance(ms(7_000)),
            Fault::ClockLeaptFar => world.advance(ms(1_300_000)),
            Fault::Fenced => drop(world.policy.fenced.insert(world.observed.members[at].name.clone())),
            Fault::FloorChanged => world.policy.min_serving = dice.small(4),
            Fault::ObserveOnly => world.policy.mode = Mode::Observe,
            Fault::RolledOut => {
                world.observed.members.iter_mut().for_each(|member| member.intent = Some(Intent::Replace));
            }
            Fault::Rebuilt => world.member(at).intent = Some(Intent::Rebuild),
            Fault::ScaledDown => {
                world.policy.replicas -= 1;
                let last = world.stores.len() - 1;
                world.member(last).intent = Some(Intent::ScaleDown);
            }
        }
    }

    fn end(&mut self, lasting: &Lasting, world: &mut World) {
        let at = lasting.at;
        match lasting.fault {
            Fault::UpstreamCut => world.stores[at].upstream = world.primary.tip,
            Fault::Silent => world.stores[at].answers = true,
            Fault::Partition => world.stores.iter_mut().for_each(|store| store.answers = true),
            Fault::OperatorCutOff => {
                world.primary.answers = true;
                world.stores.iter_mut().for_each(|store| store.answers = true);
            }
            Fault::PrimarySilent => world.primary.answers = true,
            Fault::ContainerDown => world.restart(at),
            Fault::PodTerminating => world.recreate(at),
            Fault::RogueTip => world.stores[at].rogue = None,
            Fault::Forked => world.stores[at].forks_at = None,
            Fault::OtherChain => world.stores[at].genesis = CHAIN,
            Fault::ChainStalled => self.chain_stands = false,
            Fault::KubeletDown => world.kubelet = true,
            Fault::ApiServerGone => world.writes_arrive = true,
            Fault::Fenced => world.policy.fenced.clear(),
            Fault::ObserveOnly => world.policy.mode = Mode::Enforce,
            Fault::RolledOut | Fault::Rebuilt => {
                let withdrawn = |intent| intent == Intent::Replace || intent == Intent::Rebuild;
                let members = world.observed.members.iter_mut();
                members.for_each(|member| member.intent = member.intent.filter(|intent| !withdrawn(*intent)));
            }
            Fault::ScaledDown => {
                world.policy.replicas += 1;
                let last = world.stores.len() - 1;
                world.recreate(last);
            }
            Fault::ContainerRestarted
            | Fault::PodReplaced
            | Fault::VolumeLost
            | Fault::StoreEmptied
            | Fault::ChainRewound
            | Fault::LeaderChanged
            | Fault::StandbyTookOver
            | Fault::ClockLeapt
            | Fault::ClockLeaptFar
            | Fault::FloorChanged => {}
        }
    }
}

/// What the replacer and the StatefulSet's controller do: a pod that is to go, is out and is seen so is deleted.
pub(super) fn carry_out_intents(world: &mut World) {
    for at in 0..world.stores.len() {
        let Some(intent) = world.observed.members[at].intent else { continue };
        if world.observed.members[at].ready || world.verdict(at).serves || world.is_open(at) {
            continue;
        }
        match intent {
            Intent::Replace => world.recreate(at),
            Intent::Rebuild => lose_volume(world, at),
            Intent::ScaleDown => world.member(at).container = None,
        }
    }
}

/// Another pod on an empty volume of its own.
fn lose_volume(world: &mut World, at: usize) {
    world.recreate(at);
    let uid = world.observed.members[at].uid.as_str().replace("pod", "volume-of");
    world.member(at).volume = VolumeUid::from(uid);
    world.stores[at].tip = None;
}
