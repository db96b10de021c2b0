//! Dates and times: tuples on the guest's side, `chrono`'s types on the driver's.

use anyhow::{Context, Result};
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike, Utc};

type Date = (i32, u8, u8);
/// With nanoseconds at the end.
type Clock = (u8, u8, u8, u32);
type Moment = (i32, u8, u8, u8, u8, u8, u32);

pub(super) fn from_date(date: NaiveDate) -> Date {
    (date.year(), small(date.month()), small(date.day()))
}

pub(super) fn from_clock(clock: NaiveTime) -> Clock {
    (small(clock.hour()), small(clock.minute()), small(clock.second()), clock.nanosecond())
}

pub(super) fn from_moment(moment: NaiveDateTime) -> Moment {
    let ((year, month, day), (hour, minute, second, nanosecond)) =
        (from_date(moment.date()), from_clock(moment.time()));
    (year, month, day, hour, minute, second, nanosecond)
}

pub(super) fn to_date((year, month, day): Date) -> Result<NaiveDate> {
    NaiveDate::from_ymd_opt(year, month.into(), day.into())
        .with_context(|| format!("invalid date y={year}, m={month}, d={day}"))
}

pub(super) fn to_clock((hour, minute, second, nanosecond): Clock) -> Result<NaiveTime> {
    NaiveTime::from_hms_nano_opt(hour.into(), minute.into(), second.into(), nanosecond)
        .with_context(|| format!("invalid time {hour}:{minute}:{second}:{nanosecond}"))
}

pub(super) fn to_moment((year, month, day, hour, minute, second, nanosecond): Moment) -> Result<NaiveDateTime> {
    Ok(to_date((year, month, day))?.and_time(to_clock((hour, minute, second, nanosecond))?))
}

/// Of seconds since 1970.
pub(super) fn to_instant(seconds: i64) -> Result<DateTime<Utc>> {
    DateTime::from_timestamp(seconds, 0).with_context(|| format!("invalid epoch timestamp {seconds}"))
}

fn small(part: u32) -> u8 {
    u8::try_from(part).expect("no part of a date or of a time of day but the year is larger than 59")
}
