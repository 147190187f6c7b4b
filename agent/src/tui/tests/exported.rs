//! The list as a file.

use std::time::{Duration, SystemTime};

use super::fixtures::Test;
use crate::tui::{ExportFormat, PressedKey};

fn written(test: &mut Test, format: ExportFormat) -> (String, usize) {
    let mut out = Vec::new();
    let moment = SystemTime::UNIX_EPOCH + Duration::from_hours(500_000);
    let count = test.display.write(&mut out, format, moment).unwrap();
    (String::from_utf8(out).unwrap(), count)
}

#[test]
fn csv_has_every_row_of_the_list_in_its_order() {
    let mut test = Test::usual(45);
    test.keys("l10.77\n3");
    // Two lines of the list fit on this screen, and all of it goes to the file.
    test.frame(80, 8);
    let (file, count) = written(&mut test, ExportFormat::Csv);
    assert_eq!(count, 4);
    insta::assert_snapshot!(file, @"
    source,destination,flows,sent_bytes,received_bytes,sent_bps_2s,sent_bps_10s,sent_bps_40s,received_bps_2s,received_bps_10s,received_bps_40s,owner
    10.77.0.1:40001,10.77.0.2:5001,1,4500000,0,800000,800000,800000,0,0,0,
    10.77.0.1:40002,10.77.0.20:5002,1,1125000,0,200000,200000,200000,0,0,0,
    10.77.0.1:6001,10.77.0.2:50001,1,0,450000,0,0,0,80000,80000,80000,
    10.77.0.1:40004,10.77.0.2:domain,1,45000,0,8000,8000,8000,0,0,0,
    ");
}

#[test]
fn json_says_how_the_list_came_about() {
    let mut test = Test::usual(45);
    test.keys("gggg");
    test.press(PressedKey::Esc);
    let (file, count) = written(&mut test, ExportFormat::Json);
    assert_eq!(count, 1);
    let document: serde_json::Value = serde_json::from_str(&file).unwrap();
    assert_eq!(document["schema"], "flowtally.screen/1");
    assert_eq!(document["written"], "2027-01-15T08:00:00Z");
    assert_eq!(document["group_by"], "protocol");
    assert_eq!(document["interfaces"][0]["name"], "va");
    assert_eq!(document["total"]["sent_bytes"], 45 * 146_000);
    assert_eq!(document["total"]["peak_received_bps"], 80_000);
    assert_eq!(
        document["rows"][0],
        serde_json::json!({
            "source": "udp", "destination": "5 flows", "flows": 5,
            "sent_bytes": 45 * 146_000, "received_bytes": 450_000,
            "sent_bps_2s": 1_168_000.0, "sent_bps_10s": 1_168_000.0, "sent_bps_40s": 1_168_000.0,
            "received_bps_2s": 80_000.0, "received_bps_10s": 80_000.0, "received_bps_40s": 80_000.0,
            "owner": null,
        })
    );
}
