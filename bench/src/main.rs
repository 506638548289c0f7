//! The load generator: drives servers as black boxes and prints what the kernel says they used.

mod client;
mod compare;
mod fleet;
mod frame;
mod identity;
mod layout;
mod machine;
mod message;
mod process;
mod publisher;
mod report;
mod server;
mod station;
mod statistics;
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
    Run(compare::Options),
    /// One server and its clients, told what to do on standard input (`run` starts these)
    #[command(hide = true)]
    Station(station::Options),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Run(options) => compare::run(&options),
        Command::Station(options) => station::run(&options),
    }
}
