//! What a client sends along with CONNECT.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// What a client sends along with CONNECT.
#[derive(Default, Deserialize)]
pub(crate) struct Credentials {
    #[serde(default, deserialize_with = "text")]
    pub(crate) token: Option<String>,
    /// By which a client comes back.
    #[serde(default, deserialize_with = "text")]
    pub(crate) pid: Option<String>,
    /// What was last in an event that the client had.
    #[serde(default, deserialize_with = "text")]
    pub(crate) offset: Option<String>,
}

impl Credentials {
    /// Reads what is readable; what is not is as good as absent.
    pub(crate) fn of(auth: Option<&RawValue>) -> Self {
        auth.and_then(|auth| serde_json::from_str(auth.get()).ok())
            .unwrap_or_default()
    }
}

/// Text, or nothing if it is anything else: one field that is odd leaves the others readable.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let value = <&RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(value.get()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_is_not_text_counts_as_absent_and_leaves_the_others_readable() {
        let auth = r#"{"token":"t","pid":7,"offset":{"a":[1]},"more":null}"#;
        let auth = RawValue::from_string(auth.to_owned()).unwrap();

        let credentials = Credentials::of(Some(&auth));

        assert_eq!(credentials.token.as_deref(), Some("t"));
        assert_eq!(credentials.pid, None);
        assert_eq!(credentials.offset, None);
    }
}
