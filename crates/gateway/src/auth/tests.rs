use futures_util::FutureExt as _;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};
use switchboard_event::Room;
use switchboard_hub::{Decision, Rules};

use super::*;
use crate::unauthorized::ClaimFault;

mod hostile;
mod issuers;
mod signer;

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
    let single = only(IssuerConfig {
        tenant_claims: vec!["tenantId".into(), "org".into()],
        single_tenant: Some("acme".parse().unwrap()),
        ..IssuerConfig::new(hs256())
    });
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
fn a_token_of_the_future_is_refused_and_clocks_may_differ_by_the_leeway() {
    let lenient = Authenticator::new(AuthConfig {
        issuers: vec![IssuerConfig::new(hs256())],
        leeway: Duration::from_secs(30),
        ..AuthConfig::default()
    });
    let lenient = lenient.unwrap();
    let at = |by: &Authenticator, name: &str, seconds: i64| {
        let mut claims = json!({"sub": "a", "tenantId": "t", "exp": 1_700_000_900});
        claims[name] = json!(1_700_000_000 + seconds);
        authenticate(by, &sign(&claims)).map(|_| ())
    };
    let future = Err(Unauthorized::claim("iat", ClaimFault::Future));

    assert_eq!(at(&authenticator(), "iat", 0), Ok(()));
    assert_eq!(at(&authenticator(), "iat", 1), future);
    assert_eq!(at(&lenient, "iat", 30), Ok(()));
    assert_eq!(at(&lenient, "iat", 31), future);
    assert_eq!(at(&lenient, "nbf", 30), Ok(()));
    assert_eq!(at(&lenient, "nbf", 31), Err(Unauthorized::Early));
    assert_eq!(at(&lenient, "exp", -29), Ok(()));
    assert_eq!(at(&lenient, "exp", -30), Err(Unauthorized::Expired));
}

#[test]
fn another_algorithm_or_another_key_is_refused_and_only_the_log_learns_which() {
    let claims = json!({"sub": "ana", "tenantId": "acme", "exp": 1_700_000_060});
    let sign = |algorithm, secret: &[u8]| {
        let key = EncodingKey::from_secret(secret);
        jsonwebtoken::encode(&Header::new(algorithm), &claims, &key).unwrap()
    };

    for (token, why) in [
        (
            sign(jsonwebtoken::Algorithm::HS256, b"another"),
            InvalidToken::Signature,
        ),
        (
            sign(jsonwebtoken::Algorithm::HS512, SECRET),
            InvalidToken::Algorithm,
        ),
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
    let contact = |id: &str| Room::contact(&id.parse().unwrap());
    let is_granted = |room| matches!(Rules::default().decide(&rights, room), Decision::Granted(_));
    assert!(is_granted(contact("42")));
    assert!(!is_granted(contact("43")));
    assert!(is_granted(link("1")));
    assert!(is_granted(link("2")));
    assert!(!is_granted(link("3")));
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
    jsonwebtoken::encode(&Header::default(), claims, &key).unwrap()
}

fn authenticator() -> Authenticator {
    only(IssuerConfig::new(hs256()))
}

fn only(issuer: IssuerConfig) -> Authenticator {
    of([issuer])
}

fn of<const N: usize>(issuers: [IssuerConfig; N]) -> Authenticator {
    Authenticator::new(AuthConfig {
        issuers: issuers.into(),
        ..AuthConfig::default()
    })
    .unwrap()
}

fn hs256() -> Verification {
    Verification {
        algorithms: vec![Algorithm::HS256],
        keys: KeySource::Secret(SECRET.into()),
    }
}
