//! The flags of open(2), by lsof's short names.

/// Flags and their names, in lsof's order. `R` is what is left when nothing is written.
const NAMES: [(u32, &str); 12] = [
    (0o2000, "AP"),
    (0o4000, "ND"),
    (0o10000, "SYN"),
    (0o20000, "ASYN"),
    (0o40000, "DIR"),
    (0o200_000, "DTY"),
    (0o400_000, "NFLK"),
    (0o1_000_000, "NATM"),
    (0o100_000, "LG"),
    (0o2_000_000, "CX"),
    (0o10_000_000, "PATH"),
    (0o20_000_000, "TMPF"),
];

/// The list of names.
pub(super) fn names(flags: u32) -> String {
    let access = match flags & 3 {
        1 => Some("W"),
        2 => Some("RW"),
        _ => None,
    };
    let rest = NAMES.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| *name);
    access.into_iter().chain(rest).collect::<Vec<_>>().join(",")
}

/// The number, and the (on Linux always empty) flags of the process for it.
pub(super) fn hex(flags: u32) -> String {
    format!("{flags:#x};0x0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_have_short_names() {
        assert_eq!(names(0o2_102_001), "W,AP,LG,CX");
        assert_eq!(names(0o100_000), "LG");
        assert_eq!(names(2), "RW");
        assert_eq!(names(0x0049_8002), "RW,DTY,LG,CX,TMPF");
        assert_eq!(names(0x001e_fc02), "RW,AP,ND,SYN,ASYN,DIR,NFLK,NATM,LG,CX");
        assert_eq!(hex(0o2_102_001), "0x88401;0x0");
    }
}
