//! What verified claims say.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use switchboard_event::{TenantId, Timestamp, TokenId};
use switchboard_hub::Pattern;

use super::Authenticator;
use super::token::Claims;
use crate::unauthorized::{ClaimFault, Unauthorized};

/// Checks when the token was made, begins and ends (RFC 7519, 4.1.4 to 4.1.6), and gives its end.
pub(super) fn lifetime(
    claims: &Claims,
    leeway: Duration,
    now: Timestamp,
) -> Result<Timestamp, Unauthorized> {
    let (now, leeway) = (now.as_millis(), millis(leeway));
    let expires_at =
        numeric_date(claims, "exp")?.ok_or_else(|| Unauthorized::ClaimMissing("exp".into()))?;
    if expires_at.saturating_add(leeway) <= now {
        return Err(Unauthorized::Expired);
    }
    if expires_at.saturating_sub(now) > millis(Authenticator::LIFETIME_MAX) {
        return Err(Unauthorized::claim("exp", ClaimFault::Milliseconds));
    }
    let is_ahead = |at: i64| at.saturating_sub(leeway) > now;
    if numeric_date(claims, "nbf")?.is_some_and(is_ahead) {
        return Err(Unauthorized::Early);
    }
    if numeric_date(claims, "iat")?.is_some_and(is_ahead) {
        return Err(Unauthorized::claim("iat", ClaimFault::Future));
    }
    Ok(Timestamp::from_millis(expires_at))
}

/// Whether the token is for one of `names` (RFC 7519, 4.1.3); for anybody if there are none.
pub(super) fn audience(claims: &Claims, names: &[String]) -> Result<(), Unauthorized> {
    if names.is_empty() {
        return Ok(());
    }
    let is_ours = |value: &Value| {
        let name = value.as_str();
        name.is_some_and(|name| names.iter().any(|ours| ours == name))
    };
    match claims.get("aud") {
        None | Some(Value::Null) => Err(Unauthorized::ClaimMissing("aud".into())),
        Some(Value::Array(list)) if list.iter().any(is_ours) => Ok(()),
        Some(one) if is_ours(one) => Ok(()),
        Some(_) => Err(Unauthorized::claim("aud", ClaimFault::OtherAudience)),
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The `jti` claim (RFC 7519, section 4.1.7); one that could not be revoked is refused.
pub(super) fn token_id(claims: &Claims) -> Result<Option<Arc<TokenId>>, Unauthorized> {
    let id = match claims.get("jti") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(id)) => id.parse().ok(),
        Some(_) => None,
    };
    let unusable = || Unauthorized::claim("jti", ClaimFault::Unusable);
    Ok(Some(Arc::new(id.ok_or_else(unusable)?)))
}

/// A `NumericDate` (RFC 7519, section 2) in milliseconds.
pub(super) fn numeric_date(claims: &Claims, name: &str) -> Result<Option<i64>, Unauthorized> {
    let invalid = || Unauthorized::claim(name, ClaimFault::Unusable);
    match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(seconds), _) => Ok(Some(seconds.saturating_mul(1_000))),
            // Fractions are legal; the cast saturates, and nothing below a second matters.
            #[expect(clippy::cast_possible_truncation, reason = "saturates at the ends")]
            (None, Some(seconds)) => Ok(Some((seconds * 1_000.0) as i64)),
            (None, None) => Err(invalid()),
        },
        Some(_) => Err(invalid()),
    }
}

/// The first of `names` that is present, as an identifier; numbers are taken as their text.
pub(super) fn identifier<T: std::str::FromStr>(
    claims: &Claims,
    names: &[String],
) -> Result<T, Unauthorized> {
    for name in names {
        let text = match claims.get(name) {
            None | Some(Value::Null) => continue,
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            Some(_) => return Err(Unauthorized::claim(name, ClaimFault::Unusable)),
        };
        return text
            .parse()
            .map_err(|_| Unauthorized::claim(name, ClaimFault::Unusable));
    }
    Err(Unauthorized::ClaimMissing(names.join(" or ")))
}

/// The single tenant, which a token need not name. One that names another was signed for a CRM with
/// several customers: letting it in would put them all into the same rooms.
pub(super) fn the_only_tenant(
    claims: &Claims,
    names: &[String],
    single: &TenantId,
) -> Result<TenantId, Unauthorized> {
    for name in names {
        match identifier::<TenantId>(claims, std::slice::from_ref(name)) {
            Ok(tenant) if tenant != *single => {
                return Err(Unauthorized::claim(name, ClaimFault::OtherTenant));
            }
            Ok(_) | Err(Unauthorized::ClaimMissing(_)) => {}
            Err(unusable) => return Err(unusable),
        }
    }
    Ok(single.clone())
}

/// A claim with a list of patterns, each brought to the form of a room's name.
pub(super) fn patterns(
    claims: &Claims,
    name: &str,
    room: fn(&str) -> String,
) -> Result<Option<Vec<Pattern>>, Unauthorized> {
    let invalid = || Unauthorized::claim(name, ClaimFault::Unusable);
    let list = match claims.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(list)) if list.len() <= PATTERNS_MAX => list,
        Some(_) => return Err(invalid()),
    };
    let parse = |value: &Value| {
        let text = value.as_str().ok_or_else(invalid)?;
        room(text).parse().map_err(|_| invalid())
    };
    list.iter().map(parse).collect::<Result<_, _>>().map(Some)
}

/// Accounts may be named with or without the kind of their room.
pub(super) fn account_room(text: &str) -> String {
    if text.starts_with("whatsapp:") {
        text.to_owned()
    } else {
        format!("whatsapp:{text}")
    }
}

/// The most patterns that one claim may hold.
const PATTERNS_MAX: usize = Authenticator::PATTERNS_MAX;
