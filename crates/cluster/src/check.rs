//! Whether a Redis is fit for a journal. Each thing that is wrong is one clear line.

use std::collections::HashMap;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Value};
use tracing::warn;

use crate::core::Core;
use crate::dial::{self, Address, Dial};
use crate::error::{Failure, OpenError};
use crate::keys::Place;
use crate::reply;
use crate::script::RIGHTS;

/// Checks the first server that answers: version, and whether it is a cluster.
pub(crate) async fn mode(dial: &Dial) -> Result<(), OpenError> {
    let mut failure = OpenError::Unreachable {
        reason: "no address".to_owned(),
    };
    for address in &dial.seeds {
        match dial.connect(address, None).await {
            Ok(mut connection) => {
                let facts = facts(dial, address, &mut connection).await?;
                return is_fit(dial, address, &facts);
            }
            Err(error) => failure = error.into(),
        }
    }
    Err(failure)
}

/// Checks every server that holds something of ours: its memory, its disk and our rights.
pub(crate) async fn servers(core: &Core, dial: &Dial) -> Result<(), OpenError> {
    let places = core.shards.iter().map(|shard| &shard.place);
    let places = places.chain([&core.identity]);
    for (link, place) in core.router.links(places) {
        let address = match link.address() {
            Ok(address) => address,
            // Of a cluster nobody has connected yet.
            Err(_) => link.connect().await?,
        };
        let mut connection = dial.connect(&address, None).await?;
        let facts = facts(dial, &address, &mut connection).await?;
        is_fit(dial, &address, &facts)?;
        rights(core, dial, &address, place, &mut connection).await?;
    }
    Ok(())
}

type Facts = HashMap<String, String>;

async fn facts(
    dial: &Dial,
    address: &Address,
    connection: &mut MultiplexedConnection,
) -> Result<Facts, OpenError> {
    let info = redis::cmd("INFO");
    let answer = send(dial, connection, &info).await;
    let answer = answer.map_err(|failure| refused(failure, address, "info"))?;
    let text = reply::text(&answer).unwrap_or_default();
    let facts = text.lines().filter_map(|line| line.split_once(':'));
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.trim().to_owned());
    Ok(facts.map(owned).collect())
}

fn is_fit(dial: &Dial, address: &Address, facts: &Facts) -> Result<(), OpenError> {
    let fact = |name: &str| facts.get(name).map_or("", String::as_str);
    let address = address.to_string();
    let version = fact("redis_version").to_owned();
    let major = version.split('.').next();
    if !major.is_some_and(|major| major.parse().is_ok_and(|major: u32| major >= VERSION_MIN)) {
        return Err(OpenError::Version { address, version });
    }
    match (dial.is_cluster, fact("cluster_enabled") == "1") {
        (false, true) => return Err(OpenError::IsCluster { address }),
        (true, false) => return Err(OpenError::NoCluster { address }),
        (true, true) | (false, false) => {}
    }
    let policy = fact("maxmemory_policy");
    if policy != "noeviction" {
        let policy = policy.to_owned();
        return Err(OpenError::Evicts { address, policy });
    }
    if fact("aof_enabled") == "0" {
        warn!(
            %address,
            "redis has appendonly off: what was answered is lost when it ends unexpectedly"
        );
    }
    Ok(())
}

async fn rights(
    core: &Core,
    dial: &Dial,
    address: &Address,
    place: &Place,
    connection: &mut MultiplexedConnection,
) -> Result<(), OpenError> {
    let load = send(dial, connection, &RIGHTS.load()).await;
    load.map_err(|failure| refused(failure, address, "script|load"))?;
    let call = RIGHTS.call(&[place.key("check"), place.key("fleeting")]);
    let answer = send(dial, connection, &call).await;
    let keys = format!("evalsha on keys {{{}:*", core.config.prefix);
    let answer = answer.map_err(|failure| refused(failure, address, &keys))?;
    let missing = reply::list(answer).unwrap_or_default();
    let missing: Vec<String> = missing.iter().filter_map(reply::text).collect();
    if !missing.is_empty() {
        return Err(OpenError::Rights {
            address: address.to_string(),
            commands: missing.join(", ").to_lowercase(),
        });
    }
    let mut listen = redis::cmd("SSUBSCRIBE");
    listen.arg(place.key("fleeting"));
    let answer = send(dial, connection, &listen).await;
    let channels = format!("ssubscribe to channels {{{}:*", core.config.prefix);
    answer.map_err(|failure| refused(failure, address, &channels))?;
    Ok(())
}

async fn send(
    dial: &Dial,
    connection: &mut MultiplexedConnection,
    command: &Cmd,
) -> Result<Value, Failure> {
    dial::ask(connection, command, dial.command_timeout).await
}

fn refused(failure: Failure, address: &Address, commands: &str) -> OpenError {
    match failure.code() {
        Some("NOPERM") => OpenError::Rights {
            address: address.to_string(),
            commands: commands.to_owned(),
        },
        _ => failure.into(),
    }
}

/// The first with sharded Pub/Sub and flags of scripts.
const VERSION_MIN: u32 = 7;
