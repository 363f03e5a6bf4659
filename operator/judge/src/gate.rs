//! The gate condition on a pod, as found and as wanted. What a later leader must know is in its message.

use crate::{BlockNumber, ContainerId, Reason, VolumeUid};
use std::fmt;

/// The status of the gate condition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GateStatus {
    /// `"True"`.
    True,
    /// `"False"` or `"Unknown"`: the kubelet treats both as closed.
    False,
    /// No such condition on the pod, which the kubelet treats as closed too.
    #[default]
    Absent,
}

/// The gate condition as found on a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GateSeen {
    /// Its status.
    pub status: GateStatus,
    /// Its reason, if it is one of ours.
    pub reason: Option<Reason>,
    /// What its message remembers; empty when the message is not ours.
    pub remembered: Remembered,
}

/// What a gate's message keeps for the next leader.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// The container the verdict was about.
    pub container: Option<ContainerId>,
    /// The height the fleet was known to have when the member was taken out.
    pub mark: Option<RememberedMark>,
    /// The volume on which the member has been in sync.
    pub synced: Option<VolumeUid>,
    /// The height at which the member's blocks contradict the right side.
    pub diverged: Option<BlockNumber>,
}

/// A height the fleet was known to have, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RememberedMark {
    /// The height.
    pub tip: BlockNumber,
    /// The primary alone said so, and may take it back by saying less.
    pub of_primary: bool,
}

impl RememberedMark {
    /// What follows the number then.
    const OF_PRIMARY: &str = "@primary";

    /// None unless it is as [`Display`](fmt::Display) writes it.
    fn read(text: &str) -> Option<Self> {
        let number = text.strip_suffix(Self::OF_PRIMARY);
        let tip = number.unwrap_or(text).parse().ok().map(BlockNumber)?;
        Some(Self { tip, of_primary: number.is_some() })
    }
}

impl fmt::Display for RememberedMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.tip, if self.of_primary { Self::OF_PRIMARY } else { "" })
    }
}

/// A gate condition to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateWrite {
    /// True opens the gate, and must be written against the resourceVersion that was judged.
    pub open: bool,
    /// The condition's `reason`.
    pub reason: Reason,
    /// The condition's `message`: for people first, for the next leader at its end.
    pub message: String,
}

impl GateSeen {
    /// Reads a condition's `status`, `reason` and `message`.
    #[must_use]
    pub fn read(status: &str, reason: &str, message: &str) -> Self {
        let status = if status == "True" { GateStatus::True } else { GateStatus::False };
        Self { status, reason: reason.parse().ok(), remembered: Remembered::read(message) }
    }
}

/// What the machine's part of a message begins with: its format's name and version.
const MARKER: &str = "[tidemark/1";

impl Remembered {
    /// Reads the machine's part of a message; what is absent or malformed is not remembered.
    #[must_use]
    pub fn read(message: &str) -> Self {
        let mut remembered = Self::default();
        let Some((_, fields)) = message.rsplit_once(MARKER) else { return remembered };
        for field in fields.trim_end_matches(']').split_ascii_whitespace() {
            remembered.read_field(field);
        }
        remembered
    }

    fn read_field(&mut self, field: &str) {
        match field.split_once('=') {
            Some(("container", id)) => self.container = Some(id.into()),
            Some(("mark", mark)) => self.mark = RememberedMark::read(mark),
            Some(("synced", volume)) => self.synced = Some(volume.into()),
            Some(("diverged", number)) => self.diverged = number.parse().ok().map(BlockNumber),
            _ => {}
        }
    }

    /// The message that says `text` to people and keeps this for the next leader.
    #[must_use]
    pub fn message(&self, text: &str) -> String {
        let mut message = format!("{text} {MARKER}");
        let fields = [
            ("container", self.container.as_ref().map(ToString::to_string)),
            ("mark", self.mark.map(|mark| mark.to_string())),
            ("synced", self.synced.as_ref().map(ToString::to_string)),
            ("diverged", self.diverged.map(|height| height.to_string())),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                message.push_str(&format!(" {name}={value}"));
            }
        }
        message.push(']');
        message
    }
}
