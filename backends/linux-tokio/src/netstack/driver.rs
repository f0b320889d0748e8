//! The task that carries packets between the tunnel and the stack, and tells the stack the time.

use core::time::Duration;
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, mpsc};

use super::lock;
use super::stack::Stack;

/// Packets that the stack is given at a time. Between two batches sockets have their turn.
const BATCH: usize = 128;

/// Runs until the tunnel has ended.
pub(super) async fn run(
    stack: Arc<Mutex<Stack>>,
    wake: Arc<Notify>,
    mut from_tunnel: mpsc::Receiver<Vec<u8>>,
    to_tunnel: mpsc::Sender<Vec<u8>>,
) {
    let mut arrived = Vec::with_capacity(BATCH);
    loop {
        let next = lock(&stack).poll(&mut arrived);
        tokio::select! {
            count = from_tunnel.recv_many(&mut arrived, BATCH) => if count == 0 { break },
            () = wake.notified() => {}
            () = after(next.delay) => {}
            room = to_tunnel.reserve(), if next.is_held_up => if room.is_err() { break },
        }
    }
    lock(&stack).reset_all();
}

async fn after(delay: Option<Duration>) {
    match delay {
        Some(delay) => tokio::time::sleep(delay).await,
        None => core::future::pending().await,
    }
}
