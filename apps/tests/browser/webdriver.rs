//! A WebDriver client that is just large enough (<https://www.w3.org/TR/webdriver2/>): chromedriver as a child, JSON over
//! HTTP on loopback.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};

/// How long one command may take. Starting a browser on a busy machine is the slowest.
const PATIENCE: Duration = Duration::from_secs(120);

/// What chromedriver says when a command did not work: its code, such as `no such element`, and more.
pub(crate) struct Failure {
    pub(crate) code: String,
    message: String,
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.code, self.message)
    }
}

/// chromedriver, and a browser that it has started. Both end when this is dropped.
pub(crate) struct Session {
    driver: Child,
    port: u16,
    id: String,
}

impl Session {
    /// Starts both.
    ///
    /// # Errors
    /// If the browser does not start, as happens on a machine that is very busy: another attempt may go well.
    pub(crate) fn start(program: &str, capabilities: &Value) -> Result<Self, Failure> {
        let mut driver = Command::new(program)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // A group of its own, so that what it has started can be ended with it.
            .process_group(0)
            .spawn()
            .expect("chromedriver starts");
        let stdout = BufReader::new(driver.stdout.take().expect("a pipe"));
        let (sender, port) = channel();
        thread::spawn(move || {
            // Read to the end, so that it never waits for a reader.
            for line in stdout.lines().map_while(Result::ok) {
                let said = line.split_once("started successfully on port ");
                let port = said.and_then(|(_, port)| port.trim_end_matches('.').parse().ok());
                let _ = port.map(|port: u16| sender.send(port));
            }
        });
        let mut session = Self { driver, port: 0, id: String::new() };
        session.port = port.recv_timeout(PATIENCE).expect("chromedriver says where it listens");
        let wanted = json!({ "capabilities": { "alwaysMatch": capabilities } });
        let made = session.send("POST", "/session", &wanted)?;
        session.id = made["sessionId"].as_str().expect("an id").to_owned();
        Ok(session)
    }

    /// A command of the session that is given something.
    pub(crate) fn post(&self, command: &str, parameters: &Value) -> Result<Value, Failure> {
        self.send("POST", &format!("/session/{}/{command}", self.id), parameters)
    }

    /// A command of the session that only asks.
    pub(crate) fn get(&self, command: &str) -> Result<Value, Failure> {
        self.send("GET", &format!("/session/{}/{command}", self.id), &Value::Null)
    }

    /// One request on a connection of its own.
    fn send(&self, method: &str, path: &str, parameters: &Value) -> Result<Value, Failure> {
        let body = if parameters.is_null() { String::new() } else { parameters.to_string() };
        let answer = self.exchange(method, path, &body).unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let value = &answer["value"];
        match value["error"].as_str() {
            None => Ok(value.clone()),
            Some(code) => {
                let message = value["message"].as_str().unwrap_or_default();
                Err(Failure { code: code.to_owned(), message: message.lines().next().unwrap_or_default().to_owned() })
            }
        }
    }

    fn exchange(&self, method: &str, path: &str, body: &str) -> std::io::Result<Value> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let (port, length) = (self.port, body.len());
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )?;
        let mut reader = BufReader::new(stream);
        let (mut line, mut length) = (String::new(), 0);
        while line != "\r\n" {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().map_err(std::io::Error::other)?;
            }
        }
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer)?;
        serde_json::from_slice(&answer).map_err(Into::into)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.id.is_empty() {
            // The way that lets the browser tidy up. If it does not answer any more, it is ended below.
            let _ = self.exchange("DELETE", &format!("/session/{}", self.id), "");
        }
        let _ = kill_process_group(Pid::from_child(&self.driver), Signal::KILL);
        let _ = self.driver.wait();
    }
}
