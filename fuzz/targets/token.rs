//! Tokens: what is not signed with the key is nobody's, and what is says who, until when, or why not.
//!
//! Input: a token; or, if it has a line break, the header and the claims of one as JSON, which is then
//! signed as it should be.

#![no_main]

use std::pin::pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use switchboard_event::Timestamp;
use switchboard_gateway::{
    Algorithm, AuthConfig, Authenticator, Identity, IssuerConfig, KeySource, Unauthorized,
    Verification,
};

const SECRET: &[u8] = b"a secret of the fuzzer, and of nobody else";
/// 2025-11-05T10:00:00Z.
const NOW_S: i64 = 1_762_336_800;

static AUTHENTICATOR: LazyLock<Authenticator> = LazyLock::new(|| {
    let issuer = IssuerConfig::new(Verification {
        algorithms: vec![Algorithm::HS256],
        keys: KeySource::Secret(SECRET.into()),
    });
    let strict = IssuerConfig {
        name: Some("https://id.example.com".to_owned()),
        audience: vec!["switchboard".to_owned()],
        single_tenant: Some("acme".parse().expect("a tenant")),
        ..issuer.clone()
    };
    let config = AuthConfig {
        issuers: vec![issuer, strict],
        ..AuthConfig::default()
    };
    Authenticator::new(config).expect("valid settings")
});

fuzz_target!(|text: &str| {
    let Some((header, claims)) = text.split_once('\n') else {
        let refused = authenticate(text).expect_err("a token of somebody else");
        check_refused(&refused);
        return;
    };
    let token = signed(header, claims);
    match authenticate(&token) {
        Ok(identity) => check(&identity, header, claims),
        Err(refused) => check_refused(&refused),
    }
    // The last character also holds bits that are none of the signature.
    let (kept, signature) = token.split_at(token.len() - 43);
    let other = if signature.starts_with('A') { "B" } else { "A" };
    let refused = authenticate(&format!("{kept}{other}{}", &signature[1..]));
    check_refused(&refused.expect_err("a token that was changed"));
});

fn authenticate(token: &str) -> Result<Identity, Unauthorized> {
    let now = Timestamp::from_millis(NOW_S * 1_000);
    let asked = pin!(AUTHENTICATOR.authenticate(token, now));
    match asked.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("nobody has to be asked"),
    }
}

fn signed(header: &str, claims: &str) -> String {
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let message = format!(
        "{}.{}",
        encode(header.as_bytes()),
        encode(claims.as_bytes())
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
    let signature = hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", encode(signature.as_ref()))
}

/// What holds for whoever is let in.
fn check(identity: &Identity, header: &str, claims: &str) {
    let header: Value = serde_json::from_str(header).expect("a header is JSON");
    assert_eq!(header["alg"], "HS256");
    assert!(header.get("crit").is_none());
    let claims: Value = serde_json::from_str(claims).expect("claims are JSON");
    assert!(claims.get("exp").is_some_and(Value::is_number), "no end");
    let (now, end) = (Timestamp::from_millis(NOW_S * 1_000), identity.expires_at);
    assert!(end > now, "over already: {end}");
    let longest = now.checked_add(Authenticator::LIFETIME_MAX);
    assert!(longest.is_some_and(|longest| end <= longest), "{end}");
    let rights = &identity.rights;
    assert!(!rights.user().as_str().is_empty() && !rights.tenant().is_everyone());
    if claims
        .get("iss")
        .is_some_and(|issuer| issuer == "https://id.example.com")
    {
        assert_eq!(rights.tenant().as_str(), "acme");
    }
}

fn check_refused(refused: &Unauthorized) {
    assert!(!refused.passes(), "nobody has to be asked");
    assert!(
        refused
            .code()
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
        "{}",
        refused.code()
    );
    assert!(
        refused.to_string().len() < 1_000,
        "a reason as long as the token"
    );
}
