//! The calls of `rpc.Api`.

/// One call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rpc {
    /// Genesis and tip.
    Status,
    /// One block, and its proof if asked for.
    GetBlockByNumber,
    /// One block's header.
    GetBlockHeaderByNumber,
    /// Every block from a number on.
    BlockSubscription,
    /// Every proof from a number on.
    ProofSubscription,
}

/// How every path of the service starts.
pub(super) const PATH: &str = "/rpc.Api/";

impl Rpc {
    /// Every call.
    pub const ALL: [Self; 5] = [
        Self::Status,
        Self::GetBlockByNumber,
        Self::GetBlockHeaderByNumber,
        Self::BlockSubscription,
        Self::ProofSubscription,
    ];

    /// The call's name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Status => "Status",
            Self::GetBlockByNumber => "GetBlockByNumber",
            Self::GetBlockHeaderByNumber => "GetBlockHeaderByNumber",
            Self::BlockSubscription => "BlockSubscription",
            Self::ProofSubscription => "ProofSubscription",
        }
    }

    /// The call that a path names.
    pub(crate) fn from_path(path: &str) -> Option<Self> {
        let name = path.strip_prefix(PATH)?;
        Self::ALL.into_iter().find(|rpc| rpc.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_names_its_call() {
        for rpc in Rpc::ALL {
            assert_eq!(Rpc::from_path(&format!("/rpc.Api/{}", rpc.name())), Some(rpc));
        }
        for path in ["/rpc.Api/", "/rpc.Api/status", "/rpc.Apis/Status", "Status", "/rpc.Api/Status/"] {
            assert_eq!(Rpc::from_path(path), None, "{path}");
        }
    }
}
