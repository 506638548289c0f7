//! Who the clients are: tokens, minted here.

use anyhow::Context as _;
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The secret that the servers under test share with the load generator.
pub(crate) const SECRET: &str = "bench-secret-of-at-least-32-bytes-that-protects-nothing";

/// The one tenant of the bench.
pub(crate) const TENANT: &str = "acme";

/// Whose signature the servers under test trust.
#[derive(Debug)]
pub(crate) enum Signer {
    /// HS256, with [`SECRET`].
    Secret,
    /// ES256, with a key that was made for this run.
    Key(EcdsaKeyPair),
}

impl Signer {
    /// A fresh key on P-256.
    pub(crate) fn es256() -> anyhow::Result<Self> {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        Ok(Self::Key(key))
    }

    /// The public key as PEM, if there is one.
    pub(crate) fn public_pem(&self) -> anyhow::Result<Option<String>> {
        let Self::Key(key) = self else {
            return Ok(None);
        };
        let der = AsDer::<PublicKeyX509Der>::as_der(key.public_key());
        let text = STANDARD.encode(der.context("a public key has DER")?.as_ref());
        Ok(Some(format!(
            "-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n"
        )))
    }

    /// A token for the client with this number, valid for a day.
    pub(crate) fn token(&self, number: usize, now_s: u64) -> anyhow::Result<String> {
        let header = match self {
            Self::Secret => r#"{"alg":"HS256","typ":"JWT"}"#,
            Self::Key(_) => r#"{"alg":"ES256","typ":"JWT"}"#,
        };
        let header = URL_SAFE_NO_PAD.encode(header);
        let claims = URL_SAFE_NO_PAD.encode(format!(
            r#"{{"userId":"{}","tenantId":"{TENANT}","rooms":["whatsapp:*","claimed:*"],"iat":{now_s},"exp":{}}}"#,
            user(number),
            now_s + 86_400
        ));
        let signed = format!("{header}.{claims}");
        let signature = URL_SAFE_NO_PAD.encode(self.sign(signed.as_bytes())?);
        Ok(format!("{signed}.{signature}"))
    }

    fn sign(&self, message: &[u8]) -> anyhow::Result<Vec<u8>> {
        Ok(match self {
            Self::Secret => {
                let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes())?;
                mac.update(message);
                mac.finalize().into_bytes().to_vec()
            }
            Self::Key(key) => key.sign(&SystemRandom::new(), message)?.as_ref().to_vec(),
        })
    }
}

/// The user of the client with this number.
pub(crate) fn user(number: usize) -> String {
    format!("user-{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_either_kind_has_the_signature_that_its_header_names() {
        let key = Signer::es256().expect("a key");

        let lengths = [Signer::Secret, key].map(|signer| {
            let token = signer.token(7, 1_700_000_000).expect("a token");
            let parts: Vec<Vec<u8>> = token
                .split('.')
                .map(|part| URL_SAFE_NO_PAD.decode(part).expect("base64"))
                .collect();
            (parts.len(), parts[2].len())
        });

        assert_eq!(lengths, [(3, 32), (3, 64)]);
    }
}
