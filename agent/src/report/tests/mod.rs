//! The formats together, on the same snapshots.

mod fixtures;
mod hostile;
mod machine;
mod properties;
mod schema;
mod tables;
mod text;

use super::{ReportContext, ReportFormat, ReportRequest, write};
use crate::flow::{names::Names, snapshot::Snapshot};

/// The report as text, on 100 columns unless the context says otherwise.
fn print(snapshot: &Snapshot, request: &ReportRequest, context: &ReportContext<'_>) -> String {
    let mut out = Vec::new();
    write(&mut out, snapshot, request, context).unwrap();
    String::from_utf8(out).unwrap()
}

/// The JSON report, parsed.
fn json(snapshot: &Snapshot, request: &ReportRequest, names: &Names) -> serde_json::Value {
    let request = ReportRequest { format: ReportFormat::Json, ..request.clone() };
    serde_json::from_str(&print(snapshot, &request, &fixtures::context(names))).unwrap()
}

/// The CSV report's lines, the header first.
fn csv(snapshot: &Snapshot, request: &ReportRequest, names: &Names) -> Vec<Vec<String>> {
    let request = ReportRequest { format: ReportFormat::Csv, ..request.clone() };
    let text = print(snapshot, &request, &fixtures::context(names));
    csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(text.as_bytes())
        .records()
        .map(|record| record.unwrap().iter().map(str::to_owned).collect())
        .collect()
}
