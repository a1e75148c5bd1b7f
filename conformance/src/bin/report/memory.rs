//! `report memory`: what a connection costs that asked once and then idles.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use conformance::load::{Load, Memory, Scenario, ServerProcess, Shape, Until, Workload, raise_descriptor_limit};

use crate::args::{Plan, Running};
use crate::output::Output;
use crate::serve::Server;
use crate::table::{Table, duration};

/// Servers may give buffers back with a delay.
const SETTLING: Duration = Duration::from_millis(1500);

/// A server that does not answer for so long has failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Prints resident memory at the start and per idle connection, and how a newcomer fares.
pub(crate) fn run(plan: &Plan, out: &mut Output) -> io::Result<()> {
    let descriptors = raise_descriptor_limit()?;
    writeln!(out, "{} idle connections that asked once each.", plan.connections)?;
    writeln!(out, "({descriptors} descriptors per process; kernel memory of sockets is not counted.)\n")?;
    let mut table =
        Table::new(["server", "RSS at start MiB", "RSS idle MiB", "KiB per connection", "threads", "newcomer"]);
    let mut troubles = Vec::new();
    for server in plan.servers.iter().filter(|server| (server.declines)(Shape::Plaintext).is_none()) {
        match measure(plan, server) {
            Ok(row) => table.row(row),
            Err(error) => {
                table.row([server.name, "failed"]);
                troubles.push(format!("- {}: {error}", server.name));
            }
        }
    }
    write!(out, "{table}")?;
    if !troubles.is_empty() {
        writeln!(out, "{}\n", troubles.join("\n"))?;
    }
    Ok(())
}

/// Prints the memory of a server that runs already: before, and with connections that asked and stay.
pub(crate) fn of(running: &Running, connections: usize, out: &mut Output) -> io::Result<()> {
    raise_descriptor_limit()?;
    let before = Memory::of(running.pid)?;
    let request = format!("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", running.path);
    let mut open = Vec::with_capacity(connections);
    for number in 0..connections {
        let mut stream = TcpStream::connect_timeout(&running.address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(request.as_bytes())?;
        let mut start = [0; 12];
        stream.read_exact(&mut start)?;
        if !start.starts_with(b"HTTP/1.1 200") {
            let text = format!("connection {number} was answered {}", start.escape_ascii());
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        open.push(stream);
    }
    thread::sleep(SETTLING);
    let now = Memory::of(running.pid)?;
    let grown = now.resident.saturating_sub(before.resident) as f64;
    let mut table = Table::new(["connections", "RSS before MiB", "RSS now MiB", "KiB per connection", "threads"]);
    table.row([
        connections.to_string(),
        format!("{:.2}", before.resident as f64 / 1024.0),
        format!("{:.2}", now.resident as f64 / 1024.0),
        format!("{:.2}", grown / connections.max(1) as f64),
        now.threads.to_string(),
    ]);
    drop(open);
    write!(out, "{table}")
}

fn measure(plan: &Plan, server: &Server) -> io::Result<[String; 6]> {
    let scenario = Scenario::named("plaintext").unwrap_or(conformance::load::SCENARIOS[0]);
    let process = ServerProcess::start(&plan.options(server, &scenario)?)?;
    let exchange = scenario.workload().fast;
    // One connection first: what every server needs once is no cost of the ten thousandth.
    Load::new(process.address(), Workload::new(1, exchange.clone()))?.run(Until::Responses(100))?;
    let start = process.memory()?;
    let workload = Workload { patience: PATIENCE, ..Workload::new(plan.connections, exchange.clone()) };
    let mut idle = Load::new(process.address(), workload)?;
    idle.greet()?;
    thread::sleep(SETTLING);
    let now = process.memory()?;
    let newcomer = Workload { patience: PATIENCE, ..Workload::new(1, exchange) };
    let newcomer = Load::new(process.address(), newcomer)?.run(Until::Responses(1))?;
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
