//! Moments as people write them: `03:00`, `yesterday 14:10`, `-2h`, RFC 3339.

use std::time::Duration;

use jiff::{
    SignedDuration, Timestamp, ZonedDateTime,
    civil::{Date, DateTime, Time, Weekday},
};
use thiserror::Error;

use crate::format::Safe;

/// Days of the week, with the least that tells them apart.
const WEEKDAYS: [(&str, Weekday); 7] = [
    ("monday", Weekday::Monday),
    ("tuesday", Weekday::Tuesday),
    ("wednesday", Weekday::Wednesday),
    ("thursday", Weekday::Thursday),
    ("friday", Weekday::Friday),
    ("saturday", Weekday::Saturday),
    ("sunday", Weekday::Sunday),
];

/// A text that is no moment.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "'{text}' is no time: {why}. Write 03:00, 'yesterday 14:10', 'monday 9:00', -2h, 2026-11-29, '2026-11-29 03:00' or \
     2026-11-29T03:00:00Z",
    text = Safe::new(.text)
)]
pub struct MomentError {
    text: String,
    why: &'static str,
}

/// What a time of day without a date is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Near {
    /// The last day on which it is not after now.
    BeforeNow,
    /// The first day on which it is after this moment: the end of what begins there.
    After(Timestamp),
}

/// Reads a moment. Dates and times of day are those of the time zone of `now`.
///
/// # Errors
/// What is no moment, or none that a calendar has.
pub fn parse_moment(text: &str, now: &ZonedDateTime, near: Near) -> Result<Timestamp, MomentError> {
    let word = text.trim();
    let error = |why| MomentError { text: text.to_owned(), why };
    if word.is_empty() {
        return Err(error("it is empty"));
    }
    if word.eq_ignore_ascii_case("now") {
        return Ok(now.timestamp());
    }
    if let Some(ago) = word.strip_prefix('-') {
        let ago =
            duration(ago.trim()).ok_or_else(|| error("after '-' comes how long ago, such as 2h or 1d12h"))?;
        return before(now.timestamp(), ago).ok_or_else(|| error("it is too long ago"));
    }
    if let Some(ago) = word.strip_suffix(" ago").and_then(|ago| duration(ago.trim())) {
        return before(now.timestamp(), ago).ok_or_else(|| error("it is too long ago"));
    }
    if let Some(second) = word.strip_prefix('@') {
        let second = second.parse().map_err(|_| error("after '@' come seconds since 1970"))?;
        return Timestamp::from_second(second).map_err(|_| error("no calendar has it"));
    }
    if let Some(moment) = rfc3339(word) {
        return Ok(moment);
    }
    if let Some(time) = time_of_day(word) {
        return of_day(time, now, near).ok_or_else(|| error("no calendar has it"));
    }
    // Between a date and a time of day is a blank, or RFC 3339's letter, which names of days have too.
    let parts = word.split_once(' ').or_else(|| word.split_once(['T', 't']));
    let (day, time) = match parts.filter(|(day, _)| date(day, now).is_some()) {
        Some((day, time)) => {
            (day, time_of_day(time.trim()).ok_or_else(|| error("after a date comes a time of day"))?)
        }
        None => (word, Time::midnight()),
    };
    let date = date(day, now).ok_or_else(|| error("it is neither a date nor a time of day"))?;
    let local = DateTime::from_parts(date, time).to_zoned_datetime(now.time_zone().clone());
    local.map(|moment| moment.timestamp()).map_err(|_| error("no calendar has it"))
}

/// A length of time such as `90s`, `10m`, `1h30m`, `2d`.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let text = text.replace(' ', "");
    humantime::parse_duration(&text).ok()
}

/// What [`duration`] reads, for the command line.
///
/// # Errors
/// What it does not read, and none at all.
pub fn parse_step(text: &str) -> Result<Duration, String> {
    duration(text)
        .filter(|step| *step >= Duration::from_secs(1))
        .ok_or_else(|| "write how long, at least a second: 10s, 1m, 1h".to_owned())
}

fn before(now: Timestamp, ago: Duration) -> Option<Timestamp> {
    now.checked_sub(SignedDuration::try_from(ago).ok()?).ok()
}

/// A date with a time and an offset.
fn rfc3339(word: &str) -> Option<Timestamp> {
    // A calendar's time zone in brackets is more than RFC 3339, and may contradict the offset.
    if word.contains('[') { None } else { word.parse().ok() }
}

/// `3:00`, `03:00`, `03:00:15`, `03:00:15.5`.
fn time_of_day(word: &str) -> Option<Time> {
    let mut parts = word.split(':');
    let (hour, minute) = (parts.next()?, parts.next()?);
    let (second, fraction) =
        parts.next().map_or(("0", ""), |second| second.split_once('.').unwrap_or((second, "0")));
    if parts.next().is_some() || minute.len() != 2 || hour.is_empty() {
        return None;
    }
    let number =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    let fraction: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanoseconds: i32 = if fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        fraction.parse().ok()?
    } else {
        return None;
    };
    Time::new(number(hour)?, number(minute)?, number(second)?, nanoseconds).ok()
}

/// `today`, `yesterday`, the last day of this name, `2026-11-29`.
fn date(word: &str, now: &ZonedDateTime) -> Option<Date> {
    let word = word.to_ascii_lowercase();
    let today = now.date();
    match word.as_str() {
        "today" => return Some(today),
        "yesterday" => return today.yesterday().ok(),
        "tomorrow" => return today.tomorrow().ok(),
        _ => {}
    }
    if let Some((_, weekday)) = WEEKDAYS.iter().find(|(name, _)| word.len() >= 3 && name.starts_with(&word)) {
        if today.weekday() == *weekday {
            return Some(today);
        }
        return today.nth_weekday(-1, *weekday).ok();
    }
    let mut numbers = word.splitn(3, '-');
    let (year, month, day) = (numbers.next()?, numbers.next()?, numbers.next()?);
    if year.len() != 4 {
        return None;
    }
    Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()
}

/// A time of day on the day that is meant.
fn of_day(time: Time, now: &ZonedDateTime, near: Near) -> Option<Timestamp> {
    let zone = now.time_zone();
    let on = |date: Date| {
        DateTime::from_parts(date, time).to_zoned_datetime(zone.clone()).ok().map(|moment| moment.timestamp())
    };
    match near {
        Near::BeforeNow => {
            let today = on(now.date())?;
            if today <= now.timestamp() { Some(today) } else { on(now.date().yesterday().ok()?) }
        }
        Near::After(moment) => {
            let first = moment.to_zoned_datetime(zone.clone()).date();
            let today = on(first)?;
            if today > moment { Some(today) } else { on(first.tomorrow().ok()?) }
        }
    }
}

/// The time that is asked about; an end that is missing is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Period {
    /// The first moment of it.
    pub from: Option<Timestamp>,
    /// The first moment after it.
    pub to: Option<Timestamp>,
}

/// Two ends that do not make a time.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PeriodError {
    /// One of them is no moment.
    #[error("--{0}: {1}")]
    Moment(&'static str, MomentError),
    /// It ends before it begins.
    #[error("--to is not after --from: {to} is not after {from}")]
    Backwards {
        /// When it begins.
        from: Timestamp,
        /// When it ends.
        to: Timestamp,
    },
}

/// How much of an interval has to lie in a time to count: the rest is what a clock is late by, where the two meet at an edge.
const PART: i64 = 20;

impl Period {
    /// Reads both ends. A `to` that is a time of day alone is the first such after `from`.
    ///
    /// # Errors
    /// Those of [`parse_moment`], and an end that is not after the beginning.
    pub fn parse(from: Option<&str>, to: Option<&str>, now: &ZonedDateTime) -> Result<Self, PeriodError> {
        let moment = |name, text: &str, near| {
            parse_moment(text, now, near).map_err(|error| PeriodError::Moment(name, error))
        };
        let from = from.map(|text| moment("from", text, Near::BeforeNow)).transpose()?;
        let near = from.map_or(Near::BeforeNow, Near::After);
        let to = to.map(|text| moment("to", text, near)).transpose()?;
        match (from, to) {
            (Some(from), Some(to)) if to <= from => Err(PeriodError::Backwards { from, to }),
            _ => Ok(Self { from, to }),
        }
    }

    /// Whether an interval counts: a twentieth of it lies in the time, or all of the time lies in it. Intervals count as a whole, so
    /// that nothing is made up.
    #[must_use]
    pub fn counts(&self, start: Timestamp, end: Timestamp) -> bool {
        let (start, end) = (start.as_millisecond(), end.as_millisecond());
        let from = self.from.map_or(i64::MIN, Timestamp::as_millisecond);
        let to = self.to.map_or(i64::MAX, Timestamp::as_millisecond);
        let inside = end.min(to).saturating_sub(start.max(from));
        inside > 0 && (inside.saturating_mul(PART) >= end - start || (start <= from && to <= end))
            || start == end && (from..to).contains(&start)
    }

    /// By how much an interval that counts reaches beyond the time, before and after it.
    #[must_use]
    pub fn beyond(&self, start: Timestamp, end: Timestamp) -> [Duration; 2] {
        let gap =
            |early: Timestamp, late: Timestamp| late.duration_since(early).try_into().unwrap_or_default();
        [
            self.from.map_or(Duration::ZERO, |from| gap(start, from)),
            self.to.map_or(Duration::ZERO, |to| gap(to, end)),
        ]
    }

    /// Whether an interval that begins at this moment, and all after it, lie behind the time.
    #[must_use]
    pub fn is_over(&self, start: Timestamp) -> bool {
        self.to.is_some_and(|to| start >= to)
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use super::*;

    /// A Sunday in Berlin.
    fn now() -> ZonedDateTime {
        "2026-11-29T09:30:00+01:00[Europe/Berlin]".parse().unwrap()
    }

    fn read(text: &str) -> String {
        read_at(text, &now())
    }

    fn read_at(text: &str, now: &ZonedDateTime) -> String {
        parse_moment(text, now, Near::BeforeNow)
            .map_or_else(|error| error.why.to_owned(), |moment| moment.to_string())
    }

    #[test]
    fn moments_are_read_as_people_write_them() {
        for (text, moment) in [
            ("now", "2026-11-29T08:30:00Z"),
            ("03:00", "2026-11-29T02:00:00Z"),
            ("3:00", "2026-11-29T02:00:00Z"),
            ("03:00:15.25", "2026-11-29T02:00:15.25Z"),
            ("9:30", "2026-11-29T08:30:00Z"),
            ("9:31", "2026-11-28T08:31:00Z"),
            ("23:00", "2026-11-28T22:00:00Z"),
            ("today", "2026-11-28T23:00:00Z"),
            ("today 23:00", "2026-11-29T22:00:00Z"),
            ("yesterday", "2026-11-27T23:00:00Z"),
            ("Yesterday 14:10", "2026-11-28T13:10:00Z"),
            ("sunday 1:00", "2026-11-29T00:00:00Z"),
            ("sat 1:00", "2026-11-28T00:00:00Z"),
            ("monday", "2026-11-22T23:00:00Z"),
            ("-2h", "2026-11-29T06:30:00Z"),
            ("-1d 30m", "2026-11-28T08:00:00Z"),
            ("-90s", "2026-11-29T08:28:30Z"),
            ("2h ago", "2026-11-29T06:30:00Z"),
            ("2026-11-01", "2026-10-31T23:00:00Z"),
            ("2026-07-01 03:00", "2026-07-01T01:00:00Z"),
            ("2026-07-01T03:00", "2026-07-01T01:00:00Z"),
            ("2026-11-29T03:00:00Z", "2026-11-29T03:00:00Z"),
            ("2026-11-29T03:00:00.125+05:30", "2026-11-28T21:30:00.125Z"),
            ("@1700000000", "2023-11-14T22:13:20Z"),
            // The hour that is there twice is the first of the two; the one that is not there is the one after it.
            ("2026-10-25 02:30", "2026-10-25T00:30:00Z"),
            ("2026-03-29 02:30", "2026-03-29T01:30:00Z"),
        ] {
            assert_eq!(read(text), moment, "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_is_said() {
        for text in [
            "",
            "25:00",
            "3",
            "03:60",
            "03:0",
            "0x3:00",
            "yesterday noon",
            "2026-02-30",
            "26-11-29",
            "-",
            "-2x",
            "@x",
            "12:30pm",
            "1:00:00:00",
        ] {
            let error = parse_moment(text, &now(), Near::BeforeNow).unwrap_err();
            assert!(error.to_string().contains("is no time: "), "{error}");
        }
    }

    #[test]
    fn the_end_is_the_first_after_the_beginning() {
        let midnight: ZonedDateTime = "2026-11-29T01:00:00+01:00[Europe/Berlin]".parse().unwrap();
        let period = Period::parse(Some("23:00"), Some("00:30"), &midnight).unwrap();
        assert_eq!(period.from.unwrap().to_string(), "2026-11-28T22:00:00Z");
        assert_eq!(period.to.unwrap().to_string(), "2026-11-28T23:30:00Z");
        let period = Period::parse(Some("yesterday 14:10"), Some("14:20"), &midnight).unwrap();
        assert_eq!(period.to.unwrap().duration_since(period.from.unwrap()), SignedDuration::from_mins(10));
        let error = Period::parse(Some("now"), Some("-1h"), &midnight).unwrap_err();
        assert!(error.to_string().starts_with("--to is not after --from"), "{error}");
        let error = Period::parse(Some("now"), Some("soon"), &midnight).unwrap_err();
        assert!(error.to_string().starts_with("--to: 'soon' is no time"), "{error}");
    }

    #[test]
    fn an_interval_counts_where_more_than_the_clocks_lateness_lies_in_the_time() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let period = Period { from: Some(at("2026-11-29T03:00:00Z")), to: Some(at("2026-11-29T03:10:00Z")) };
        let counts = |start: &str, end: &str| {
            period.counts(at(&format!("2026-11-29T{start}Z")), at(&format!("2026-11-29T{end}Z")))
        };
        assert!(counts("03:00:00.004", "03:00:10.003"));
        assert!(!counts("02:59:50.002", "03:00:00.004"), "4 ms late");
        assert!(counts("02:59:50.002", "03:00:01.000"));
        assert!(!counts("03:09:59.999", "03:10:09.999"));
        assert!(counts("03:09:55", "03:10:05"));
        assert!(!counts("03:10:00", "03:10:10"));
        assert!(counts("00:00:00", "06:00:00"), "it lies in it");
        assert!(Period::default().counts(at("2026-11-29T03:00:00Z"), at("2026-11-29T03:00:00Z")));
    }

    proptest! {
        #[test]
        fn any_text_is_a_moment_or_an_error(text in "\\PC{0,24}") {
            let _ = parse_moment(&text, &now(), Near::BeforeNow);
        }

        #[test]
        fn what_rfc_3339_says_is_what_is_meant(second in -10_000_000_000_i64..100_000_000_000) {
            let moment = Timestamp::from_second(second).unwrap();
            prop_assert_eq!(parse_moment(&moment.to_string(), &now(), Near::BeforeNow).unwrap(), moment);
            let local = moment.to_zoned_datetime(TimeZone::get("Asia/Kolkata").unwrap());
            let text = local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
            prop_assert_eq!(parse_moment(&text, &now(), Near::BeforeNow).unwrap(), moment);
        }

        #[test]
        fn times_that_meet_count_an_aligned_interval_once(edge in 0_i64..10_000, late in 0_i64..400) {
            // Intervals of ten seconds that end up to 0.4 s late.
            let at = |milliseconds| Timestamp::from_millisecond(milliseconds).unwrap();
            let (start, end) = (at(edge * 10_000 + late), at((edge + 1) * 10_000 + late));
            for cut in [edge, edge + 1] {
                let cut = Some(at(cut * 10_000));
                let sides = [Period { from: None, to: cut }, Period { from: cut, to: None }];
                prop_assert_eq!(sides.iter().filter(|side| side.counts(start, end)).count(), 1);
            }
        }
    }
}
