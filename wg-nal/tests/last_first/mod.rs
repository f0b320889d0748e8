//! An executor that takes its turns as embassy's does (0.10, `raw/run_queue.rs`): all tasks that
//! were woken, from the one that was woken last on. Who is woken meanwhile is in the next batch.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake};
use std::time::{Duration, Instant};

type Tasks<'t> = Vec<Pin<Box<dyn Future<Output = ()> + 't>>>;

struct Task {
    number: usize,
    /// Until its turn comes.
    queued: AtomicBool,
    woken: Arc<Mutex<VecDeque<Arc<Self>>>>,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            let woken = self.woken.clone();
            woken.lock().unwrap().push_front(self);
        }
    }
}

/// Runs the tasks until the last of them is done.
pub(crate) fn run(mut tasks: Tasks<'_>) {
    let begun = Instant::now();
    let woken: Arc<Mutex<VecDeque<Arc<Task>>>> = Arc::default();
    for number in 0..tasks.len() {
        let queued = AtomicBool::new(false);
        Arc::new(Task { number, queued, woken: woken.clone() }).wake();
    }
    loop {
        let batch = std::mem::take(&mut *woken.lock().unwrap());
        if batch.is_empty() {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "waited in vain");
        for task in batch {
            task.queued.store(false, Ordering::Relaxed);
            let number = task.number;
            let waker = task.into();
            let done = tasks[number].as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
            if done && number == tasks.len() - 1 {
                return;
            }
        }
    }
}
