//! The text of a token, before and after its signature was checked.

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use crate::unauthorized::{ClaimFault, InvalidToken, Unauthorized};

/// A token that nobody has verified: only good to find out whose key it needs.
pub(crate) struct Unverified<'a> {
    algorithm: Algorithm,
    key_id: Option<Box<str>>,
    issuer: Option<Box<str>>,
    claims: Map<String, Value>,
    /// What is signed.
    message: &'a [u8],
    signature: &'a str,
}

/// Claims whose signature was right. Made by [`Unverified::verify`] alone.
#[derive(Debug)]
pub(crate) struct Claims(Map<String, Value>);

/// What is read of the header. Whatever else it says, where to find a key above all (`jku`, `x5u`,
/// `jwk`, `x5c`), is not.
#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    #[serde(borrow)]
    kid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    typ: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "present")]
    crit: bool,
}

impl<'a> Unverified<'a> {
    /// Reads the three parts of a JWS in its compact form (RFC 7515, 7.1).
    pub(crate) fn parse(text: &'a str) -> Result<Self, Unauthorized> {
        let malformed = || Unauthorized::Invalid(InvalidToken::Malformed);
        let (message, signature) = text.rsplit_once('.').ok_or_else(malformed)?;
        let (header, payload) = message.split_once('.').ok_or_else(malformed)?;
        let decode = |part| BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed());
        let header = decode(header)?;
        let header: Header<'_> = serde_json::from_slice(&header).map_err(|_| malformed())?;
        let invalid = |why| Err(Unauthorized::Invalid(why));
        if header.crit {
            return invalid(InvalidToken::Critical);
        }
        if !header.typ.as_deref().is_none_or(is_type_of_access) {
            return invalid(InvalidToken::Type);
        }
        if header
            .kid
            .as_ref()
            .is_some_and(|id| id.len() > KEY_ID_LEN_MAX)
        {
            return invalid(InvalidToken::Malformed);
        }
        let Ok(algorithm) = header.alg.parse() else {
            return invalid(InvalidToken::Algorithm);
        };
        let claims: Map<String, Value> =
            serde_json::from_slice(&decode(payload)?).map_err(|_| malformed())?;
        let issuer = match claims.get("iss") {
            None | Some(Value::Null) => None,
            Some(Value::String(issuer)) => Some(issuer.as_str().into()),
            Some(_) => return Err(Unauthorized::claim("iss", ClaimFault::Unusable)),
        };
        Ok(Self {
            algorithm,
            key_id: header.kid.map(|id| id.as_ref().into()),
            issuer,
            claims,
            message: message.as_bytes(),
            signature,
        })
    }

    /// Checks the signature. What the token says may be believed after that, and not before.
    pub(crate) fn verify(self, key: &DecodingKey) -> Result<Claims, Unauthorized> {
        let algorithm = self.algorithm.library();
        match jsonwebtoken::crypto::verify(self.signature, self.message, key, algorithm) {
            Ok(true) => Ok(Claims(self.claims)),
            Ok(false) | Err(_) => Err(Unauthorized::Invalid(InvalidToken::Signature)),
        }
    }

    /// How it says that it is signed.
    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Which of its issuer's keys it says it is signed with.
    pub(crate) fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// Who says that it comes from: good for choosing among those that are configured, no more.
    pub(crate) fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }
}

impl Claims {
    /// The claim of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }
}

/// Tokens for other ends (`dpop+jwt`, `logout+jwt`, `secevent+jwt`) may be signed with the same key.
fn is_type_of_access(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    matches!(
        typ.strip_prefix("application/").unwrap_or(&typ),
        "jwt" | "at+jwt"
    )
}

/// True for whatever stands there, `null` too.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer)?;
    Ok(true)
}

/// The longest name of a key, in bytes.
pub(crate) const KEY_ID_LEN_MAX: usize = 256;
