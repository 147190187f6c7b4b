//! Output for programs: `-F`.

use crate::compare::{compare, fails, fields, lab_of, text};

#[test]
fn all_fields() {
    let lab = lab_of(&["files", "net", "threads", "lock", "odd", "long"]);
    compare(
        &lab,
        &[
            fields("-F -p {files.pid}"),
            fields("-F0 -p {files.pid}"),
            fields("-F -nP -p {net.pid}"),
            fields("-F0 -nP -p {net.pid}"),
            fields("-F -p {lock.pid}"),
            fields("-F -p {odd.pid}"),
            fields("-F -p {odd.pid}").utf8(),
            fields("-F -p {long.pid}"),
            fields("-F -nP"),
            fields("-F0 -nP"),
            fields("-F -K -p {threads.pid}"),
            fields("-F0 -K -p {threads.pid}"),
            fields("-F -a -p {threads.pid} -K"),
            fields("-F -nPi"),
            fields("-F -U"),
            fields("-F -R -g -p {files.pid}"),
            fields("-F +fg -p {files.pid}"),
            fields("-F +fG -p {files.pid}"),
            fields("-F -o -p {files.pid}"),
            fields("-F -s -p {files.pid}"),
            fields("-F +L -p {files.pid}"),
            fields("-F -l -p {files.pid}"),
            fields("-F -T -nP -p {net.pid}"),
            fields("-F -Tqs -nP -p {net.pid}"),
            fields("-F -Tf -nP -p {net.pid}"),
            fields("-Tq -FnT -nP -p {net.pid}"),
            fields("-T -F -nP -p {net.pid}"),
            fields("-FnT -Tq -nP -p {net.pid}"),
            fields("").words(["-F", "", "-p", lab.fact("net.pid")]),
            fields("-F +L1"),
            fields("-F -w {dir}/plain.txt"),
        ],
    );
}

#[test]
fn chosen_fields() {
    let mut lab = lab_of(&["files", "net", "threads"]);
    for letter in "acCdDfFgGiklLmMnNopPrRsStTuxyYzZ0".chars() {
        lab.note("letter", letter);
        let line = lab.fill("-F{letter} -nP -p {files.pid},{net.pid},{threads.pid}").join(" ");
        let case = if "CmxYzyFNST".contains(letter) { fields(&line).maybe_empty() } else { fields(&line) };
        compare(&lab, &[case]);
    }
    compare(
        &lab,
        &[
            fields("-Fpcfn -p {files.pid}"),
            fields("-F pcfn -p {files.pid}"),
            fields("-Fnfcp -p {files.pid}"),
            fields("-Fp -p {files.pid}"),
            fields("-Fpf -p {files.pid}"),
            fields("-Fn0 -p {files.pid}"),
            fields("-F0n -p {files.pid}"),
            fields("-F0pcfn -p {files.pid}"),
            fields("-FpcLfn0 -p {files.pid},{net.pid}"),
            fields("-Fpn -a -p {files.pid} -d {files.gone}"),
            fields("-FpRgcuL -p {files.pid},{net.pid}"),
            fields("-FpcfalnT -nPi"),
            fields("-FfT -Tq -nPi"),
            fields("-FfT -Tqs -nPi"),
            fields("-FfTn -T -nPi"),
            fields("-FtdDi -p {files.pid}"),
            fields("-FfrD -p {files.pid}"),
            fields("-FfG -p {files.pid}"),
            fields("-FfG +fg -p {files.pid}"),
            fields("-FfG +fG -p {files.pid}"),
            fields("-Ffk -p {files.pid}"),
            fields("-Ffk +L -p {files.pid}"),
            fields("-Ffso -p {files.pid}"),
            fields("-Ffo -p {files.pid}"),
            fields("-Ffs -p {files.pid}"),
            fields("-Ffo -o -p {files.pid}"),
            fields("-Ffso -o -p {files.pid}"),
            fields("-KpFpcf -p {threads.pid}").maybe_empty(),
            fields("-a -K -FpKMcf -p {threads.pid}"),
            fields("-a -K -FKM -p {threads.pid}"),
            fields("-FpKMcf -p {threads.pid}"),
            fields("-FPtn -nPi"),
            fields("-F -w -p {files.pid}"),
            fails("-FpY -p {files.pid}"),
            fails("-FY"),
            fails("-F12"),
            fails("-Fn -t"),
            text("-F?").maybe_empty(),
            text("-F?c").maybe_empty(),
        ],
    );
}
