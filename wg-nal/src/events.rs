//! Events that the application has not fetched yet.

use wg_core::Event;

/// How many events are kept for the application.
const KEPT: usize = 8;

/// The last few events, oldest first.
pub(crate) struct Events([Option<Event>; KEPT]);

impl Events {
    pub(crate) const NONE: Self = Self([None; KEPT]);

    /// Keeps an event; true when the oldest one had to go.
    pub(crate) fn add(&mut self, event: Event) -> bool {
        let full = self.0.iter().all(Option::is_some);
        if full {
            self.take();
        }
        if let Some(place) = self.0.iter_mut().find(|place| place.is_none()) {
            *place = Some(event);
        }
        full
    }

    pub(crate) fn take(&mut self) -> Option<Event> {
        let oldest = self.0.first_mut()?.take();
        self.0.rotate_left(1);
        oldest
    }
}
