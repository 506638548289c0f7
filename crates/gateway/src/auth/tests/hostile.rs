//! What is known to go wrong with tokens (RFC 8725, and the advisories of others).

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::signer::{Signer, hmac, jwks};
use super::*;

#[test]
fn each_algorithm_is_taken_with_its_key_and_no_other_algorithm_is() {
    for algorithm in Algorithm::ALL {
        let (by, token) = if algorithm.key_kind() == KeyKind::Secret {
            let secret = [7; 64];
            let header = Header::new(algorithm.library());
            let key = EncodingKey::from_secret(&secret);
            let verification = Verification {
                algorithms: vec![algorithm],
                keys: KeySource::Secret(secret.into()),
            };
            let token = jsonwebtoken::encode(&header, &claims(), &key).unwrap();
            (only(IssuerConfig::new(verification)), token)
        } else {
            let signer = Signer::new(algorithm);
            let set = jwks(&[signer.jwk(json!({}))], &[algorithm]);
            let by = only(IssuerConfig::new(set));
            assert!(authenticate(&by, &signer.sign(&claims())).is_ok());
            let by = only(IssuerConfig::new(signer.verification()));
            (by, signer.sign(&claims()))
        };
        let (header, rest) = token.split_once('.').unwrap();

        assert!(authenticate(&by, &token).is_ok(), "{algorithm}");
        for other in Algorithm::ALL
            .into_iter()
            .filter(|other| *other != algorithm)
        {
            let renamed = part(&format!(r#"{{"alg":"{other}"}}"#));
            assert_ne!(renamed, header);
            refuses(&by, &format!("{renamed}.{rest}"), InvalidToken::Algorithm);
        }
        let mut changed = token.clone();
        let last = changed.pop().unwrap();
        changed.insert(header.len() + 10, last);
        assert!(authenticate(&by, &changed).is_err(), "{algorithm}");
    }
}

#[test]
fn no_spelling_of_none_is_an_algorithm() {
    let rsa = only(IssuerConfig::new(
        Signer::new(Algorithm::RS256).verification(),
    ));
    for name in [
        "none", "None", "NONE", "nOnE", "", "hs256", "HS256 ", "HS256\0",
    ] {
        let header = json!({"alg": name}).to_string();
        for by in [&authenticator(), &rsa] {
            for signature in ["", "c2lnbmF0dXJl"] {
                let token = format!(
                    "{}.{}.{signature}",
                    part(&header),
                    part(&claims().to_string())
                );
                refuses(by, &token, InvalidToken::Algorithm);
            }
            refuses(
                by,
                &hmac(&header, &claims(), SECRET),
                InvalidToken::Algorithm,
            );
        }
    }
    for header in [
        "{}",
        r#"{"alg":null}"#,
        r#"{"alg":["HS256"]}"#,
        "[]",
        "HS256",
    ] {
        let token = hmac(header, &claims(), SECRET);
        refuses(&authenticator(), &token, InvalidToken::Malformed);
    }
}

#[test]
fn a_public_key_is_never_taken_for_a_secret() {
    let header = r#"{"alg":"HS256"}"#;
    for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA] {
        let signer = Signer::new(algorithm);
        let set = jwks(&[signer.jwk(json!({"kid": "1"}))], &[algorithm]);
        for verification in [signer.verification(), set] {
            let by = only(IssuerConfig::new(verification));
            for secret in [signer.pem.as_str(), signer.pem.trim()] {
                let token = hmac(header, &claims(), secret.as_bytes());
                refuses(&by, &token, InvalidToken::Algorithm);
            }
        }
    }
}

#[test]
fn where_the_header_says_that_a_key_is_does_not_matter() {
    let (ours, theirs) = (Signer::new(Algorithm::ES256), Signer::new(Algorithm::ES256));
    let set = jwks(&[ours.jwk(json!({"kid": "1"}))], &[Algorithm::ES256]);
    let pointers = json!({
        "kid": "1", "jku": "http://127.0.0.1:1/keys", "x5u": "https://127.0.0.1:1/",
        "jwk": theirs.jwk(json!({})), "x5c": ["MIIB"],
    });
    for by in [ours.verification(), set].map(|by| only(IssuerConfig::new(by))) {
        let forged = theirs.sign_with(pointers.clone(), &claims());
        refuses(&by, &forged, InvalidToken::Signature);
        assert!(authenticate(&by, &ours.sign_with(pointers.clone(), &claims())).is_ok());
    }
}

#[test]
fn the_name_of_a_key_is_looked_up_and_nothing_else() {
    let signer = Signer::new(Algorithm::ES256);
    let set = [signer.jwk(json!({"kid": "1"}))];
    let by = only(IssuerConfig::new(jwks(&set, &[Algorithm::ES256])));
    for id in [
        "",
        "2",
        "../1",
        "/dev/null",
        "1' OR '1'='1",
        "1\0",
        "http://127.0.0.1/",
        "__proto__",
    ] {
        let token = signer.sign_with(json!({"kid": id}), &claims());
        refuses(&by, &token, InvalidToken::KeyUnknown);
    }
    for header in [
        r#"{"alg":"ES256","kid":1}"#.to_owned(),
        r#"{"alg":"ES256","kid":["1"]}"#.to_owned(),
        format!(r#"{{"alg":"ES256","kid":"{}"}}"#, "1".repeat(257)),
        r#"{"alg":"ES256","kid":"1","kid":"1"}"#.to_owned(),
        r#"{"alg":"HS256","alg":"ES256","kid":"1"}"#.to_owned(),
    ] {
        let token = signer.sign_text(&header, &claims());
        refuses(&by, &token, InvalidToken::Malformed);
    }
    assert!(authenticate(&by, &signer.sign_with(json!({"kid": "1"}), &claims())).is_ok());
    // A single key needs no name; whatever name a token gives it does not matter.
    let by = only(IssuerConfig::new(signer.verification()));
    assert!(authenticate(&by, &signer.sign_with(json!({"kid": "x"}), &claims())).is_ok());
}

#[test]
fn an_extension_that_must_be_understood_is_not() {
    for crit in [r#"["b64"]"#, r#"["exp"]"#, "[]", "null", "true"] {
        let header = format!(r#"{{"alg":"HS256","b64":true,"crit":{crit}}}"#);
        refuses(
            &authenticator(),
            &hmac(&header, &claims(), SECRET),
            InvalidToken::Critical,
        );
    }
}

#[test]
fn tokens_for_other_ends_are_refused_by_their_type() {
    let with = |typ: &str| {
        let header = json!({"alg": "HS256", "typ": typ}).to_string();
        authenticate(&authenticator(), &hmac(&header, &claims(), SECRET)).map(|_| ())
    };
    for typ in [
        "JWT",
        "jwt",
        "at+jwt",
        "application/at+jwt",
        "application/JWT",
    ] {
        assert_eq!(with(typ), Ok(()), "{typ}");
    }
    for typ in [
        "dpop+jwt",
        "logout+jwt",
        "secevent+jwt",
        "JWE",
        "",
        "JOSE+JSON",
    ] {
        let refused = Err(Unauthorized::Invalid(InvalidToken::Type));
        assert_eq!(with(typ), refused, "{typ}");
    }
}

#[test]
fn a_signature_has_one_spelling() {
    let signer = Signer::new(Algorithm::ES256);
    let by = only(IssuerConfig::new(signer.verification()));
    let token = signer.sign(&claims());
    let (message, signature) = token.rsplit_once('.').unwrap();
    // Two bits of the last letter carry nothing.
    let last = signature.chars().last().unwrap();
    let twin = (b'0'..=b'z').map(char::from).find(|twin| {
        let twin = format!("{}{twin}", &signature[..signature.len() - 1]);
        twin != signature && LENIENT.decode(&twin) == LENIENT.decode(signature)
    });

    for other in [
        format!("{signature}="),
        format!("{signature} "),
        format!(
            "{}{}",
            &signature[..signature.len() - 1],
            twin.unwrap_or(last)
        ),
        signature.replace(['-', '_'], "+"),
        String::new(),
        format!("{signature}.{signature}"),
    ] {
        if other != signature {
            let token = format!("{message}.{other}");
            assert!(authenticate(&by, &token).is_err(), "{other}");
        }
    }
}

#[test]
fn text_that_is_no_token_is_refused() {
    let good = sign(&claims());
    let (message, _) = good.rsplit_once('.').unwrap();
    for text in [
        "",
        ".",
        "..",
        "...",
        "a.b",
        "a.b.c",
        message,
        "{}.{}.{}",
        &good[1..],
        &format!(".{message}"),
        &format!("{good}."),
        &good.replace('.', "\n"),
        &format!("{}.{}.x", part(r#"{"alg":"HS256"}"#), part("[]")),
        &format!(
            "{}.{}.x",
            part(r#"{"alg":"HS256"}"#),
            part(&"[".repeat(1_000))
        ),
    ] {
        assert!(authenticate(&authenticator(), text).is_err(), "{text}");
    }
}

#[track_caller]
fn refuses(by: &Authenticator, token: &str, why: InvalidToken) {
    let refused = authenticate(by, token).unwrap_err();

    assert_eq!(refused, Unauthorized::Invalid(why), "{token}");
    assert_eq!((refused.code(), refused.passes()), ("unauthorized", false));
}

fn claims() -> Value {
    json!({"sub": "ana", "tenantId": "acme", "exp": 1_700_000_060})
}

fn part(text: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(text)
}

/// Takes what should be refused.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
