use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use switchboard_access::sql::Database;
use switchboard_access::{Answer, AskError, OpenError, Question, Source as _, Sql, SqlConfig};
use tokio::time::timeout;

use crate::cluster::{self, Cluster};

const BY_MEMBER: &str =
    "select 1 from members where user_id = $1 and tenant = $2 and account = $3::bigint";

#[tokio::test]
async fn the_first_row_says_yes_or_no() {
    let cluster = Cluster::start("");
    for url in [cluster.url(), cluster.socket_url()] {
        let by_member = sql(&url, BY_MEMBER);

        assert_eq!(ask(&by_member, "ana", "1").await, Ok(true));
        assert_eq!(ask(&by_member, "ana", "2").await, Ok(false));
        assert_eq!(ask(&by_member, "eve", "1").await, Ok(false));
        let turn = by_member.turn().await;
        let other = by_member.ask(turn, &question("ana", "other", "1")).await;
        assert_eq!(other, Ok(Answer::of(false)));
    }
    for (query, is_allowed) in [
        (
            "select exists(select 1 from members where user_id = $1)",
            true,
        ),
        (
            "select exists(select 1 from members where user_id = 'x')",
            false,
        ),
        (
            "select count(*) from members where account::text = $3",
            true,
        ),
        (
            "select count(*) from members where account::text = $1",
            false,
        ),
        ("select null::boolean", false),
        ("select 1::smallint", true),
        ("select false union all select true", false),
        ("select 1 from generate_series(1, 100000)", true),
    ] {
        let sql = sql(&cluster.url(), query);
        assert_eq!(ask(&sql, "ana", "1").await, Ok(is_allowed), "{query}");
    }
}

#[tokio::test]
async fn what_is_bound_is_text_and_never_part_of_the_query() {
    let cluster = Cluster::start("");
    let by_text = sql(
        &cluster.url(),
        "select 1 from members where user_id = $1 and account::text = $3",
    );
    let by_number = sql(&cluster.url(), BY_MEMBER);
    let by_uuid = sql(
        &cluster.url(),
        "select 1 from members where level = $3::uuid and user_id = $1",
    );

    for id in [
        "'or/**/1=1--",
        "1'--",
        "1;drop/**/table/**/members",
        "1::bigint",
        "$1",
        "9223372036854775808",
        "\\",
    ] {
        for sql in [&by_text, &by_number, &by_uuid] {
            assert_eq!(ask(sql, "ana", id).await, Ok(false), "{id}");
            assert_eq!(ask(sql, "'or/**/1=1--", "1").await, Ok(false));
        }
    }
    assert_eq!(ask(&by_number, "ana", "1").await, Ok(true));
    // Ids that are none for the CRM cost no connection.
    assert_eq!(connections(&cluster), "3");
}

#[tokio::test]
async fn a_query_that_is_no_question_or_writes_is_no_answer() {
    let cluster = Cluster::start("");
    for query in [
        "select",
        "select 1, 2",
        "select 'yes'",
        "select 1 from nothing",
        "select 1 where user_id = 7",
        "select 1; select 1",
        "delete from members returning 1",
        "insert into members (user_id) values ($1) returning 1",
        "select $4::int",
    ] {
        let answer = ask(&sql(&cluster.url(), query), "ana", "1").await;

        assert!(
            matches!(answer, Err(AskError::Invalid(_))),
            "{query}: {answer:?}"
        );
    }
    assert_eq!(cluster.ask("select count(*) from members"), "1");
}

#[tokio::test]
async fn a_query_that_fails_for_one_id_has_no_answer_to_that_question() {
    let cluster = Cluster::start("");
    cluster.run(
        "create function room(id text) returns boolean language plpgsql as
         $$ begin if id = 'oops' then raise 'no room %', id; end if; return true; end $$",
    );
    let queries = [
        "select room($3)",
        "select (select true from generate_series(1, case when $3 = 'oops' then 2 else 1 end))",
    ];
    let asked = queries.map(|query| sql(&cluster.url(), query));
    for (query, sql) in queries.iter().zip(&asked) {
        let answer = ask(sql, "ana", "oops").await;

        assert!(matches!(answer, Err(AskError::Unanswered(_))), "{answer:?}");
        assert!(!format!("{answer:?}").contains("oops"), "{answer:?}");
        assert_eq!(ask(sql, "ana", "1").await, Ok(true), "{query}");
    }
    // It costs no connection either.
    assert_eq!(connections(&cluster), "2");
}

#[tokio::test]
async fn connections_are_few_and_kept() {
    let cluster = Cluster::start("");
    let by_member = std::sync::Arc::new(sql(&cluster.url(), BY_MEMBER));

    let asking: Vec<_> = (0..200)
        .map(|_| {
            let by_member = std::sync::Arc::clone(&by_member);
            tokio::spawn(async move { ask(&by_member, "ana", "1").await })
        })
        .collect();
    for answer in asking {
        assert_eq!(answer.await.unwrap(), Ok(true));
    }

    assert_eq!(connections(&cluster), POOL_MAX.to_string());
}

#[tokio::test]
async fn a_server_that_was_killed_is_found_again() {
    let mut cluster = Cluster::start("");
    let by_member = sql(&cluster.url(), BY_MEMBER);
    assert_eq!(ask(&by_member, "ana", "1").await, Ok(true));

    cluster.kill();
    let answer = ask(&by_member, "ana", "1").await;
    assert!(
        matches!(answer, Err(AskError::Unreachable(_))),
        "{answer:?}"
    );

    cluster.restart();
    assert_eq!(ask(&by_member, "ana", "1").await, Ok(true));
    // And if nobody asked meanwhile: the connection that is kept broke.
    cluster.kill();
    cluster.restart();
    assert_eq!(ask(&by_member, "ana", "1").await, Ok(true));
}

#[tokio::test]
async fn a_server_that_holds_still_keeps_nobody_and_no_connection() {
    let cluster = Cluster::start("");
    let by_member = sql(&cluster.url(), BY_MEMBER);
    assert_eq!(ask(&by_member, "ana", "1").await, Ok(true));

    cluster.freeze(true);
    for _ in 0..2 * POOL_MAX {
        // As whoever asks does: gives up in its own time.
        let answer = timeout(Duration::from_millis(100), ask(&by_member, "ana", "1")).await;
        assert!(answer.is_err());
    }
    cluster.freeze(false);

    let answer = timeout(Duration::from_secs(30), ask(&by_member, "ana", "1")).await;
    assert_eq!(answer, Ok(Ok(true)));
}

#[tokio::test]
async fn the_server_itself_stops_a_query_that_takes_too_long() {
    let cluster = Cluster::start("");
    let slow = sql_with(
        "select 1 from pg_sleep(600)",
        SqlConfig {
            timeout: Duration::from_millis(300),
            ..config(&cluster.url())
        },
    );

    let begin = Instant::now();
    let answer = ask(&slow, "ana", "1").await;

    assert!(matches!(answer, Err(AskError::Invalid(_))), "{answer:?}");
    assert!(begin.elapsed() < Duration::from_mins(1));
    let running = "select count(*) from pg_stat_activity where query like '%pg_sleep(600)'
                   and state = 'active'";
    assert_eq!(cluster.ask(running), "0");
}

#[tokio::test]
async fn a_table_that_changed_its_shape_under_a_prepared_query_is_asked_anew() {
    let cluster = Cluster::start("");
    let by_member = sql(&cluster.url(), BY_MEMBER);
    assert_eq!(ask(&by_member, "ana", "1").await, Ok(true));

    cluster.run("alter table members alter account type int");

    assert_eq!(ask(&by_member, "ana", "1").await, Ok(true));
}

#[tokio::test]
async fn with_tls_the_certificate_is_verified_and_without_it_nothing_is_sent() {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let keys = tempfile::tempdir().unwrap();
    fs::set_permissions(keys.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (certificate, private) = (keys.path().join("c.pem"), keys.path().join("k.pem"));
    fs::write(&certificate, key.cert.pem()).unwrap();
    fs::write(&private, key.signing_key.serialize_pem()).unwrap();
    cluster::hand_over(&private);
    fs::set_permissions(&private, fs::Permissions::from_mode(0o600)).unwrap();
    let cluster = Cluster::start(&format!(
        "ssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'\n",
        certificate.display(),
        private.display()
    ));
    let url = cluster.url().replace("127.0.0.1", "localhost");
    let is_encrypted = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
    let with = |ca: Option<&str>, url: &str| SqlConfig {
        ca: ca.map(|pem| pem.as_bytes().into()),
        ..config(url)
    };
    let encrypted = format!("{url}?sslmode=require");
    let pem = key.cert.pem();

    let trusted = sql_with(is_encrypted, with(Some(&pem), &encrypted));
    let unknown = sql_with(is_encrypted, with(None, &encrypted));
    let other_name = sql_with(
        is_encrypted,
        with(Some(&pem), &encrypted.replace("localhost", "127.0.0.1")),
    );
    let plain = sql_with(is_encrypted, with(None, &url));

    assert_eq!(ask(&trusted, "ana", "1").await, Ok(true));
    assert_eq!(ask(&plain, "ana", "1").await, Ok(false));
    for sql in [unknown, other_name] {
        let answer = ask(&sql, "ana", "1").await;
        assert!(
            matches!(answer, Err(AskError::Unreachable(_))),
            "{answer:?}"
        );
    }
    let none = Database::new(with(Some("nothing"), &encrypted));
    assert!(matches!(none, Err(OpenError::Authority(_))));
}

async fn ask(sql: &Sql, user: &str, id: &str) -> Result<bool, AskError> {
    let answer = sql.ask(sql.turn().await, &question(user, "acme", id)).await;
    answer.map(|answer| answer.is_allowed)
}

fn question(user: &str, tenant: &str, id: &str) -> Question {
    Question {
        tenant: tenant.parse().unwrap(),
        user: user.parse().unwrap(),
        room: format!("contact:{id}").parse().unwrap(),
    }
}

fn sql(url: &str, query: &str) -> Sql {
    sql_with(query, config(url))
}

fn sql_with(query: &str, config: SqlConfig) -> Sql {
    Sql::new(Database::new(config).unwrap(), query)
}

fn config(url: &str) -> SqlConfig {
    SqlConfig {
        url: url.parse().unwrap(),
        pool_max: POOL_MAX,
        timeout: Duration::from_secs(30),
        ca: None,
    }
}

fn connections(cluster: &Cluster) -> String {
    cluster.ask("select count(*) from pg_stat_activity where application_name = 'switchboard'")
}

const POOL_MAX: usize = 3;
