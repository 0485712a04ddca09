//! The signals that commands listen to, Ctrl-C, SIGTERM and SIGHUP, and one that they ignore.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::global::ExitReason;
use super::threads;

/// Makes a write beyond the limit of file sizes an error, which can be told, and no signal, which
/// would end the process.
pub(super) fn ignore_file_limit() {
    // SAFETY: to ignore a signal runs no code of ours.
    #[expect(unsafe_code, reason = "tokio and rustix can't ignore a signal")]
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

/// The two signals that ask a program to end.
pub(super) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    /// Takes the signals over. It must be called within a tokio runtime.
    pub(super) fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("signals can't be listened to");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Ends the process at the next signal.
    pub(super) async fn exit_at_next(mut self) {
        self.next().await;
        std::process::exit(ExitReason::Interrupted.code().into());
    }
}

/// SIGHUP, which asks a server to read its files anew.
pub(super) struct HangupSignal(Signal);

impl HangupSignal {
    /// Takes the signal over. It must be called within a tokio runtime.
    pub(super) fn listen() -> anyhow::Result<Self> {
        Ok(Self(signal(SignalKind::hangup()).context("signals can't be listened to")?))
    }

    pub(super) async fn next(&mut self) {
        self.0.recv().await;
    }
}

/// Runs `end`, which ends the process, at the first signal that asks for it.
pub(super) fn end_with(end: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut signals = {
        let _in_runtime = runtime.enter();
        StopSignals::listen()?
    };
    threads::start("signals", move || {
        runtime.block_on(signals.next());
        end();
    })?;
    Ok(())
}

/// Returns a flag, for work on plain threads, that the first signal sets. The second signal ends
/// the process.
pub(super) fn stop_flag() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut signals = {
        let _in_runtime = runtime.enter();
        StopSignals::listen()?
    };
    threads::start("signals", move || {
        runtime.block_on(async move {
            signals.next().await;
            flag.store(true, Ordering::Relaxed);
            signals.exit_at_next().await;
        });
    })?;
    Ok(stop)
}
