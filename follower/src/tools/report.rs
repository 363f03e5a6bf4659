//! Writes a report, for people or for programs.

use std::{
    fmt::Display,
    io::{self, Write},
};

use serde::Serialize;

use super::ToolError;
use crate::cli::Output;

/// Writes a report to standard output, or to standard error where the first is taken.
pub(super) fn write(
    report: &(impl Serialize + Display),
    output: Output,
    taken: bool,
) -> Result<(), ToolError> {
    let text = match output {
        Output::Text => report.to_string(),
        Output::Json => {
            serde_json::to_string_pretty(report).map_err(|error| ToolError::Report(error.into()))?
        }
    };
    let written =
        if taken { writeln!(io::stderr().lock(), "{text}") } else { writeln!(io::stdout().lock(), "{text}") };
    written.map_err(ToolError::Report)
}

/// A number, or that there is none.
pub(super) fn or_none(number: Option<u32>) -> String {
    number.map_or_else(|| "none".to_owned(), |number| number.to_string())
}
