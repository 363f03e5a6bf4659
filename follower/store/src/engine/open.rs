//! Opening a store: what must be there, what is recovered, and the epoch that begins.

use std::{
    path::Path,
    sync::{Arc, Mutex, RwLock},
    time::Instant,
};

use super::{
    DiskStore, Options, StoreBuilder, builder::MediumFactory, further::FurtherMedia, progress::Progress,
    quarantine, write::Writer,
};
use crate::{
    BlockNumber, FORMAT_VERSION, Metadata, StoreError,
    io::Disk,
    lock::DirLock,
    manifest::{self, Manifest},
    media::Media,
    migrate,
    ranges::Ranges,
    recover,
    segment_size::segment_size,
    writer::LogWriter,
};

impl DiskStore {
    /// Opens the store in `dir`, making it if there is none, and recovers it: a torn tail is cut, and everything past
    /// the checkpoint is read, verified, written again and synced before it counts.
    ///
    /// # Errors
    /// `Locked`, `DurableLost`, `Damaged`, `BadMetadata`, `UnknownVersion`, or what the file system says.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_within(dir, None)
    }

    /// Opens the store as [`DiskStore::open`] does, on `volume` bytes of a file system that is shared with others.
    ///
    /// # Errors
    /// As those of [`DiskStore::open`].
    pub fn open_within(dir: &Path, volume: Option<u64>) -> Result<Self, StoreError> {
        Self::builder().volume(volume).open(dir)
    }

    /// What a store is opened with, media of one's own among it.
    #[must_use]
    pub fn builder() -> StoreBuilder {
        StoreBuilder::default()
    }

    /// Opens the store on a disk that nobody else uses.
    pub(crate) fn open_on(
        disk: Arc<dyn Disk>,
        options: Options,
        further: Vec<MediumFactory>,
        lock: Option<DirLock>,
    ) -> Result<Self, StoreError> {
        let manifest = Manifest::load(&*disk)?.map_or_else(|| begin(&*disk), Ok)?;
        recover::remove_unfinished(&*disk)?;
        quarantine::remove_unfinished(&*disk)?;
        if manifest.version == FORMAT_VERSION {
            migrate::remove_left_over(&*disk)?;
        }
        let media = Media::open(&disk, &manifest, options.growth)?;
        if manifest.cutting {
            media.cut(&manifest.checkpoint)?;
        }
        let blocks = recover::blocks(&media, &manifest)?;
        if blocks.count > 0 {
            same_format(options.format, &manifest)?;
        }
        let proofs = recover::proofs(&media, blocks.count, &manifest)?;
        let mut writer = writer(&media, segment_size_of(&*disk, options)?, &blocks, &proofs, manifest)?;
        let further = further.into_iter().map(|make| make(&disk)).collect::<Result<Vec<_>, _>>()?;
        writer.further = FurtherMedia::open(further, &writer.manifest)?;
        soft(writer.further.catch_up(&media, blocks.count))?;
        let tip = BlockNumber::last_of(blocks.count);
        let tip_hash = tip.and_then(|tip| media.index.get(tip).ok()).map(|block| block.hash);
        let (damaged, headless) = damage(&media, &writer.manifest, &blocks);
        let (applied, durable) = (blocks.count, blocks.count);
        let poison = Arc::clone(&writer.poison);
        let store = Self {
            disk,
            media,
            chain: RwLock::new(writer.manifest.chain.clone()),
            progress: RwLock::new(Progress {
                applied,
                durable,
                tip_hash,
                damaged,
                proofs: proofs.held,
                cuts: 0,
            }),
            suspects: Mutex::default(),
            writer: Mutex::new(writer),
            poison,
            checkpoint_every: options.checkpoint_every,
            _lock: lock,
        };
        store.begin_if_there_is_space(&headless)?;
        Ok(store)
    }
}

fn same_format(asked: Option<&str>, manifest: &Manifest) -> Result<(), StoreError> {
    match (asked, &manifest.chain) {
        (Some(asked), Some(held)) => held.admit(&Metadata::new(asked, held.genesis)),
        _ => Ok(()),
    }
}

fn segment_size_of(disk: &dyn Disk, options: Options) -> Result<u32, StoreError> {
    if let Some(size) = options.segment_size {
        return Ok(size);
    }
    let measured = disk.volume().map_err(StoreError::io("measure", disk.path("")))?;
    Ok(segment_size(options.volume.map_or(measured, |ours| ours.min(measured))))
}

fn writer(
    media: &Media,
    segment_size: u32,
    blocks: &recover::Blocks,
    proofs: &recover::Proofs,
    manifest: Manifest,
) -> Result<Writer, StoreError> {
    let epoch = manifest.next_epoch();
    Ok(Writer {
        blocks: LogWriter::open(&media.blocks, segment_size, blocks.end.at, epoch)?,
        proofs: LogWriter::open(&media.proofs, segment_size, proofs.end.at, epoch)?,
        tails: [&blocks.end, &proofs.end].map(|end| end.has_tail.then_some(end.at)),
        pending_blocks: Vec::new(),
        pending_proofs: Vec::new(),
        further: FurtherMedia::default(),
        checkpointed: (0, Instant::now()),
        poison: Arc::default(),
        has_begun: false,
        manifest,
    })
}

/// The blocks that are damaged, by the manifest and by what opening met; and those of the latter whose bytes the indexes
/// find whole, for only their headers are lost.
fn damage(media: &Media, manifest: &Manifest, blocks: &recover::Blocks) -> (Ranges, Vec<BlockNumber>) {
    let mut damaged = manifest.damaged.clone().unwrap_or_default();
    damaged.cut(blocks.count);
    let is_whole = |number: &&BlockNumber| {
        media.index.get(**number).is_ok_and(|block| media.blocks.read_block(&block).is_ok())
    };
    let (headless, lost): (Vec<_>, Vec<_>) = blocks.damaged.iter().partition(is_whole);
    lost.into_iter().for_each(|number: &BlockNumber| damaged.insert(number.get(), number.get()));
    (damaged, headless.into_iter().copied().collect())
}

/// On a full disk a store is opened and served; what needs space waits until something is to be written.
fn soft(done: Result<(), StoreError>) -> Result<(), StoreError> {
    match done {
        Err(error) if error.is_disk_full() => Ok(()),
        done => done,
    }
}

/// Nothing is written before the manifest is, so what lies beside a missing one is somebody's, and is left as it is.
fn begin(disk: &dyn Disk) -> Result<Manifest, StoreError> {
    let names = disk.list().map_err(StoreError::io("list", disk.path("")))?;
    if let Some(name) = names.iter().find(|name| name.ends_with(".log") || name.ends_with(".idx")) {
        let detail = format!("it is missing, but {name} is there");
        return Err(StoreError::BadMetadata { path: disk.path(manifest::FILE), detail });
    }
    let manifest = Manifest::new(rand::random());
    manifest.replace(disk)?;
    Ok(manifest)
}
