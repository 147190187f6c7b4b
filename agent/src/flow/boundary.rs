//! Network boundaries, `-F` and `-G`: a network and a mask.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

use thiserror::Error;

use super::wire::wire_struct;
use crate::format::Safe;

/// Why a text is no boundary. The wording is iftop's, in that a bad mask names the network that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BoundaryError {
    /// `-F` without a slash.
    #[error("Could not parse net/mask: {name}", name = Safe::new(.0))]
    Form(String),
    /// `-F` whose network is no IPv4 address.
    #[error("Invalid network address: {name}", name = Safe::new(.0))]
    Address(String),
    /// `-F` whose mask is neither a number nor an IPv4 address.
    #[error("Invalid netmask: {name}", name = Safe::new(.0))]
    Mask(String),
    /// `-F` with a prefix over 32, or none.
    #[error("Invalid netmask length: {name}", name = Safe::new(.0))]
    Length(String),
    /// `-G` without a slash.
    #[error("Could not parse IPv6 net/prefix: {name}", name = Safe::new(.0))]
    Form6(String),
    /// `-G` whose network is no IPv6 address.
    #[error("Invalid IPv6 network address: {name}", name = Safe::new(.0))]
    Address6(String),
    /// `-G` whose mask is neither a number nor an IPv6 address.
    #[error("Invalid IPv6 netmask: {name}", name = Safe::new(.0))]
    Mask6(String),
    /// `-G` with a prefix outside 1 to 128.
    #[error("Invalid IPv6 prefix length: {name}", name = Safe::new(.0))]
    Length6(String),
}

/// What lies inside `-F NET/MASK`. The mask need not be a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Boundary {
    network: Ipv4Addr,
    mask: Ipv4Addr,
}

impl Ipv4Boundary {
    /// Reads `a.b.c.d/PREFIX` or `a.b.c.d/a.b.c.d`. Addresses must have four parts: to iftop `10/8` is 0.0.0.10/8,
    /// which is never what was meant.
    ///
    /// # Errors
    /// Anything else. (iftop takes a prefix over 32 for 24, and an empty one for 0.)
    pub fn parse(text: &str) -> Result<Self, BoundaryError> {
        let (network, mask) = text.split_once('/').ok_or_else(|| BoundaryError::Form(text.to_owned()))?;
        let address: Ipv4Addr = network.parse().map_err(|_| BoundaryError::Address(network.to_owned()))?;
        let mask = if is_number(mask) {
            let prefix = prefix(mask, 0, 32).ok_or_else(|| BoundaryError::Length(mask.to_owned()))?;
            u32::MAX.checked_shl(32 - prefix).unwrap_or(0)
        } else {
            mask.parse::<Ipv4Addr>().map_err(|_| BoundaryError::Mask(network.to_owned()))?.to_bits()
        };
        Ok(Self { network: Ipv4Addr::from_bits(address.to_bits() & mask), mask: Ipv4Addr::from_bits(mask) })
    }

    /// Whether the address lies inside.
    #[must_use]
    pub const fn contains(&self, address: Ipv4Addr) -> bool {
        address.to_bits() & self.mask.to_bits() == self.network.to_bits()
    }
}

/// What lies inside `-G NET6/MASK6`. The mask need not be a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6Boundary {
    network: Ipv6Addr,
    mask: Ipv6Addr,
}

impl Ipv6Boundary {
    /// Reads an address, a slash, and a prefix length from 1 to 128 or another address.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(text: &str) -> Result<Self, BoundaryError> {
        let (network, mask) = text.split_once('/').ok_or_else(|| BoundaryError::Form6(text.to_owned()))?;
        let address: Ipv6Addr = network.parse().map_err(|_| BoundaryError::Address6(network.to_owned()))?;
        let mask = if is_number(mask) {
            let prefix = prefix(mask, 1, 128).ok_or_else(|| BoundaryError::Length6(mask.to_owned()))?;
            u128::MAX.checked_shl(128 - prefix).unwrap_or(0)
        } else {
            mask.parse::<Ipv6Addr>().map_err(|_| BoundaryError::Mask6(network.to_owned()))?.to_bits()
        };
        Ok(Self { network: Ipv6Addr::from_bits(address.to_bits() & mask), mask: Ipv6Addr::from_bits(mask) })
    }

    /// Whether the address lies inside.
    #[must_use]
    pub const fn contains(&self, address: Ipv6Addr) -> bool {
        address.to_bits() & self.mask.to_bits() == self.network.to_bits()
    }
}

impl fmt::Display for Ipv4Boundary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.mask)
    }
}

impl fmt::Display for Ipv6Boundary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.mask)
    }
}

/// Whether a mask is meant as a prefix length; an empty one is (and then is none).
fn is_number(mask: &str) -> bool {
    mask.bytes().all(|byte| byte.is_ascii_digit())
}

fn prefix(text: &str, least: u32, most: u32) -> Option<u32> {
    text.parse().ok().filter(|prefix| (least..=most).contains(prefix))
}

wire_struct!(Ipv4Boundary { network, mask });
wire_struct!(Ipv6Boundary { network, mask });

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(text: &str) -> String {
        Ipv4Boundary::parse(text).unwrap_err().to_string()
    }

    fn refused6(text: &str) -> String {
        Ipv6Boundary::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn prefix_and_dotted_mask_are_the_same() {
        let prefix = Ipv4Boundary::parse("10.77.0.9/24").unwrap();
        assert_eq!(prefix, Ipv4Boundary::parse("10.77.0.0/255.255.255.0").unwrap());
        assert!(prefix.contains(Ipv4Addr::new(10, 77, 0, 255)));
        assert!(!prefix.contains(Ipv4Addr::new(10, 77, 1, 0)));
        let prefix = Ipv6Boundary::parse("fd77::1/64").unwrap();
        assert_eq!(prefix, Ipv6Boundary::parse("fd77::/ffff:ffff:ffff:ffff::").unwrap());
        assert!(prefix.contains("fd77::ffff:1".parse().unwrap()));
        assert!(!prefix.contains("fd77:0:0:1::".parse().unwrap()));
    }

    #[test]
    fn a_mask_may_have_holes() {
        let odd = Ipv4Boundary::parse("10.0.3.0/255.0.255.0").unwrap();
        assert!(odd.contains(Ipv4Addr::new(10, 200, 3, 1)));
        assert!(!odd.contains(Ipv4Addr::new(10, 200, 4, 1)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(refused("10.0.0.0"), "Could not parse net/mask: 10.0.0.0");
        assert_eq!(refused("foo/24"), "Invalid network address: foo");
        assert_eq!(refused("/24"), "Invalid network address: ");
        assert_eq!(refused("10/8"), "Invalid network address: 10");
        assert_eq!(refused("10.0.0.0/foo"), "Invalid netmask: 10.0.0.0");
        assert_eq!(refused("10.0.0.0/-1"), "Invalid netmask: 10.0.0.0");
        assert_eq!(refused("10.1.2.3/8/9"), "Invalid netmask: 10.1.2.3");
        assert_eq!(refused("10.0.0.0/33"), "Invalid netmask length: 33");
        assert_eq!(refused("10.0.0.0/99999999999"), "Invalid netmask length: 99999999999");
        assert_eq!(refused("10.0.0.0/"), "Invalid netmask length: ");
        assert_eq!(refused6("fd77::"), "Could not parse IPv6 net/prefix: fd77::");
        assert_eq!(refused6("foo/64"), "Invalid IPv6 network address: foo");
        assert_eq!(refused6("fd77::/foo"), "Invalid IPv6 netmask: fd77::");
        assert_eq!(refused6("fd77::/0"), "Invalid IPv6 prefix length: 0");
        assert_eq!(refused6("fd77::/129"), "Invalid IPv6 prefix length: 129");
        assert_eq!(refused6("fd77::/"), "Invalid IPv6 prefix length: ");
    }

    #[test]
    fn prefix_0_contains_all_of_ipv4() {
        assert!(Ipv4Boundary::parse("1.2.3.4/0").unwrap().contains(Ipv4Addr::BROADCAST));
    }

    proptest! {
        #[test]
        fn contains_what_agrees_in_the_first_bits(network: u32, address: u32, prefix in 0_u32..=32) {
            let boundary = Ipv4Boundary::parse(&format!("{}/{prefix}", Ipv4Addr::from(network))).unwrap();
            let agree = (0..prefix).all(|bit| (network ^ address) & (1 << (31 - bit)) == 0);
            prop_assert_eq!(boundary.contains(address.into()), agree);
            prop_assert!(boundary.contains(network.into()));
            prop_assert_eq!(Ipv4Boundary::parse(&boundary.to_string()), Ok(boundary));
        }

        #[test]
        fn contains_what_agrees_in_the_first_bits_of_ipv6(network: u128, near in 0_u32..128, prefix in 1_u32..=128) {
            let boundary = Ipv6Boundary::parse(&format!("{}/{prefix}", Ipv6Addr::from(network))).unwrap();
            let address = network ^ (1 << (127 - near));
            prop_assert_eq!(boundary.contains(address.into()), near >= prefix);
            prop_assert!(boundary.contains(network.into()));
            prop_assert_eq!(Ipv6Boundary::parse(&boundary.to_string()), Ok(boundary));
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in "\\PC{0,40}") {
            let _ = Ipv4Boundary::parse(&text);
            let _ = Ipv6Boundary::parse(&text);
        }
    }
}
