//! How a long computation is run: thread pools, cancellation, progress.

use rayon::{ThreadPool, ThreadPoolBuilder};
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Shared between a computation and whoever watches it.
#[derive(Debug, Default)]
pub struct Control {
    cancel: AtomicBool,
    done: AtomicUsize,
    total: AtomicUsize,
}

impl Control {
    /// Asks the computation to stop; fits not finished end with [`Status::Cancelled`](crate::Status::Cancelled).
    pub fn request_cancel(&self) {
        self.cancel.store(true, Ordering::Relaxed);
    }

    /// Whether the computation was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }

    /// The flag that solvers look at between steps.
    pub fn cancel(&self) -> &AtomicBool {
        &self.cancel
    }

    /// Fits done and to do.
    pub fn progress(&self) -> (usize, usize) {
        (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }

    pub(crate) fn begin(&self, total: usize) {
        self.done.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    pub(crate) fn advance(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }
}

type Pools = HashMap<(u32, usize), Arc<ThreadPool>>;

/// Pool with `threads` threads, or as many as there are cores. Pools are kept for later calls. A forked child does not
/// inherit its parent's threads, so pools belong to the process that made them.
///
/// # Errors
/// When the system refuses to start threads.
pub fn pool(threads: Option<NonZeroUsize>) -> Result<Arc<ThreadPool>, rayon::ThreadPoolBuildError> {
    static POOLS: Mutex<Option<Pools>> = Mutex::new(None);
    let threads = threads.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    let key = (std::process::id(), threads);
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    let pools = pools.get_or_insert_default();
    if let Some(pool) = pools.get(&key) {
        return Ok(pool.clone());
    }
    let pool = Arc::new(ThreadPoolBuilder::new().num_threads(threads).build()?);
    pools.insert(key, pool.clone());
    Ok(pool)
}
