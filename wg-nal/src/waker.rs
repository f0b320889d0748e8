//! Who is to be woken.

use core::task::{Context, Waker};

/// Room for `N` tasks that wait for the same thing. One more displaces the first and wakes it,
/// so that all go on, if slowly.
pub(crate) struct Wakers<const N: usize = 1>([Option<Waker>; N]);

impl<const N: usize> Wakers<N> {
    pub(crate) const EMPTY: Self = Self([const { None }; N]);

    pub(crate) fn register(&mut self, cx: &Context<'_>) {
        let waits = |waker: &Waker| waker.will_wake(cx.waker());
        if self.0.iter().flatten().any(waits) {
            return;
        }
        if self.0.iter().all(Option::is_some) {
            if let Some(displaced) = self.0.first_mut().and_then(Option::take) {
                displaced.wake();
            }
            self.0.rotate_left(1);
        }
        if let Some(place) = self.0.iter_mut().find(|place| place.is_none()) {
            *place = Some(cx.waker().clone());
        }
    }

    pub(crate) fn wake(&mut self) {
        for waker in self.0.iter_mut().filter_map(Option::take) {
            waker.wake();
        }
    }
}
