//! Locks of what its holders always leave whole.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks. For values of which each change is one call: a thread that panicked in between left them whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
