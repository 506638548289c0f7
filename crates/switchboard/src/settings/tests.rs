use switchboard_event::TenantId;

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

#[test]
fn a_secret_is_all_that_is_needed() {
    let settings = load(&format!("[auth]\nsecret = \"{SECRET}\"\n"), &[]).unwrap();

    assert_eq!(settings.server.port, 5000);
    assert_eq!(settings.admin, AdminSettings::default());
    assert_eq!(settings.journal.kind, JournalKind::Disk("etc/data".into()));
    assert_eq!(settings.engine.payload_max, 1_000_000);
    assert_eq!(settings.access.policy, Policy::Claims);
    assert!(settings.producers.is_empty());
}

#[test]
fn every_section_is_read() {
    let text = format!(
        r#"
        [server]
        host = "::1"
        port = 0
        cors_origins = ["https://crm.example.com", "http://localhost:*"]
        drain_timeout = "3s"
        [admin]
        enabled = false
        host = "::1"
        port = 0
        [engine]
        ping_interval = "300ms"
        ping_timeout = "200ms"
        payload_max = "10MB"
        [auth]
        secret = "{SECRET}"
        single_tenant = true
        user_claims = ["uid"]
        link_default = "none"
        [access]
        policy = "open"
        [journal]
        kind = "memory"
        retention_age = "7days"
        partitions = 4
        [catalogue]
        strict = true
        rooms = ["order"]
        [[catalogue.events]]
        name = "order:paid"
        audience = ["order:{{orderId}}", "team:{{tenant}}"]
        [audience]
        "message:received" = ["whatsapp:{{message.whatsappAccountId}}"]
        [[producers]]
        name = "crm-backend"
        key_sha256 = "{HASH}"
        tenant = "*"
        [[webhooks.meta]]
        endpoint = "acme-cloud"
        tenant = "default"
        app_secret = "a"
        verify_token = "b"
        accounts = {{ "106540352242922" = "support" }}
        [log]
        format = "json"
        level = "warn,switchboard_engine=debug"
        "#
    );

    let settings = load(&text, &[]).unwrap();

    assert_eq!(settings.server.cors_origins.len(), 2);
    assert_eq!((settings.admin.enabled, settings.admin.port), (false, 0));
    assert_eq!(settings.engine.ping_interval.as_millis(), 300);
    assert_eq!(
        settings.auth.single_tenant.as_ref().map(TenantId::as_str),
        Some("default")
    );
    assert_eq!(settings.journal.kind, JournalKind::Memory);
    assert_eq!(settings.catalogue.events[0].audience.len(), 2);
    assert_eq!(settings.catalogue.audience["message:received"].len(), 1);
    assert!(settings.producers[0].tenant.is_everyone());
    let accounts = settings.meta_webhooks[0].accounts.as_ref().unwrap();
    assert_eq!(accounts["106540352242922"].as_str(), "support");
    assert_eq!(
        settings.log.level.to_string(),
        "warn,switchboard_engine=debug"
    );
}

#[test]
fn every_limit_of_connections_reaches_the_engine() {
    let text = format!(
        r#"
        [server]
        drain_spread = "0s"
        [engine]
        connections_max = 4
        connections_per_address_max = 5
        unjoined_max = 6
        refusals_max = 7
        handshakes_per_second_max = 8
        [auth]
        secret = "{SECRET}"
        "#
    );

    let engine = crate::wiring::engine(&load(&text, &[]).unwrap());

    assert!(engine.drain_spread.is_zero());
    assert_eq!(engine.connections_max, 4);
    assert_eq!(engine.connections_per_address_max, 5);
    assert_eq!(engine.unjoined_max, 6);
    assert_eq!(engine.refusals_max, 7);
    assert_eq!(engine.handshakes_per_second_max, 8);
}

#[test]
fn a_variable_wins_over_the_file() {
    let text = format!("[server]\nport = 1\n[auth]\nsecret = \"{SECRET}\"\n");

    let port = |variables: &[(&str, &str)]| load(&text, variables).unwrap().server.port;

    assert_eq!(port(&[]), 1);
    assert_eq!(port(&[("PORT", "2")]), 2);
    assert_eq!(port(&[("PORT", "2"), ("SWITCHBOARD_SERVER__PORT", "3")]), 3);
}

#[test]
fn the_environment_alone_is_enough() {
    let variables = [
        ("SWITCHBOARD_AUTH__SECRET", SECRET),
        ("SWITCHBOARD_AUTH__SINGLE_TENANT", "acme"),
        (
            "SWITCHBOARD_SERVER__CORS_ORIGINS",
            "https://a.example, https://b.example",
        ),
        ("SWITCHBOARD_AUDIENCE__MESSAGE__RECEIVED", "team:{tenant}"),
        ("SWITCHBOARD_PRODUCERS__0__NAME", "crm"),
        ("SWITCHBOARD_PRODUCERS__0__KEY_SHA256", HASH),
        ("SWITCHBOARD_PRODUCERS__0__TENANT", "acme"),
        ("SWITCHBOARD_KEY", "is no setting"),
    ];

    let settings = Settings::from_text(None, &variables.into_iter().collect()).unwrap();

    assert_eq!(
        settings.auth.single_tenant.as_ref().map(TenantId::as_str),
        Some("acme")
    );
    assert_eq!(settings.server.cors_origins.len(), 2);
    assert_eq!(
        settings.catalogue.audience["message:received"],
        ["team:{tenant}"]
    );
    assert_eq!(settings.producers[0].name, "crm");
    assert_eq!(settings.journal.kind, JournalKind::Disk("data".into()));
}

#[test]
fn a_secret_can_be_in_a_file_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    fs::write(&file, format!("{SECRET}\n")).unwrap();
    let variables = [("SWITCHBOARD_AUTH__SECRET_FILE", file.to_str().unwrap())];

    let settings = Settings::from_text(None, &variables.into_iter().collect()).unwrap();

    assert_eq!(secret_of(&settings), SECRET);
}

#[test]
fn a_variable_wins_over_the_file_also_for_the_other_way_to_give_a_secret() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    let other = SECRET.replace('0', "1");
    fs::write(&file, &other).unwrap();
    let file = file.to_str().unwrap();
    let secret = |text: &str, variables: &[(&str, &str)]| {
        secret_of(&load(text, variables).unwrap()).to_owned()
    };

    let by_file = secret(
        &format!("[auth]\nsecret = \"{SECRET}\""),
        &[("SWITCHBOARD_AUTH__SECRET_FILE", file)],
    );
    let by_text = secret(
        &format!("[auth]\nsecret_file = {}", toml::Value::from(file)),
        &[("SWITCHBOARD_AUTH__SECRET", SECRET)],
    );

    assert_eq!((by_file, by_text), (other, SECRET.to_owned()));
    fs::write(file, "short").unwrap();
    check(
        &format!("[auth]\nsecret = \"{SECRET}\""),
        &[("SWITCHBOARD_AUTH__SECRET_FILE", file)],
        "SWITCHBOARD_AUTH__SECRET_FILE: auth.secret is 5 bytes long, must be at least 32",
    );
}

#[test]
fn a_secret_is_never_in_debug_or_in_a_refusal() {
    let text =
        format!("[auth]\nsecret = \"{SECRET}\"\nsecret_file = \"x\"\n[server]\nport = 70000\n");
    let loaded = load(&format!("[auth]\nsecret = \"{SECRET}\"\n"), &[]).unwrap();

    let refused = load(&text, &[]).unwrap_err();

    assert!(!format!("{loaded:?}").contains(SECRET));
    assert!(!format!("{refused:?}{refused}").contains(SECRET));
}

#[test]
fn settings_without_any_key_say_how_to_give_one() {
    check(
        "",
        &[],
        "etc/switchboard.toml: auth.secret is missing (it can be set as SWITCHBOARD_AUTH__SECRET too)",
    );
    check(
        &format!("[auth]\nsecret = \"{SECRET}\"\nsecret_file = \"x\""),
        &[],
        "etc/switchboard.toml:2: auth.secret and auth.secret_file are both set",
    );
    check(
        "[auth]\nalgorithm = \"RS256\"",
        &[],
        "etc/switchboard.toml:1: auth.public_key_file is missing (it can be set as SWITCHBOARD_AUTH__PUBLIC_KEY_FILE too)",
    );
}

#[test]
fn a_refusal_names_the_key_the_value_and_the_line() {
    for (line, problem) in REFUSALS {
        check(
            &format!("{line}\n[auth]\nsecret = \"{SECRET}\""),
            &[],
            &format!("etc/switchboard.toml:1: {problem}"),
        );
    }
}

#[test]
fn a_refusal_of_a_key_or_secret_does_not_show_it() {
    let producer =
        "[[producers]]\nname = \"crm\"\ntenant = \"acme\"\nkey_sha256 = \"sb_the-key-itself\"\n";
    let table = [
        (
            "[auth]\nsecret = \"short\"".to_owned(),
            "2: auth.secret is 5 bytes long, must be at least 32",
        ),
        (
            "[auth]\nsecret = 12345678".to_owned(),
            "2: auth.secret is a number, must be text",
        ),
        (
            "[auth]\nalgorithm = \"RS256\"\npublic_key = \"nope\"".to_owned(),
            "3: auth.public_key is not an RSA public key in PEM",
        ),
        (
            format!("{producer}[auth]\nsecret = \"{SECRET}\""),
            "4: producers[0].key_sha256 is 17 characters long, must be 64 hexadecimal digits: the SHA-256 of the key",
        ),
    ];
    for (text, problem) in table {
        check(&text, &[], &format!("etc/switchboard.toml:{problem}"));
    }
}

#[test]
fn a_refused_variable_is_named() {
    let table = [
        (
            "PORT",
            "http",
            "server.port is \"http\", must be a whole number from 0 to 65535",
        ),
        (
            "SWITCHBOARD_SERVER__PORT",
            "",
            "server.port is \"\", must be a whole number from 0 to 65535",
        ),
        (
            "SWITCHBOARD_CATALOGUE__STRICT",
            "1",
            "catalogue.strict is \"1\", must be true or false",
        ),
        (
            "SWITCHBOARD_SERVER__PROT",
            "1",
            "unknown key server.prot, the nearest known one is server.port",
        ),
        (
            "SWITCHBOARD_AUTH__SECRET_FILE",
            "/nowhere/secret",
            "auth.secret_file is \"/nowhere/secret\", which cannot be read: No such file or directory (os error 2)",
        ),
    ];
    for (name, value, problem) in table {
        check(
            &format!("[auth]\nsecret = \"{SECRET}\""),
            &[(name, value)],
            &format!("{name}: {problem}"),
        );
    }
}

#[test]
fn two_producers_or_webhooks_are_never_mistaken_for_each_other() {
    let producer = |name: &str, hash: &str| {
        format!("[[producers]]\nname = \"{name}\"\ntenant = \"acme\"\nkey_sha256 = \"{hash}\"\n")
    };
    let secret = format!("[auth]\nsecret = \"{SECRET}\"\n");
    let other = HASH.replace('9', "8");

    check(
        &format!(
            "{secret}{}{}",
            producer("crm", HASH),
            producer("crm", &other)
        ),
        &[],
        "etc/switchboard.toml:8: producers[1].name is \"crm\", which another producer has",
    );
    check(
        &format!("{secret}{}{}", producer("crm", HASH), producer("erp", HASH)),
        &[],
        "etc/switchboard.toml:8: producers[1].key_sha256 is that of another producer",
    );
    let webhook = "[[webhooks.meta]]\nendpoint = \"e\"\ntenant = \"acme\"\napp_secret = \"a\"\nverify_token = \"b\"\n";
    check(
        &format!("{secret}{webhook}{webhook}"),
        &[],
        "etc/switchboard.toml:9: webhooks.meta[1].endpoint is \"e\", which another webhook has",
    );
}

#[test]
fn a_catalogue_that_cannot_be_made_is_refused_by_the_line_that_spoils_it() {
    let secret = format!("[auth]\nsecret = \"{SECRET}\"\n");
    let table = [
        (
            "[audience]\n\"message:recieved\" = [\"team:{tenant}\"]",
            "4: audience.\"message:recieved\" is refused: audience of event `message:recieved`, which is unknown",
        ),
        (
            "[[catalogue.events]]\nname = \"message:received\"",
            "4: catalogue.events[0] is refused: event name `message:received` is there already",
        ),
        (
            "[[catalogue.events]]\nname = \"order:paid\"\nschema_file = \"nowhere.json\"",
            "5: catalogue.events[0].schema_file is \"etc/nowhere.json\", which cannot be read: No such file or directory (os error 2)",
        ),
    ];
    for (text, problem) in table {
        check(
            &format!("{secret}{text}"),
            &[],
            &format!("etc/switchboard.toml:{problem}"),
        );
    }
}

#[test]
fn what_would_mean_nothing_is_refused_unless_a_variable_overrules_it() {
    let secret = format!("[auth]\nsecret = \"{SECRET}\"\n");
    check(
        &format!("{secret}[journal]\nkind = \"memory\"\npath = \"data\""),
        &[],
        "etc/switchboard.toml:5: journal.path is set, but journal.kind is \"memory\", which has no path",
    );
    check(
        &format!("{secret}[journal]\nkind = \"memory\""),
        &[("SWITCHBOARD_JOURNAL__PATH", "data")],
        "SWITCHBOARD_JOURNAL__PATH: journal.path is set, but journal.kind is \"memory\", which has no path",
    );
    let directory = tempfile::tempdir().unwrap();
    let pem = directory.path().join("jwt.pem");
    fs::write(&pem, PUBLIC_KEY).unwrap();
    let pem = toml::Value::from(pem.to_str().unwrap());
    check(
        &format!("{secret}public_key_file = {pem}"),
        &[],
        "etc/switchboard.toml:3: auth.public_key_file is set, but auth.algorithm is HS256, which does not use it",
    );
    check(
        &format!("{secret}algorithm = \"RS256\"\npublic_key_file = {pem}"),
        &[],
        "etc/switchboard.toml:2: auth.secret is set, but auth.algorithm is RS256, which does not use it",
    );

    let text = format!("{secret}public_key_file = {pem}\n[journal]\npath = \"data\"");
    let variables = [
        ("SWITCHBOARD_AUTH__ALGORITHM", "RS256"),
        ("SWITCHBOARD_JOURNAL__KIND", "memory"),
    ];
    let settings = load(&text, &variables).unwrap();

    assert_eq!(settings.journal.kind, JournalKind::Memory);
    let keys = settings.auth.verification.unwrap().keys;
    assert!(matches!(keys, Keys::PublicKey(_)), "{keys:?}");
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let error = load(
        "[server]\nport = -1\nhots = \"::\"\n[log]\nformat = \"xml\"",
        &[],
    )
    .unwrap_err();

    assert_eq!(error.messages().count(), 4, "{error}");
}

#[test]
fn with_a_single_tenant_nobody_publishes_for_another() {
    let text = |single: &str, producer: &str, webhook: &str| {
        format!(
            "[auth]\nsecret = \"{SECRET}\"\nsingle_tenant = {single}\n\
             [[producers]]\nname = \"crm\"\nkey_sha256 = \"{HASH}\"\ntenant = \"{producer}\"\n\
             [[webhooks.meta]]\nendpoint = \"e\"\napp_secret = \"a\"\nverify_token = \"b\"\n\
             tenant = \"{webhook}\"\n"
        )
    };

    assert!(load(&text("false", "acme", "globex"), &[]).is_ok());
    assert!(load(&text("true", "*", "default"), &[]).is_ok());
    assert!(load(&text("\"acme\"", "acme", "acme"), &[]).is_ok());
    check(
        &text("true", "acme", "default"),
        &[],
        "etc/switchboard.toml:7: producers[0].tenant is \"acme\", must be \"default\", as \
         auth.single_tenant is set",
    );
    check(
        &text("\"acme\"", "*", "globex"),
        &[],
        "etc/switchboard.toml:12: webhooks.meta[0].tenant is \"globex\", must be \"acme\", as \
         auth.single_tenant is set",
    );
}

#[test]
fn a_named_file_must_exist_and_the_default_one_need_not() {
    let missing = Settings::load(
        Some(Path::new("nowhere/switchboard.toml")),
        &Environment::default(),
    );

    assert!(matches!(missing, Err(LoadError::Unreadable { .. })));
}

fn secret_of(settings: &Settings) -> &str {
    match &settings.auth.verification.as_ref().unwrap().keys {
        Keys::Secret(secret) => secret.reveal(),
        other => panic!("{other:?}"),
    }
}

fn load(text: &str, variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let environment = variables.iter().copied().collect();
    Settings::from_text(
        Some((Path::new("etc/switchboard.toml"), text)),
        &environment,
    )
}

#[track_caller]
fn check(text: &str, variables: &[(&str, &str)], message: &str) {
    let messages: Vec<_> = load(text, variables).unwrap_err().messages().collect();

    assert_eq!(messages, [message], "{text}");
}

/// Of a key that signs nothing.
const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAofmNH6IsyosUssnat3dz
yvEW3Oqlq2MAXHcVLtTrL0UW/bDMTpGIb40zZA1bLvh4t9bpVJ5MyGBrM0AhHxHf
p04c8NsHGFG7ZhtXjg1UnQePfOefcLrc1DMccakCvn/Dfe4Rat2F8ztkmsf9GmEt
lO0BysHszpbwBp4ru1Dzji5F5GXfi93qXE4NKiYGdAW5bhTVmyFWdKzJUADzZTpu
TgUyXLIY3BJD76bkmRU+UCPA0wwVPVBGH6VjrnCjcYpPXx0YCxz/qiafEGTxEKgv
nSpd3jHlp0a3LeWjzC1nupOl/LQ+n6y9cehBpth3ZmJalsAEKePHIVcWGwKO7YUD
OwIDAQAB
-----END PUBLIC KEY-----
";

/// One line of a file, and what is wrong with it.
const REFUSALS: &[(&str, &str)] = &[
    (
        "server.port = 70000",
        "server.port is 70000, must be a whole number from 0 to 65535",
    ),
    (
        "server.port = \"5000\"",
        "server.port is \"5000\", must be a whole number from 0 to 65535",
    ),
    (
        "server.port = 5e3",
        "server.port is a number with a fraction, must be a whole number from 0 to 65535",
    ),
    (
        "server.host = \"\"",
        "server.host is \"\", must be text that is not empty",
    ),
    (
        "server.cors_origins = [\"https://a.example/\"]",
        "server.cors_origins[0] is \"https://a.example/\", must be scheme://host or scheme://host:port, without a path; only http://localhost:* leaves a port open",
    ),
    (
        "server.cors_origins = \"https://a.example\"",
        "server.cors_origins is \"https://a.example\", must be a list of texts",
    ),
    ("server = 1", "server is a number, must be a section"),
    (
        "admin.enabled = \"yes\"",
        "admin.enabled is \"yes\", must be true or false",
    ),
    (
        "engine.ping_interval = 25",
        "engine.ping_interval is 25, must be a duration with its unit from \"10ms\" to \"1h\"",
    ),
    (
        "engine.ping_interval = \"25\"",
        "engine.ping_interval is \"25\", must be a duration with its unit from \"10ms\" to \"1h\"",
    ),
    (
        "engine.payload_max = \"1 lot\"",
        "engine.payload_max is \"1 lot\", must be a size with its unit from \"1.0 KiB\" to \"100.0 MiB\"",
    ),
    (
        "engine.connections_max = 0",
        "engine.connections_max is 0, must be a whole number from 1 to 10000000",
    ),
    (
        "server.drain_spread = \"1h\"",
        "server.drain_spread is \"1h\", must be a duration with its unit from \"0s\" to \"10m\"",
    ),
    (
        "access.policy = \"all\"",
        "access.policy is \"all\", must be \"claims\" or \"open\" or \"http\"",
    ),
    (
        "journal.kind = \"floppy\"",
        "journal.kind is \"floppy\", must be \"disk\" or \"memory\" or \"redis\"",
    ),
    (
        "ingest.body_max = \"1GiB\"",
        "ingest.body_max is \"1GiB\", must be a size with its unit from \"1.0 KiB\" to \"32.0 MiB\"",
    ),
    (
        "journal.partitions = 0",
        "journal.partitions is 0, must be a whole number from 1 to 1024",
    ),
    (
        "catalogue.strict = \"yes\"",
        "catalogue.strict is \"yes\", must be true or false",
    ),
    (
        "log.level = \"loud\"",
        "log.level is \"loud\", must be off, error, warn, info, debug or trace, also as module=level after a comma",
    ),
    (
        "log.format = [1]",
        "log.format is a list, must be \"text\" or \"json\"",
    ),
    (
        "server.prot = 5000",
        "unknown key server.prot, the nearest known one is server.port",
    ),
    (
        "port = 5000",
        "unknown key port, the nearest known one is server.port",
    ),
    (
        "sever.host = \"::\"",
        "unknown key sever, the nearest known one is server",
    ),
    (
        "engine.pingInterval = \"1s\"",
        "unknown key engine.pingInterval, the nearest known one is engine.ping_interval",
    ),
    (
        "catalogue.events = [{ nmae = \"a:b\", name = \"a:b\" }]",
        "unknown key catalogue.events[0].nmae, the nearest known one is catalogue.events[0].name",
    ),
    (
        "port = ",
        "not TOML: string values must be quoted, expected literal string",
    ),
];
