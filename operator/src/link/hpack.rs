//! Header blocks of HTTP/2 (HPACK, RFC 7541) without a dynamic table, which peers are told not to use. Pure.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::huffman;

/// A header block that cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a header block that is no HPACK, or uses a table it was told not to")]
pub(super) struct Malformed;

/// What a block holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    /// `:status`; none in trailers.
    pub(super) status: Option<u16>,
    pub(super) fields: HeaderMap,
}

/// RFC 7541, appendix A.
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

const METHOD_POST: u8 = 0x80 | 3;
const SCHEME_HTTP: u8 = 0x80 | 6;
const SCHEME_HTTPS: u8 = 0x80 | 7;
const AUTHORITY: u8 = 1;
const PATH: u8 = 4;

/// The header block of a POST over TLS or not, each field as a literal that nobody is to remember.
pub(super) fn encode(secure: bool, authority: &str, path: &str, fields: &HeaderMap) -> Vec<u8> {
    let scheme = if secure { SCHEME_HTTPS } else { SCHEME_HTTP };
    let mut block = vec![METHOD_POST, scheme, PATH];
    put_text(&mut block, path.as_bytes());
    block.push(AUTHORITY);
    put_text(&mut block, authority.as_bytes());
    for (name, value) in fields {
        block.push(0);
        put_text(&mut block, name.as_str().as_bytes());
        put_text(&mut block, value.as_bytes());
    }
    block
}

fn put_text(block: &mut Vec<u8>, text: &[u8]) {
    const PREFIX: usize = 0x7f;
    let mut rest = text.len();
    if rest < PREFIX {
        block.extend(u8::try_from(rest));
    } else {
        block.extend(u8::try_from(PREFIX));
        rest -= PREFIX;
        while rest > PREFIX {
            block.extend(u8::try_from(rest & PREFIX | 0x80));
            rest >>= 7;
        }
        block.extend(u8::try_from(rest));
    }
    block.extend_from_slice(text);
}

/// Reads a whole block.
pub(super) fn decode(block: &[u8]) -> Result<Block, Malformed> {
    let (mut rest, mut found) = (Reader(block), Block::default());
    while let Some(&kind) = rest.0.first() {
        match kind {
            0x80.. => {
                let (name, value) = known(rest.number(7)?)?;
                found.add(name.as_bytes(), value.as_bytes())?;
            }
            0x20..0x40 => drop(rest.number(5)?),
            _ => {
                let bits = if kind >= 0x40 { 6 } else { 4 };
                let name = match rest.number(bits)? {
                    0 => rest.text()?,
                    index => known(index)?.0.as_bytes().to_vec(),
                };
                found.add(&name, &rest.text()?)?;
            }
        }
    }
    Ok(found)
}

fn known(index: usize) -> Result<(&'static str, &'static str), Malformed> {
    index.checked_sub(1).and_then(|at| STATIC.get(at)).copied().ok_or(Malformed)
}

impl Block {
    fn add(&mut self, name: &[u8], value: &[u8]) -> Result<(), Malformed> {
        if name == b":status" {
            let status = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            self.status = Some(status.ok_or(Malformed)?);
            return Ok(());
        }
        let name = HeaderName::from_bytes(name).map_err(|_| Malformed)?;
        let value = HeaderValue::from_bytes(value).map_err(|_| Malformed)?;
        self.fields.append(name, value);
        Ok(())
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.0.split_first().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*first)
    }

    /// A number that begins in the lowest `bits` of the next byte; at most four bytes follow.
    fn number(&mut self, bits: u32) -> Result<usize, Malformed> {
        let mask = (1_usize << bits) - 1;
        let mut number = usize::from(self.byte()?) & mask;
        if number < mask {
            return Ok(number);
        }
        for shift in [0, 7, 14, 21] {
            let byte = usize::from(self.byte()?);
            number += (byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }

    fn text(&mut self) -> Result<Vec<u8>, Malformed> {
        let is_coded = self.0.first().ok_or(Malformed)? & 0x80 != 0;
        let length = self.number(7)?;
        let (text, rest): (&'a [u8], _) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        if is_coded { huffman::decode(text).ok_or(Malformed) } else { Ok(text.to_vec()) }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::{Malformed, decode, encode};

    #[test]
    fn what_is_encoded_is_read_back() {
        let long = "x".repeat(300);
        let mut fields = HeaderMap::new();
        fields.insert("te", "trailers".parse().expect("a value"));
        fields.insert("long", long.parse().expect("a value"));
        let block = encode(false, "h:1", "/a/B", &fields);
        let start = "83860404".to_owned() + &hex::encode("/a/B") + "0103" + &hex::encode("h:1");
        assert!(hex::encode(&block).starts_with(&start));
        let head = hex::decode(start).expect("hexadecimal").len();
        assert_eq!(decode(&block[head..]).expect("a block").fields, fields);
    }

    #[test]
    fn an_answer_of_the_standard_is_read() {
        // RFC 7541, C.6.1: with Huffman codes, and fields that a table would remember.
        let block = "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3";
        let block = decode(&hex::decode(block).expect("hexadecimal")).expect("a block");
        assert_eq!(
            (block.status, &block.fields["cache-control"]),
            (Some(302), &"private".parse().expect("a value"))
        );
        assert_eq!(block.fields["location"], "https://www.example.com");
    }

    #[test]
    fn a_table_that_nobody_keeps_and_cut_blocks_are_refused() {
        assert_eq!(decode(&[0x88]).expect("a block").status, Some(200));
        assert_eq!(decode(&[0x80 | 62]), Err(Malformed));
        assert_eq!(decode(&[0x80]), Err(Malformed));
        assert_eq!(decode(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), Err(Malformed));
        let whole = encode(
            false,
            "h",
            "/a",
            &HeaderMap::from_iter([("te".parse().expect("a name"), "x".parse().expect("a value"))]),
        );
        let field = whole.len() - 6;
        for end in field + 1..whole.len() {
            assert_eq!(decode(&whole[field..end]), Err(Malformed), "{end}");
        }
    }

    mod fuzz {
        use proptest::prelude::*;

        proptest! {
            #[test]
            fn any_bytes_are_a_block_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
                let _ = super::decode(&bytes);
            }
        }
    }
}
