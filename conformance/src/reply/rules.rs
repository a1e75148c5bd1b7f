//! What holds for every response, whatever a case is about.

use super::Reply;
use super::syntax::{is_imf_fixdate, number};

impl Reply {
    /// Notes each breach, with its rule.
    pub(super) fn check_fields(&mut self) {
        let count = |reply: &Self, name: &str| reply.values(name).count();
        let no_content = matches!(self.status, 100..=199 | 204);
        let (lengths, codings) = (count(self, "Content-Length"), count(self, "Transfer-Encoding"));
        if lengths > 0 && codings > 0 {
            self.problem("H1-RFR-07", "Content-Length together with Transfer-Encoding");
        }
        if lengths > 1 || codings > 1 {
            self.problem("H1-FLD-07", "two lines of Content-Length or Transfer-Encoding");
        }
        if lengths > 0 && no_content {
            self.problem("H1-NOB-05", "Content-Length in a response that never has content");
        }
        if codings > 0 && no_content {
            self.problem("H1-RFR-03", "Transfer-Encoding in a response that never has content");
        }
        if self.values("Content-Length").any(|value| number(value).is_none()) {
            self.problem("H1-CLEN-03", "Content-Length is not a number");
        }
        if self.values("Transfer-Encoding").any(|value| value != b"chunked") {
            self.problem("H1-RFR-02", "Transfer-Encoding is not `chunked`");
        }
        let dates: Vec<Vec<u8>> = self.values("Date").map(<[u8]>::to_vec).collect();
        match dates.as_slice() {
            [] if self.status >= 200 => self.problem("H1-DATE-01", "no Date"),
            [] => {}
            [date] if !is_imf_fixdate(date) => self.problem("H1-SYN-13", "Date is not in the preferred form"),
            [_] => {}
            _ => self.problem("H1-DATE-01", "Date more than once"),
        }
        for name in
            ["Host", "Expect", "TE", "Range", "If-Match", "If-None-Match", "Authorization", "Proxy-Authorization"]
        {
            if count(self, name) > 0 {
                self.problem("H1-GEN-02", &format!("{name} is a field of requests"));
            }
        }
        let options: Vec<Vec<u8>> = self
            .values("Connection")
            .flat_map(|value| value.split(|&b| b == b','))
            .map(|option| option.trim_ascii().to_ascii_lowercase())
            .collect();
        if options.iter().any(|option| !matches!(option.as_slice(), b"close" | b"keep-alive" | b"upgrade")) {
            self.problem("H1-CON-19", "a Connection option that is not close, keep-alive or upgrade");
        }
        for (name, option) in [("Keep-Alive", b"keep-alive".as_slice()), ("Upgrade", b"upgrade")] {
            if count(self, name) > 0 && !options.iter().any(|o| o == option) {
                self.problem("H1-CON-18", &format!("{name} is not named in Connection"));
            }
        }
        for name in ["Content-Type", "Location", "ETag", "Last-Modified", "Server", "Connection"] {
            if count(self, name) > 1 {
                self.problem("H1-FLD-07", &format!("{name} more than once"));
            }
        }
    }
}
