//! The command line.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use longhaul::{config, demo, process};

/// A handshake allocates some fifty times, 8 KiB three times: with this one it takes less CPU, and memory after it, than
/// with glibc's (`bench/README.md` has the numbers). Whoever embeds Longhaul chooses for themselves.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A load-balancing router for WebSocket sessions.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the router; SIGHUP reloads, SIGTERM and SIGINT drain.
    Run {
        /// The config file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Say everything that is wrong with a config file.
    Check {
        /// The config file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Run a router with three echo backends; needs no config.
    Demo,
    /// Print the JSON Schema of the config file.
    Schema,
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run { config } => process::run(&config),
        Command::Check { config } => process::check(&config),
        Command::Demo => demo::run(),
        Command::Schema => {
            // Whoever reads only its beginning has what they wanted.
            let _ = writeln!(io::stdout(), "{:#}", config::schema());
            ExitCode::SUCCESS
        }
    }
}
