//! docs/report.schema.json against what is written.

use serde_json::Value;

use super::{
    fixtures::{ALL, busy, busy_with_owners, context, crossed, names, snapshot, troubled},
    json, print,
};
use crate::{
    documents::Schema,
    report::{ReportContext, ReportFormat, ReportRequest},
};

const SCHEMA: &str = include_str!("../../../../docs/report.schema.json");

#[test]
fn reports_are_valid() {
    let (schema, names) = (Schema::new(SCHEMA), names());
    let all = ReportRequest { by: ALL.to_vec(), ..ReportRequest::default() };
    schema.check(&json(&busy(), &ReportRequest::default(), &names));
    schema.check(&json(&troubled(), &all, &names));
    schema.check(&json(&busy_with_owners(), &all, &names));
    schema.check(&json(&crossed(), &all, &names));
    schema.check(&json(&snapshot(Vec::new(), &names.services), &all, &names));

    let request = ReportRequest { format: ReportFormat::Json, ..all };
    let asked = ReportContext { resolve: true, ..context(&names) };
    schema.check(&serde_json::from_str(&print(&busy(), &request, &asked)).unwrap());
}

#[test]
fn the_schema_refuses_what_is_not_a_report() {
    let schema = Schema::new(SCHEMA);
    let report = json(&troubled(), &ReportRequest { by: ALL.to_vec(), ..ReportRequest::default() }, &names());
    let with = |pointer: &str, value: Value| {
        let mut report = report.clone();
        *report.pointer_mut(pointer).unwrap() = value;
        report
    };
    assert!(!schema.describes(&with("/schema", "flowtally.report/2".into())));
    assert!(!schema.describes(&with("/started", "yesterday".into())));
    assert!(!schema.describes(&with("/flows/0/sent_bytes", (-1).into())));
    assert!(!schema.describes(&with("/flows/0/interface", Value::Null)));
    assert!(!schema.describes(&with("/port/0/key", Value::Null)));
    assert!(!schema.describes(&with("/interfaces/0/ingress/follows", "nothing".into())));

    let places = ["", "/flows/0", "/port/0", "/remote/0", "/total", "/interfaces/0", "/interfaces/0/egress"];
    // Which groupings were asked for is up to the request.
    schema.check_fields(&report, &places, |place, field| {
        place.is_empty() && ALL.iter().any(|by| by.to_string() == field)
    });
}
