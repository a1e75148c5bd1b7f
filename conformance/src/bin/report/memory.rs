//! `report memory`: what a connection costs that asked once and then idles.

use std::io;
use std::thread;
use std::time::Duration;

use conformance::load::{Load, Scenario, ServerProcess, Until, Workload, raise_descriptor_limit};

use crate::args::Plan;
use crate::serve::Server;
use crate::table::{Table, duration};

/// Servers may give buffers back with a delay.
const SETTLING: Duration = Duration::from_millis(1500);

/// Prints resident memory at the start and per idle connection, and how a newcomer fares.
pub(crate) fn run(plan: &Plan) -> io::Result<()> {
    let descriptors = raise_descriptor_limit()?;
    println!("{} idle connections that asked once each", plan.connections);
    println!("({descriptors} descriptors per process; kernel memory of sockets is not counted)\n");
    let mut table =
        Table::new(["server", "RSS at start MiB", "RSS idle MiB", "KiB per connection", "threads", "newcomer"]);
    for server in &plan.servers {
        match measure(plan, server) {
            Ok(row) => table.row(row),
            Err(error) => table.row([server.name.to_owned(), format!("failed: {error}")]),
        }
    }
    table.print();
    Ok(())
}

fn measure(plan: &Plan, server: &Server) -> io::Result<[String; 6]> {
    let scenario = Scenario::named("plaintext").unwrap_or(conformance::load::SCENARIOS[0]);
    let process = ServerProcess::start(&plan.options(server, &scenario)?)?;
    let exchange = scenario.workload().fast;
    // One connection first: what every server needs once is no cost of the ten thousandth.
    Load::new(process.address(), Workload::new(1, exchange.clone()))?.run(Until::Responses(100))?;
    let start = process.memory()?;
    let mut idle = Load::new(process.address(), Workload::new(plan.connections, exchange.clone()))?;
    idle.run(Until::Responses(plan.connections as u64))?;
    thread::sleep(SETTLING);
    let now = process.memory()?;
    let newcomer = Load::new(process.address(), Workload::new(1, exchange))?.run(Until::Responses(1))?;
    let grown = now.resident.saturating_sub(start.resident) as f64;
    process.stop()?;
    Ok([
        server.name.to_owned(),
        format!("{:.2}", start.resident as f64 / 1024.0),
        format!("{:.2}", now.resident as f64 / 1024.0),
        format!("{:.2}", grown / plan.connections.max(1) as f64),
        now.threads.to_string(),
        duration(newcomer.elapsed),
    ])
}
