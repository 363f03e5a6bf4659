//! The commands on a data directory, run as the real binary.

use std::{
    fs,
    os::unix::fs::FileExt as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;
use tidemark_store::{BlockStore as _, Commitment, DiskStore, Metadata};
use tokio::io::AsyncWriteExt as _;

use crate::{
    harness::{api, block, eventually, produce, proven},
    scripted::Script,
};

fn command(name: &str, dir: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidemark-follower"));
    command
        .env_clear()
        .env("RUST_LOG", "error")
        .args([name, "--output", "json", "--data-dir"])
        .arg(dir)
        .args(more);
    command
}

fn run(name: &str, dir: &Path, more: &[&str]) -> Output {
    command(name, dir, more).output().expect("the binary starts")
}

/// The report of a command that must end with this code.
fn report(code: i32, name: &str, dir: &Path, more: &[&str]) -> Value {
    let output = run(name, dir, more);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{name} {more:?} said {said}");
    serde_json::from_slice(&output.stdout).expect("a report")
}

/// Every record in the directory is whole.
pub(crate) fn check_sound(dir: &Path) {
    assert_eq!(report(0, "verify", dir, &[])["sound"], true);
}

/// What a command says that must end with this code and no report.
fn refusal(code: i32, name: &str, dir: &Path, more: &[&str]) -> String {
    let output = run(name, dir, more);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{name} {more:?} said {said}");
    assert!(output.stdout.is_empty(), "{name} {more:?} reported and refused");
    said
}

/// The chain of a script, with proofs of every third block, the first of 0 bytes.
fn script(tip: u32) -> Script {
    let mut script = Script::native(tip);
    for number in (1..=tip).step_by(3) {
        script.proofs.insert(number, vec![7; number as usize - 1].into());
    }
    script
}

/// A stopped store that holds the chain of a script.
fn store(script: &Script) -> TempDir {
    let dir = TempDir::new().unwrap();
    let store = DiskStore::open(dir.path()).unwrap();
    store.initialise(Metadata::new("native", Commitment::from_bytes(script.genesis))).unwrap();
    let blocks: Vec<&[u8]> = script.blocks.values().map(AsRef::as_ref).collect();
    store.apply(0.into(), &blocks).unwrap();
    for (number, proof) in &script.proofs {
        store.put_proof((*number).into(), proof).unwrap();
    }
    store.sync().unwrap();
    dir
}

fn check_holds(dir: &Path, script: &Script) {
    let store = DiskStore::open(dir).unwrap();
    for (number, block) in &script.blocks {
        assert_eq!(store.block((*number).into()).unwrap().as_deref(), Some(block.as_ref()), "block {number}");
        let proof = store.proof((*number).into()).unwrap();
        assert_eq!(proof.as_deref(), script.proofs.get(number).map(AsRef::as_ref), "proof {number}");
    }
    assert_eq!(store.tips().published, Some(script.tip.into()));
}

fn export(dir: &Path, more: &[&str]) -> (TempDir, String) {
    let files = TempDir::new().unwrap();
    let file = files.path().join("chain.tm").display().to_string();
    report(0, "export", dir, &[&["--file", &file], more].concat());
    (files, file)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_chain_is_verified_exported_and_imported_whole() {
    let primary = produce(|_| {}).await;
    proven(primary.rpc, 40).await;
    let files = TempDir::new().unwrap();
    let file = files.path().join("chain.tm").display().to_string();
    let live = primary.data_dir().to_owned();
    let (exported, verified) = tokio::task::spawn_blocking({
        let file = file.clone();
        move || (report(0, "export", &live, &["--file", &file]), report(0, "verify", &live, &[]))
    })
    .await
    .unwrap();
    assert_eq!(verified["sound"], true, "{verified}");
    let last = exported["last"].as_u64().unwrap();
    assert!(last >= 40 && verified["blocks"].as_u64().unwrap() > last, "{exported} {verified}");

    let copy = TempDir::new().unwrap();
    let imported = report(0, "import", copy.path(), &["--file", &file]);
    assert_eq!(imported["blocks_added"], last + 1, "{imported}");
    assert_eq!(imported["proofs_added"], exported["proofs"], "{imported}");
    assert_eq!(report(0, "verify", copy.path(), &[])["sound"], true);
    let store = DiskStore::open(copy.path()).unwrap();
    let mut client = api(primary.rpc).await;
    for number in 0..=u32::try_from(last).unwrap() {
        let expected = block(&mut client, number).await.block;
        assert_eq!(store.block(number.into()).unwrap().as_deref(), expected.as_deref(), "block {number}");
    }
}

#[test]
fn what_is_exported_through_a_pipe_is_imported_with_every_proof() {
    let script = script(200);
    let (from, to) = (store(&script), TempDir::new().unwrap());
    let mut export = command("export", from.path(), &["--file", "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut import = command("import", to.path(), &["--file", "-"]);
    let imported = import.stdin(export.stdout.take().unwrap()).output().unwrap();
    let exported = export.wait_with_output().unwrap();
    assert!(exported.status.success() && imported.status.success(), "{imported:?}");
    let report: Value = serde_json::from_slice(&exported.stderr).expect("the report is on the other stream");
    assert_eq!((report["blocks"].as_u64(), report["proofs"].as_u64()), (Some(201), Some(67)));
    check_holds(to.path(), &script);
}

#[test]
fn ranges_fit_together_and_a_hole_is_refused() {
    let script = script(100);
    let from = store(&script);
    let (_one, low) = export(from.path(), &["--to", "40"]);
    let (_two, high) = export(from.path(), &["--from", "30", "--to", "100"]);
    let (_three, far) = export(from.path(), &["--from", "60"]);
    let to = TempDir::new().unwrap();
    let said = refusal(2, "import", to.path(), &["--file", &high]);
    assert!(said.contains("begins at block 30, but block 0 is due"), "{said}");
    report(0, "import", to.path(), &["--file", &low]);
    let said = refusal(2, "import", to.path(), &["--file", &far]);
    assert!(said.contains("begins at block 60, but block 41 is due"), "{said}");
    let added = report(0, "import", to.path(), &["--file", &high]);
    assert_eq!(added["blocks_added"], 60, "{added}");
    check_holds(to.path(), &script);
    let nothing = report(0, "import", to.path(), &["--file", &low]);
    assert_eq!((&nothing["blocks_added"], &nothing["proofs_added"]), (&0.into(), &0.into()));
    let said = refusal(1, "export", from.path(), &["--file", "-", "--to", "101"]);
    assert!(said.contains("block 100 is the last one here"), "{said}");
}

#[test]
fn another_chain_and_an_altered_file_are_not_imported() {
    let (ours, mut other) = (script(20), Script::native(5));
    other.blocks.clear();
    other.extend(20, b"another body");
    other.genesis = *tidemark_store::BlockHash::of(&other.blocks[&0]).as_bytes();
    let (_files, foreign) = export(store(&other).path(), &[]);
    let to = store(&ours);
    let said = refusal(2, "import", to.path(), &["--file", &foreign]);
    assert!(said.contains("the data directory holds the chain of genesis"), "{said}");

    let mut fork = Script::native(10);
    fork.extend(20, b"another body");
    let (_files, forked) = export(store(&fork).path(), &[]);
    let said = refusal(2, "import", to.path(), &["--file", &forked]);
    assert!(said.contains("block 11 of the export file"), "{said}");
    check_holds(to.path(), &ours);

    let (_files, file) = export(to.path(), &[]);
    let bytes = fs::read(&file).unwrap();
    for at in [200, bytes.len() / 2, bytes.len() - 1] {
        let mut altered = bytes.clone();
        altered[at] ^= 4;
        fs::write(&file, &altered).unwrap();
        let said = refusal(2, "import", TempDir::new().unwrap().path(), &["--file", &file]);
        assert!(said.contains("altered at byte"), "{said}");
        fs::write(&file, &bytes[..at]).unwrap();
        let said = refusal(2, "import", TempDir::new().unwrap().path(), &["--file", &file]);
        assert!(said.contains(&format!("cut at byte {at}")), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_killed_goes_on_where_it_was() {
    let script = script(3000);
    let (_files, file) = export(store(&script).path(), &[]);
    let bytes = fs::read(&file).unwrap();
    let to = TempDir::new().unwrap();
    let mut import = tokio::process::Command::from(command("import", to.path(), &["--file", "-"]));
    let mut import = import.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    import.stdin.as_mut().unwrap().write_all(&bytes[..bytes.len() / 2]).await.unwrap();
    let some = async || {
        let output = run("inspect", to.path(), &[]);
        let report = serde_json::from_slice::<Value>(&output.stdout).ok()?;
        report["published"].as_u64().filter(|published| *published > 500)
    };
    eventually("some of it is held", some).await;
    import.kill().await.unwrap();
    let rest = report(0, "import", to.path(), &["--file", &file]);
    let added = rest["blocks_added"].as_u64().unwrap();
    assert!(added > 0 && added < 2500, "{rest}");
    assert_eq!(report(0, "verify", to.path(), &[])["sound"], true);
    check_holds(to.path(), &script);
}

/// Flips a bit of the block's or proof's own bytes, where `inspect` says they are; gives file and offset of the record.
fn damage(dir: &Path, number: u32, part: &str) -> (String, u64) {
    let inspected = report(0, "inspect", dir, &["--block", &number.to_string()]);
    let at = &inspected["block"][part];
    let (name, offset) = (at["file"].as_str().unwrap(), at["offset"].as_u64().unwrap());
    let file = fs::OpenOptions::new().read(true).write(true).open(dir.join(name)).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset + 75).unwrap();
    file.write_all_at(&[byte[0] ^ 1], offset + 75).unwrap();
    (name.to_owned(), offset)
}

#[test]
fn each_damaged_record_is_named_by_file_byte_and_number() {
    let dir = store(&script(50));
    assert_eq!(report(0, "verify", dir.path(), &[])["damage"], Value::Array(Vec::new()));
    let block = damage(dir.path(), 30, "record");
    let proof = damage(dir.path(), 16, "proof");
    let found = report(2, "verify", dir.path(), &[]);
    let damaged = found["damage"].as_array().unwrap();
    let named = |index: usize| {
        let damage = &damaged[index];
        let name = Path::new(damage["file"].as_str().unwrap()).file_name().unwrap().to_str().unwrap();
        (
            damage["what"].as_str().unwrap(),
            damage["number"].as_u64().unwrap(),
            (name.to_owned(), damage["offset"].as_u64().unwrap()),
        )
    };
    assert_eq!(damaged.len(), 2, "{found}");
    assert_eq!(named(0), ("proof", 16, proof));
    assert_eq!(named(1), ("block", 30, block));
    assert_eq!(found["sound"], false);
    let inspected = report(2, "inspect", dir.path(), &["--block", "30"]);
    assert!(inspected["block"]["record"]["damage"].is_string(), "{inspected}");

    let file = dir.path().join("part.tm").display().to_string();
    let said = refusal(2, "export", dir.path(), &["--file", &file]);
    assert!(said.contains("damaged at byte"), "{said}");
    let left = fs::read_dir(dir.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with("part.tm"));
    assert_eq!(left.count(), 0, "no half of a file is left");
    report(0, "export", dir.path(), &["--file", &file, "--to", "15"]);
}

#[test]
fn blocks_that_do_not_follow_each_other_are_found_though_every_record_is_whole() {
    let mut script = Script::native(10);
    let stranger = Script::native(3).blocks[&2].clone();
    script.blocks.insert(6, stranger);
    let found = report(2, "verify", store(&script).path(), &[]);
    let damaged = found["damage"].as_array().unwrap();
    let of =
        |index: usize| (damaged[index]["what"].as_str().unwrap(), damaged[index]["number"].as_u64().unwrap());
    assert_eq!(of(0), ("chain", 6), "{found}");
    assert!(damaged.iter().all(|damage| damage["what"] == "chain"), "{found}");
}

#[test]
fn what_cannot_run_says_why_and_ends_with_1() {
    let empty = TempDir::new().unwrap();
    for name in ["verify", "inspect"] {
        let said = refusal(1, name, &empty.path().join("missing"), &[]);
        assert!(said.contains("is no directory"), "{said}");
    }
    let said = refusal(1, "export", &empty.path().join("missing"), &["--no-such-flag"]);
    assert!(said.contains("--no-such-flag"), "{said}");
    let said = refusal(1, "import", empty.path(), &["--file", "/no/such/file"]);
    assert!(said.contains("cannot use /no/such/file"), "{said}");
    let dir = store(&script(3));
    let _holder = DiskStore::open(dir.path()).unwrap();
    let (_files, file) = export(dir.path(), &[]);
    let said = refusal(1, "import", dir.path(), &["--file", &file]);
    assert!(said.contains("in use by another process"), "{said}");
}

#[test]
fn what_a_rewind_drops_is_brought_back_from_quarantine() {
    let script = script(100);
    let dir = store(&script);
    let done = report(0, "rewind", dir.path(), &["--to", "60"]);
    assert_eq!(
        (&done["held_before"], &done["held"], &done["dropped"]),
        (&100.into(), &60.into(), &40.into())
    );
    let verified = report(0, "verify", dir.path(), &[]);
    assert_eq!((&verified["sound"], &verified["blocks"]), (&true.into(), &61.into()));
    let inspected = report(0, "inspect", dir.path(), &[]);
    assert_eq!(inspected["quarantine"].as_array().unwrap().len(), 1, "{inspected}");
    let quarantine = done["quarantine"][0].as_str().unwrap();
    let back = report(0, "import", dir.path(), &["--file", quarantine]);
    assert_eq!(back["blocks_added"], 40, "{back}");
    check_holds(dir.path(), &script);
    let nothing = report(0, "rewind", dir.path(), &["--to", "100"]);
    assert_eq!(nothing["dropped"], 0, "{nothing}");
}

#[test]
fn a_directory_of_the_version_before_is_migrated_when_that_is_committed() {
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/store/src/tests/fixtures/v1");
    let dir = TempDir::new().unwrap();
    for entry in fs::read_dir(fixture).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    let before = report(0, "inspect", dir.path(), &[])["version"].clone();
    let verified = report(2, "migrate", dir.path(), &[]);
    assert_eq!(verified["damage"][0]["what"], "block", "the fixture has a damaged block: {verified}");
    assert_eq!((&verified["committed"], &verified["version"]), (&false.into(), &before));
    assert!(verified["blocks"].as_u64() > Some(0), "{verified}");
    assert_eq!(report(0, "inspect", dir.path(), &[])["version"], before);
    let committed = report(2, "migrate", dir.path(), &["--commit"]);
    assert_eq!(
        committed["damaged_blocks"], verified["damaged_blocks"],
        "what an earlier run found is told again"
    );
    assert_eq!(
        (&committed["committed"], &committed["version"]),
        (&true.into(), &tidemark_store::FORMAT_VERSION.into())
    );
    assert_eq!(report(0, "inspect", dir.path(), &[])["version"], tidemark_store::FORMAT_VERSION);
    let again = report(0, "migrate", dir.path(), &[]);
    assert_eq!((&again["blocks"], &again["committed"]), (&0.into(), &true.into()), "nothing is left to do");
    let known = report(2, "verify", dir.path(), &[]);
    assert_eq!(known["blocks"], verified["blocks"], "damage that is known ends no reading: {known}");
    assert!(known["damage"].as_array().is_some_and(|damage| !damage.is_empty()), "{known}");
    assert_eq!(report(0, "inspect", dir.path(), &[])["damaged"], verified["damaged_blocks"]);
    let file = dir.path().join("out.tm");
    refusal(2, "export", dir.path(), &["--file", file.to_str().unwrap()]);
    assert!(!file.exists(), "no file is better than one with a hole");
}
