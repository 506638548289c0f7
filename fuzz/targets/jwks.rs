//! Sets of public keys: whatever an issuer serves, no secret and no private key verifies anything.
//!
//! Input: a JWK set.

#![no_main]

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use switchboard_event::Timestamp;
use switchboard_gateway::{
    Algorithm, AuthConfig, Authenticator, IssuerConfig, KeySource, Verification,
};

const ALGORITHMS: [Algorithm; 5] = [
    Algorithm::RS256,
    Algorithm::PS256,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// `{"alg":...,"kid":"1"}`, claims of nobody, and a signature of nothing, for each algorithm.
const TOKENS: [&str; 3] = [
    "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiI3In0.c2lnbmF0dXJl",
    "eyJhbGciOiJFUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiI3In0.c2lnbmF0dXJl",
    "eyJhbGciOiJFZERTQSIsImtpZCI6IjEifQ.eyJzdWIiOiI3In0.c2lnbmF0dXJl",
];

fuzz_target!(|text: &[u8]| {
    let verification = Verification {
        algorithms: ALGORITHMS.into(),
        keys: KeySource::Jwks(text.into()),
    };
    let checked = verification.check();
    let config = AuthConfig {
        issuers: vec![IssuerConfig::new(verification)],
        ..AuthConfig::default()
    };
    let made = Authenticator::new(config);
    assert_eq!(
        checked.is_ok(),
        made.is_ok(),
        "what was checked can be used"
    );
    let Ok(authenticator) = made else {
        let reason = checked.expect_err("as above").to_string();
        assert!(!reason.is_empty());
        return;
    };

    let set: Value = serde_json::from_slice(text).expect("a set is JSON");
    let keys = set["keys"].as_array().expect("a set has keys");
    assert!(keys.len() <= 64, "{} keys", keys.len());
    let is_public = |key: &Value| key["kty"] != "oct" && key["d"].is_null();
    assert!(keys.iter().any(is_public), "a key that is no public one");
    for token in TOKENS {
        let asked = pin!(authenticator.authenticate(token, Timestamp::from_millis(0)));
        let Poll::Ready(answer) = asked.poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("nobody has to be asked");
        };
        assert!(answer.is_err(), "a signature of nothing");
    }
});
