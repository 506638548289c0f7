//! `switchboard producer`

use bytes::Bytes;
use clap::{Args, Subcommand};
use http::{Method, Request, StatusCode, header};
use http_body_util::Full;
use serde::{Deserialize, Serialize};
use switchboard_ingest::{KeyId, Scope};

use super::address::Address;
use super::dial::Authorities;
use super::http::{api_key, bearer, refusal, send};
use super::{Failure, say, warn};
use crate::settings::Environment;

/// Make, list and revoke API keys of a running server
#[derive(Args, Debug)]
pub(crate) struct Producer {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Create(Create),
    List(List),
    Revoke(Revoke),
}

/// Make an API key, and print it, this once
///
/// It is good at once on this node, and within a second on every other one. To change a key for
/// another, make the new one, give it to the backend, see in `list` that the old one is not used
/// any more, and revoke it.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  export SWITCHBOARD_KEY=...      # the admin key that `switchboard init` printed
  switchboard producer create erp --scope publish")]
struct Create {
    /// The producer's name, for logs and lists; several keys may have it
    name: String,

    /// The tenant that it publishes for, `*` for all; without it that of the admin key
    #[arg(long)]
    tenant: Option<String>,

    /// What it is for: publish, read (every event of the tenant) or admin (repeatable); publish if not
    /// told
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<Scope>,

    #[command(flatten)]
    server: Server,
}

/// List the API keys, when each was made and used last, and none of them itself
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  switchboard producer list")]
struct List {
    #[command(flatten)]
    server: Server,
}

/// Revoke an API key: it is good for nothing within a second
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  switchboard producer revoke key_9f86d081884c7d65")]
struct Revoke {
    /// What the key is called in `list`
    id: KeyId,

    #[command(flatten)]
    server: Server,
}

/// Which server is asked, and by whom.
#[derive(Args, Debug)]
struct Server {
    /// The server, http:// or https://
    #[arg(long, value_name = "URL", default_value = "http://localhost:5000")]
    url: Address,

    #[command(flatten)]
    authorities: Authorities,

    /// An API key with the scope admin; without it SWITCHBOARD_KEY counts, which `ps` does not show
    #[arg(long, value_name = "KEY")]
    key: Option<String>,

    /// Print what the server answers as it came
    #[arg(long)]
    json: bool,
}

/// The body of `POST /v1/producers`.
#[derive(Serialize)]
struct Wish<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    scopes: &'a [Scope],
}

/// What of an answer is shown.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    id: String,
    name: String,
    tenant: String,
    scopes: Vec<String>,
    source: String,
    key: Option<String>,
    last_used_at: Option<String>,
}

#[derive(Deserialize)]
struct All {
    producers: Vec<Told>,
}

impl Producer {
    pub(crate) async fn run(self, environment: &Environment) -> Result<(), Failure> {
        match self.action {
            Action::Create(create) => create.run(environment).await,
            Action::List(list) => list.run(environment).await,
            Action::Revoke(revoke) => revoke.run(environment).await,
        }
    }
}

impl Create {
    async fn run(self, environment: &Environment) -> Result<(), Failure> {
        let body = serde_json::to_vec(&Wish {
            name: &self.name,
            tenant: self.tenant.as_deref(),
            scopes: &self.scopes,
        })?;
        let server = &self.server;
        let answer = server
            .ask(environment, Method::POST, "", body, StatusCode::CREATED)
            .await?;
        if server.json {
            return say(answer);
        }
        let told: Told = serde_json::from_str(&answer)?;
        warn(format_args!(
            "the API key {} is shown this once: the server keeps only its SHA-256",
            told.id
        ));
        say(told.key.unwrap_or_default())
    }
}

impl List {
    async fn run(self, environment: &Environment) -> Result<(), Failure> {
        let server = &self.server;
        let answer = server
            .ask(environment, Method::GET, "", Vec::new(), StatusCode::OK)
            .await?;
        if server.json {
            return say(answer);
        }
        let All { producers } = serde_json::from_str(&answer)?;
        say(table(&producers))
    }
}

impl Revoke {
    async fn run(self, environment: &Environment) -> Result<(), Failure> {
        let path = format!("/{}", self.id);
        let status = StatusCode::NO_CONTENT;
        self.server
            .ask(environment, Method::DELETE, &path, Vec::new(), status)
            .await?;
        say(format_args!("revoked {}", self.id))
    }
}

impl Server {
    /// The body of the answer, if it has the status that it has when all is well.
    async fn ask(
        &self,
        environment: &Environment,
        method: Method,
        path: &str,
        body: Vec<u8>,
        expected: StatusCode,
    ) -> Result<String, Failure> {
        let key = api_key(self.key.as_deref(), environment)?;
        let request = Request::builder()
            .method(method)
            .uri(format!("/v1/producers{path}"))
            .header(header::HOST, self.url.authority())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, bearer(key)?)
            .body(Full::from(Bytes::from(body)))?;
        let (status, body) = send(&self.authorities.dialer(&self.url)?, request).await?;
        if status == expected {
            return Ok(body.trim().to_owned());
        }
        Err(refusal(status, &body, self.json))
    }
}

fn table(producers: &[Told]) -> String {
    let head = ["ID", "NAME", "TENANT", "SCOPES", "SOURCE", "LAST USED"].map(str::to_owned);
    let rows = producers.iter().map(|told| {
        let used = told.last_used_at.as_deref().unwrap_or("never");
        [
            told.id.clone(),
            told.name.clone(),
            told.tenant.clone(),
            told.scopes.join(","),
            told.source.clone(),
            used.to_owned(),
        ]
    });
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<_> = (0..6).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &[String; 6]| {
        let cells = row.iter().zip(&widths);
        let cells: Vec<_> = cells
            .map(|(cell, &width)| format!("{cell:width$}"))
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_listed_in_columns() {
        let told = |name: &str, used: Option<&str>| Told {
            id: "key_9f86d081884c7d65".to_owned(),
            name: name.to_owned(),
            tenant: "acme".to_owned(),
            scopes: vec!["publish".to_owned(), "read".to_owned()],
            source: "api".to_owned(),
            key: None,
            last_used_at: used.map(str::to_owned),
        };

        let table = table(&[
            told("erp", None),
            told("crm-backend", Some("2026-01-01T00:00:00.000Z")),
        ]);

        assert_eq!(
            table,
            "ID                    NAME         TENANT  SCOPES        SOURCE  LAST USED\n\
             key_9f86d081884c7d65  erp          acme    publish,read  api     never\n\
             key_9f86d081884c7d65  crm-backend  acme    publish,read  api     2026-01-01T00:00:00.000Z"
        );
    }
}
