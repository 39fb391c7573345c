//! Sets up logging: to standard error, one line for each event, of this program's own events only.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::cli::{LogArgs, LogFormat, LogLevel};

/// Starts logging for the rest of the process. A second call changes nothing.
pub fn start(arguments: LogArgs) {
    let level = match arguments.level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    };
    // Libraries below may log what they send; only their warnings are wanted.
    let filter = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target(env!("CARGO_PKG_NAME"), level);
    // The module path goes: `target` is the word for what is probed.
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match arguments.format {
        LogFormat::Logfmt => Box::new(
            tracing_logfmt::builder()
                .with_target(false)
                .layer()
                .with_writer(std::io::stderr),
        ),
        LogFormat::Json => Box::new(
            tracing_subscriber::fmt::layer()
                .json()
                .flatten_event(true)
                .with_target(false)
                .with_writer(std::io::stderr),
        ),
    };
    drop(
        tracing_subscriber::registry()
            .with(layer.with_filter(filter))
            .try_init(),
    );
}
