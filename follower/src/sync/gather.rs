//! Takes what a stream has ready, up to bounds, so that a commit covers a group and memory stays bounded.

use futures::{FutureExt as _, Stream, StreamExt as _};

/// A group closes at this many items.
const ITEMS: usize = 64;
/// A group closes once it holds this many bytes.
const BYTES: usize = 8 << 20;

/// The next item and those ready right behind it; empty at the end of the stream.
pub(super) async fn gather<S: Stream + Unpin>(
    stream: &mut S,
    size: impl Fn(&S::Item) -> usize,
) -> Vec<S::Item> {
    let mut group = Vec::new();
    let mut bytes = 0;
    let mut next = stream.next().await;
    while let Some(item) = next {
        bytes += size(&item);
        group.push(item);
        if group.len() >= ITEMS || bytes >= BYTES {
            break;
        }
        next = stream.next().now_or_never().flatten();
    }
    group
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    async fn groups(sizes: Vec<usize>) -> Vec<usize> {
        let mut stream = stream::iter(sizes);
        let mut groups = Vec::new();
        loop {
            match gather(&mut stream, |size| *size).await.len() {
                0 => return groups,
                len => groups.push(len),
            }
        }
    }

    #[tokio::test]
    async fn groups_close_at_their_bounds() {
        assert_eq!(groups(vec![1; 130]).await, [64, 64, 2]);
        assert_eq!(groups(vec![BYTES / 2, BYTES / 2, 1]).await, [2, 1]);
        assert_eq!(groups(vec![2 * BYTES, 1]).await, [1, 1]);
        assert_eq!(groups(Vec::new()).await, [0; 0]);
    }
}
