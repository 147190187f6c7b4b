//! Which hooks of the kernel are to be used, as it is asked for.

use std::{fmt, str::FromStr};

/// Which hooks to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HookChoice {
    /// TCX, else clsact.
    #[default]
    Auto,
    /// TCX only (Linux 6.6).
    Tcx,
    /// A filter of the clsact qdisc only.
    Clsact,
    /// XDP for ingress, native or else generic; for egress as `Auto`.
    Xdp,
}

impl fmt::Display for HookChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
            Self::Xdp => "xdp",
        })
    }
}

impl FromStr for HookChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "tcx" => Ok(Self::Tcx),
            "clsact" => Ok(Self::Clsact),
            "xdp" => Ok(Self::Xdp),
            _ => Err(format!("no hook is called '{text}': use auto, tcx, clsact or xdp")),
        }
    }
}
