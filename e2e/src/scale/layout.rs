//! Who is where: each store has a loopback address of its own, by its set and its place in it. Pure.

use std::net::Ipv4Addr;

/// The port of all stores here. Below the ports of outgoing connections, and not the one on which the tests' own
/// scripted stores listen, each at an address of its own: the two may run at the same time.
pub(super) const PORT: u16 = 27_291;
/// The address of the first set's primary; others follow, sixteen addresses a set.
const FIRST: u32 = u32::from_be_bytes([127, 64, 0, 0]);
const PER_SET: u32 = 16;

/// One store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Its set, from 0.
    pub(super) set: u32,
    /// None: the primary; else the ordinal of the follower.
    pub(super) ordinal: Option<u32>,
}

impl Place {
    /// A set's primary.
    #[must_use]
    pub(super) fn primary(set: u32) -> Self {
        Self { set, ordinal: None }
    }

    /// A set's follower; at most 15 fit.
    #[must_use]
    pub(super) fn follower(set: u32, ordinal: u32) -> Self {
        Self { set, ordinal: Some(ordinal) }
    }

    /// Where it is.
    #[must_use]
    pub(super) fn address(self) -> Ipv4Addr {
        let inside = self.ordinal.map_or(0, |ordinal| ordinal + 1);
        Ipv4Addr::from_bits(FIRST + self.set * PER_SET + inside)
    }

    /// Who is at an address, if it is one of these.
    #[must_use]
    pub(super) fn at(address: Ipv4Addr) -> Option<Self> {
        let number = address.to_bits().checked_sub(FIRST)?;
        let inside = number % PER_SET;
        Some(Self { set: number / PER_SET, ordinal: inside.checked_sub(1) })
    }

    /// The name of a set.
    #[must_use]
    pub(super) fn set_name(set: u32) -> String {
        format!("fleet{set:04}")
    }

    /// The name of its pod.
    #[must_use]
    pub(super) fn pod(self) -> String {
        format!("{}-{}", Self::set_name(self.set), self.ordinal.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn an_address_tells_who_is_there() {
        for place in [Place::primary(0), Place::primary(999), Place::follower(0, 0), Place::follower(999, 9)]
        {
            assert_eq!(Place::at(place.address()), Some(place));
        }
        assert_eq!(Place::at([127, 0, 0, 1].into()), None);
        assert_eq!(Place::follower(0, 1).address().to_string(), "127.64.0.2");
    }
}
