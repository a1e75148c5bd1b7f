//! Measures every server side by side on this machine, and prints tables.
//!
//! `report --help` tells the rest; what the figures mean is in `docs/performance.md`.

mod args;
mod build;
mod counts;
mod hellos;
mod machine;
mod memory;
mod output;
mod plot;
mod results;
mod rounds;
mod scenarios;
mod serve;
mod summary;
mod table;

use std::io::{self, Write};
use std::process::ExitCode;

use args::{Command, Part, Plan};
use output::Output;

fn main() -> ExitCode {
    let outcome = match args::parse(lexopt::Parser::from_env()) {
        Ok(Command::Help) => output::print(|out| out.write_all(args::HELP.as_bytes())),
        Ok(Command::List) => output::print(args::list),
        Ok(Command::Compared) => output::print(args::compared),
        Ok(Command::Serve { server, settings, cpus, control }) => server.run(&settings, &cpus, control),
        Ok(Command::Load(plan)) => report(&plan, |out| rounds::run(&plan, out)),
        Ok(Command::Counts(plan)) => report(&plan, |out| counts::run(&plan, out)),
        Ok(Command::Memory(plan)) => report(&plan, |out| memory::run(&plan, out)),
        Ok(Command::MemoryOf(running, plan)) => report(&plan, |out| memory::of(&running, plan.connections, out)),
        Ok(Command::Build(plan)) => report(&plan, |out| build::run(&plan, out)),
        Ok(Command::All(plan)) => report(&plan, |out| all(&plan, out)),
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

/// Makes a report, and saves it where that is wanted.
fn report(plan: &Plan, make: impl FnOnce(&mut Output) -> io::Result<()>) -> io::Result<()> {
    let mut out = Output::new(plan.out.clone());
    make(&mut out)?;
    out.save()
}

/// Every part, each under its heading. What one part cannot do is said, and the others follow.
fn all(plan: &Plan, out: &mut Output) -> io::Result<()> {
    writeln!(out, "# Measured\n")?;
    machine::print(out)?;
    type Run = fn(&Plan, &mut Output) -> io::Result<()>;
    let parts: [(Part, &str, Run); 4] = [
        (Part::Load, "Under load", rounds::run),
        (Part::Counts, "Counted", counts::run),
        (Part::Memory, "Memory of idle connections", memory::run),
        (Part::Build, "A hello-world, built", build::run),
    ];
    for (part, title, run) in parts.into_iter().filter(|(part, ..)| !plan.skip.contains(part)) {
        eprintln!("report: {part:?}");
        writeln!(out, "## {title}\n")?;
        if let Err(error) = run(plan, out) {
            writeln!(out, "This part ended early: {error}\n")?;
        }
        // An early end of a later part costs nothing of this one.
        out.save()?;
    }
    machine::end(out)
}
