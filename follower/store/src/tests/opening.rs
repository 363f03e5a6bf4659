//! What opening costs.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use super::{
    SMALL,
    hooked::{Call, open_hooked},
    killed, number, prove, published,
};
use crate::BlockStore as _;

#[test]
fn a_proof_that_is_missing_below_many_others_makes_opening_read_no_entry_of_theirs() {
    let others: Vec<_> = (2..600).collect();
    let (disk, store) = published(600, &others);
    drop(store);
    let reads = Arc::new(AtomicU32::new(0));
    let counts = Arc::clone(&reads);
    let hook = move |call, name: &str| {
        if call == Call::Read && name.ends_with(".idx") {
            counts.fetch_add(1, Relaxed);
        }
        Ok(())
    };
    let store = open_hooked(&disk, SMALL, Arc::new(hook));
    assert!(reads.load(Relaxed) <= 4, "{reads:?}");
    assert!(others.iter().all(|other| store.has_proof(number(*other))));
    assert_eq!((store.tips().proven, store.has_proof(number(1))), (None, false));
    prove(&store, &[1]);
    store.sync().expect("must sync");
    assert_eq!(killed(&disk).1.tips().proven, Some(number(599)));
}
