//! Keys of every kind, and tokens that they sign.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::EncodingKey;
use jsonwebtoken::jwk::Jwk;
use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
    SignatureAlgorithm,
};
use serde_json::{Value, json};

use super::super::{Algorithm, KeyKind, KeySource, Verification};

/// Somebody who signs with one key.
pub(super) struct Signer {
    pub(super) algorithm: Algorithm,
    key: EncodingKey,
    /// The public key as it is, without a frame.
    raw: Vec<u8>,
    pub(super) pem: String,
    pub(super) private_pem: String,
}

impl Signer {
    /// One with a fresh key (with RSA the same one: making one takes long).
    pub(super) fn new(algorithm: Algorithm) -> Self {
        let fresh = |of: &'static SignatureAlgorithm| KeyPair::generate_for(of).unwrap();
        let pair = match algorithm.key_kind() {
            KeyKind::Secret => panic!("a public key is asked for"),
            KeyKind::Rsa => KeyPair::from_pem(&RSA.serialize_pem()).unwrap(),
            KeyKind::P256 => fresh(&PKCS_ECDSA_P256_SHA256),
            KeyKind::P384 => fresh(&PKCS_ECDSA_P384_SHA384),
            KeyKind::Ed25519 => fresh(&PKCS_ED25519),
        };
        let private_pem = pair.serialize_pem();
        let key = match algorithm.key_kind() {
            KeyKind::Rsa => EncodingKey::from_rsa_pem(private_pem.as_bytes()),
            KeyKind::Ed25519 => EncodingKey::from_ed_pem(private_pem.as_bytes()),
            _ => EncodingKey::from_ec_pem(private_pem.as_bytes()),
        };
        Self {
            algorithm,
            key: key.unwrap(),
            raw: pair.public_key_raw().to_vec(),
            pem: pair.public_key_pem(),
            private_pem,
        }
    }

    /// The verification by its public key.
    pub(super) fn verification(&self) -> Verification {
        Verification {
            algorithms: vec![self.algorithm],
            keys: KeySource::PublicKey(self.pem.as_bytes().into()),
        }
    }

    /// Its public key for a set, with `more` fields laid upon it.
    pub(super) fn jwk(&self, more: Value) -> Value {
        let mut jwk = if self.algorithm == Algorithm::EdDSA {
            let x = BASE64_URL_SAFE_NO_PAD.encode(&self.raw);
            json!({"kty": "OKP", "crv": "Ed25519", "x": x, "alg": "EdDSA"})
        } else {
            let jwk = Jwk::from_encoding_key(&self.key, self.algorithm.library());
            serde_json::to_value(jwk.unwrap()).unwrap()
        };
        lay(&mut jwk, more);
        jwk
    }

    pub(super) fn sign(&self, claims: &Value) -> String {
        self.sign_with(json!({}), claims)
    }

    /// The same, with `more` in the header; whatever it says, it is signed by the algorithm.
    pub(super) fn sign_with(&self, more: Value, claims: &Value) -> String {
        let mut header = json!({"alg": self.algorithm.name()});
        lay(&mut header, more);
        self.sign_text(&header.to_string(), claims)
    }

    /// The same, with the header as it stands.
    pub(super) fn sign_text(&self, header: &str, claims: &Value) -> String {
        signed(header, claims, &self.key, self.algorithm)
    }
}

/// A token signed by HMAC with `secret`, under any header.
pub(super) fn hmac(header: &str, claims: &Value, secret: &[u8]) -> String {
    let key = EncodingKey::from_secret(secret);
    signed(header, claims, &key, Algorithm::HS256)
}

/// A set of keys that no server is asked for.
pub(super) fn jwks(keys: &[Value], algorithms: &[Algorithm]) -> Verification {
    let text = json!({ "keys": keys }).to_string();
    Verification {
        algorithms: algorithms.into(),
        keys: KeySource::Jwks(text.into_bytes().into()),
    }
}

fn signed(header: &str, claims: &Value, key: &EncodingKey, algorithm: Algorithm) -> String {
    let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    let message = format!("{}.{}", part(header), part(&claims.to_string()));
    let signature =
        jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm.library()).unwrap();
    format!("{message}.{signature}")
}

/// `null` takes a field out.
fn lay(value: &mut Value, more: Value) {
    let Value::Object(more) = more else {
        panic!("no object")
    };
    for (name, one) in more {
        if one.is_null() {
            value.as_object_mut().unwrap().remove(&name);
        } else {
            value[name] = one;
        }
    }
}

static RSA: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap());
