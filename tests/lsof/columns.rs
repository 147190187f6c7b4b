//! Columns: what is in them, and how wide they are.

use crate::compare::{compare, exact, lab_of, rows};

#[test]
fn each_row_of_a_process_with_files_of_every_type() {
    let lab = lab_of(&["files"]);
    compare(
        &lab,
        &[
            exact("-p {files.pid}"),
            exact("-nP -p {files.pid}"),
            rows("-p {files.pid} -a -d 0-5"),
            rows("-a -p {files.pid} -d cwd,rtd,txt"),
            rows("-a -p {files.pid} -d mem"),
            rows("-a -p {files.pid} -d {files.high}"),
            rows("-a -p {files.pid} -d {files.link}"),
            rows(""),
        ],
    );
}
