//! docs/report.schema.json against what is written.

use jsonschema::Validator;
use serde_json::Value;

use super::{
    fixtures::{ALL, busy, busy_with_owners, context, names, snapshot, troubled},
    json, print,
};
use crate::report::{Context, Format, Request};

const SCHEMA: &str = include_str!("../../../../docs/report.schema.json");

fn validator() -> Validator {
    let schema = serde_json::from_str(SCHEMA).unwrap();
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    jsonschema::draft202012::new(&schema).unwrap()
}

fn check(report: &Value) {
    let validator = validator();
    let errors: Vec<_> =
        validator.iter_errors(report).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

#[test]
fn reports_are_valid() {
    let names = names();
    let all = Request { by: ALL.to_vec(), ..Request::default() };
    check(&json(&busy(), &Request::default(), &names));
    check(&json(&troubled(), &all, &names));
    check(&json(&busy_with_owners(), &all, &names));
    check(&json(&snapshot(Vec::new(), &names.services), &all, &names));

    let request = Request { format: Format::Json, ..all };
    let asked = Context { resolve: true, ..context(&names) };
    check(&serde_json::from_str(&print(&busy(), &request, &asked)).unwrap());
}

#[test]
fn the_schema_refuses_what_is_not_a_report() {
    let validator = validator();
    let report = json(&troubled(), &Request { by: ALL.to_vec(), ..Request::default() }, &names());
    let with = |pointer: &str, value: Value| {
        let mut report = report.clone();
        *report.pointer_mut(pointer).unwrap() = value;
        report
    };
    assert!(!validator.is_valid(&with("/schema", "flowtally.report/2".into())));
    assert!(!validator.is_valid(&with("/started", "yesterday".into())));
    assert!(!validator.is_valid(&with("/flows/0/sent_bytes", (-1).into())));
    assert!(!validator.is_valid(&with("/flows/0/interface", Value::Null)));
    assert!(!validator.is_valid(&with("/port/0/key", Value::Null)));
    assert!(!validator.is_valid(&with("/interfaces/0/ingress/follows", "nothing".into())));

    // Nothing may be missing, and nothing may be there that is not described.
    for pointer in ["", "/flows/0", "/port/0", "/remote/0", "/total", "/interfaces/0", "/interfaces/0/egress"]
    {
        let mut more = report.clone();
        let object = more.pointer_mut(pointer).unwrap().as_object_mut().unwrap();
        object.insert("surplus".to_owned(), Value::Null);
        assert!(!validator.is_valid(&more), "{pointer}/surplus");

        for field in report.pointer(pointer).unwrap().as_object().unwrap().keys() {
            let mut less = report.clone();
            less.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(field);
            // Which groupings were asked for is up to the request.
            let optional = pointer.is_empty() && ALL.iter().any(|by| by.to_string() == *field);
            assert_eq!(validator.is_valid(&less), optional, "{pointer}/{field}");
        }
    }
}
