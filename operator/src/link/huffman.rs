//! The Huffman code of HPACK (RFC 7541, appendix B), decoding only. Pure.

/// The length in bits of each byte's code. Codes of one length follow one another in the order of their bytes, and the
/// first of a length follows the last shorter one: the lengths are the whole code.
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28,
    28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6,
    6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7,
    8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7,
    15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24,
    23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23,
    23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26,
    26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20,
    21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27,
    27, 27, 26,
];
const LONGEST: usize = 30;
/// Fewer bits than a byte, all ones, may fill up the last byte.
const LONGEST_PADDING: usize = 7;

/// For each length: how many codes there are, the first of them, and where its byte stands in the order of codes.
struct Code {
    count: [u32; LONGEST + 1],
    first: [u32; LONGEST + 1],
    offset: [usize; LONGEST + 1],
    bytes: [u8; 256],
}

static CODE: Code = code();

const fn code() -> Code {
    let mut code =
        Code { count: [0; LONGEST + 1], first: [0; LONGEST + 1], offset: [0; LONGEST + 1], bytes: [0; 256] };
    let (mut length, mut next, mut placed) = (1, 0, 0);
    while length <= LONGEST {
        next <<= 1;
        code.first[length] = next;
        code.offset[length] = placed;
        let mut byte = 0;
        while byte < 256 {
            if LENGTHS[byte] as usize == length {
                #[expect(clippy::cast_possible_truncation, reason = "below 256")]
                {
                    code.bytes[placed] = byte as u8;
                }
                placed += 1;
                next += 1;
                code.count[length] += 1;
            }
            byte += 1;
        }
        length += 1;
    }
    code
}

/// The text; None if that is no code.
pub(super) fn decode(coded: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(coded.len() * 8 / 5);
    let (mut bits, mut length) = (0_u32, 0_usize);
    for bit in coded.iter().flat_map(|byte| (0..8).rev().map(move |at| u32::from(byte >> at & 1))) {
        bits = bits << 1 | bit;
        length += 1;
        if length > LONGEST {
            return None;
        }
        let place = bits.wrapping_sub(CODE.first[length]);
        if place < CODE.count[length] {
            text.push(CODE.bytes[CODE.offset[length] + place as usize]);
            (bits, length) = (0, 0);
        }
    }
    let is_padding = length <= LONGEST_PADDING && bits + 1 == 1 << length;
    is_padding.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::decode;

    fn check(coded: &str, text: &str) {
        let coded = hex::decode(coded).expect("hexadecimal");
        assert_eq!(decode(&coded), Some(text.as_bytes().to_vec()));
    }

    #[test]
    fn the_examples_of_the_standard_are_read() {
        check("f1e3c2e5f23a6ba0ab90f4ff", "www.example.com");
        check("a8eb10649cbf", "no-cache");
        check("25a849e95ba97d7f", "custom-key");
        check("6402", "302");
        check("d07abe941054d444a8200595040b8166e082a62d1bff", "Mon, 21 Oct 2013 20:13:21 GMT");
        check(
            "94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
            "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
        );
    }

    #[test]
    fn padding_that_is_too_long_or_not_all_ones_is_refused() {
        assert_eq!(decode(&[0xff]), None, "eight bits are no padding");
        assert_eq!(decode(&[0x1f]), Some(b"a".to_vec()));
        assert_eq!(decode(&[0x1e]), None);
        assert_eq!(decode(&[0xff; 5]), None, "the end of string is no byte");
    }
}
