//! Who the clients are: tokens, minted here.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The secret that the servers under test share with the load generator.
pub(crate) const SECRET: &str = "bench-secret-of-at-least-32-bytes-that-protects-nothing";

/// The one tenant of the bench.
pub(crate) const TENANT: &str = "acme";

/// An HS256 token for the client with this number, valid for a day.
pub(crate) fn token(number: usize, now_s: u64) -> String {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let claims = URL_SAFE_NO_PAD.encode(format!(
        r#"{{"userId":"user-{number}","tenantId":"{TENANT}","rooms":["whatsapp:*"],"iat":{now_s},"exp":{}}}"#,
        now_s + 86_400
    ));
    let signed = format!("{header}.{claims}");
    let mut mac =
        Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(signed.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    format!("{signed}.{signature}")
}
