//! Date and time as CPIM, IMDN and group state write it (RFC 3339).

use super::Fault;

const FAULT: Fault = Fault::new("date-time", 0, "a date and time of RFC 3339");

/// Reads a date and time with its offset, as microseconds since 1970 in UTC.
///
/// A leap second counts as the second after it, as POSIX clocks do.
///
/// # Errors
///
/// When the text has not the form of RFC 3339 5.6 or names a day that does not exist.
pub fn parse(text: &str) -> Result<i64, Fault> {
    let bytes = text.as_bytes();
    let shape = bytes.len() >= 20
        && [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')].iter().all(|(at, mark)| bytes[*at] == *mark)
        && matches!(bytes[10], b'T' | b't');
    if !shape {
        return Err(FAULT);
    }
    let (year, month, day) = (number(&bytes[..4])?, number(&bytes[5..7])?, number(&bytes[8..10])?);
    let (hour, minute, second) = (number(&bytes[11..13])?, number(&bytes[14..16])?, number(&bytes[17..19])?);
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) || hour > 23 || minute > 59 || second > 60 {
        return Err(FAULT);
    }
    let (micros, zone) = fraction(&bytes[19..])?;
    let seconds = days_before(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset(zone)?;
    Ok(seconds * 1_000_000 + micros)
}

/// Whether the text is a date and time of RFC 3339.
pub fn is_valid(text: &str) -> bool {
    parse(text).is_ok()
}

/// Writes microseconds since 1970 in UTC; a fraction appears, in milliseconds, only when there is one.
pub fn format(unix_micros: i64) -> String {
    let (seconds, micros) = (unix_micros.div_euclid(1_000_000), unix_micros.rem_euclid(1_000_000));
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = date_of(days);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    let mut text = format!("{year:04}");
    text.reserve_exact(LENGTH - text.len().min(LENGTH));
    for (mark, value) in [('-', month), ('-', day), ('T', hour), (':', minute), (':', second)] {
        text.extend([mark, digit(value / 10), digit(value % 10)]);
    }
    if micros >= 1_000 {
        text.extend(['.', digit(micros / 100_000), digit(micros / 10_000 % 10), digit(micros / 1_000 % 10)]);
    }
    text.push('Z');
    text
}

/// The length of a date and time with its fraction.
const LENGTH: usize = 24;

/// The digit of a number below ten.
fn digit(number: i64) -> char {
    u32::try_from(number).ok().and_then(|number| char::from_digit(number, 10)).unwrap_or('0')
}

fn number(digits: &[u8]) -> Result<i64, Fault> {
    if digits.is_empty() || digits.len() > 9 {
        return Err(FAULT);
    }
    digits.iter().try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0')).ok_or(FAULT))
}

/// The fraction in microseconds and what follows it.
fn fraction(rest: &[u8]) -> Result<(i64, &[u8]), Fault> {
    let Some(digits) = rest.strip_prefix(b".") else { return Ok((0, rest)) };
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let kept = count.min(6);
    let scale = 10_i64.pow(6 - u32::try_from(kept).unwrap_or(6));
    Ok((number(&digits[..kept])? * scale, &digits[count..]))
}

/// The offset from UTC in seconds.
fn offset(zone: &[u8]) -> Result<i64, Fault> {
    match zone {
        [b'Z' | b'z'] => Ok(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
            if hours > 23 || minutes > 59 {
                return Err(FAULT);
            }
            let seconds = hours * 3_600 + minutes * 60;
            Ok(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => Err(FAULT),
    }
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

const fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970 to the day, counted over years that begin in March.
const fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year - 719_468
}

/// The inverse of [`days_before`].
const fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + if month <= 2 { 1 } else { 0 };
    (year, month, of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_and_fractions_lead_to_one_instant() {
        let utc = parse("2012-01-17T10:01:05Z").unwrap();
        assert_eq!(utc, 1_326_794_465_000_000);
        assert_eq!(parse("2012-01-17T11:01:05+01:00"), Ok(utc));
        assert_eq!(parse("2012-01-17t05:01:05.000000-05:00"), Ok(utc));
        assert_eq!(parse("2012-01-17T10:01:05.25Z"), Ok(utc + 250_000));
    }

    #[test]
    fn what_is_written_is_read_back() {
        for micros in [0, 951_782_400_000_000, 1_330_516_799_000_000, 4_107_542_399_999_000, -1_000_000] {
            assert_eq!(parse(&format(micros)), Ok(micros));
        }
        assert_eq!(format(1_326_794_465_250_000), "2012-01-17T10:01:05.250Z");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in
            ["", "2012-01-17", "2012-01-17 10:01:05Z", "2012-02-30T10:01:05Z", "2012-01-17T10:01:05", "2012-01-17T24:00:00Z"]
        {
            assert_eq!(parse(text), Err(FAULT), "{text}");
        }
        assert!(!is_valid("2012-01-17T10:01:05+0100"));
    }
}
