//! Devices that are made of another and that not every kernel has: their frames are counted once, on the one with the wire.

use harness::crossroads::Crossroads;

#[test]
fn a_vlan_counts_once() {
    let lab = Crossroads::new(&[("ra", "10.9.0.2")]);
    lab.host.ip("link add link ra name ra.5 type vlan id 5");
    let a = &lab.others[0];
    a.namespace.ip("link add link eth0 name eth0.5 type vlan id 5");
    a.namespace.ip("address del 10.9.0.2/24 dev eth0");
    a.namespace.ip("address add 10.9.0.2/24 dev eth0.5");
    a.namespace.ip("link set eth0.5 up");
    lab.check_stacked("ra.5", "ra");
}

#[test]
fn a_bond_counts_once() {
    let lab = Crossroads::new(&[("ra", "10.1.0.2")]);
    lab.host.ip("link add bond0 type bond mode active-backup miimon 100");
    lab.host.ip("link set ra down");
    lab.host.ip("link set ra master bond0");
    lab.check_stacked("bond0", "ra");
}
