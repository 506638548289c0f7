//! `switchboard journal erase`

use std::num::NonZeroU16;
use std::path::Path;

use bytes::Bytes;
use clap::Args;
use http::{Method, Request, StatusCode, header};
use http_body_util::Full;
use serde::{Deserialize, Serialize};
use switchboard_event::{Room, TenantId};
use switchboard_journal::tools::{self, ToolError};
use switchboard_journal::{DiskConfig, DiskJournal, Erased, Journal as _, OpenError, TenantRoom};

use super::{Place, failed};
use crate::command::address::Address;
use crate::command::dial::Authorities;
use crate::command::http::{api_key, bearer, refusal, send};
use crate::command::{Failure, say};
use crate::settings::Environment;

/// Take the payloads of everything that was said to a room, as the law may ask for
///
/// Positions stay, and so does that the events were published: a retry brings none of them back.
/// What is erased cannot be had again, but from backups. A server that runs is asked with --url.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  export SWITCHBOARD_KEY=...      # the admin key that `switchboard init` printed
  switchboard journal erase --tenant acme --room contact:42 --url http://localhost:5000")]
pub(super) struct Erase {
    /// Whose room
    #[arg(long)]
    tenant: TenantId,

    /// Which room
    #[arg(long)]
    room: Room,

    /// The running server that has the journal open, http:// or https://
    #[arg(long, value_name = "URL")]
    url: Option<Address>,

    #[command(flatten)]
    authorities: Authorities,

    /// An API key with the scope admin; without it SWITCHBOARD_KEY counts, which `ps` does not show
    #[arg(long, value_name = "KEY", requires = "url")]
    key: Option<String>,

    #[command(flatten)]
    place: Place,

    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

/// The body of `POST /v1/erasures`.
#[derive(Serialize)]
struct Wish<'a> {
    tenant: &'a str,
    room: &'a str,
}

/// Its answer, and what is printed.
#[derive(Deserialize, Serialize)]
struct Done {
    records: u64,
    values: u64,
}

impl Erase {
    pub(super) async fn run(&self, environment: &Environment) -> Result<(), Failure> {
        let done = match &self.url {
            Some(url) => self.ask(url, environment).await?,
            None if self.authorities.are_named() => {
                return Err(Failure::refused("--ca is for the server of --url"));
            }
            None => self.erase(&self.place.directory(environment)?).await?,
        };
        if self.json {
            return say(serde_json::to_string(&done)?);
        }
        let Done { records, values } = done;
        say(format_args!(
            "erased {records} records and {values} values of {}",
            self.room.name()
        ))
    }

    async fn ask(&self, url: &Address, environment: &Environment) -> Result<Done, Failure> {
        let key = api_key(self.key.as_deref(), environment)?;
        let body = serde_json::to_vec(&Wish {
            tenant: self.tenant.as_str(),
            room: self.room.name(),
        })?;
        let request = Request::builder()
            .method(Method::POST)
            .uri("/v1/erasures")
            .header(header::HOST, url.authority())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, bearer(key)?)
            .body(Full::from(Bytes::from(body)))?;
        let (status, body) = send(&self.authorities.dialer(url)?, request).await?;
        if status == StatusCode::OK {
            return Ok(serde_json::from_str(&body)?);
        }
        Err(refusal(status, &body, self.json))
    }

    async fn erase(&self, directory: &Path) -> Result<Done, Failure> {
        let stats = tools::stats(directory).map_err(failed)?;
        let count = u16::try_from(stats.partitions.len()).ok();
        let count = count.and_then(NonZeroU16::new).unwrap_or(NonZeroU16::MIN);
        let config = DiskConfig {
            partitions: count,
            ..DiskConfig::new(directory)
        };
        let journal = DiskJournal::open(&config).map_err(|error| match error {
            OpenError::InUse { .. } => Failure::from(error)
                .advise("ask the server that has it open: --url http://localhost:5000"),
            error => failed(ToolError::Open(error)),
        })?;
        let room = TenantRoom {
            tenant: self.tenant.clone(),
            room: self.room.clone(),
        };
        let erased = journal.erase(&room).await;
        journal.close().await;
        let Erased { records, values } = erased?;
        Ok(Done { records, values })
    }
}
