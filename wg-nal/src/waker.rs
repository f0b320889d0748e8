//! Who is to be woken.

use core::task::{Context, Waker};

/// Room for one task that waits. A second one displaces the first, and wakes it, so that both
/// go on, if slowly.
pub(crate) struct WakerSlot(Option<Waker>);

impl WakerSlot {
    pub(crate) const EMPTY: Self = Self(None);

    pub(crate) fn register(&mut self, cx: &Context<'_>) {
        match &self.0 {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            _ => {
                if let Some(displaced) = self.0.replace(cx.waker().clone()) {
                    displaced.wake();
                }
            }
        }
    }

    pub(crate) fn wake(&mut self) {
        if let Some(waker) = self.0.take() {
            waker.wake();
        }
    }
}
