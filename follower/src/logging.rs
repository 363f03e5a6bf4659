//! Where log lines go and how they look.

use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;

/// Starts logging to standard error.
///
/// # Errors
/// When the filter is none.
pub fn start(format: LogFormat, filter: Option<&str>) -> Result<(), tracing_subscriber::filter::ParseError> {
    let filter = match filter {
        Some(filter) => EnvFilter::try_new(filter)?,
        None => EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")),
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
    Ok(())
}
