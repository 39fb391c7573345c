//! Reloads in turn: one runs, one waits, and whoever asks meanwhile shares the one that waits.
//!
//! Who asks must get a configuration read after it asked, so it cannot share one that has begun; one that has not is as
//! good as its own. A flood of requests so costs one thread and two readings.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use tokio::task::spawn_blocking;

use super::state::StartError;

/// What a reload came to, for everybody who waited for it.
pub type Reloaded = Arc<Result<(), ReloadError>>;

/// Why there was no reload.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The configuration cannot be used; the old one stays in force.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A fault of the program's own.
    #[error("reloading broke off: {problem}")]
    BrokeOff {
        /// How it ended.
        problem: String,
    },
}

#[derive(Debug, Default)]
pub(super) struct Reloads {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    running: tokio::sync::Mutex<()>,
    next: Mutex<Option<Shared<BoxFuture<'static, Reloaded>>>>,
}

impl Reloads {
    /// Runs `reload`, or shares one that waits for its turn. What was begun is finished, whoever hangs up.
    pub(super) async fn ask(
        &self,
        reload: impl FnOnce() -> Result<(), StartError> + Send + 'static,
    ) -> Reloaded {
        let next = {
            let mut next = lock(&self.inner.next);
            next.get_or_insert_with(|| {
                let inner = Arc::clone(&self.inner);
                let task = tokio::spawn(inner.in_turn(reload));
                let told = task.map(|ended| {
                    ended.unwrap_or_else(|error| {
                        let problem = error.to_string();
                        Arc::new(Err(ReloadError::BrokeOff { problem }))
                    })
                });
                told.boxed().shared()
            })
            .clone()
        };
        next.await
    }
}

impl Inner {
    async fn in_turn(
        self: Arc<Self>,
        reload: impl FnOnce() -> Result<(), StartError> + Send + 'static,
    ) -> Reloaded {
        let _running = self.running.lock().await;
        // From here on it reads: who asks now needs another.
        drop(lock(&self.next).take());
        let ended = spawn_blocking(reload).await;
        Arc::new(match ended {
            Ok(result) => result.map_err(ReloadError::from),
            Err(error) => Err(ReloadError::BrokeOff {
                problem: error.to_string(),
            }),
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What it guards is replaced whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use futures_util::future::join_all;

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_flood_is_two_reloads() {
        let reloads = Reloads::default();
        let count = Arc::new(AtomicUsize::new(0));
        let (go, gate) = mpsc::channel::<()>();
        let (begin, begun) = tokio::sync::oneshot::channel();
        let counted = Arc::clone(&count);
        let first = reloads.ask(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            begin.send(()).unwrap();
            gate.recv_timeout(SOON).unwrap();
            Ok(())
        });
        let flood = async {
            begun.await.unwrap();
            let ask = || {
                let counted = Arc::clone(&count);
                reloads.ask(move || {
                    counted.fetch_add(1, Ordering::SeqCst);
                    Ok(())
                })
            };
            let mut flood = Box::pin(join_all((0..500).map(|_| ask())));
            assert!(
                (&mut flood).now_or_never().is_none(),
                "they wait for the first"
            );
            assert_eq!(count.load(Ordering::SeqCst), 1);
            go.send(()).unwrap();
            flood.await
        };
        let (first, flood) = tokio::join!(first, flood);
        assert!(first.is_ok() && flood.iter().all(|told| told.is_ok()));
        assert_eq!(count.load(Ordering::SeqCst), 2);
        assert!(flood.iter().all(|told| Arc::ptr_eq(told, &flood[0])));
        assert!(!Arc::ptr_eq(&first, &flood[0]));
    }

    #[tokio::test]
    async fn what_was_begun_is_finished_and_a_panic_is_an_error() {
        let reloads = Reloads::default();
        let (told, done) = tokio::sync::oneshot::channel();
        let asked = reloads.ask(move || {
            told.send(()).unwrap();
            Ok(())
        });
        assert!(asked.now_or_never().is_none());
        tokio::time::timeout(SOON, done).await.unwrap().unwrap();
        let broken = reloads.ask(|| panic!("on purpose")).await;
        assert!(
            matches!(&*broken, Err(ReloadError::BrokeOff { .. })),
            "{broken:?}"
        );
        assert!(reloads.ask(|| Ok(())).await.is_ok());
    }
}
