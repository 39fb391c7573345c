//! Being told to stop, for a thread that sleeps as for one that waits for a pipe.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(super) struct Stop {
    asked: Mutex<bool>,
    told: Condvar,
    notify: Notify,
}

impl Stop {
    /// Asks for it.
    pub(super) fn ask(&self) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.told.notify_all();
        // Kept for who comes to wait later.
        self.notify.notify_one();
    }

    pub(super) fn is_asked(&self) -> bool {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for that long, or until it is asked for; blocks.
    pub(super) fn wait(&self, longest: Duration) {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        drop(
            self.told
                .wait_timeout_while(asked, longest, |asked| !*asked),
        );
    }

    /// Waits until it is asked for. One may wait.
    pub(super) async fn asked(&self) {
        self.notify.notified().await;
    }
}
