//! Brings back a primary whose volume was lost: copies the chain from its followers, or from an export file, before a
//! single block is made.
//!
//! Owns the promise that no block is made while one of the sources has a block that is not held here: such a block
//! would be a second one of its number, and every follower that has the first would be Diverged.

mod decide;
mod error;
mod marker;
mod source;
mod survey;

use std::{
    fs::File,
    io::BufReader,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use tidemark_store::archive::Reader;
use tokio::time::sleep;

use self::{
    decide::{Decision, decide},
    survey::{Sources, Surveyed},
};
pub use self::{
    error::RestoreError,
    marker::Marker,
    source::{ParseSourceError, RestoreSource},
};
use crate::{
    replica::Replica,
    size::ByteSize,
    state::State,
    sync::{copy, load, same_block},
    tls::ClientTls,
};

/// The pause between two rounds of questions while not every source answers.
const PAUSE: Duration = Duration::from_millis(500);

/// What the user chose.
#[derive(Clone)]
pub struct RestoreOptions {
    /// Where from.
    pub from: Vec<RestoreSource>,
    /// How long the tips of the sources must stand still before the copy counts as whole: while a primary lives, they rise.
    pub settle: Duration,
    /// The largest block taken.
    pub max_block_size: ByteSize,
    /// What stores with https are reached with.
    pub tls: Option<Arc<ClientTls>>,
}

/// Restores `replica`; when this returns, blocks may be made.
///
/// A directory that holds blocks and no interrupted restore is whole already: what its sources have beyond is copied all the same, and
/// if none of them answers it goes on as it is.
///
/// # Errors
/// When the sources contradict each other or what is held, or the store fails. Running again goes on where it ended.
pub async fn run(
    replica: &Arc<Replica>,
    options: &RestoreOptions,
    marker: &Marker,
) -> Result<(), RestoreError> {
    let whole = replica.held().is_some() && !marker.is_set();
    if options.from.len() > 1 && options.from.iter().any(|source| matches!(source, RestoreSource::File(_))) {
        return Err(RestoreError::FileAmongOthers);
    }
    match &options.from[..] {
        [RestoreSource::File(_)] if whole => {
            tracing::info!("blocks are held and no restore was interrupted: the export file is not needed");
        }
        [RestoreSource::File(path)] => {
            marker.set().await?;
            from_file(replica, path).await?;
        }
        sources => {
            let sources = Sources::new(sources, options.max_block_size, options.tls.clone());
            from_stores(replica, &sources, options, marker, whole).await?;
        }
    }
    marker.clear().await
}

async fn from_file(replica: &Arc<Replica>, path: &Path) -> Result<(), RestoreError> {
    let open = |path: std::path::PathBuf| {
        let file = File::open(&path).map_err(|source| RestoreError::File { path, source })?;
        Ok::<_, RestoreError>(Reader::open(BufReader::with_capacity(1 << 20, file))?)
    };
    let path = path.to_owned();
    let reader =
        tokio::task::spawn_blocking(move || open(path)).await.map_err(|_| RestoreError::Stopped)??;
    let loaded = load(reader, replica, |_| {}).await?;
    tracing::info!(blocks = loaded.blocks, proofs = loaded.proofs, "restored from the export file");
    Ok(())
}

async fn from_stores(
    replica: &Arc<Replica>,
    sources: &Sources,
    options: &RestoreOptions,
    marker: &Marker,
    whole: bool,
) -> Result<(), RestoreError> {
    let (mut lenient, mut complete) = (whole, None);
    loop {
        let mut surveyed = sources.survey().await;
        if lenient {
            surveyed.retain(is_there);
        }
        if lenient && surveyed.is_empty() {
            return Ok(());
        }
        match decide(&surveyed, replica.genesis(), replica.held())? {
            Decision::Copy(at) => {
                marker.set().await?;
                (lenient, complete) = (false, None);
                copy_from(replica, &surveyed[at]).await?;
            }
            Decision::Wait(silent) => {
                let detail = format!("waiting for every source before a block is made: {silent}");
                replica.set_state(State::UpstreamUnreachable, &detail);
                complete = None;
                sleep(PAUSE).await;
            }
            Decision::Done if lenient || has_settled(complete, options.settle) => {
                return agree(replica, &surveyed).await;
            }
            Decision::Done => {
                complete.get_or_insert_with(Instant::now);
                sleep(options.settle).await;
            }
        }
    }
}

/// Whether nothing came from any source for as long as a living primary could need for a block, whoever began the copy.
fn has_settled(complete: Option<Instant>, settle: Duration) -> bool {
    complete.is_some_and(|since| since.elapsed() >= settle)
}

/// Whether a source answers; one that does not is left out where the directory is whole without it.
fn is_there(source: &Surveyed) -> bool {
    let silent = source.answer.as_ref().err();
    silent.into_iter().for_each(|error| {
        tracing::warn!(source = source.name, "not compared with what is held: {error}");
    });
    silent.is_none()
}

/// Copies from a source. One that breaks off is asked again in the next round.
async fn copy_from(replica: &Arc<Replica>, source: &Surveyed) -> Result<(), RestoreError> {
    let Ok((upstream, status)) = &source.answer else { return Ok(()) };
    replica.set_state(State::Syncing, &format!("restoring up to block {} from {}", status.tip, source.name));
    replica.pin(status.genesis).await?;
    if let Some(held) = replica.held() {
        same_block(upstream, replica, held, status.tip).await.map_err(|trouble| named(source, trouble))?;
    }
    match copy(upstream, replica, *status).await {
        Err(trouble) if RestoreError::passes(&trouble) => {
            replica.set_state(
                trouble.state(),
                &format!("{}: {trouble}; the copy is taken up again", source.name),
            );
            Ok(())
        }
        copied => copied.map_err(|trouble| named(source, trouble)),
    }
}

/// Every source holds the same chain as this store, as far as it goes.
async fn agree(replica: &Arc<Replica>, surveyed: &[Surveyed]) -> Result<(), RestoreError> {
    for source in surveyed {
        if let Ok((upstream, status)) = &source.answer {
            same_block(upstream, replica, status.tip, status.tip)
                .await
                .map_err(|trouble| named(source, trouble))?;
        }
    }
    tracing::info!(
        tip = replica.held().map(tidemark_store::BlockNumber::get),
        "every block of the sources is held"
    );
    Ok(())
}

fn named(source: &Surveyed, trouble: crate::sync::Trouble) -> RestoreError {
    RestoreError::Source { name: source.name.clone(), trouble }
}
