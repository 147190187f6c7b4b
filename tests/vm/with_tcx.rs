//! A kernel with TCX, older than the one that the tests are usually run on.

use harness::NetPair;

#[test]
fn tcx_serves_and_nothing_is_less_than_it_could_be() {
    let pair = NetPair::new();
    let report = super::measure(&pair, "");
    let near = report.interface("near");
    assert_eq!((near.hook.as_str(), near.degraded.as_slice()), ("tcx", &[][..]));
}

#[test]
fn xdp_serves_what_arrives_and_tcx_what_leaves() {
    let pair = NetPair::new();
    assert_eq!(super::measure(&pair, "--hook xdp").interface("near").hook, "xdp-native+tcx");
}
