//! The program `tidemark-operator`.

use std::process::ExitCode;

fn main() -> ExitCode {
    print!("{}", tidemark_operator::api::crd_yaml().expect("ok"));
    ExitCode::SUCCESS
}
