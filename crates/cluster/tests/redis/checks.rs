use std::path::Path;

use rcgen::{CertifiedKey, KeyPair};
use switchboard_cluster::{OpenError, RedisConfig, RedisJournal};

use crate::fixture::{append, fresh_prefix};
use crate::server::Server;

#[tokio::test]
async fn nobody_there_is_said_with_the_address() {
    let mut server = Server::start(&[]);
    server.kill();

    let refused = refusal(RedisConfig::new(server.url())).await;

    let address = format!("127.0.0.1:{}", server.port);
    assert!(
        refused.starts_with("redis cannot be reached: "),
        "{refused}"
    );
    assert!(refused.contains(&address), "{refused}");
}

#[tokio::test]
async fn an_address_that_is_none_is_not_repeated() {
    let refused = refusal(RedisConfig::new("redis//:secret@host")).await;

    assert!(
        refused.starts_with("redis.url 1 is not an address"),
        "{refused}"
    );
    assert!(!refused.contains("secret"), "{refused}");
}

#[tokio::test]
async fn a_policy_that_evicts_is_refused() {
    let server = Server::start(&["--maxmemory-policy", "allkeys-lru"]);

    let refused = refusal(RedisConfig::new(server.url())).await;

    let expected = format!(
        "redis at 127.0.0.1:{} has maxmemory-policy allkeys-lru, which evicts; noeviction is needed",
        server.port
    );
    assert_eq!(refused, expected);
}

#[tokio::test]
async fn a_replica_is_refused() {
    let primary = Server::start(&[]);
    let of = format!("127.0.0.1 {}", primary.port);
    let replica = Server::start(&["--replicaof", &of]);

    let refused = refusal(RedisConfig::new(replica.url())).await;

    assert!(refused.ends_with("is a replica"), "{refused}");
}

#[tokio::test]
async fn the_wrong_mode_is_refused() {
    let plain = Server::start(&[]);
    let member = Server::start(&["--cluster-enabled", "yes"]);

    let no_cluster = refusal(RedisConfig {
        cluster: true,
        ..RedisConfig::new(plain.url())
    });
    let no_cluster = no_cluster.await;
    let is_cluster = refusal(RedisConfig::new(member.url())).await;

    assert!(
        no_cluster.ends_with("is not a cluster, but redis.cluster is true"),
        "{no_cluster}"
    );
    assert!(
        is_cluster.ends_with("is a cluster, but redis.cluster is false"),
        "{is_cluster}"
    );
}

#[tokio::test]
async fn an_acl_user_with_the_rights_of_the_handbook_is_enough_and_less_is_named() {
    let server = Server::start(&[]);
    let user = |name: &str, rights: &[&str]| {
        let mut command = vec!["ACL", "SETUSER", name, "on", ">secret"];
        command.extend(rights);
        assert_eq!(server.cli(&command), "OK");
    };
    let rights = [
        "~{switchboard*",
        "&{switchboard*",
        "+@connection",
        "+info",
        "+@scripting",
        "+@read",
        "+@write",
        "+@pubsub",
        "+wait",
        "-@dangerous",
        "+info",
    ];
    user("enough", &rights);
    user("less", &[&rights[..], &["-xadd", "-zadd"]].concat());
    user("elsewhere", &[&["~other*"], &rights[1..]].concat());
    user(
        "deaf",
        &[&["~{switchboard*"], &rights[2..], &["resetchannels"]].concat(),
    );
    let open = |name: &str| RedisConfig {
        username: Some(name.to_owned()),
        password: Some("secret".to_owned()),
        ..RedisConfig::new(server.url())
    };

    let node = RedisJournal::open(open("enough")).await.unwrap();
    append(&node, "a").await;
    let less = refusal(open("less")).await;
    assert!(less.ends_with("lacks the right to xadd, zadd"), "{less}");
    let elsewhere = refusal(open("elsewhere")).await;
    assert!(
        elsewhere.contains("lacks the right to evalsha on keys {switchboard:*"),
        "{elsewhere}"
    );
    let deaf = refusal(open("deaf")).await;
    assert!(deaf.contains("lacks the right to"), "{deaf}");
    let wrong = RedisConfig {
        password: Some("hunter2".to_owned()),
        ..open("enough")
    };
    let wrong = refusal(wrong).await;
    assert!(wrong.starts_with("redis cannot be reached"), "{wrong}");
    assert!(!wrong.contains("hunter2"), "{wrong}");
}

#[tokio::test]
async fn another_number_of_partitions_is_refused() {
    let server = Server::start(&[]);
    RedisJournal::open(RedisConfig::new(server.url()))
        .await
        .unwrap();

    let other = RedisConfig {
        partitions: 8.try_into().unwrap(),
        ..RedisConfig::new(server.url())
    };

    let error = RedisJournal::open(other).await.unwrap_err();
    let (found, expected) = (16, 8);
    assert_eq!(error, OpenError::Partitions { found, expected });
}

#[tokio::test]
async fn tls_is_spoken_to_whom_our_authority_signed_and_to_nobody_else() {
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(names).unwrap();
    let files = tempfile::tempdir().unwrap();
    let (pem, key) = (files.path().join("cert.pem"), files.path().join("key.pem"));
    std::fs::write(&pem, cert.pem()).unwrap();
    std::fs::write(&key, KeyPair::serialize_pem(&signing_key)).unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let server = Server::start(&[
        "--tls-port",
        "PORT",
        "--tls-cert-file",
        &text(&pem),
        "--tls-key-file",
        &text(&key),
        "--tls-ca-cert-file",
        &text(&pem),
        "--tls-auth-clients",
        "no",
    ]);
    let config = RedisConfig {
        prefix: fresh_prefix(),
        ..RedisConfig::new(format!("rediss://127.0.0.1:{}", server.port))
    };

    let stranger = refusal(config.clone()).await;
    let node = RedisJournal::open(RedisConfig {
        ca: Some(cert.pem().into_bytes()),
        ..config
    });
    let node = node.await.unwrap();
    append(&node, "a").await;

    assert!(
        stranger.starts_with("redis cannot be reached"),
        "{stranger}"
    );
}

async fn refusal(config: RedisConfig) -> String {
    RedisJournal::open(config).await.unwrap_err().to_string()
}
