//! Tokens for clients, signed with the shared secret.
//!
//! The CRM signs the tokens of its users. These are for trying things out, and for the demo.

use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value, json};
use switchboard_event::{TenantId, Timestamp, UserId};
use switchboard_gateway::Authenticator;

use crate::settings::{Auth, Verification};

/// Who a token is for, and what it may hear.
#[derive(Clone, Debug)]
pub struct Claims {
    /// The user.
    pub user: UserId,
    /// The tenant; none if the settings name the only one.
    pub tenant: Option<TenantId>,
    /// Patterns of rooms that may be joined: `whatsapp:*`, `contact:42`.
    pub rooms: Vec<String>,
    /// Patterns of accounts that may be paired. None: what the settings say.
    pub link: Option<Vec<String>>,
    /// For how long the token is good.
    pub ttl: Duration,
}

/// Why no token was signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The settings hold a public key: only who has the private one can sign.
    #[error("auth.algorithm is RS256: only the holder of the private key can sign tokens")]
    NoSecret,
    /// Tenants are named by tokens, and this one names none.
    #[error("a token needs a tenant unless auth.single_tenant is set")]
    NoTenant,
    /// The settings name one tenant for everybody, and the token another.
    #[error("tenant is {given}, but auth.single_tenant is {single}")]
    OtherTenant {
        /// What was asked for.
        given: TenantId,
        /// What the settings say.
        single: TenantId,
    },
    /// The token would be good for longer than servers believe.
    #[error(
        "time to live is {}, the server takes at most {}",
        humantime::format_duration(*.0),
        humantime::format_duration(Authenticator::LIFETIME_MAX)
    )]
    TooLong(Duration),
    /// The library refused to sign.
    #[error("cannot sign: {0}")]
    Failed(#[from] jsonwebtoken::errors::Error),
}

impl Claims {
    /// Signs these claims under the names that `auth` gives them.
    ///
    /// # Errors
    ///
    /// If `auth` has no secret, or its tenant and that of the claims do not go together.
    pub fn sign(&self, auth: &Auth, now: Timestamp) -> Result<String, SignError> {
        let Verification::Hs256(secret) = &auth.verification else {
            return Err(SignError::NoSecret);
        };
        let claims = self.payload(auth, now)?;
        let key = EncodingKey::from_secret(secret.reveal().as_bytes());
        Ok(jsonwebtoken::encode(
            &Header::new(Algorithm::HS256),
            &claims,
            &key,
        )?)
    }

    fn payload(&self, auth: &Auth, now: Timestamp) -> Result<Value, SignError> {
        let expires = now
            .checked_add(self.ttl)
            .filter(|_| self.ttl <= Authenticator::LIFETIME_MAX)
            .ok_or(SignError::TooLong(self.ttl))?;
        let mut claims = Map::new();
        claims.insert(first(&auth.user_claims, "sub"), json!(self.user.as_str()));
        match (&self.tenant, &auth.single_tenant) {
            (Some(given), Some(single)) if given != single => {
                return Err(SignError::OtherTenant {
                    given: given.clone(),
                    single: single.clone(),
                });
            }
            (Some(given), _) => {
                claims.insert(
                    first(&auth.tenant_claims, "tenantId"),
                    json!(given.as_str()),
                );
            }
            (None, Some(_)) => {}
            (None, None) => return Err(SignError::NoTenant),
        }
        claims.insert(auth.rooms_claim.clone(), json!(self.rooms));
        if let Some(link) = &self.link {
            claims.insert(auth.link_claim.clone(), json!(link));
        }
        claims.insert("iat".to_owned(), json!(now.as_millis() / 1000));
        claims.insert("exp".to_owned(), json!(expires.as_millis() / 1000));
        Ok(Value::Object(claims))
    }
}

fn first(names: &[String], otherwise: &str) -> String {
    names.first().map_or(otherwise, String::as_str).to_owned()
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{DecodingKey, Validation};

    use super::*;
    use crate::clock;
    use crate::settings::Secret;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_token_says_what_it_was_made_of() {
        let claims = Claims {
            link: Some(vec!["support".to_owned()]),
            ..claims(Some("acme"))
        };
        let now = clock::now();

        let token = claims.sign(&auth(), now).unwrap();

        let read = verify(&token);
        let issued = now.as_millis() / 1000;
        assert_eq!(
            read,
            json!({
                "userId": "7",
                "tenantId": "acme",
                "rooms": ["whatsapp:*"],
                "link": ["support"],
                "iat": issued,
                "exp": issued + 3600,
            })
        );
    }

    #[test]
    fn the_names_of_claims_are_those_of_the_settings() {
        let auth = Auth {
            user_claims: vec!["sub".to_owned()],
            rooms_claim: "r".to_owned(),
            ..auth()
        };

        let read = verify(&claims(Some("acme")).sign(&auth, clock::now()).unwrap());

        assert_eq!(read["sub"], "7");
        assert_eq!(read["r"], json!(["whatsapp:*"]));
    }

    #[test]
    fn a_tenant_is_named_by_the_token_or_by_the_settings() {
        let single = Auth {
            single_tenant: Some("acme".parse().unwrap()),
            ..auth()
        };
        let now = clock::now();

        assert!(matches!(
            claims(None).sign(&auth(), now),
            Err(SignError::NoTenant)
        ));
        assert!(matches!(
            claims(Some("other")).sign(&single, now),
            Err(SignError::OtherTenant { .. })
        ));
        assert!(
            verify(&claims(None).sign(&single, now).unwrap())
                .get("tenantId")
                .is_none()
        );
    }

    #[test]
    fn no_token_is_signed_that_the_server_would_take_for_one_in_milliseconds() {
        let sign = |ttl| {
            let claims = Claims {
                ttl,
                ..claims(Some("acme"))
            };
            claims.sign(&auth(), clock::now())
        };

        assert!(sign(Authenticator::LIFETIME_MAX).is_ok());
        for ttl in [
            Authenticator::LIFETIME_MAX + Duration::from_secs(1),
            Duration::MAX,
        ] {
            assert!(matches!(sign(ttl), Err(SignError::TooLong(_))), "{ttl:?}");
        }
    }

    #[test]
    fn a_public_key_signs_nothing() {
        let auth = Auth::new(Verification::Rs256("-----BEGIN PUBLIC KEY-----".to_owned()));

        assert!(matches!(
            claims(Some("acme")).sign(&auth, clock::now()),
            Err(SignError::NoSecret)
        ));
    }

    fn auth() -> Auth {
        Auth::new(Verification::Hs256(Secret::new(SECRET)))
    }

    fn claims(tenant: Option<&str>) -> Claims {
        Claims {
            user: "7".parse().unwrap(),
            tenant: tenant.map(|tenant| tenant.parse().unwrap()),
            rooms: vec!["whatsapp:*".to_owned()],
            link: None,
            ttl: Duration::from_hours(1),
        }
    }

    fn verify(token: &str) -> Value {
        let key = DecodingKey::from_secret(SECRET.as_bytes());
        jsonwebtoken::decode(token, &key, &Validation::new(Algorithm::HS256))
            .unwrap()
            .claims
    }
}
