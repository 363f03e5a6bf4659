//! What a panic means: the end of the process, except where bytes of others are handed to code of others.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
};

#[cfg(all(feature = "miden", not(panic = "unwind")))]
compile_error!("the format miden contains the panics of the chain's crate: build with panic = \"unwind\"");

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Makes every panic end the process at once, as long as it is not contained: nobody goes on with half a state.
pub fn end_the_process() {
    let report = take_hook();
    set_hook(Box::new(move |panic| {
        if CONTAINED.get() {
            tracing::debug!("contained: {panic}");
        } else {
            report(panic);
            std::process::abort();
        }
    }));
}

/// Runs code that may panic on what it is given, and changes nothing that outlives it; none if it did panic.
pub fn contain<T>(work: impl FnOnce() -> T) -> Option<T> {
    let before = CONTAINED.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    CONTAINED.set(before);
    done.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_inside_is_contained() {
        assert_eq!(contain(|| 1), Some(1));
        assert_eq!(contain(|| -> u32 { panic!("on purpose") }), None);
        assert!(!CONTAINED.get());
    }
}
