//! Measures every server side by side on this machine, and prints tables.
//!
//! `report --help` tells the rest; what the figures mean is in `docs/performance.md`.

mod args;
mod counts;
mod memory;
mod plot;
mod rounds;
mod serve;
mod table;

use std::process::ExitCode;

use args::Command;

fn main() -> ExitCode {
    let outcome = match args::parse(lexopt::Parser::from_env()) {
        Ok(Command::Help) => {
            print!("{}", args::HELP);
            return ExitCode::SUCCESS;
        }
        Ok(Command::List) => {
            args::list();
            return ExitCode::SUCCESS;
        }
        Ok(Command::Serve { server, settings, cpus, control }) => server.run(&settings, &cpus, control),
        Ok(Command::Load(plan)) => rounds::run(&plan),
        Ok(Command::Counts(plan)) => counts::run(&plan),
        Ok(Command::Memory(plan)) => memory::run(&plan),
        Err(error) => {
            eprintln!("report: {error}; see --help");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("report: {error}");
            ExitCode::FAILURE
        }
    }
}
