//! What the programs counted beside what an interface's own counters say.
//!
//! Counters of hardware follow the wire; those of virtual devices see super-packets as one, and a VLAN tag beside the
//! frame's data not at all; loopback, and veth while it polls (XDP, GRO), count without the link-layer header. Which one it is cannot be asked for, so the notion
//! with the smallest residue is taken, and named.

use flowtally_common::{
    Count, Health,
    flow::{ETHERNET_HEADER_LENGTH, VLAN_TAG_LENGTH},
};

use super::snapshot::{Follows, Reconciliation};

/// Compares one direction of one interface. `rows` is what its flows add up to, unparsed ones included.
#[must_use]
pub(crate) fn reconcile(
    rows: Count,
    unparsed: Count,
    health: &Health,
    kernel: Count,
    loopback: bool,
) -> Reconciliation {
    let mut counted = rows;
    counted.add(health.untracked);
    counted.add(health.filtered);
    let (gso, tags) = (health.gso_extra, health.offloaded_tags);
    let without = |parts: &[Count]| {
        let mut rest = counted;
        for part in parts {
            rest.bytes = rest.bytes.saturating_sub(part.bytes);
            rest.packets = rest.packets.saturating_sub(part.packets);
        }
        rest
    };
    // Headers and tags take bytes, never packets.
    let bytes = |bytes| Count { bytes, packets: 0 };
    let headers = |frames: Count| bytes(frames.packets * u64::from(ETHERNET_HEADER_LENGTH));
    let wire_tags = bytes(tags.packets * u64::from(VLAN_TAG_LENGTH));
    let super_packets = without(&[gso]);
    let headless = (Follows::SuperPacketsWithoutHeader, without(&[gso, headers(super_packets)]));
    let notions: &[(Follows, Count)] = if loopback {
        &[headless]
    } else {
        &[
            (Follows::Wire, counted),
            (Follows::SuperPackets, super_packets),
            (Follows::WithoutOffloadedTags, without(&[wire_tags])),
            (Follows::SuperPacketsWithoutOffloadedTags, without(&[gso, bytes(tags.bytes)])),
            (Follows::WithoutHeader, without(&[headers(counted)])),
            headless,
        ]
    };
    let mut best = Reconciliation {
        counted,
        kernel,
        untracked: health.untracked,
        unparsed,
        gso_extra: gso,
        offloaded_tags: health.offloaded_tags,
        ..Reconciliation::default()
    };
    let mut smallest = None;
    for (follows, notion) in notions {
        let residue = (difference(kernel.bytes, notion.bytes), difference(kernel.packets, notion.packets));
        let size = residue.0.unsigned_abs().saturating_add(residue.1.unsigned_abs());
        if smallest.is_none_or(|smallest| size < smallest) {
            smallest = Some(size);
            (best.residue_bytes, best.residue_packets) = residue;
            best.follows = *follows;
        }
    }
    best
}

fn difference(a: u64, b: u64) -> i64 {
    a.wrapping_sub(b).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn count(bytes: u64, packets: u64) -> Count {
        Count { bytes, packets }
    }

    #[test]
    fn finds_the_notion_that_fits() {
        let health = Health {
            untracked: count(300, 3),
            gso_extra: count(540, 9),
            offloaded_tags: count(40, 10),
            filtered: count(200, 2),
        };
        let check = |kernel, follows| {
            let result = reconcile(count(9_500, 15), Count::default(), &health, kernel, false);
            assert_eq!(
                (result.follows, result.residue_bytes, result.residue_packets),
                (follows, 0, 0),
                "{kernel:?}"
            );
            assert_eq!(result.counted, count(10_000, 20));
        };
        check(count(10_000, 20), Follows::Wire);
        check(count(9_460, 11), Follows::SuperPackets);
        check(count(9_960, 20), Follows::WithoutOffloadedTags);
        check(count(9_420, 11), Follows::SuperPacketsWithoutOffloadedTags);
        check(count(10_000 - 20 * 14, 20), Follows::WithoutHeader);
        check(count(9_460 - 11 * 14, 11), Follows::SuperPacketsWithoutHeader);
        let result = reconcile(count(9_500, 15), Count::default(), &health, count(9_990, 19), false);
        assert_eq!((result.follows, result.residue_bytes, result.residue_packets), (Follows::Wire, -10, -1));
    }

    #[test]
    fn loopback_has_no_header() {
        let health = Health { gso_extra: count(66, 1), ..Health::default() };
        // A plain packet of 100 bytes, and a super-packet of 3,000 that is two frames.
        let result = reconcile(count(100 + 3_066, 3), Count::default(), &health, count(86 + 2_986, 2), true);
        assert_eq!(
            (result.follows, result.residue_bytes, result.residue_packets),
            (Follows::SuperPacketsWithoutHeader, 0, 0)
        );
    }
}
