//! A progress bar on standard error, where that is a terminal.

use std::io::{self, IsTerminal as _};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How far a command has come.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Of so many bytes; none when nobody knows how many there will be.
    pub(super) fn bytes(total: Option<u64>) -> Self {
        let template = match total {
            Some(_) => "{wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
            None => "{spinner} {bytes}, {bytes_per_sec}",
        };
        Self::new(total, template)
    }

    /// Of so many blocks.
    pub(super) fn blocks(total: u64) -> Self {
        Self::new(Some(total), "{wide_bar} {pos} of {len} blocks, {per_sec}, {eta} left")
    }

    fn new(total: Option<u64>, template: &str) -> Self {
        let target = match io::stderr().is_terminal() {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(total, target);
        let style = ProgressStyle::with_template(template);
        Self(style.map(|style| bar.clone().with_style(style)).unwrap_or(bar))
    }

    pub(super) fn reached(&self, position: u64) {
        self.0.set_position(position);
    }

    pub(super) fn add(&self, more: u64) {
        self.0.inc(more);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
