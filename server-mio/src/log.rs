//! What an access log is told of a response.

use std::time::{Duration, Instant};

use gateway_spec::{Field, Peer};

use crate::Exchange;
use crate::h1::head::{Limits, parse, places};

/// When a request was whole; the rest is read from its head again, which stays in the buffer until the response is over.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Record {
    begun: Option<Instant>,
}

impl Record {
    pub(crate) fn begin() -> Self {
        Self { begun: Some(Instant::now()) }
    }

    /// Calls the hook.
    #[expect(clippy::too_many_arguments, reason = "these are the columns of a log")]
    pub(crate) fn write(
        self,
        hook: &(dyn Fn(&Exchange<'_>) + Send + Sync),
        peer: &Peer,
        head: &[u8],
        limits: Limits,
        status: u16,
        bytes: u64,
        aborted: bool,
    ) {
        let duration = self.begun.map_or(Duration::ZERO, |begun| begun.elapsed());
        let mut exchange = Exchange {
            peer,
            method: "",
            target: "",
            version: "",
            status,
            bytes,
            aborted,
            duration,
            referer: None,
            user_agent: None,
        };
        let mut scratch = vec![httparse::EMPTY_HEADER; places(head, &limits)];
        let mut fields = vec![Field::EMPTY; places(head, &limits)];
        if let Ok(Some(head)) = parse(head, &mut fields, &mut scratch, &limits) {
            (exchange.method, exchange.target, exchange.version) = (head.method, head.target, head.version.as_str());
            let field = |name: &str| head.fields.iter().find(|f| f.name.eq_ignore_ascii_case(name)).map(|f| f.value);
            (exchange.referer, exchange.user_agent) = (field("referer"), field("user-agent"));
            hook(&exchange);
        } else {
            // A head that was refused: the beginning of its request line is worth knowing all the same.
            let line = head.split(|&b| b == b'\r' || b == b'\n').next().unwrap_or_default();
            let mut parts = str::from_utf8(line).unwrap_or_default().split(' ');
            (exchange.method, exchange.target) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            hook(&exchange);
        }
    }
}
