//! Why TLS files cannot be used.

use std::{io, path::PathBuf};

use thiserror::Error;

/// What is wrong with the files.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file changed each time it was read.
    #[error("{path} does not stay the same for long enough to be read", path = path.display())]
    Unsteady {
        /// The file.
        path: PathBuf,
    },
    /// A file holds nothing of the kind it should.
    #[error("{path} holds no {what} in PEM: {detail}", path = path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// The files do not go together, or are not what TLS takes.
    #[error("{path} cannot be used: {detail}", path = path.display())]
    Unusable {
        /// The file named first.
        path: PathBuf,
        /// What TLS says.
        detail: String,
    },
    /// The system has no certificates to trust.
    #[error("no certificate authority is trusted here: name one with --upstream-ca")]
    NoRoots,
}
