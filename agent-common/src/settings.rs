//! Names of the kernel object's maps, programs and load-time values, and its bounds.

/// The first level: `cpus x 2 banks x pairs` elements of [`Pair`](crate::flow::Pair).
pub const SLOTS: &str = "SLOTS";
/// One bit a pair, set when the pair is first used in an epoch, so that a drain reads only what was used.
pub const USED: &str = "USED";
/// A [`SocketHint`](crate::SocketHint) for each slot of the first level.
pub const HINTS: &str = "HINTS";
/// The second level: `2 banks x buckets` elements of [`Bucket`](crate::flow::Bucket), shared by all CPUs.
pub const SHARED: &str = "SHARED";
/// One bit a bucket, as `USED`.
pub const SHARED_USED: &str = "SHARED_USED";
/// A [`SocketHint`](crate::SocketHint) for each slot of the second level.
pub const SHARED_HINTS: &str = "SHARED_HINTS";
/// The control block: the current epoch, then whether the even and the odd bank of the third level hold anything.
pub const CONTROL: &str = "CONTROL";
/// The third level, by bank.
pub const SPILL: [&str; 2] = ["SPILL_EVEN", "SPILL_ODD"];
/// [`Health`](crate::Health) by [`HealthKey`](crate::HealthKey).
pub const HEALTH: &str = "HEALTH";
/// Programs that filters are called through, and that they call: those of TC, those of XDP.
pub const FILTERED_TC: &str = "FILTERED_TC";
/// The same for XDP.
pub const FILTERED_XDP: &str = "FILTERED_XDP";
/// For each CPU the epoch of the frame at hand, and whether a filter matches.
pub const JUDGED: &str = "JUDGED";
/// [`SocketNote`](crate::SocketNote) by socket cookie.
pub const NOTES: &str = "NOTES";
/// Socket cookie by [`BoundKey`](crate::BoundKey).
pub const BOUND: &str = "BOUND";
/// The reverse of `BOUND`.
pub const BINDINGS: &str = "BINDINGS";

/// Load-time value: where a task's fields are.
pub const TASK: &str = "TASK";
/// Load-time value: cookie of the network namespace whose interfaces are counted.
pub const NETNS: &str = "NETNS";
/// Load-time value: binary logarithm of the pairs per CPU and bank.
pub const PAIR_BITS: &str = "PAIR_BITS";
/// Load-time value: binary logarithm of the second level's buckets per bank.
pub const BUCKET_BITS: &str = "BUCKET_BITS";
/// Load-time value: what the hash starts from, so that nobody outside can choose colliding flows.
pub const HASH_SEED: &str = "HASH_SEED";

/// Fewest slots per CPU and bank.
pub const MIN_SLOTS: u32 = 1024;
/// Most slots per CPU and bank.
pub const MAX_SLOTS: u32 = 1 << 20;
/// Slots per CPU and bank where memory allows: 10,000 flows on one CPU leave 440 to the second level, half as many slots would leave 1,400.
pub const DEFAULT_SLOTS: u32 = 32_768;
/// Flows in each bank of the second level where memory allows.
pub const DEFAULT_SPILL: u32 = 1 << 20;
/// Fewest sockets whose owner is noted, unless none is.
pub const MIN_NOTES: u32 = 65_536;
/// Sockets whose owner is noted where memory allows.
pub const MAX_NOTES: u32 = 1 << 20;
/// Sockets that can be found by what they are bound to.
pub const MAX_BOUND: u32 = 32_768;
/// Interfaces that can be attached at the same time.
pub const MAX_INTERFACES: u32 = 4096;

/// The link layers a program is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layer {
    /// Frames start with an Ethernet header.
    Ethernet,
    /// Frames start with an IP header (tun, `WireGuard`, PPP).
    Ip,
}

/// Name of the TC program for a direction and a link layer.
#[must_use]
pub const fn tc_program(direction: crate::Direction, layer: Layer) -> &'static str {
    match (direction, layer) {
        (crate::Direction::Ingress, Layer::Ethernet) => "flowtally_ingress_ethernet",
        (crate::Direction::Ingress, Layer::Ip) => "flowtally_ingress_ip",
        (crate::Direction::Egress, Layer::Ethernet) => "flowtally_egress_ethernet",
        (crate::Direction::Egress, Layer::Ip) => "flowtally_egress_ip",
    }
}

/// Name of the XDP program for a link layer.
#[must_use]
pub const fn xdp_program(layer: Layer) -> &'static str {
    match layer {
        Layer::Ethernet => "flowtally_xdp_ethernet",
        Layer::Ip => "flowtally_xdp_ip",
    }
}

/// Kinds of TC programs: directions and link layers.
pub const TC_PLACES: u32 = 4;
/// Kinds of XDP programs.
pub const XDP_PLACES: u32 = 2;

/// Where in `FILTERED_TC` the filter of a direction and a link layer is; what it calls is [`TC_PLACES`] behind it.
#[must_use]
pub const fn tc_place(direction: crate::Direction, layer: Layer) -> u32 {
    (direction as u32) << 1 | layer as u32
}

/// Where in `FILTERED_XDP` the filter of a link layer is; what it calls is [`XDP_PLACES`] behind it.
#[must_use]
pub const fn xdp_place(layer: Layer) -> u32 {
    layer as u32
}

/// Names of the TC programs for a direction and a link layer where there is a filter: what is attached, and what counts.
#[must_use]
pub const fn tc_filtered(direction: crate::Direction, layer: Layer) -> [&'static str; 2] {
    match (direction, layer) {
        (crate::Direction::Ingress, Layer::Ethernet) => {
            ["flowtally_filtered_ingress_ethernet", "flowtally_judged_ingress_ethernet"]
        }
        (crate::Direction::Ingress, Layer::Ip) => {
            ["flowtally_filtered_ingress_ip", "flowtally_judged_ingress_ip"]
        }
        (crate::Direction::Egress, Layer::Ethernet) => {
            ["flowtally_filtered_egress_ethernet", "flowtally_judged_egress_ethernet"]
        }
        (crate::Direction::Egress, Layer::Ip) => {
            ["flowtally_filtered_egress_ip", "flowtally_judged_egress_ip"]
        }
    }
}

/// The same for XDP.
#[must_use]
pub const fn xdp_filtered(layer: Layer) -> [&'static str; 2] {
    match layer {
        Layer::Ethernet => ["flowtally_filtered_xdp_ethernet", "flowtally_judged_xdp_ethernet"],
        Layer::Ip => ["flowtally_filtered_xdp_ip", "flowtally_judged_xdp_ip"],
    }
}

/// The programs that note owners: the cgroup hook that each is for, and its name.
pub const OWNER_PROGRAMS: [(&str, &str); 9] = [
    ("sock_create", "flowtally_sock_create"),
    ("post_bind4", "flowtally_post_bind4"),
    ("post_bind6", "flowtally_post_bind6"),
    ("connect4", "flowtally_connect4"),
    ("connect6", "flowtally_connect6"),
    ("getpeername4", "flowtally_getpeername4"),
    ("getpeername6", "flowtally_getpeername6"),
    ("sock_release", "flowtally_sock_release"),
    ("sock_ops", "flowtally_sock_ops"),
];

/// Bit of a clsact filter's handle: the qdisc was made for it too, so that whoever cleans up after a killed process knows
/// whether the qdisc may go.
pub const MADE_QDISC: u32 = 1;
