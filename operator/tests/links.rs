//! Every link of a page to another file of this checkout leads somewhere.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

const FOLDERS: &[&str] = &["", "docs", "charts/tidemark", "e2e/cluster", "e2e/data"];

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The pages of a folder.
fn pages(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(checkout().join(folder)).expect("the folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

/// What stands between the round brackets of links, on lines outside blocks of code.
fn links(page: &str) -> Vec<&str> {
    let prose = page.split("```").step_by(2).flat_map(str::lines).filter(|line| !line.starts_with("    "));
    let ends =
        prose.flat_map(|line| line.split("](").skip(1)).filter_map(|rest| Some(rest.split_once(')')?.0));
    ends.filter(|link| !link.contains("://")).collect()
}

/// The anchors that a viewer of Markdown makes of the headings.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let text = headings.map(|line| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-"));
    let kept = |letter: &char| letter.is_alphanumeric() || ['-', '_'].contains(letter);
    text.map(|heading| heading.chars().filter(kept).collect()).collect()
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut found = 0;
    for page in FOLDERS.iter().flat_map(|folder| pages(folder)) {
        let text = fs::read_to_string(&page).expect("a page");
        for link in links(&text) {
            found += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { page.with_file_name(file) };
            assert!(target.exists(), "{} links to {link}, which is not there", page.display());
            if !anchor.is_empty() {
                let there = anchors(&fs::read_to_string(&target).expect("the page linked to"));
                assert!(there.contains(anchor), "{} links to {link}: no such heading", page.display());
            }
        }
    }
    assert!(found > 50, "this test no longer finds the links: {found}");
}
