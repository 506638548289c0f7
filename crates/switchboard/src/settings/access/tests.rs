use std::path::Path;

use super::*;
use crate::settings::{Environment, Settings, SettingsError};

#[test]
fn tokens_decide_unless_the_settings_say_otherwise() {
    let access = load("").unwrap();

    assert_eq!(access.policy, Policy::Claims);
    assert!(access.reads_claims() && access.kinds.is_empty());
    assert!(access.sql.is_none() && access.http.is_none());
}

#[test]
fn each_kind_may_have_a_policy_of_its_own() {
    let access = load(&format!(
        "[access]\npolicy = \"http\"\nttl = \"30s\"\nttl_denied = \"1s\"\ngrant_ttl_max = \"5m\"\n\
         [access.kinds.contact]\npolicy = \"sql\"\nquery = \"select 1\"\n\
         [access.kinds.link]\npolicy = \"open\"\n\
         [access.kinds.order]\npolicy = \"sql\"\nquery = \"select 2\"\n\
         [access.sql]\nurl = \"postgres://crm:hidden@db/crm\"\npool_max = 9\ntimeout = \"1s\"\n\
         [access.http]\nurl = \"https://crm.example.com/access\"\nsecret = \"{SECRET}\"\n"
    ))
    .unwrap();

    assert_eq!(access.policy, Policy::Http);
    assert!(!access.reads_claims());
    let kinds = [
        (RoomKind::Contact, Policy::Sql("select 1".to_owned())),
        (RoomKind::WhatsappLink, Policy::Open),
        (
            RoomKind::Custom("order".into()),
            Policy::Sql("select 2".to_owned()),
        ),
    ];
    assert_eq!(access.kinds, kinds.into());
    let sql = access.sql.as_ref().unwrap();
    assert_eq!((sql.pool_max, sql.timeout), (9, Duration::from_secs(1)));
    assert_eq!(access.http.as_ref().unwrap().questions_max, 32);
    let shown = format!("{access:?}");
    assert!(
        !shown.contains("hidden") && !shown.contains(SECRET),
        "{shown}"
    );
}

#[test]
fn the_address_of_a_database_may_be_in_a_file_and_a_path_starts_at_the_settings() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("url"), "sqlite:crm.db\n").unwrap();
    let text = settings("[access.sql]\nurl_file = \"url\"\n");
    let file = directory.path().join("switchboard.toml");

    let settings = Settings::from_text(Some((&file, &text)), &Environment::default()).unwrap();

    let Some(SqlUrl::Sqlite(path)) = settings.access.sql.map(|sql| sql.url) else {
        panic!("no path");
    };
    assert_eq!(path, directory.path().join("crm.db"));
}

#[test]
fn what_does_not_hold_together_is_refused_with_its_key() {
    let contact_by_sql = "[access.kinds.contact]\npolicy = \"sql\"\nquery = \"select 1\"\n";
    let http = format!("[access.http]\nsecret = \"{SECRET}\"\n");
    for (text, problem) in [
        (
            "[access]\npolicy = \"sql\"\n".to_owned(),
            "access.policy is \"sql\", which needs a query for each kind, in [access.kinds.<kind>]",
        ),
        (
            "[access]\npolicy = \"http\"\n".to_owned(),
            "access.http.url is missing",
        ),
        (contact_by_sql.to_owned(), "access.sql.url is missing"),
        (
            "[access.kinds.contact]\npolicy = \"sql\"\n[access.sql]\nurl = \"sqlite:a\"\n"
                .to_owned(),
            "access.kinds.contact.query is missing",
        ),
        (
            "[access.kinds.contact]\nquery = \"select 1\"\n".to_owned(),
            "access.kinds.contact.policy is missing",
        ),
        (
            "[access.kinds.flow]\npolicy = \"open\"\nquery = \"select 1\"\n".to_owned(),
            "access.kinds.flow.query is set, but the policy is open",
        ),
        (
            "[access.kinds.team]\npolicy = \"open\"\n".to_owned(),
            "access.kinds.team is no kind of room that can have a policy: those are whatsapp, link, \
             campaign, contact, contacts, flow, and what catalogue.rooms declares",
        ),
        (
            format!("{contact_by_sql}[access.sql]\nurl = \"mysql://db/crm\"\n"),
            "access.sql.url must begin with postgres:// or sqlite:",
        ),
        (
            format!("{contact_by_sql}[access.sql]\nurl = \"sqlite:a\"\nca_file = \"none.pem\"\n"),
            "access.sql.ca_file cannot be read",
        ),
        (
            format!("{http}url = \"http://crm:3000/access\"\n"),
            "access.http.url is \"http://crm:3000/access\", must be https:// unless its host is this \
             machine (localhost, 127.0.0.1, [::1]), or access.http.plain_http must be true",
        ),
        (
            "[access.http]\nurl = \"https://crm/access\"\nsecret = \"short\"\n".to_owned(),
            "access.http.secret is 5 bytes long, must be at least 32",
        ),
        (
            "[access]\nttl = \"1h\"\n".to_owned(),
            "access.grant_ttl_max must not be less than access.ttl",
        ),
        (
            "[access.kinds.contact]\npolicy = \"claims\"\npolcy = 1\n".to_owned(),
            "unknown key access.kinds.contact.polcy",
        ),
    ] {
        let refused = load(&text).unwrap_err().to_string();

        assert!(refused.contains(problem), "{text}\n{refused}");
        assert!(!refused.contains("short"), "{refused}");
    }
    let plain = format!("{http}url = \"http://crm:3000/access\"\nplain_http = true\n");
    assert!(load(&plain).is_ok());
}

fn load(text: &str) -> Result<AccessSettings, SettingsError> {
    let file = Path::new("switchboard.toml");
    let loaded = Settings::from_text(Some((file, &settings(text))), &Environment::default());
    loaded.map(|settings| settings.access)
}

fn settings(access: &str) -> String {
    format!("[auth]\nsecret = \"{SECRET}\"\n[catalogue]\nrooms = [\"order\"]\n{access}")
}

const SECRET: &str = "0123456789abcdef0123456789abcdef";
