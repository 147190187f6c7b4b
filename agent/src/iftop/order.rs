//! The order of the list.

use super::{
    label,
    options::{IftopOptions, LineDisplay, PairOrder},
    pair::{ListedPair, PairAmounts},
};
use crate::flow::names::Names;

/// Index of the longest window.
const LONGEST: usize = 2;

/// What decides the place in an order by traffic: the direction that is the only one shown, then both, in each the window
/// that is asked for and then the longer ones. Most comes first.
pub(crate) type PairRank = [[u64; 3]; 2];

/// The window that an order is about; `None`: it is about hosts.
pub(crate) const fn window(sort: PairOrder) -> Option<usize> {
    match sort {
        PairOrder::TwoSeconds => Some(0),
        PairOrder::TenSeconds => Some(1),
        PairOrder::FortySeconds => Some(LONGEST),
        PairOrder::Source | PairOrder::Destination => None,
    }
}

/// The rank of what was sent and received, in an order by a window. All pairs' windows have the same length, so sums are in
/// the order of rates.
pub(crate) fn rank(
    sent: PairAmounts,
    received: PairAmounts,
    window: usize,
    display: LineDisplay,
) -> PairRank {
    let from_window = |mut recent: [u64; 3]| {
        recent[..window].fill(0);
        recent
    };
    let shown = match display {
        LineDisplay::OneLineSent => sent.recent,
        LineDisplay::OneLineReceived => received.recent,
        LineDisplay::TwoLine | LineDisplay::OneLineBoth => [0; 3],
    };
    [from_window(shown), from_window(sent.plus(received).recent)]
}

/// Puts pairs in the wanted order. Where iftop leaves them as they happen to come out of its table, their keys decide,
/// so that equal pairs do not change places from one report to the next.
pub(super) fn sort(pairs: &mut [ListedPair], options: &IftopOptions, names: &Names) {
    let end = |pair: &ListedPair| match options.sort {
        PairOrder::Destination => pair.key.right.address,
        _ => pair.key.left.address,
    };
    match window(options.sort) {
        Some(window) => {
            let rank = |pair: &ListedPair| rank(pair.sent, pair.received, window, options.line_display);
            pairs.sort_unstable_by(|a, b| rank(b).cmp(&rank(a)).then_with(|| a.key.cmp(&b.key)));
        }
        None => by_host(pairs, |pair| label::host(end(pair), options, names).to_string()),
    }
}

/// By host as text, byte by byte: 10.0.0.10 comes before 10.0.0.2. Equal hosts by traffic in the longest window.
fn by_host(pairs: &mut [ListedPair], host: impl Fn(&ListedPair) -> String) {
    pairs.sort_by_cached_key(|pair| {
        let traffic = pair.sent.plus(pair.received).recent[LONGEST];
        (host(pair), std::cmp::Reverse(traffic), pair.key)
    });
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use proptest::prelude::*;

    use super::*;
    use crate::iftop::pair::{PairAddress, PairEnd, PairKey};

    /// A pair from 10.0.0.`left` to 10.0.0.`right`.
    fn pair(left: u8, right: u8, sent: [u64; 3], received: [u64; 3]) -> ListedPair {
        let end = |last| PairEnd {
            address: PairAddress::Shown(IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))),
            port: 0,
        };
        ListedPair {
            key: PairKey { left: end(left), right: end(right), kind: None },
            sent: PairAmounts { recent: sent, bytes: 0 },
            received: PairAmounts { recent: received, bytes: 0 },
        }
    }

    /// The last numbers of both addresses, after sorting.
    fn sorted(mut pairs: Vec<ListedPair>, options: &IftopOptions) -> Vec<(u8, u8)> {
        sort(&mut pairs, options, &Names::default());
        let last = |address| match address {
            PairAddress::Shown(IpAddr::V4(address)) => address.octets()[3],
            _ => 0,
        };
        pairs.iter().map(|pair| (last(pair.key.left.address), last(pair.key.right.address))).collect()
    }

    fn by(sort: PairOrder) -> IftopOptions {
        IftopOptions { sort, ..IftopOptions::default() }
    }

    #[test]
    fn columns_are_compared_from_the_wanted_one_on() {
        let pairs = vec![
            pair(1, 1, [0, 50, 50], [0; 3]),
            pair(2, 2, [1, 20, 99], [0; 3]),
            pair(3, 3, [1, 10, 40], [0, 10, 0]),
            pair(4, 4, [0, 0, 0], [9, 20, 60]),
        ];
        let order = |sort| sorted(pairs.clone(), &by(sort)).iter().map(|(left, _)| *left).collect::<Vec<_>>();
        assert_eq!(order(PairOrder::TwoSeconds), [4, 2, 3, 1]);
        assert_eq!(order(PairOrder::TenSeconds), [1, 2, 4, 3]);
        assert_eq!(order(PairOrder::FortySeconds), [2, 4, 1, 3]);
    }

    #[test]
    fn the_only_direction_shown_comes_first() {
        let pairs = vec![pair(1, 1, [0, 5, 5], [0, 50, 50]), pair(2, 2, [0, 9, 9], [0; 3])];
        let order = |line_display| {
            let options = IftopOptions { line_display, ..IftopOptions::default() };
            sorted(pairs.clone(), &options).iter().map(|(left, _)| *left).collect::<Vec<_>>()
        };
        assert_eq!(order(LineDisplay::TwoLine), [1, 2]);
        assert_eq!(order(LineDisplay::OneLineBoth), [1, 2]);
        assert_eq!(order(LineDisplay::OneLineSent), [2, 1]);
        assert_eq!(order(LineDisplay::OneLineReceived), [1, 2]);
    }

    #[test]
    fn hosts_are_compared_as_text() {
        let pairs = vec![
            pair(1, 20, [0; 3], [0; 3]),
            pair(1, 2, [0; 3], [0; 3]),
            pair(2, 10, [0, 0, 1], [0; 3]),
            pair(1, 10, [0, 0, 1], [0, 0, 1]),
        ];
        assert_eq!(sorted(pairs.clone(), &by(PairOrder::Destination)), [(1, 10), (2, 10), (1, 2), (1, 20)]);
        assert_eq!(sorted(pairs, &by(PairOrder::Source)), [(1, 10), (1, 2), (1, 20), (2, 10)]);
    }

    #[test]
    fn hosts_are_compared_by_name_where_names_are_shown() {
        let ten = |last| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
        let hosts = [(ten(1), "b".into()), (ten(2), "a".into())].into();
        let names = Names { hosts, ..Names::default() };
        let mut pairs = vec![pair(1, 9, [0; 3], [0; 3]), pair(2, 9, [0; 3], [0; 3])];
        sort(&mut pairs, &by(PairOrder::Source), &names);
        assert_eq!(pairs[0].key.left.address, PairAddress::Shown(ten(2)));
        sort(&mut pairs, &IftopOptions { dns: false, ..by(PairOrder::Source) }, &names);
        assert_eq!(pairs[0].key.left.address, PairAddress::Shown(ten(1)));
    }

    proptest! {
        #[test]
        fn the_order_does_not_depend_on_where_a_pair_was(
            ends in prop::collection::hash_set((0_u8..9, 0_u8..9), 0..30),
            amounts in prop::collection::vec((prop::array::uniform3(0_u64..3), prop::array::uniform3(0_u64..3)), 30),
            way in 0_usize..5,
        ) {
            let sorts = [PairOrder::TwoSeconds, PairOrder::TenSeconds, PairOrder::FortySeconds, PairOrder::Source, PairOrder::Destination];
            let mut pairs: Vec<ListedPair> =
                ends.iter().zip(&amounts).map(|((left, right), (sent, received))| pair(*left, *right, *sent, *received)).collect();
            let one = sorted(pairs.clone(), &by(sorts[way]));
            pairs.reverse();
            prop_assert_eq!(one, sorted(pairs, &by(sorts[way])));
        }
    }
}
