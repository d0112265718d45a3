//! `logboom run`: from start to the last line of the ledger.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::config::Config;
use crate::control::check::Checks;
use crate::control::http::{Admin, serve};
use crate::control::signals::{Hangups, Terminations};
use crate::pipeline::{Pipeline, StartError, Started};

/// Time between the recorder's upkeeps, as its documentation asks.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Time between looks whether the files of `[tls]` have changed.
const TLS_LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// Runs a collector until a signal ends it.
///
/// # Errors
/// [`StartError`] when it did not start.
pub fn run(config: &Config) -> Result<ExitCode, StartError> {
    abort_on_panic();
    let system = |what| move |error| StartError::System { what, error };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(system("the control runtime"))?;
    let entered = runtime.enter();
    // Before anything is received: a signal that comes now is kept.
    let signals = Terminations::install().map_err(system("signal handlers"))?;
    let hangups = Hangups::install().map_err(system("signal handlers"))?;
    let Started { pipeline, admin, telemetry, watched, run_id } = Pipeline::start(config)?;
    let address = admin.local_addr().map_err(system("the admin listener"))?;
    let admin_listener = tokio::net::TcpListener::from_std(admin).map_err(system("the admin listener"))?;
    drop(entered);

    let listeners: Vec<String> = watched.listeners.iter().map(ToString::to_string).collect();
    tracing::info!(
        "listening on {}, admin http://{address}, data in {}",
        listeners.join(" "),
        watched.store.volumes.all().map(|storage| storage.path().display().to_string()).collect::<Vec<_>>().join(" ")
    );
    let checks = Checks::new(&watched.store);
    let (run_id, started) = (run_id.to_string(), jiff::Timestamp::now());
    let admin = Arc::new(Admin { telemetry, watched, checks, run_id, started, address });
    Ok(runtime.block_on(async move {
        tokio::spawn(serve(admin_listener, Arc::clone(&admin)));
        tokio::spawn(reload(hangups, Arc::clone(&admin)));
        tokio::spawn(upkeep(Arc::clone(&admin)));
        // Absent without a supervisor that asks for it.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        until_stopped(pipeline, signals, config.shutdown_timeout.get(), &admin.checks).await
    }))
}

/// A thread that dies must not leave a collector that looks alive, in whatever way the program was built.
fn abort_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        report(info);
        std::process::abort();
    }));
}

/// Reads the files of `[tls]` again when they have changed, and at SIGHUP in any case.
async fn reload(mut hangups: Hangups, admin: Arc<Admin>) {
    loop {
        let must = tokio::select! {
            () = hangups.next() => true,
            () = tokio::time::sleep(TLS_LOOK_INTERVAL) => false,
        };
        match &admin.watched.tls {
            Some(tls) => tls.reload(must),
            None if must => tracing::info!("SIGHUP: there is no tls:// listener, and nothing else is read again"),
            None => {}
        }
    }
}

async fn upkeep(admin: Arc<Admin>) {
    loop {
        tokio::time::sleep(UPKEEP_INTERVAL).await;
        admin.telemetry.run_upkeep();
    }
}

async fn until_stopped(pipeline: Pipeline, mut signals: Terminations, timeout: Duration, checks: &Checks) -> ExitCode {
    signals.next().await;
    tracing::info!("stopping: what has arrived is being written; a second signal ends at once");
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    let ledger = Arc::clone(pipeline.ledger());
    let (stopped, mut stopping) = oneshot::channel();
    std::thread::spawn(move || drop(stopped.send(pipeline.stop())));
    tokio::select! {
        books = &mut stopping => match books {
            Ok(books) => {
                tokio::select! {
                    () = checks.finish() => {}
                    // All is stored: only who watches a test run is waited for.
                    _ = signals.next() => {}
                }
                tracing::info!("ledger: {books}");
                ExitCode::SUCCESS
            }
            Err(_) => ExitCode::FAILURE,
        },
        signal = signals.next() => {
            tracing::error!("ended at once; ledger: {}", ledger.read());
            ExitCode::from(128 + signal as u8)
        }
        () = tokio::time::sleep(timeout) => {
            tracing::error!("shutdown_timeout passed: what is in flight is lost; ledger: {}", ledger.read());
            ExitCode::FAILURE
        }
    }
}
