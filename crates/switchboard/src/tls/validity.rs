//! How long a certificate is good: the one thing that is read of it here.

use switchboard_event::Timestamp;

/// When the certificate in `der` ends; `None` if that cannot be read. Whether it is any good is not
/// looked at.
pub(super) fn not_after(der: &[u8]) -> Option<Timestamp> {
    let (certificate, _) = element(der, SEQUENCE)?;
    let (mut fields, _) = element(certificate, SEQUENCE)?;
    if let Some((_, rest)) = element(fields, VERSION) {
        fields = rest;
    }
    // The number, the algorithm, the issuer.
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        (_, fields) = element(fields, tag)?;
    }
    let (validity, _) = element(fields, SEQUENCE)?;
    let (_, validity) = time(validity)?;
    let (not_after, _) = time(validity)?;
    not_after.parse().ok()
}

/// A time as ISO 8601, and what follows it.
fn time(der: &[u8]) -> Option<(String, &[u8])> {
    if let Some((text, rest)) = element(der, UTC_TIME) {
        let year: u8 = std::str::from_utf8(text.get(..2)?).ok()?.parse().ok()?;
        let century = if year < 50 { "20" } else { "19" };
        return Some((iso(&[century.as_bytes(), text].concat())?, rest));
    }
    let (text, rest) = element(der, GENERALIZED_TIME)?;
    Some((iso(text)?, rest))
}

/// `YYYYMMDDhhmmssZ` as ISO 8601.
fn iso(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    if text.len() != 15 || !text.is_ascii() || !text.ends_with('Z') {
        return None;
    }
    let (date, time) = text.split_at(8);
    let (year, month, day) = (&date[..4], &date[4..6], &date[6..]);
    let (hour, minute, second) = (&time[..2], &time[2..4], &time[4..6]);
    Some(format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z"))
}

/// The content of the element that `der` begins with, if it is of this kind, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = der.split_first()?;
    if *first != tag {
        return None;
    }
    let (short, rest) = rest.split_first()?;
    let (len, rest) = match usize::from(*short) {
        len @ 0..=127 => (len, rest),
        long => {
            let (bytes, rest) = rest.split_at_checked(long - 128)?;
            let join = |len: usize, byte: &u8| Some(len.checked_mul(256)? + usize::from(*byte));
            (bytes.iter().try_fold(0, join)?, rest)
        }
    };
    rest.split_at_checked(len)
}

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// `[0]`, left out by certificates of the first version.
const VERSION: u8 = 0xa0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_read_of_certificates_of_this_century_and_of_the_next_ones() {
        for (year, expected) in [
            (2031, "2031-02-03T00:00:00.000Z"),
            (2099, "2099-02-03T00:00:00.000Z"),
        ] {
            let mut made = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
            made.not_after = rcgen::date_time_ymd(year, 2, 3);
            let key = rcgen::KeyPair::generate().unwrap();
            let certificate = made.self_signed(&key).unwrap();

            let read = not_after(certificate.der()).unwrap();

            assert_eq!(read.to_string(), expected);
        }
    }

    #[test]
    fn whatever_is_cut_off_or_longer_than_it_says_has_no_end() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let der = made.cert.der();

        for len in 0..der.len() {
            assert_eq!(not_after(&der[..len]), None, "{len}");
        }
        assert_eq!(not_after(&[0x30, 0xff]), None);
        assert_eq!(
            not_after(&[[0x30, 0x89].as_slice(), &[0xff; 9]].concat()),
            None
        );
    }
}
