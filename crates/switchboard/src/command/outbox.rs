//! `switchboard outbox`

use std::time::Duration;

use clap::{Args, Subcommand};
use switchboard_outbox::{Channel, Schema, Table, apply};
use switchboard_postgres::Address;

use super::{ConfigFile, Failure, say};
use crate::settings::Environment;

/// Make the table that the CRM writes its events into, in its own transactions
#[derive(Args, Debug)]
pub(crate) struct Outbox {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Init(Init),
}

/// Print the statements that make the table, or run them
///
/// They can be run again without harm. docs/outbox.md has them as a migration of Sequelize and of
/// Knex, and shows how the CRM writes an event.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  switchboard outbox init | psql postgres://crm@db/crm
  switchboard outbox init --apply       # at outbox.url of the settings")]
struct Init {
    /// Where the CRM's database is, for --apply; without it outbox.url of the settings counts, which
    /// `ps` does not show
    #[arg(long, value_name = "URL")]
    url: Option<Address>,

    /// Run the statements, all of them or none
    #[arg(long)]
    apply: bool,

    /// The table, `name` or `schema.name`
    #[arg(long, value_name = "NAME", default_value_t)]
    table: Table,

    /// The channel of NOTIFY; without it as the table is called
    #[arg(long, value_name = "NAME", conflicts_with = "no_notify")]
    channel: Option<Channel>,

    /// Tell nothing, so that the table is polled: for very many commits at once
    #[arg(long)]
    no_notify: bool,

    #[command(flatten)]
    config: ConfigFile,
}

impl Outbox {
    pub(crate) async fn run(self, environment: &Environment) -> Result<(), Failure> {
        let Action::Init(init) = self.action;
        init.run(environment).await
    }
}

impl Init {
    async fn run(self, environment: &Environment) -> Result<(), Failure> {
        let channel = self.channel.unwrap_or_else(|| self.table.channel());
        let schema = Schema {
            table: self.table,
            channel: (!self.no_notify).then_some(channel),
        };
        if !self.apply {
            return say(schema.to_sql().trim_end());
        }
        let (address, ca) = if let Some(address) = self.url {
            (address, None)
        } else {
            let settings = self.config.load(environment)?.outbox;
            let settings = settings.ok_or_else(|| {
                Failure::refused("the settings have no [outbox]")
                    .advise("name the database with --url, or set outbox.url")
            })?;
            (settings.url, settings.ca)
        };
        let applied = apply(&schema, address, ca.as_deref(), TIMEOUT).await;
        // It tells its cause in words of its own.
        applied.map_err(|error| {
            Failure::new(error).advise(
                "is --url, or outbox.url, the CRM's database and a role that may make tables?",
            )
        })?;
        say(format_args!("{} is there", schema.table))
    }
}

/// How long connecting and making the table may take, each.
const TIMEOUT: Duration = Duration::from_secs(30);
