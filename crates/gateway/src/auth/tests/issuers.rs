//! Several who sign, and sets of keys.

use super::super::jwks::{Found, KeySet};
use super::signer::{Signer, hmac, jwks};
use super::*;

const CRM: &str = "https://crm.example.com";
const SSO: &str = "https://sso.example.com";

#[test]
fn a_key_verifies_its_own_issuer_only_whatever_its_name() {
    let (crm, sso) = (Signer::new(Algorithm::ES256), Signer::new(Algorithm::ES256));
    let set = |signer: &Signer| jwks(&[signer.jwk(json!({"kid": "1"}))], &[Algorithm::ES256]);
    let by = of([named(CRM, set(&crm)), named(SSO, set(&sso))]);
    let token = |signer: &Signer, issuer: &str| {
        let claims = json!({"sub": "a", "tenantId": "t", "exp": 1_700_000_060, "iss": issuer});
        signer.sign_with(json!({"kid": "1"}), &claims)
    };
    let check = |token: &str| authenticate(&by, token).map(|_| ());

    assert_eq!(check(&token(&crm, CRM)), Ok(()));
    assert_eq!(check(&token(&sso, SSO)), Ok(()));
    let wrong = Err(Unauthorized::Invalid(InvalidToken::Signature));
    assert_eq!(check(&token(&crm, SSO)), wrong);
    assert_eq!(check(&token(&sso, CRM)), wrong);
    let nobody = Err(Unauthorized::Invalid(InvalidToken::Issuer));
    for name in [
        "",
        "https://crm.example.com/",
        "HTTPS://CRM.EXAMPLE.COM",
        "*",
    ] {
        assert_eq!(check(&token(&crm, name)), nobody, "{name}");
    }
}

#[test]
fn an_issuer_without_a_name_takes_what_names_no_other() {
    let sso = Signer::new(Algorithm::EdDSA);
    let by = of([IssuerConfig::new(hs256()), named(SSO, sso.verification())]);
    let claims =
        |issuer: Value| json!({"sub": "a", "tenantId": "t", "exp": 1_700_000_060, "iss": issuer});
    let check = |token: &str| authenticate(&by, token).map(|_| ());

    assert_eq!(check(&sign(&claims(Value::Null))), Ok(()));
    assert_eq!(check(&sign(&claims(json!("anybody")))), Ok(()));
    assert_eq!(check(&sso.sign(&claims(json!(SSO)))), Ok(()));
    for (token, why) in [
        (sign(&claims(json!(SSO))), InvalidToken::Algorithm),
        (sso.sign(&claims(Value::Null)), InvalidToken::Algorithm),
    ] {
        assert_eq!(check(&token), Err(Unauthorized::Invalid(why)));
    }
    for odd in [json!([SSO]), json!(7), json!({})] {
        let refused = Err(Unauthorized::claim("iss", ClaimFault::Unusable));
        assert_eq!(check(&sign(&claims(odd))), refused);
    }
}

#[test]
fn an_issuer_that_speaks_for_one_tenant_lets_nobody_into_another() {
    let by = of([
        IssuerConfig::new(hs256()),
        IssuerConfig {
            single_tenant: Some("globex".parse().unwrap()),
            user_claims: vec!["email".into()],
            ..named(SSO, hs256())
        },
    ]);
    let tenant = |tenant: Value| {
        let claims = json!({
            "sub": "a", "email": "a@b", "tenantId": tenant, "exp": 1_700_000_060, "iss": SSO,
        });
        let identity = authenticate(&by, &sign(&claims))?;
        let rights = identity.rights;
        Ok((rights.tenant().to_string(), rights.user().to_string()))
    };

    let globex = ("globex".to_owned(), "a@b".to_owned());
    assert_eq!(tenant(Value::Null), Ok(globex.clone()));
    assert_eq!(tenant(json!("globex")), Ok(globex));
    let other = Unauthorized::claim("tenantId", ClaimFault::OtherTenant);
    assert_eq!(tenant(json!("acme")), Err(other));
}

#[test]
fn no_two_issuers_have_one_name() {
    for (issuers, what) in [
        ([named(CRM, hs256()), named(CRM, hs256())], CRM),
        (
            [IssuerConfig::new(hs256()), IssuerConfig::new(hs256())],
            "without a name",
        ),
    ] {
        let error = Authenticator::new(AuthConfig {
            issuers: issuers.into(),
            ..AuthConfig::default()
        })
        .unwrap_err();

        assert!(matches!(error, InvalidAuth::Twice(_)), "{error}");
        assert!(error.to_string().contains(what), "{error}");
    }
}

#[test]
fn a_token_is_for_whom_it_names() {
    let by = only(IssuerConfig {
        audience: vec!["switchboard".into(), "inbox".into()],
        ..IssuerConfig::new(hs256())
    });
    let check = |by: &Authenticator, audience: Value| {
        let claims = json!({"sub": "a", "tenantId": "t", "exp": 1_700_000_060, "aud": audience});
        authenticate(by, &sign(&claims)).map(|_| ())
    };

    for ours in [json!("switchboard"), json!(["billing", "inbox"])] {
        assert_eq!(check(&by, ours), Ok(()));
    }
    let other = Err(Unauthorized::claim("aud", ClaimFault::OtherAudience));
    for theirs in [
        json!("billing"),
        json!([]),
        json!({}),
        json!("switchboar"),
        json!([["inbox"]]),
    ] {
        assert_eq!(check(&by, theirs), other);
    }
    let missing = Err(Unauthorized::ClaimMissing("aud".into()));
    assert_eq!(check(&by, Value::Null), missing);
    assert_eq!(check(&authenticator(), json!("billing")), Ok(()));
}

#[test]
fn a_set_leaves_out_what_cannot_or_must_not_be_used() {
    let signer = Signer::new(Algorithm::ES256);
    let (rsa, other) = (Signer::new(Algorithm::RS256), Signer::new(Algorithm::ES384));
    let unusable = [
        json!({"kty": "oct", "k": "c2VjcmV0", "kid": "1", "alg": "HS256"}),
        signer.jwk(json!({"kid": "1", "use": "enc"})),
        signer.jwk(json!({"kid": "1", "key_ops": ["sign"]})),
        signer.jwk(json!({"kid": "1", "alg": "none"})),
        signer.jwk(json!({"kid": "1", "alg": "ES384"})),
        signer.jwk(json!({"kid": "1", "crv": "P-521"})),
        signer.jwk(json!({"kid": "1", "crv": "secp256k1"})),
        signer.jwk(json!({"kid": "1", "x": "AAAA"})),
        signer.jwk(json!({"kid": "1", "y": null})),
        signer.jwk(json!({"kid": "1", "d": "c2VjcmV0"})),
        signer.jwk(json!({"kid": "1".repeat(257)})),
        signer.jwk(json!({"kid": 1})),
        rsa.jwk(json!({"kid": "1", "n": "AQAB"})),
        rsa.jwk(json!({"kid": "1", "e": "AQAB".repeat(9)})),
        // Nothing that is configured.
        other.jwk(json!({"kid": "1"})),
        json!({"kty": "EC"}),
        json!({}),
        json!("key"),
        json!(null),
    ];
    let algorithms = [Algorithm::ES256, Algorithm::RS256];
    let parse =
        |keys: &[Value]| KeySet::parse(json!({ "keys": keys }).to_string().as_bytes(), &algorithms);
    for one in &unusable {
        let error = parse(std::slice::from_ref(one)).err();
        assert_eq!(error, Some(InvalidJwks::NoneUsable { count: 1 }), "{one}");
    }

    let mut keys = unusable.to_vec();
    keys.push(signer.jwk(json!({"kid": "1"})));
    let set = parse(&keys).unwrap();

    assert_eq!((set.len(), set.ignored), (1, unusable.len()));
    assert!(matches!(
        set.find(Some("1"), Algorithm::ES256),
        Found::Key(_)
    ));
    assert!(matches!(
        set.find(Some("1"), Algorithm::RS256),
        Found::OtherAlgorithm
    ));
    assert!(matches!(
        set.find(Some("2"), Algorithm::ES256),
        Found::Unknown
    ));
    let many = vec![signer.jwk(json!({})); KeySet::KEYS_MAX + 1];
    let (count, count_max) = (many.len(), KeySet::KEYS_MAX);
    assert_eq!(
        parse(&many).err(),
        Some(InvalidJwks::TooMany { count, count_max })
    );
    for text in ["", "{}", "[]", r#"{"keys":{}}"#, r#"{"keys":[]}"#, "<html>"] {
        assert!(
            KeySet::parse(text.as_bytes(), &algorithms).is_err(),
            "{text}"
        );
    }
}

#[test]
fn a_key_of_a_set_is_for_its_own_algorithm_and_must_be_named_among_several() {
    let rsa = Signer::new(Algorithm::RS256);
    let pss = Signer::new(Algorithm::PS256);
    let algorithms = [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256];
    let keys = [
        rsa.jwk(json!({"kid": "1", "alg": "RS256"})),
        Signer::new(Algorithm::ES256).jwk(json!({"kid": "2"})),
    ];
    let by = only(IssuerConfig::new(jwks(&keys, &algorithms)));
    let claims = json!({"sub": "a", "tenantId": "t", "exp": 1_700_000_060});
    let check = |by: &Authenticator, token: &str| authenticate(by, token).map(|_| ());
    let refused = |why| Err(Unauthorized::Invalid(why));

    assert_eq!(
        check(&by, &rsa.sign_with(json!({"kid": "1"}), &claims)),
        Ok(())
    );
    // Only one could be meant.
    assert_eq!(check(&by, &rsa.sign(&claims)), Ok(()));
    let by_pss = pss.sign_with(json!({"kid": "1"}), &claims);
    assert_eq!(check(&by, &by_pss), refused(InvalidToken::Algorithm));
    let elsewhere = rsa.sign_with(json!({"kid": "2"}), &claims);
    assert_eq!(check(&by, &elsewhere), refused(InvalidToken::Algorithm));
    let two = [rsa.jwk(json!({"kid": "1"})), rsa.jwk(json!({"kid": "2"}))];
    let by = only(IssuerConfig::new(jwks(&two, &algorithms)));
    assert_eq!(
        check(&by, &rsa.sign(&claims)),
        refused(InvalidToken::KeyAmbiguous)
    );
    let by_secret = hmac(r#"{"alg":"HS256","kid":"1"}"#, &claims, b"");
    assert_eq!(check(&by, &by_secret), refused(InvalidToken::Algorithm));
}

#[test]
fn a_key_that_does_not_fit_its_algorithms_is_refused_at_the_start() {
    let (rsa, p384) = (Signer::new(Algorithm::RS256), Signer::new(Algorithm::ES384));
    let public = |pem: &str, algorithms: &[Algorithm]| {
        let verification = Verification {
            algorithms: algorithms.into(),
            keys: KeySource::PublicKey(pem.as_bytes().into()),
        };
        verification.check()
    };
    let secret = |len: usize, algorithm| {
        let verification = Verification {
            algorithms: vec![algorithm],
            keys: KeySource::Secret(vec![7; len].into()),
        };
        verification.check()
    };

    assert_eq!(
        public(&rsa.pem, &[Algorithm::RS256, Algorithm::PS256]),
        Ok(())
    );
    assert_eq!(public(&rsa.pem, &[]), Err(InvalidKey::NoAlgorithm));
    assert_eq!(
        public(&rsa.private_pem, &[Algorithm::RS256]),
        Err(InvalidKey::Private)
    );
    assert_eq!(
        public(&p384.private_pem, &[Algorithm::ES384]),
        Err(InvalidKey::Private)
    );
    assert_eq!(
        public(SHORT_RSA, &[Algorithm::RS256]),
        Err(InvalidKey::RsaTooShort)
    );
    for (pem, algorithm, kind) in [
        (&rsa.pem, Algorithm::ES256, KeyKind::P256),
        (&p384.pem, Algorithm::ES256, KeyKind::P256),
        (&p384.pem, Algorithm::EdDSA, KeyKind::Ed25519),
        (&p384.pem, Algorithm::RS256, KeyKind::Rsa),
        (&"nonsense".to_owned(), Algorithm::RS256, KeyKind::Rsa),
    ] {
        assert_eq!(public(pem, &[algorithm]), Err(InvalidKey::Unreadable(kind)));
    }
    for mixed in [
        [Algorithm::RS256, Algorithm::HS256],
        [Algorithm::RS256, Algorithm::ES256],
    ] {
        assert!(matches!(
            public(&rsa.pem, &mixed),
            Err(InvalidKey::Kind { .. })
        ));
    }
    assert!(matches!(
        public(&rsa.pem, &[Algorithm::HS256]),
        Err(InvalidKey::Kind { .. })
    ));
    for (algorithm, len_min) in [
        (Algorithm::HS256, 32),
        (Algorithm::HS384, 48),
        (Algorithm::HS512, 64),
    ] {
        assert_eq!(secret(len_min, algorithm), Ok(()));
        let len = len_min - 1;
        let short = Err(InvalidKey::SecretTooShort { len, len_min });
        assert_eq!(secret(len, algorithm), short);
    }
    let set = jwks(&[rsa.jwk(json!({}))], &[Algorithm::RS256, Algorithm::HS256]);
    assert!(matches!(set.check(), Err(InvalidKey::Kind { .. })));
}

fn named(name: &str, verification: Verification) -> IssuerConfig {
    IssuerConfig {
        name: Some(name.to_owned()),
        ..IssuerConfig::new(verification)
    }
}

/// 1024 bits.
const SHORT_RSA: &str = "-----BEGIN PUBLIC KEY-----\n\
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCgBkLGUUci3ZS/iTiNZNsFdmSP\n\
0WJJLY48Bg8K/htJrNtdquypU3xJaJ3+aBlxstx7U3yCCOdHcZOnXtMlmn/ZtSHe\n\
bSbLDxCPnW85y/TZSi+0JRQDDbLgFFJvLUg3+Ws13tQ6eQAlHqO7nkKzyLQVFrfQ\n\
c42aVbcMxDSj3OQYpwIDAQAB\n\
-----END PUBLIC KEY-----";
