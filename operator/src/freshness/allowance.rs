//! How many events one object may be told of: a flapping replica must not flood the API server. Pure.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

/// So many at once, as client-go allows each object.
const BURST: u32 = 25;
/// And one more each time this has passed.
const REFILL: Duration = Duration::from_secs(10);

/// What each object may still be told of, by UID. Forgets objects that have their whole allowance.
#[derive(Debug, Default)]
pub(super) struct Allowances(BTreeMap<String, Allowance>);

#[derive(Debug)]
struct Allowance {
    left: u32,
    /// Up to when refills were counted.
    counted: Instant,
}

impl Allowances {
    /// Takes one from the allowance of the object; false if nothing is left of it.
    pub(super) fn take(&mut self, uid: &str, now: Instant) -> bool {
        self.0.retain(|_, allowance| !allowance.is_whole(now));
        let fresh = || Allowance { left: BURST, counted: now };
        let allowance = self.0.entry(uid.to_owned()).or_insert_with(fresh);
        allowance.refill(now);
        let left = allowance.left.checked_sub(1);
        allowance.left = left.unwrap_or(0);
        left.is_some()
    }
}

impl Allowance {
    fn refills(&self, now: Instant) -> u32 {
        let passed = now.saturating_duration_since(self.counted);
        u32::try_from(passed.as_millis() / REFILL.as_millis()).unwrap_or(u32::MAX)
    }

    fn is_whole(&self, now: Instant) -> bool {
        self.left.saturating_add(self.refills(now)) >= BURST
    }

    fn refill(&mut self, now: Instant) {
        let refills = self.refills(now);
        self.left = self.left.saturating_add(refills).min(BURST);
        self.counted += REFILL * refills;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Allowances, BURST, REFILL};

    #[test]
    fn a_flood_about_one_object_is_cut_and_about_another_goes_on() {
        let (mut allowances, start) = (Allowances::default(), Instant::now());
        let flood = (0..1_000).filter(|at| allowances.take("a", start + Duration::from_millis(*at))).count();
        assert_eq!(flood, BURST as usize);
        assert!(allowances.take("b", start + Duration::from_secs(1)));
        assert!(allowances.take("a", start + REFILL));
        assert!(!allowances.take("a", start + REFILL));
        assert!(allowances.take("a", start + REFILL * 3));
        assert!(allowances.take("a", start + REFILL * 3));
        assert!(!allowances.take("a", start + REFILL * 3));
    }

    #[test]
    fn objects_that_were_not_told_of_lately_take_no_room() {
        let (mut allowances, start) = (Allowances::default(), Instant::now());
        for at in 0..100 {
            assert!(allowances.take(&at.to_string(), start));
        }
        assert!(allowances.take("last", start + REFILL));
        assert_eq!(allowances.0.len(), 1);
    }
}
