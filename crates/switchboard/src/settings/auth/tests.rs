use std::path::Path;

use switchboard_gateway::Algorithm;

use super::super::{Settings, SettingsError};
use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const URL: &str = "https://id.example.com/keys";

#[test]
fn keys_come_from_a_secret_a_file_or_an_address() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("jwks.json");
    std::fs::write(&file, JWKS).unwrap();
    let file = toml::Value::from(file.to_str().unwrap());
    for (text, keys, algorithms) in [
        (
            format!("secret = \"{SECRET}{SECRET}\"\nalgorithm = \"HS512\""),
            "Secret(",
            vec![Algorithm::HS512],
        ),
        (
            format!("secret = \"{SECRET}{SECRET}\"\nalgorithms = [\"HS512\", \"HS256\"]"),
            "Secret(",
            vec![Algorithm::HS512, Algorithm::HS256],
        ),
        (
            format!("jwks = '{JWKS}'\nalgorithm = \"EdDSA\""),
            "Jwks(",
            vec![Algorithm::EdDSA],
        ),
        (
            format!("jwks_file = {file}\nalgorithms = [\"ES256\", \"EdDSA\"]"),
            "Jwks(",
            vec![Algorithm::ES256, Algorithm::EdDSA],
        ),
        (
            format!("jwks_url = \"{URL}\""),
            "JwksUrl(",
            vec![Algorithm::RS256],
        ),
        (
            "jwks_url = \"http://127.0.0.1:9/keys\"".to_owned(),
            "JwksUrl(",
            vec![Algorithm::RS256],
        ),
    ] {
        let verification = load(&text, &[]).unwrap().verification.unwrap();

        assert_eq!(verification.algorithms, algorithms, "{text}");
        let debug = format!("{:?}", verification.keys);
        assert!(debug.starts_with(keys), "{text}: {debug}");
        assert!(!debug.contains(SECRET));
    }
}

#[test]
fn what_would_verify_something_else_than_it_seems_to_is_refused() {
    let secret = format!("secret = \"{SECRET}\"");
    let url = format!("jwks_url = \"{URL}\"");
    for (text, message) in [
        (
            format!("{secret}\n{url}"),
            "3: auth.jwks_url is set, but auth.algorithm is HS256, which does not use it",
        ),
        (
            format!("{url}\nalgorithm = \"HS256\""),
            "2: auth.jwks_url is set, but auth.algorithm is HS256, which does not use it",
        ),
        (
            format!("{url}\nalgorithm = \"RS256\"\njwks = '{JWKS}'"),
            "2: auth.jwks_url and auth.jwks are both set",
        ),
        (
            format!("{url}\nalgorithms = [\"RS256\", \"HS256\"]"),
            "3: auth.algorithms has HS256, which takes a secret",
        ),
        (
            format!("{url}\nalgorithms = []"),
            "3: auth.algorithms must name at least one algorithm",
        ),
        (
            format!("{url}\nalgorithm = \"RS256\"\nalgorithms = [\"RS256\"]"),
            "4: auth.algorithms and auth.algorithm are both set",
        ),
        (
            format!("{secret}\nalgorithm = \"HS384\""),
            "2: auth.secret is 32 bytes long, must be at least 48",
        ),
        (
            "jwks_url = \"http://id.example.com/keys\"".to_owned(),
            "2: auth.jwks_url is \"http://id.example.com/keys\", must be https:// unless its host is this machine (localhost, 127.0.0.1, [::1])",
        ),
        (
            "jwks_url = \"file:///etc/passwd\"".to_owned(),
            "2: auth.jwks_url is \"file:///etc/passwd\", must be a URL such as https://host/path",
        ),
        (
            "jwks = '{\"keys\":[]}'".to_owned(),
            "2: auth.jwks is a JWK set of 0 keys, none of which the algorithms can use",
        ),
        (
            format!("{secret}\naudience = []"),
            "3: auth.audience must name at least one audience, and no empty one",
        ),
        (
            format!("{secret}\njwks_pause = \"0s\""),
            "3: auth.jwks_pause is \"0s\", must be a duration with its unit from \"100ms\" to \"7days\"",
        ),
    ] {
        check(&text, message);
    }
    let error = load(&format!("{url}\nalgorithms = [\"none\"]"), &[]).unwrap_err();
    let expected = "s.toml:3: auth.algorithms[0] is \"none\", must be one of HS256, ";
    assert!(
        error
            .messages()
            .any(|message| message.starts_with(expected))
    );
}

#[test]
fn a_variable_overrules_the_keys_of_the_file() {
    let file = format!("secret = \"{SECRET}\"");
    let by_url = [
        ("SWITCHBOARD_AUTH__ALGORITHM", "ES256"),
        ("SWITCHBOARD_AUTH__JWKS_URL", URL),
    ];

    let auth = load(&file, &by_url).unwrap();

    assert!(matches!(auth.verification.unwrap().keys, Keys::JwksUrl(_)));
    let auth = load(
        &format!("jwks = '{JWKS}'\nalgorithm = \"EdDSA\""),
        &by_url[1..],
    )
    .unwrap();
    assert!(matches!(auth.verification.unwrap().keys, Keys::JwksUrl(_)));
}

#[test]
fn further_issuers_have_keys_of_their_own_and_the_rest_from_the_section() {
    let text = format!(
        "secret = \"{SECRET}\"\nrooms_claim = \"r\"\n\
         [[auth.issuers]]\nissuer = \"sso\"\naudience = [\"inbox\"]\njwks_url = \"{URL}\"\ntenant = \"globex\"\n\
         [[auth.issuers]]\nissuer = \"bot\"\nsecret = \"{SECRET}\"\nuser_claims = [\"bot\"]\nrooms_claim = \"may\""
    );

    let auth = load(&text, &[]).unwrap();

    let [sso, bot] = auth.issuers.as_slice() else {
        panic!("{auth:?}")
    };
    assert_eq!(
        (sso.issuer.as_str(), sso.rooms_claim.as_str()),
        ("sso", "r")
    );
    assert_eq!(sso.tenant.as_ref().map(TenantId::as_str), Some("globex"));
    assert_eq!(sso.audience, ["inbox"]);
    assert_eq!(
        (bot.user_claims[0].as_str(), bot.rooms_claim.as_str()),
        ("bot", "may")
    );
    assert_eq!(bot.tenant, None);
    assert!(auth.verification.is_some());
}

#[test]
fn the_section_needs_no_keys_if_others_sign_and_no_two_sign_under_one_name() {
    let issuer =
        |name: &str| format!("[[auth.issuers]]\nissuer = \"{name}\"\njwks_url = \"{URL}\"\n");

    let auth = load(&issuer("sso"), &[]).unwrap();

    assert!(auth.verification.is_none());
    check(
        &issuer("sso").repeat(2),
        "6: auth.issuers[1].issuer is \"sso\", which another issuer has",
    );
    let own = format!("issuer = \"sso\"\nsecret = \"{SECRET}\"\n{}", issuer("sso"));
    check(
        &own,
        "5: auth.issuers[0].issuer is \"sso\", which another issuer has",
    );
    check(
        "[[auth.issuers]]\nissuer = \"sso\"",
        "2: auth.issuers[0].secret is missing (it can be set as SWITCHBOARD_AUTH__ISSUERS__0__SECRET too)",
    );
    let single = format!(
        "single_tenant = \"acme\"\n{}tenant = \"globex\"",
        issuer("sso")
    );
    check(
        &single,
        "6: auth.issuers[0].tenant is \"globex\", must be acme: auth.single_tenant is set",
    );
}

fn load(auth: &str, variables: &[(&str, &str)]) -> Result<Auth, SettingsError> {
    let environment = variables.iter().copied().collect();
    let text = format!("[auth]\n{auth}");
    Settings::from_text(Some((Path::new("s.toml"), &text)), &environment).map(|all| all.auth)
}

#[track_caller]
fn check(auth: &str, message: &str) {
    let messages: Vec<_> = load(auth, &[]).unwrap_err().messages().collect();

    assert_eq!(messages, [format!("s.toml:{message}")], "{auth}");
}

const JWKS: &str =
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
