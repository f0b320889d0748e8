//! Who is to be woken.

use core::task::{Context, Waker};

/// So often a task yields until all others that were woken had a turn.
///
/// Twice on embassy's executor (0.10): it takes all tasks that were woken since it took the last
/// ones, and polls them from the one that was woken last on. After the first yield that is the
/// task that yielded, before those that it woke itself; before the second one ends, they had
/// their turn. Others than embassy's need one.
pub(crate) const TURNS: u32 = 2;

/// Room for `N` tasks that wait for the same thing. One more displaces the first and wakes it,
/// so that all go on, if slowly.
pub(crate) struct Wakers<const N: usize = 1>([Option<Waker>; N]);

impl<const N: usize> Wakers<N> {
    pub(crate) const EMPTY: Self = Self([const { None }; N]);

    pub(crate) fn register(&mut self, cx: &Context<'_>) {
        if self.register_if_room(cx) {
            return;
        }
        if let Some(displaced) = self.0.first_mut().and_then(Option::take) {
            displaced.wake();
        }
        self.0.rotate_left(1);
        self.register_if_room(cx);
    }

    /// False when all the room is taken by others.
    pub(crate) fn register_if_room(&mut self, cx: &Context<'_>) -> bool {
        let waits = |waker: &Waker| waker.will_wake(cx.waker());
        if self.0.iter().flatten().any(waits) {
            return true;
        }
        let place = self.0.iter_mut().find(|place| place.is_none());
        place.map(|place| *place = Some(cx.waker().clone())).is_some()
    }

    pub(crate) fn wake(&mut self) {
        for waker in self.0.iter_mut().filter_map(Option::take) {
            waker.wake();
        }
    }
}
