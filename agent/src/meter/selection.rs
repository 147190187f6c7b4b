//! Which interfaces are counted on.

use std::collections::HashSet;

use crate::host::interfaces::{Interface, Selection, SelectionError};

/// The interfaces to count on. Where there is nothing but loopback, that is where the traffic is.
pub(super) fn resolve(
    selection: Selection,
    interfaces: &[Interface],
    default_routes: &HashSet<u32>,
    loopbacks: bool,
) -> Result<Selection, SelectionError> {
    let loopbacks = interfaces.iter().filter(|interface| loopbacks && interface.loopback && interface.up);
    let mut loopbacks = loopbacks.peekable();
    let mut selection = match selection.resolve(interfaces, default_routes) {
        Err(SelectionError::NoDefault { .. }) if loopbacks.peek().is_some() => Selection::parse(&[]),
        resolved => resolved?,
    };
    for loopback in loopbacks {
        selection.add(&loopback.name);
    }
    Ok(selection)
}
