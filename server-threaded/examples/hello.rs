//! The smallest server: `cargo run -p server-threaded --example hello`, then `curl http://127.0.0.1:8000`.

use gateway_spec::{Environ, Error, StartResponse, Status};

fn hello(_environ: &mut Environ, start_response: &mut dyn StartResponse) -> Result<&'static str, Error> {
    start_response.start(Status::OK, &[("Content-Type", "text/plain")])?;
    Ok("Hello, World!")
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".into());
    let server = server_threaded::Server::bind(&address)?;
    println!("http://{}", server.local_addr());
    server.serve(hello)
}
