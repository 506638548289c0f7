//! What is published: messages of one size that carry a number where it is quickly found.

use std::fmt::Write as _;

use memchr::memmem::Finder;

/// The length of an event's data, as JSON.
pub(crate) const DATA_LEN: usize = 300;

/// Stands before the number in each message's id.
const MARK: &str = "\"id\":\"bench-";
const DIGITS: usize = 10;

/// A body of `POST /v1/events`: one draft, or an array of `count`.
pub(crate) fn body(account: &str, first: u64, count: u64) -> Vec<u8> {
    let mut body = String::new();
    if count > 1 {
        body.push('[');
    }
    for number in first..first + count {
        if number > first {
            body.push(',');
        }
        draft(&mut body, account, number);
    }
    if count > 1 {
        body.push(']');
    }
    body.into_bytes()
}

fn draft(body: &mut String, account: &str, number: u64) {
    let head = format!(
        "{{\"message\":{{{MARK}{number:0DIGITS$}\",\"contactId\":\"c-4711\",\
         \"whatsappAccountId\":\"{account}\",\"direction\":\"Inbound\",\"type\":\"Text\",\"content\":\""
    );
    let tail =
        "\",\"createdAt\":\"2025-11-05T10:00:00Z\"},\"timestamp\":\"2025-11-05T10:00:00.000Z\"}";
    let content = DATA_LEN.saturating_sub(head.len() + tail.len());
    write!(
        body,
        "{{\"event\":\"message:received\",\"rooms\":[\"whatsapp:{account}\"],\
         \"data\":{head}{:x<content$}{tail}}}",
        ""
    )
    .expect("writing to a string does not fail");
}

/// Finds the numbers of messages in what servers send.
pub(crate) struct Scanner(Finder<'static>);

impl Scanner {
    pub(crate) fn new() -> Self {
        Self(Finder::new(MARK))
    }

    /// The number of the message in a packet, without parsing JSON.
    pub(crate) fn number(&self, packet: &[u8]) -> Option<u64> {
        let at = self.0.find(packet)? + MARK.len();
        let digits = packet.get(at..at + DIGITS)?;
        digits.iter().try_fold(0, |number, digit| {
            digit
                .is_ascii_digit()
                .then(|| number * 10 + u64::from(digit - b'0'))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_has_the_same_length_and_its_number() {
        let body = body("a5000", 7, 2);

        let drafts: Vec<serde_json::Value> = serde_json::from_slice(&body).expect("JSON");
        let lengths: Vec<usize> = drafts
            .iter()
            .map(|it| it["data"].to_string().len())
            .collect();

        assert_eq!(lengths, [DATA_LEN, DATA_LEN]);
        assert_eq!(Scanner::new().number(&body), Some(7));
    }
}
