//! What a replica is doing about its upstream, as logs, metrics and `Replica/Tips` name it.

/// A replica's state. In each of them it serves what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Following its upstream, or catching up with it.
    Syncing,
    /// It makes the blocks: no upstream.
    Producing,
    /// No upstream answers.
    UpstreamUnreachable,
    /// The upstream's tip is below this replica's.
    UpstreamBehind,
    /// The upstream has no block of a number at or below its own tip.
    UpstreamHole,
    /// The upstream no longer keeps blocks that are needed here.
    UpstreamPruned,
    /// The upstream answers, and its tip has stopped rising.
    UpstreamStalled,
    /// The upstream takes connections and answers none of the questions on them.
    UpstreamFrozen,
    /// The upstream follows this replica, over others or directly.
    UpstreamLoop,
    /// The upstream's genesis is not the one pinned here.
    WrongGenesis,
    /// The upstream speaks another protocol.
    UnsupportedProtocol,
    /// The upstream's block at this replica's tip has other bytes, or its next block does not extend the tip.
    Diverged,
    /// The upstream sent a block that fails its format's checks.
    InvalidBlock,
    /// The upstream's next block is larger than this replica takes.
    BlockTooLarge,
    /// The volume is full; applying resumes by itself.
    DiskFull,
    /// Blocks that are damaged on disk are being fetched again; following goes on.
    Healing,
}

impl State {
    /// Every state, for metrics that show each.
    pub const ALL: [Self; 16] = [
        Self::Syncing,
        Self::Producing,
        Self::UpstreamUnreachable,
        Self::UpstreamBehind,
        Self::UpstreamHole,
        Self::UpstreamPruned,
        Self::UpstreamStalled,
        Self::UpstreamFrozen,
        Self::UpstreamLoop,
        Self::WrongGenesis,
        Self::UnsupportedProtocol,
        Self::Diverged,
        Self::InvalidBlock,
        Self::BlockTooLarge,
        Self::DiskFull,
        Self::Healing,
    ];

    /// Whether something keeps the replica from getting new blocks.
    #[must_use]
    pub const fn is_trouble(self) -> bool {
        !matches!(self, Self::Syncing | Self::Producing)
    }

    /// The state's name in logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Syncing => "Syncing",
            Self::Producing => "Producing",
            Self::UpstreamUnreachable => "UpstreamUnreachable",
            Self::UpstreamBehind => "UpstreamBehind",
            Self::UpstreamHole => "UpstreamHole",
            Self::UpstreamPruned => "UpstreamPruned",
            Self::UpstreamStalled => "UpstreamStalled",
            Self::UpstreamFrozen => "UpstreamFrozen",
            Self::UpstreamLoop => "UpstreamLoop",
            Self::WrongGenesis => "WrongGenesis",
            Self::UnsupportedProtocol => "UnsupportedProtocol",
            Self::Diverged => "Diverged",
            Self::InvalidBlock => "InvalidBlock",
            Self::BlockTooLarge => "BlockTooLarge",
            Self::DiskFull => "DiskFull",
            Self::Healing => "Healing",
        }
    }
}
