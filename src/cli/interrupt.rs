//! Ctrl-C (and a polite kill): once ends cleanly, twice ends at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::error::{Error, Result};

/// How long a batch may go on after the first request: whoever stops a process (a service manager,
/// say) does not wait for ever, and a batch that is abandoned is run again.
const PATIENCE: Duration = Duration::from_secs(9);

/// Whether somebody asked the process to end.
#[derive(Clone)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Starts listening. `then` is called at the first request; the second ends the process with
    /// exit code 130, which every checkpoint survives, and so does the end of patience (exit code 0).
    pub fn listen(then: impl Fn() + Send + 'static) -> Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        let flag = asked.clone();
        let cannot = |e: std::io::Error| {
            Error::storage("CANNOT_START_THREADS", format!("cannot listen for Ctrl-C: {e}"))
        };
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
        std::thread::Builder::new()
            .name("interrupt".into())
            .spawn(move || {
                runtime.block_on(async {
                    requested().await;
                    flag.store(true, Ordering::SeqCst);
                    then();
                    let code = tokio::select! {
                        () = requested() => 130,
                        () = tokio::time::sleep(PATIENCE) => {
                            super::tell("note: what runs does not end, and is abandoned; no \
                                         committed batch is lost, the next start goes on");
                            0
                        }
                    };
                    std::process::exit(code);
                })
            })
            .map_err(cannot)?;
        Ok(Self(asked))
    }

    /// Whether the end was asked for.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

#[cfg(unix)]
async fn requested() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        },
        Err(_) => {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}

#[cfg(not(unix))]
async fn requested() {
    let _ = tokio::signal::ctrl_c().await;
}
