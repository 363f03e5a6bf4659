//! What the operator wrote, counted at the API server.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead as _, BufReader, Seek as _, SeekFrom},
    path::PathBuf,
};

use anyhow::Result;
use serde::Deserialize;

/// Writes by verb and resource, such as `patch pods/status`.
pub(super) type Writes = BTreeMap<String, usize>;

/// The API server's audit log, from where it was read last.
pub(super) struct Audit {
    log: PathBuf,
    read: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    verb: String,
    object_ref: Option<ObjectRef>,
}

#[derive(Deserialize)]
struct ObjectRef {
    resource: String,
    subresource: Option<String>,
}

impl Audit {
    pub(super) fn of(log: PathBuf) -> Self {
        Self { log, read: 0 }
    }

    /// What has been written since this was called last.
    pub(super) fn writes(&mut self) -> Result<Writes> {
        let mut file = File::open(&self.log)?;
        file.seek(SeekFrom::Start(self.read))?;
        let (mut reader, mut line, mut writes) = (BufReader::new(file), String::new(), Writes::new());
        while reader.read_line(&mut line)? > 0 && line.ends_with('\n') {
            self.read += line.len() as u64;
            *writes.entry(name(&serde_json::from_str(&line)?)).or_default() += 1;
            line.clear();
        }
        Ok(writes)
    }
}

fn name(entry: &Entry) -> String {
    let resource = entry.object_ref.as_ref().map_or("something", |object| &object.resource);
    let subresource = entry.object_ref.as_ref().and_then(|object| object.subresource.as_deref());
    let subresource = subresource.map(|name| format!("/{name}")).unwrap_or_default();
    format!("{} {resource}{subresource}", entry.verb)
}
