//! Who are you: from a token to an identity.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Map, Value};
use switchboard_event::{ID_LEN_MAX, TenantId, Timestamp, UserId};
use switchboard_hub::{Access, LinkRights, Pattern, Rights};

use crate::pool::Pool;
use crate::unauthorized::{ClaimFault, InvalidToken, Unauthorized};

/// How tokens are verified and read.
#[derive(Clone, Debug)]
pub struct AuthConfig {
    /// The one algorithm that is accepted, with its key. What a token's header says is never
    /// trusted.
    pub verification: Verification,
    /// The claims that may hold the user, the first one present wins. Default: `userId`, `sub`,
    /// `id`.
    pub user_claims: Vec<String>,
    /// The claims that may hold the tenant. Default: `tenantId`.
    pub tenant_claims: Vec<String>,
    /// The claim with the patterns of rooms that may be joined. Default: `rooms`.
    pub rooms_claim: String,
    /// The claim with the patterns of accounts that may be paired. Default: `link`.
    pub link_claim: String,
    /// Who may pair when the token has no such claim. Default: whoever may subscribe.
    pub link_default: LinkDefault,
    /// The tenant of every token, for a CRM with one customer. Default: none, and a token without a
    /// tenant is refused.
    pub single_tenant: Option<TenantId>,
    /// How much clocks may differ. Default: 0 s.
    pub leeway: Duration,
    /// How rooms are decided. Default: by the token's patterns.
    pub policy: AccessPolicy,
}

/// An algorithm and its key.
#[derive(Clone)]
pub enum Verification {
    /// HMAC with SHA-256 and a shared secret.
    Hs256(Box<[u8]>),
    /// RSASSA-PKCS1-v1_5 with SHA-256; the public key as PEM.
    Rs256(Box<[u8]>),
}

/// How rooms are decided.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AccessPolicy {
    /// By the patterns of the token; nothing by default.
    Claims,
    /// Every room of the user's tenant.
    Open,
}

/// Who may pair an account when the token does not say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LinkDefault {
    /// Whoever may subscribe to the account.
    Subscribe,
    /// Nobody.
    Nobody,
}

/// Verifies tokens. Made once, shared by all connections.
pub struct Authenticator {
    key: DecodingKey,
    validation: Validation,
    config: AuthConfig,
    pool: Pool,
}

/// Whom a token names, what it allows, and until when.
#[derive(Clone, Debug)]
pub struct Identity {
    /// What the user may hear.
    pub rights: Rights,
    /// When the token ends.
    pub expires_at: Timestamp,
    /// When it was issued (`iat`), if it says so.
    pub issued_at: Option<Timestamp>,
    /// Its id (`jti`), if it has one: by this it can be revoked.
    pub token_id: Option<Arc<str>>,
}

/// The key does not fit the algorithm.
#[derive(Debug, thiserror::Error)]
#[error("not a public key in PEM: {0}")]
pub struct InvalidKey(#[from] jsonwebtoken::errors::Error);

impl Authenticator {
    /// The longest token, in bytes.
    pub const TOKEN_LEN_MAX: usize = 8 * 1024;
    /// The most patterns that one claim may hold.
    pub const PATTERNS_MAX: usize = 1_000;
    /// The furthest that `exp` may lie ahead: ten years. Milliseconds lie further.
    pub const LIFETIME_MAX: Duration = Duration::from_hours(10 * 365 * 24);

    /// Prepares the key.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] if the public key cannot be read.
    pub fn new(config: AuthConfig) -> Result<Self, InvalidKey> {
        let (key, algorithm) = match &config.verification {
            Verification::Hs256(secret) => (DecodingKey::from_secret(secret), Algorithm::HS256),
            Verification::Rs256(pem) => (DecodingKey::from_rsa_pem(pem)?, Algorithm::RS256),
        };
        let mut validation = Validation::new(algorithm);
        // Times are checked here, against the clock that was given.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        Ok(Self {
            key,
            validation,
            config,
            pool: Pool::default(),
        })
    }

    /// Verifies `token` and reads who it names.
    ///
    /// # Errors
    ///
    /// [`Unauthorized`], whose [`code`](Unauthorized::code) goes to the client.
    #[expect(clippy::unused_async, reason = "a key may have to be fetched")]
    pub async fn authenticate(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<Identity, Unauthorized> {
        if token.len() > Self::TOKEN_LEN_MAX {
            return Err(Unauthorized::TooLong(token.len()));
        }
        let token = jsonwebtoken::decode::<Map<String, Value>>(token, &self.key, &self.validation)
            .map_err(|error| Unauthorized::Invalid(InvalidToken::from(error.kind())))?;
        let claims = token.claims;
        let expires_at = self.lifetime(&claims, now)?;
        Ok(Identity {
            rights: self.rights(&claims)?,
            expires_at,
            issued_at: numeric_date(&claims, "iat")?.map(Timestamp::from_millis),
            token_id: token_id(&claims)?,
        })
    }

    fn lifetime(
        &self,
        claims: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<Timestamp, Unauthorized> {
        let leeway_ms = i64::try_from(self.config.leeway.as_millis()).unwrap_or(i64::MAX);
        let expires_at =
            numeric_date(claims, "exp")?.ok_or_else(|| Unauthorized::ClaimMissing("exp".into()))?;
        if expires_at.saturating_add(leeway_ms) <= now.as_millis() {
            return Err(Unauthorized::Expired);
        }
        let lifetime_ms_max = i64::try_from(Self::LIFETIME_MAX.as_millis()).unwrap_or(i64::MAX);
        if expires_at.saturating_sub(now.as_millis()) > lifetime_ms_max {
            return Err(Unauthorized::claim("exp", ClaimFault::Milliseconds));
        }
        match numeric_date(claims, "nbf")? {
            Some(begin) if begin.saturating_sub(leeway_ms) > now.as_millis() => {
                Err(Unauthorized::Early)
            }
            _ => Ok(Timestamp::from_millis(expires_at)),
        }
    }

    fn rights(&self, claims: &Map<String, Value>) -> Result<Rights, Unauthorized> {
        let config = &self.config;
        let user: UserId = identifier(claims, &config.user_claims)?;
        let tenant = match &config.single_tenant {
            Some(single) => the_only_tenant(claims, &config.tenant_claims, single)?,
            None => identifier(claims, &config.tenant_claims)?,
        };
        let access = match config.policy {
            AccessPolicy::Open => Access::Open,
            AccessPolicy::Claims => {
                let rooms = patterns(claims, &config.rooms_claim, str::to_owned)?;
                Access::Claims(self.pool.patterns(rooms.unwrap_or_default()))
            }
        };
        let link = match patterns(claims, &config.link_claim, account_room)? {
            Some(accounts) => LinkRights::Claims(self.pool.patterns(accounts)),
            None => match config.link_default {
                LinkDefault::Subscribe => LinkRights::Subscribed,
                LinkDefault::Nobody => LinkRights::Claims(self.pool.patterns(Vec::new())),
            },
        };
        Ok(Rights::new(self.pool.tenant(tenant), user, access, link))
    }
}

impl Default for AuthConfig {
    /// Everything but the key, which has no default: an empty secret, which `serve` refuses.
    fn default() -> Self {
        Self {
            verification: Verification::Hs256(Box::default()),
            user_claims: ["userId", "sub", "id"].map(String::from).into(),
            tenant_claims: vec!["tenantId".into()],
            rooms_claim: "rooms".into(),
            link_claim: "link".into(),
            link_default: LinkDefault::Subscribe,
            single_tenant: None,
            leeway: Duration::ZERO,
            policy: AccessPolicy::Claims,
        }
    }
}

impl fmt::Debug for Verification {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Hs256(_) => "Hs256(..)",
            Self::Rs256(_) => "Rs256(..)",
        })
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Authenticator")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// The `jti` claim (RFC 7519, section 4.1.7); one that could not be revoked is refused.
fn token_id(claims: &Map<String, Value>) -> Result<Option<Arc<str>>, Unauthorized> {
    match claims.get("jti") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(id)) if (1..=ID_LEN_MAX).contains(&id.len()) => {
            Ok(Some(id.as_str().into()))
        }
        Some(_) => Err(Unauthorized::claim("jti", ClaimFault::Unusable)),
    }
}

/// A `NumericDate` (RFC 7519, section 2) in milliseconds.
fn numeric_date(claims: &Map<String, Value>, name: &str) -> Result<Option<i64>, Unauthorized> {
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
fn identifier<T: std::str::FromStr>(
    claims: &Map<String, Value>,
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
fn the_only_tenant(
    claims: &Map<String, Value>,
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
fn patterns(
    claims: &Map<String, Value>,
    name: &str,
    room: fn(&str) -> String,
) -> Result<Option<Vec<Pattern>>, Unauthorized> {
    let invalid = || Unauthorized::claim(name, ClaimFault::Unusable);
    let list = match claims.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(list)) if list.len() <= Authenticator::PATTERNS_MAX => list,
        Some(_) => return Err(invalid()),
    };
    let parse = |value: &Value| {
        let text = value.as_str().ok_or_else(invalid)?;
        room(text).parse().map_err(|_| invalid())
    };
    list.iter().map(parse).collect::<Result<_, _>>().map(Some)
}

/// Accounts may be named with or without the kind of their room.
fn account_room(text: &str) -> String {
    if text.starts_with("whatsapp:") {
        text.to_owned()
    } else {
        format!("whatsapp:{text}")
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use jsonwebtoken::{EncodingKey, Header};
    use serde_json::json;
    use switchboard_event::Room;

    use super::*;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn now() -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000)
    }

    #[test]
    fn a_good_token_names_user_tenant_and_end() {
        let identity = check(&json!({"sub": "ana", "tenantId": "acme", "exp": 1_700_000_060}));

        let identity = identity.unwrap();
        assert_eq!(identity.rights.user().as_str(), "ana");
        assert_eq!(identity.rights.tenant().as_str(), "acme");
        assert_eq!(
            identity.expires_at,
            Timestamp::from_millis(1_700_000_060_000)
        );
    }

    #[test]
    fn numbers_are_taken_as_their_text_and_the_first_claim_wins() {
        let claims = json!({"sub": 7, "id": "x", "tenantId": 12, "exp": 1_700_000_060});

        let rights = check(&claims).unwrap().rights;

        assert_eq!(
            (rights.user().as_str(), rights.tenant().as_str()),
            ("7", "12")
        );
    }

    #[test]
    fn claims_that_are_missing_or_unusable_are_named() {
        let good = json!({"sub": "ana", "tenantId": "acme", "exp": 1_700_000_060});
        let with = |name: &str, value: Value| {
            let mut claims = good.clone();
            claims[name] = value;
            check(&claims).map(|_| ())
        };

        assert_eq!(
            with("sub", Value::Null),
            Err(Unauthorized::ClaimMissing("userId or sub or id".into()))
        );
        assert_eq!(
            with("tenantId", Value::Null),
            Err(Unauthorized::ClaimMissing("tenantId".into()))
        );
        assert_eq!(
            with("exp", Value::Null),
            Err(Unauthorized::ClaimMissing("exp".into()))
        );
        for (name, value) in [
            ("tenantId", json!("*")),
            ("tenantId", json!("a b")),
            ("userId", json!({})),
            ("rooms", json!("contact:*")),
            ("rooms", json!([7])),
            ("rooms", json!(["a*b"])),
            ("link", json!({})),
            ("exp", json!("soon")),
        ] {
            assert_eq!(
                with(name, value),
                Err(Unauthorized::claim(name, ClaimFault::Unusable))
            );
        }
    }

    #[test]
    fn a_single_tenant_is_that_of_tokens_that_name_it_or_none() {
        let single = Authenticator::new(AuthConfig {
            verification: Verification::Hs256(SECRET.into()),
            tenant_claims: vec!["tenantId".into(), "org".into()],
            single_tenant: Some("acme".parse().unwrap()),
            ..AuthConfig::default()
        })
        .unwrap();
        let check = |tenants: Value| {
            let mut claims = json!({"sub": "ana", "exp": 1_700_000_060});
            claims
                .as_object_mut()
                .unwrap()
                .extend(tenants.as_object().unwrap().clone());
            let identity = authenticate(&single, &sign(&claims));
            identity.map(|identity| identity.rights.tenant().to_string())
        };
        let other = |claim| Err(Unauthorized::claim(claim, ClaimFault::OtherTenant));

        assert_eq!(check(json!({})), Ok("acme".into()));
        assert_eq!(check(json!({"tenantId": null})), Ok("acme".into()));
        assert_eq!(check(json!({"tenantId": "acme"})), Ok("acme".into()));
        assert_eq!(check(json!({"tenantId": "globex"})), other("tenantId"));
        assert_eq!(
            check(json!({"tenantId": "acme", "org": "globex"})),
            other("org")
        );
        assert_eq!(
            check(json!({"tenantId": {}})),
            Err(Unauthorized::claim("tenantId", ClaimFault::Unusable))
        );
    }

    #[test]
    fn milliseconds_are_not_taken_for_seconds() {
        let at = |exp: i64| check(&json!({"sub": "a", "tenantId": "t", "exp": exp})).map(|_| ());
        let ten_years = i64::try_from(Authenticator::LIFETIME_MAX.as_secs()).unwrap();

        assert_eq!(at(1_700_000_000 + ten_years), Ok(()));
        for exp in [1_700_000_001 + ten_years, 1_700_000_060_000, i64::MAX] {
            assert_eq!(
                at(exp),
                Err(Unauthorized::claim("exp", ClaimFault::Milliseconds))
            );
        }
    }

    #[test]
    fn times_are_kept_to_the_second() {
        let at = |claims: Value| check(&claims).map(|_| ());
        let base = |exp: i64| json!({"sub": "a", "tenantId": "t", "exp": exp});

        assert_eq!(at(base(1_700_000_000)), Err(Unauthorized::Expired));
        assert_eq!(at(base(1_700_000_001)), Ok(()));
        let mut early = base(1_700_000_100);
        early["nbf"] = json!(1_700_000_001);
        assert_eq!(at(early), Err(Unauthorized::Early));
    }

    #[test]
    fn another_algorithm_or_another_key_is_refused_and_only_the_log_learns_which() {
        let claims = json!({"sub": "ana", "tenantId": "acme", "exp": 1_700_000_060});
        let sign = |algorithm, secret: &[u8]| {
            let key = EncodingKey::from_secret(secret);
            jsonwebtoken::encode(&Header::new(algorithm), &claims, &key).unwrap()
        };

        for (token, why) in [
            (sign(Algorithm::HS256, b"another"), InvalidToken::Signature),
            (sign(Algorithm::HS512, SECRET), InvalidToken::Algorithm),
            (
                "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbmEifQ.".to_owned(),
                InvalidToken::Algorithm,
            ),
            ("no token".to_owned(), InvalidToken::Malformed),
            (String::new(), InvalidToken::Malformed),
        ] {
            let refused = authenticate(&authenticator(), &token).unwrap_err();

            assert_eq!(refused, Unauthorized::Invalid(why));
            assert_eq!(refused.message(), "token invalid");
        }
        let long = "x".repeat(Authenticator::TOKEN_LEN_MAX + 1);
        assert!(matches!(
            authenticate(&authenticator(), &long),
            Err(Unauthorized::TooLong(_))
        ));
    }

    #[test]
    fn rooms_and_accounts_come_from_their_claims() {
        let claims = json!({
            "sub": "ana", "tenantId": "acme", "exp": 1_700_000_060,
            "rooms": ["whatsapp:*", "contact:42"], "link": ["1", "whatsapp:2"],
        });

        let rights = check(&claims).unwrap().rights;

        let link = |id: &str| Room::whatsapp_link(&id.parse().unwrap()).unwrap();
        assert!(rights.grant(Room::contact(&"42".parse().unwrap())).is_ok());
        assert!(rights.grant(Room::contact(&"43".parse().unwrap())).is_err());
        assert!(rights.grant(link("1")).is_ok());
        assert!(rights.grant(link("2")).is_ok());
        assert!(rights.grant(link("3")).is_err());
    }

    fn check(claims: &Value) -> Result<Identity, Unauthorized> {
        authenticate(&authenticator(), &sign(claims))
    }

    fn authenticate(by: &Authenticator, token: &str) -> Result<Identity, Unauthorized> {
        by.authenticate(token, now())
            .now_or_never()
            .expect("nothing is fetched")
    }

    fn sign(claims: &Value) -> String {
        let key = EncodingKey::from_secret(SECRET);
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key).unwrap()
    }

    fn authenticator() -> Authenticator {
        Authenticator::new(AuthConfig {
            verification: Verification::Hs256(SECRET.into()),
            ..AuthConfig::default()
        })
        .unwrap()
    }
}
