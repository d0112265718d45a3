//! SIGTERM and SIGINT: the first asks for a shutdown, the second ends the process at once. SIGHUP asks for certificates to be
//! read again.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The two signals that end a collector.
pub struct Terminations {
    term: Signal,
    int: Signal,
}

impl Terminations {
    /// Takes the signals from here on.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn install() -> io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    /// Waits for either; returns its number.
    pub async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.term.recv() => SignalKind::terminate().as_raw_value(),
            _ = self.int.recv() => SignalKind::interrupt().as_raw_value(),
        }
    }
}

/// The signal that asks for files to be read again.
pub struct Hangups(Signal);

impl Hangups {
    /// Takes the signal from here on: without, it would end the process.
    ///
    /// # Errors
    /// When the handler cannot be installed.
    pub fn install() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    /// Waits for the next.
    pub async fn next(&mut self) {
        self.0.recv().await;
    }
}
