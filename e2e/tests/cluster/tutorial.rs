//! The commands of docs/tutorial.md, run as they stand there, in one shell.

use std::process::Command;

use anyhow::{Result, ensure};
use tidemark_e2e::{programs, scene::Scene};

const PAGE: &str = include_str!("../../../docs/tutorial.md");
/// The namespace that the page makes and removes.
const NAMESPACE: &str = "tutorial";

/// All blocks of commands as one script, which says where it is.
fn script() -> String {
    let mut script = String::from("set -eux\n");
    for section in PAGE.split("\n## ").skip(1) {
        let heading = section.lines().next().unwrap_or_default();
        for block in section.split("```sh\n").skip(1).filter_map(|block| block.split("```").next()) {
            script.push_str(&format!(": 'under the heading “{heading}”'\n{block}"));
        }
    }
    script
}

/// Every command of the page succeeds; those that wait see what the page says.
pub(crate) async fn as_it_stands(scene: Scene) -> Result<()> {
    let before = Scene { namespace: NAMESPACE.to_owned(), ..scene };
    before.strike().await?;
    let played = tokio::task::spawn_blocking(|| {
        let mut shell = Command::new("bash");
        shell.args(["-c", &script()]).current_dir(programs::checkout());
        programs::run(&mut shell)
    })
    .await?;
    if played.is_err() {
        before.strike().await?;
    }
    let said = played?;
    ensure!(said.contains("Lagging"), "the page says that the member says Lagging: {said}");
    Ok(())
}
