//! Something damaged, as reports name it.

use std::fmt;

use serde::Serialize;
use tidemark_store::{Finding, Part};

/// Something damaged.
#[derive(Debug, Serialize)]
pub(super) struct Damage {
    pub(super) what: &'static str,
    pub(super) number: u32,
    pub(super) file: String,
    pub(super) offset: u64,
    pub(super) detail: String,
}

impl From<&Finding> for Damage {
    fn from(finding: &Finding) -> Self {
        let what = match finding.part {
            Part::Block => "block",
            Part::Proof => "proof",
            Part::Header => "header",
            Part::Entry => "index",
            Part::Head => "segment",
            Part::ProofHead => "proof segment",
        };
        let (file, detail) = (finding.path.display().to_string(), finding.detail.clone());
        Self { what, number: finding.number.get(), file, offset: finding.offset, detail }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, number, file, offset, detail } = self;
        write!(f, "{what} of block {number}, {file} at byte {offset}: {detail}")
    }
}
