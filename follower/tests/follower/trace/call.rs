//! Reads the text that strace writes. Pure.

use std::collections::HashMap;

/// One system call that returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call<'a> {
    pub(super) name: &'a str,
    /// The arguments, as strace writes them.
    pub(super) args: String,
    pub(super) result: i64,
    /// The lines at which it began and returned.
    pub(super) began: usize,
    pub(super) ended: usize,
}

/// Every call that returned. A call that was interrupted by the end of the process did not.
pub(super) fn calls(text: &str) -> Vec<Call<'_>> {
    let mut begun: HashMap<&str, (&str, String, usize)> = HashMap::new();
    let mut calls = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let Some((pid, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(resumed) = rest.strip_prefix("<... ") {
            let Some((name, args, began)) = begun.remove(pid) else { continue };
            let Some((_, end)) = resumed.split_once(" resumed>") else { continue };
            calls.extend(returned(name, args, end, began, at));
        } else if let Some((name, args)) = rest.split_once('(') {
            match args.strip_suffix(" <unfinished ...>") {
                Some(args) => drop(begun.insert(pid, (name, args.to_owned(), at))),
                None => calls.extend(returned(name, String::new(), args, at, at)),
            }
        }
    }
    calls
}

fn returned<'a>(name: &'a str, mut args: String, end: &str, began: usize, ended: usize) -> Option<Call<'a>> {
    let (rest, result) = end.rsplit_once(" = ")?;
    args.push_str(rest.trim_end().trim_end_matches(')'));
    let result = result.split([' ', '<']).next()?.parse().ok()?;
    Some(Call { name, args, result, began, ended })
}

impl Call<'_> {
    /// What the first descriptor is: a path, or a socket's addresses.
    pub(super) fn descriptor(&self) -> Option<String> {
        let (_, rest) = self.args.split_once('<')?;
        self.args.starts_with(|first: char| first.is_ascii_digit()).then_some(())?;
        let end = rest.find('>').filter(|end| !rest[..*end].ends_with('-')).or_else(|| closing(rest))?;
        let bytes = unescape(&rest[..end]);
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// What the descriptor is that was returned.
    pub(super) fn strings(&self) -> Vec<Vec<u8>> {
        self.args.split('"').skip(1).step_by(2).map(unescape).collect()
    }
}

/// The end of a socket's addresses, which have an arrow in them.
fn closing(text: &str) -> Option<usize> {
    text.find("]>").map(|at| at + 1)
}

/// The bytes of a string in hexadecimal escapes; other characters are themselves.
pub(super) fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4);
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = rest.strip_prefix(b"\\x").and_then(|tail| tail.split_at_checked(2));
        let byte =
            hex.and_then(|(hex, tail)| Some((u8::from_str_radix(str::from_utf8(hex).ok()?, 16).ok()?, tail)));
        let (byte, tail) = byte.unwrap_or((*first, tail));
        bytes.push(byte);
        rest = tail;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_was_interrupted_by_others_is_put_together() {
        let text = "\
7  fdatasync(12<\\x2f\\x61> <unfinished ...>
8  write(4<TCP:[127.0.0.1:1->127.0.0.1:2]>, \"\\x01\\x02\", 2) = 2
7  <... fdatasync resumed>)       = 0
7  --- SIGTERM {si_signo=SIGTERM} ---
8  fdatasync(12<\\x2f\\x61>) = -1 EIO (Input/output error)
8  fsync(3<\\x2f> <unfinished ...>
8  +++ exited with 0 +++";
        let calls = calls(text);
        assert_eq!(calls.len(), 3, "{calls:?}");
        assert_eq!(
            (calls[0].name, calls[0].descriptor().as_deref()),
            ("write", Some("TCP:[127.0.0.1:1->127.0.0.1:2]"))
        );
        assert_eq!(calls[0].strings(), [vec![1, 2]]);
        assert_eq!((calls[1].name, calls[1].began, calls[1].ended, calls[1].result), ("fdatasync", 0, 2, 0));
        assert_eq!(calls[1].descriptor().as_deref(), Some("/a"));
        assert_eq!((calls[2].name, calls[2].result), ("fdatasync", -1));
    }
}
