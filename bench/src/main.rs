//! The load generator: drives servers as black boxes and prints what the kernel says they used.

mod backend;
mod client;
mod compare;
mod disk;
mod fleet;
mod frame;
mod handle;
mod http;
mod identity;
mod layout;
mod machine;
mod message;
mod order;
mod past;
mod plan;
mod process;
mod producers;
mod publisher;
mod report;
mod results;
mod server;
mod setup;
mod station;
mod statistics;
mod table;
mod tally;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Compares Switchboard with its peers, side by side on one machine")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures all chosen servers in turns and writes the table
    Run(plan::Options),
    /// One server and its clients, told what to do on standard input (`run` starts these)
    #[command(hide = true)]
    Station(station::Options),
    /// Writes a journal with a long past (`run` starts this)
    #[command(hide = true)]
    Past(past::Options),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Run(options) => compare::run(&options),
        Command::Station(options) => station::run(&options),
        Command::Past(options) => past::run(&options),
    }
}
