//! What is remembered of answers, and for how long. No clock: `now` is an argument.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use crate::format::Name;

/// The shortest time a name is kept: an answer that allows less would be asked for all the time.
const SHORTEST: Duration = Duration::from_mins(1);
/// The longest time a name is kept.
const LONGEST: Duration = Duration::from_hours(24);
/// The longest time that an address without a name is not asked for again, and the time if the answer gives none.
const LONGEST_NAMELESS: Duration = Duration::from_hours(1);
const NAMELESS: Duration = Duration::from_mins(10);
/// The time after which a look-up that failed is tried again.
const RETRY: Duration = Duration::from_mins(1);
/// Longest name that the DNS has (RFC 1035, 2.3.4).
const LONGEST_NAME: usize = 255;

/// What a name server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NameAnswer {
    /// The name, if there is one.
    pub(super) name: Option<Name>,
    lasts: Duration,
}

impl NameAnswer {
    /// A name, and how long the answer lets it be kept.
    pub(super) fn name(name: Name, ttl: Duration) -> Self {
        if name.is_empty() || name.as_bytes().len() > LONGEST_NAME {
            return Self::nameless(Some(ttl));
        }
        Self { name: Some(name), lasts: ttl.clamp(SHORTEST, LONGEST) }
    }

    /// There is no name.
    pub(super) fn nameless(ttl: Option<Duration>) -> Self {
        Self { name: None, lasts: ttl.unwrap_or(NAMELESS).clamp(SHORTEST, LONGEST_NAMELESS) }
    }

    /// Nobody knows.
    pub(super) const fn failure() -> Self {
        Self { name: None, lasts: RETRY }
    }
}

/// What is known of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Remembered<'a> {
    /// Its name, if it has one.
    pub(super) name: Option<&'a Name>,
    /// Whether it should be asked for again. Until there is an answer the old name serves.
    pub(super) is_old: bool,
}

struct CacheEntry {
    name: Option<Name>,
    good_until: Instant,
    /// When somebody last wanted to know.
    wanted: Instant,
}

/// Names by address.
pub(super) struct Cache {
    entries: HashMap<IpAddr, CacheEntry>,
    most: usize,
}

impl Cache {
    /// With room for this many addresses.
    pub(super) fn new(most: usize) -> Self {
        Self { entries: HashMap::new(), most }
    }

    /// What is known of an address that somebody wants to know.
    pub(super) fn get(&mut self, address: IpAddr, now: Instant) -> Option<Remembered<'_>> {
        let entry = self.entries.get_mut(&address)?;
        entry.wanted = now;
        Some(Remembered { name: entry.name.as_ref(), is_old: entry.good_until <= now })
    }

    /// The name of an address, whether somebody wants to know or not.
    pub(super) fn name(&self, address: IpAddr) -> Option<&Name> {
        self.entries.get(&address)?.name.as_ref()
    }

    /// Remembers an answer. Returns the addresses that had
    /// to be forgotten for it: an eighth at a time, those that nobody has wanted for the longest time.
    pub(super) fn put(&mut self, address: IpAddr, answer: NameAnswer, now: Instant) -> Vec<IpAddr> {
        let NameAnswer { name, lasts } = answer;
        self.entries.insert(address, CacheEntry { name, good_until: now + lasts, wanted: now });
        if self.entries.len() <= self.most {
            return Vec::new();
        }
        let mut by_use: Vec<(Instant, IpAddr)> =
            self.entries.iter().map(|(address, entry)| (entry.wanted, *address)).collect();
        let count = (self.most / 8).max(1);
        let (unused, ..) = by_use.select_nth_unstable(count);
        let forgotten: Vec<IpAddr> = unused.iter().map(|(_, address)| *address).collect();
        for address in &forgotten {
            self.entries.remove(address);
        }
        forgotten
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    /// For how many seconds an answer counts.
    fn lasts(answer: NameAnswer) -> u64 {
        let start = Instant::now();
        let mut cache = Cache::new(1);
        cache.put(address(1), answer, start);
        let old_after = |seconds| {
            cache.get(address(1), start + SECOND * seconds).is_some_and(|remembered| remembered.is_old)
        };
        let seconds: Vec<u32> = (0..=100_000).collect();
        seconds.partition_point({
            let mut old_after = old_after;
            move |seconds| !old_after(*seconds)
        }) as u64
    }

    #[test]
    fn answers_last_as_long_as_they_say_within_bounds() {
        assert_eq!(lasts(NameAnswer::name("a".into(), SECOND * 300)), 300);
        assert_eq!(lasts(NameAnswer::name("a".into(), Duration::ZERO)), 60);
        assert_eq!(lasts(NameAnswer::name("a".into(), SECOND * 1_000_000)), 86_400);
        assert_eq!(lasts(NameAnswer::nameless(Some(SECOND * 300))), 300);
        assert_eq!(lasts(NameAnswer::nameless(Some(SECOND))), 60);
        assert_eq!(lasts(NameAnswer::nameless(Some(SECOND * 1_000_000))), 3600);
        assert_eq!(lasts(NameAnswer::nameless(None)), 600);
        assert_eq!(lasts(NameAnswer::failure()), 60);
    }

    #[test]
    fn an_old_name_serves_until_there_is_another() {
        let start = Instant::now();
        let mut cache = Cache::new(10);
        cache.put(address(1), NameAnswer::name("a".into(), SECOND * 100), start);
        let later = start + SECOND * 100;
        assert_eq!(cache.get(address(1), later), Some(Remembered { name: Some(&"a".into()), is_old: true }));
        cache.put(address(1), NameAnswer::name("b".into(), SECOND * 100), later);
        assert_eq!(cache.get(address(1), later), Some(Remembered { name: Some(&"b".into()), is_old: false }));
        cache.put(address(1), NameAnswer::nameless(None), later);
        assert_eq!(cache.get(address(1), later), Some(Remembered { name: None, is_old: false }));
        assert_eq!(cache.get(address(2), later), None);
    }

    #[test]
    fn a_name_that_is_none_is_no_name() {
        assert_eq!(NameAnswer::name("".into(), SECOND * 300).name, None);
        assert_eq!(NameAnswer::name("a".repeat(256).into(), SECOND * 300).name, None);
    }

    proptest! {
        #[test]
        fn what_is_wanted_is_kept_and_the_rest_is_bounded(count in 1..200_u32, most in 8..64_usize) {
            let start = Instant::now();
            let mut cache = Cache::new(most);
            let mut names = std::collections::HashSet::new();
            for number in 0..count {
                let now = start + SECOND * number;
                for forgotten in cache.put(address(number), NameAnswer::failure(), now) {
                    prop_assert!(names.remove(&forgotten));
                }
                names.insert(address(number));
                // The first is always wanted.
                prop_assert!(cache.get(address(0), now + SECOND / 2).is_some());
                prop_assert!(cache.entries.len() <= most);
                prop_assert_eq!(cache.entries.len(), names.len());
            }
        }
    }
}
