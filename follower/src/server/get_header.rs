//! `GetBlockHeaderByNumber`: for formats that know headers, of which there is none yet.

use tonic::Status;

use crate::format::Format;

/// Why there is no header to be had.
pub(super) fn refusal(format: &dyn Format) -> Status {
    let name = format.name();
    Status::unimplemented(format!(
        "the format {name} knows no block headers: ask for the block with GetBlockByNumber"
    ))
}
