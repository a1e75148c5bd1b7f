//! All links as CSV, streamed.

use std::sync::Arc;

use framework_mini::{Body, Error, Response, State};

use crate::Site;
use crate::access::{Asked, Member};
use crate::link::Link;

/// Links that are read and sent at a time: what is in memory does not grow with the number of links, and no connection to
/// the database waits for a slow client. A link that is made meanwhile is in it or not.
const AT_A_TIME: usize = 100;

const HEAD: &str = "slug,url,target,title,visits,created_at,created_by,changed_at,changed_by,visited_at\r\n";

/// All links as a table (RFC 4180).
pub(crate) fn csv(State(site): State<Site>, _member: Member, asked: Asked) -> Result<Response, Error> {
    // The first are read before anything is sent: if that fails, the answer can still say so.
    let first = site.store.after(0, AT_A_TIME)?;
    let rows = Rows { site, asked, next: Some(first), head: HEAD };
    Ok(Response::new(Body::try_blocks(rows))
        .with_header("Content-Type", "text/csv; charset=utf-8; header=present")
        .with_header("Content-Disposition", "attachment; filename=\"links.csv\""))
}

struct Rows {
    site: Arc<Site>,
    asked: Asked,
    /// What is to be sent next; `None` if it has to be read or all is sent.
    next: Option<Vec<Link>>,
    head: &'static str,
}

impl Iterator for Rows {
    type Item = Result<String, gateway_spec::Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let links = self.next.take()?;
        let mut text = std::mem::take(&mut self.head).to_owned();
        links.iter().for_each(|link| row(&mut text, link, &self.asked.short_url(&link.slug)));
        if let Some(last) = links.last().filter(|_| links.len() == AT_A_TIME) {
            match self.site.store.after(last.id, AT_A_TIME) {
                Ok(links) => self.next = Some(links).filter(|links| !links.is_empty()),
                // The client sees that the table is not whole.
                Err(error) => return Some(Err(format!("{error:?}").into())),
            }
        }
        Some(Ok(text))
    }
}

fn row(text: &mut String, link: &Link, short_url: &str) {
    let visits = link.visits.to_string();
    let maybe = |value: &Option<String>| value.clone().unwrap_or_default();
    let (changed_at, changed_by, visited_at) =
        (maybe(&link.changed_at), maybe(&link.changed_by), maybe(&link.visited_at));
    let cells: [&str; 10] = [
        &link.slug,
        short_url,
        &link.target,
        &link.title,
        &visits,
        &link.created_at,
        &link.created_by,
        &changed_at,
        &changed_by,
        &visited_at,
    ];
    for (index, value) in cells.into_iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        cell(text, value);
    }
    text.push_str("\r\n");
}

/// A cell. What a spreadsheet would run as a formula is made text by an apostrophe.
fn cell(text: &mut String, value: &str) {
    let apostrophe = if value.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    if value.contains([',', '"', '\r', '\n']) {
        text.push('"');
        text.push_str(apostrophe);
        text.push_str(&value.replace('"', "\"\""));
        text.push('"');
    } else {
        text.push_str(apostrophe);
        text.push_str(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells() {
        for (value, expected) in [
            ("", ""),
            ("plain text", "plain text"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("two\r\nlines", "\"two\r\nlines\""),
            ("=1+1", "'=1+1"),
            ("@SUM(1,2)", "\"'@SUM(1,2)\""),
            ("-1", "'-1"),
            ("a=b", "a=b"),
        ] {
            let mut text = String::new();
            cell(&mut text, value);
            assert_eq!(text, expected);
        }
    }
}
