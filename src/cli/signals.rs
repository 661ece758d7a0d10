//! SIGINT and SIGTERM: the run stops after the scenario at hand, and its files are closed.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use super::Exit;

static STOP: AtomicBool = AtomicBool::new(false);
static CAUGHT: AtomicU8 = AtomicU8::new(0);
static LISTENING: OnceLock<()> = OnceLock::new();

/// The signals of this process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signals;

impl Signals {
    /// Begins to listen, and returns what is set once a signal came.
    pub(super) fn listen() -> &'static AtomicBool {
        LISTENING.get_or_init(|| {
            // Without a listener the signal ends the process at once, as it does by default.
            let _ = std::thread::Builder::new().name("signals".to_owned()).spawn(wait);
        });
        &STOP
    }

    /// The signal that came, if any.
    pub(super) fn caught() -> Option<Exit> {
        match CAUGHT.load(Ordering::Relaxed) {
            130 => Some(Exit::Interrupted),
            143 => Some(Exit::Terminated),
            _ => None,
        }
    }
}

#[cfg(unix)]
fn wait() {
    use std::task::Poll;

    use tokio::signal::unix::{SignalKind, signal};

    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
    runtime.block_on(async {
        let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
            return;
        };
        let mut either = async || {
            std::future::poll_fn(|context| {
                if interrupt.poll_recv(context).is_ready() {
                    return Poll::Ready(Exit::Interrupted);
                }
                terminate.poll_recv(context).map(|_| Exit::Terminated)
            })
            .await
        };
        caught(either().await);
        // A second signal does not wait for the scenario at hand.
        let exit = either().await;
        std::process::exit(i32::from(exit.code()));
    });
}

#[cfg(not(unix))]
fn wait() {}

/// Waits for the first SIGINT or SIGTERM; a second one ends the process at once.
#[cfg(unix)]
pub(super) async fn first() {
    use tokio::signal::unix::{SignalKind, signal};

    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
        // Without a listener the signal ends the process, as it does by default.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tokio::spawn(async move {
        let exit = tokio::select! {
            _ = interrupt.recv() => Exit::Interrupted,
            _ = terminate.recv() => Exit::Terminated,
        };
        std::process::exit(i32::from(exit.code()));
    });
}

/// Waits for the interrupt of the console.
#[cfg(not(unix))]
pub(super) async fn first() {
    std::future::pending().await
}

#[cfg_attr(not(unix), expect(dead_code, reason = "only the Unix listener calls it"))]
fn caught(exit: Exit) {
    CAUGHT.store(exit.code(), Ordering::Relaxed);
    STOP.store(true, Ordering::Relaxed);
}
