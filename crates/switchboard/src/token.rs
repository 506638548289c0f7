//! Tokens for clients, signed with the shared secret.
//!
//! The CRM signs the tokens of its users. These are for trying things out, and for the demo.

use std::time::Duration;

use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Map, Value, json};
use switchboard_event::{TenantId, Timestamp, UserId};
use switchboard_gateway::{Algorithm, Authenticator};

use crate::settings::{Auth, Keys, Verification};

/// Who a token is for, and what it may hear.
#[derive(Clone, Debug)]
pub struct Claims {
    /// Whose token it is to be: one of `[[auth.issuers]]`. None: that of `[auth]`.
    pub issuer: Option<String>,
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
    /// The settings hold public keys: only who has the private one can sign.
    #[error("tokens are {0}: only the holder of the private key can sign them")]
    NoSecret(String),
    /// The settings name no such issuer.
    #[error("there is no issuer {0:?} in the settings")]
    NoIssuer(String),
    /// Only further issuers sign, and none is named.
    #[error("only [[auth.issuers]] sign tokens, and none of them is named")]
    NoneNamed,
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
        let signer = Signer::of(auth, self.issuer.as_deref())?;
        let Keys::Secret(secret) = &signer.verification.keys else {
            return Err(SignError::NoSecret(signer.verification.to_string()));
        };
        let claims = self.payload(&signer, now)?;
        let key = EncodingKey::from_secret(secret.reveal().as_bytes());
        let algorithm = match signer.verification.algorithms.first() {
            Some(Algorithm::HS384) => jsonwebtoken::Algorithm::HS384,
            Some(Algorithm::HS512) => jsonwebtoken::Algorithm::HS512,
            _ => jsonwebtoken::Algorithm::HS256,
        };
        Ok(jsonwebtoken::encode(
            &Header::new(algorithm),
            &claims,
            &key,
        )?)
    }

    fn payload(&self, auth: &Signer<'_>, now: Timestamp) -> Result<Value, SignError> {
        let expires = now
            .checked_add(self.ttl)
            .filter(|_| self.ttl <= Authenticator::LIFETIME_MAX)
            .ok_or(SignError::TooLong(self.ttl))?;
        let mut claims = Map::new();
        if let Some(name) = auth.name {
            claims.insert("iss".to_owned(), json!(name));
        }
        if let Some(audience) = auth.audience.first() {
            claims.insert("aud".to_owned(), json!(audience));
        }
        claims.insert(first(auth.user_claims, "sub"), json!(self.user.as_str()));
        match (&self.tenant, auth.single_tenant) {
            (Some(given), Some(single)) if given != single => {
                return Err(SignError::OtherTenant {
                    given: given.clone(),
                    single: single.clone(),
                });
            }
            (Some(given), _) => {
                claims.insert(first(auth.tenant_claims, "tenantId"), json!(given.as_str()));
            }
            (None, Some(_)) => {}
            (None, None) => return Err(SignError::NoTenant),
        }
        claims.insert(auth.rooms_claim.to_owned(), json!(self.rooms));
        if let Some(link) = &self.link {
            claims.insert(auth.link_claim.to_owned(), json!(link));
        }
        claims.insert("iat".to_owned(), json!(now.as_millis() / 1000));
        claims.insert("exp".to_owned(), json!(expires.as_millis() / 1000));
        Ok(Value::Object(claims))
    }
}

/// As whom a token is signed.
struct Signer<'a> {
    name: Option<&'a str>,
    audience: &'a [String],
    verification: &'a Verification,
    single_tenant: Option<&'a TenantId>,
    user_claims: &'a [String],
    tenant_claims: &'a [String],
    rooms_claim: &'a str,
    link_claim: &'a str,
}

impl<'a> Signer<'a> {
    /// The issuer of that name, or the one of `[auth]`.
    fn of(auth: &'a Auth, issuer: Option<&str>) -> Result<Self, SignError> {
        let Some(name) = issuer.filter(|name| auth.issuer.as_deref() != Some(*name)) else {
            return Ok(Self {
                name: auth.issuer.as_deref(),
                audience: &auth.audience,
                verification: auth.verification.as_ref().ok_or(SignError::NoneNamed)?,
                single_tenant: auth.single_tenant.as_ref(),
                user_claims: &auth.user_claims,
                tenant_claims: &auth.tenant_claims,
                rooms_claim: &auth.rooms_claim,
                link_claim: &auth.link_claim,
            });
        };
        let other = auth.issuers.iter().find(|other| other.issuer == name);
        let other = other.ok_or_else(|| SignError::NoIssuer(name.to_owned()))?;
        Ok(Self {
            name: Some(&other.issuer),
            audience: &other.audience,
            verification: &other.verification,
            single_tenant: other.tenant.as_ref(),
            user_claims: &other.user_claims,
            tenant_claims: &other.tenant_claims,
            rooms_claim: &other.rooms_claim,
            link_claim: &other.link_claim,
        })
    }
}

fn first(names: &[String], otherwise: &str) -> String {
    names.first().map_or(otherwise, String::as_str).to_owned()
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{Algorithm, DecodingKey, Validation};

    use super::*;
    use crate::clock;
    use crate::settings::{Issuer, Secret};

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
    fn a_token_is_signed_as_the_issuer_that_is_named() {
        let mut auth = Auth {
            issuer: Some("crm".to_owned()),
            audience: vec!["switchboard".to_owned()],
            ..auth()
        };
        auth.issuers = vec![Issuer {
            issuer: "sso".to_owned(),
            audience: Vec::new(),
            verification: Verification {
                algorithms: vec![switchboard_gateway::Algorithm::HS512],
                keys: Keys::Secret(Secret::new(SECRET)),
            },
            tenant: Some("globex".parse().unwrap()),
            user_claims: vec!["email".to_owned()],
            tenant_claims: Vec::new(),
            rooms_claim: "r".to_owned(),
            link_claim: "l".to_owned(),
        }];
        let sign = |issuer: Option<&str>, tenant| {
            let claims = Claims {
                issuer: issuer.map(str::to_owned),
                ..claims(tenant)
            };
            claims.sign(&auth, clock::now())
        };
        let read = |token: &str, algorithm| {
            let key = DecodingKey::from_secret(SECRET.as_bytes());
            let mut validation = Validation::new(algorithm);
            validation.validate_aud = false;
            let token = jsonwebtoken::decode::<Value>(token, &key, &validation);
            token.unwrap().claims
        };

        for own in [None, Some("crm")] {
            let token = sign(own, Some("acme")).unwrap();
            let said = read(&token, Algorithm::HS256);
            assert_eq!(
                (&said["iss"], &said["aud"]),
                (&json!("crm"), &json!("switchboard"))
            );
        }
        let said = read(&sign(Some("sso"), None).unwrap(), Algorithm::HS512);
        assert_eq!((&said["iss"], &said["email"]), (&json!("sso"), &json!("7")));
        assert!(matches!(
            sign(Some("sso"), Some("acme")),
            Err(SignError::OtherTenant { .. })
        ));
        assert!(matches!(sign(Some("x"), None), Err(SignError::NoIssuer(name)) if name == "x"));
        auth.verification = None;
        let nobody = claims(Some("acme")).sign(&auth, clock::now());
        assert!(matches!(nobody, Err(SignError::NoneNamed)));
    }

    #[test]
    fn a_public_key_signs_nothing() {
        let auth = Auth::new(Verification {
            algorithms: vec![switchboard_gateway::Algorithm::RS256],
            keys: Keys::PublicKey("-----BEGIN PUBLIC KEY-----".to_owned()),
        });

        assert!(matches!(
            claims(Some("acme")).sign(&auth, clock::now()),
            Err(SignError::NoSecret(how)) if how == "RS256 with the signer's public key"
        ));
    }

    fn auth() -> Auth {
        Auth::new(Verification::hs256(Secret::new(SECRET)))
    }

    fn claims(tenant: Option<&str>) -> Claims {
        Claims {
            issuer: None,
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
