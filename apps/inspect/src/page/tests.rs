//! The page, whatever is sent.

use sha2::{Digest, Sha256};

use super::*;
use crate::app;
use crate::testing::{Answer, Ask, ask, get};

const EVIL: &[u8] = b"<script>alert('1')</script>\"><img src=x onerror=alert(2)>";

fn base64(octets: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in octets.chunks(3) {
        let bits = three.iter().fold(0u32, |bits, &b| bits << 8 | u32::from(b)) << (8 * (3 - three.len()));
        for i in 0..4 {
            let digit = char::from(ALPHABET[(bits >> (18 - 6 * i)) as usize & 63]);
            text.push(if i <= three.len() { digit } else { '=' });
        }
    }
    text
}

#[test]
fn the_policy_allows_this_style_and_no_other() {
    assert_eq!(base64(b"Man") + &base64(b"M") + &base64(b"Ma"), "TWFuTQ==TWE=");
    let digest = base64(&Sha256::digest(STYLE));
    assert!(CONTENT_SECURITY_POLICY.contains(&format!("'sha256-{digest}'")), "the style's digest is now {digest}");
    let answer = get(&app(), "/");
    assert!(answer.text().contains(&format!("<style>{STYLE}</style>")));
    assert_eq!(answer.header("content-security-policy"), Some(CONTENT_SECURITY_POLICY));
    for header in ["cache-control", "x-content-type-options", "referrer-policy"] {
        assert!(answer.header(header).is_some(), "{header}");
    }
}

fn evil() -> Answer {
    let headers: &[(&str, &[u8])] = &[("User-Agent", EVIL), ("Content-Type", EVIL), ("X-Broken", b"\xff\x1b[2J")];
    let text = str::from_utf8(EVIL).expect("ASCII");
    let request = Ask { method: "POST", headers, body: Some(EVIL), ..Ask::default() };
    ask(&app(), &format!("/%3Cscript%3E/%00%FF?{}", text.replace(' ', "+")), &request)
}

#[test]
fn whatever_is_sent_is_text_in_the_page() {
    let text = evil().text();
    let lower = text.to_ascii_lowercase();
    assert!(!lower.contains("<script") && !lower.contains("<img") && !text.contains('\x1b') && !text.contains('\0'));
    // In the query, the User-Agent (variable and header), the Content-Type (the same) and the body.
    assert!(text.matches("&lt;script&gt;alert(&#39;1&#39;)").count() >= 6);
    for spelled_out in [r"\u{0}", r"\xff", r"\u{1b}"] {
        assert!(text.contains(&format!("<span class=\"odd\">{spelled_out}</span>")), "{spelled_out}");
    }
}

/// Every element that has an end tag gets one, in order.
#[test]
fn the_page_is_well_formed() {
    let mounted = Ask { mount: "/x/y", ..Ask::default() };
    for page in [get(&app(), "/").text(), evil().text(), ask(&app(), "/x/y/z?q", &mounted).text()] {
        let mut open = Vec::new();
        let mut rest = page.split_once("<html").map(|(_, rest)| format!("<html{rest}")).expect("html");
        rest = rest.replace(STYLE, "");
        for tag in rest.split('<').skip(1) {
            let name = tag.split(['>', ' ']).next().expect("a name");
            match name.strip_prefix('/') {
                Some("table") => {
                    while matches!(open.last(), Some(&("tr" | "td" | "th" | "thead" | "tbody"))) {
                        open.pop();
                    }
                    assert_eq!(open.pop(), Some("table"));
                }
                Some("ul") => {
                    while open.last() == Some(&"li") {
                        open.pop();
                    }
                    assert_eq!(open.pop(), Some("ul"));
                }
                Some(end) => assert_eq!(open.pop(), Some(end)),
                None if matches!(name, "meta" | "link" | "input") => {}
                None => open.push(name),
            }
        }
        assert_eq!(open, [""; 0]);
    }
}

#[test]
fn every_variable_is_there_with_its_value() {
    let text = get(&app(), "/some/path?a=1").text();
    for (name, value) in [
        ("REQUEST_METHOD", "GET"),
        ("SCRIPT_NAME", "<span class=\"none\">empty</span>"),
        ("PATH_INFO", "/some/path"),
        ("QUERY_STRING", "a=1"),
        ("CONTENT_LENGTH", "<span class=\"none\">absent</span>"),
        ("REMOTE_ADDR", "127.0.0.1"),
        ("HTTP_HOST", "localhost:8000"),
    ] {
        assert!(text.contains(&format!("<tr><th scope=\"row\">{name}<td>{value}")), "{name}");
    }
}

#[test]
fn headers_say_which_variable_they_became() {
    let headers: &[(&str, &[u8])] =
        &[("X-Dash", b"1"), ("X_Dash", b"2"), ("Proxy", b"3"), ("content-TYPE", b"4"), ("Connection", b"close")];
    let text = ask(&app(), "/", &Ask { headers, ..Ask::default() }).text();
    for (header, value, variable) in [
        ("X-Dash", "1", "HTTP_X_DASH"),
        ("X_Dash", "2", "<i>none</i>"),
        ("Proxy", "3", "<i>none</i>"),
        ("content-TYPE", "4", "CONTENT_TYPE"),
        ("Connection", "close", "<i>none</i>"),
    ] {
        let row = format!("<tr><th scope=\"row\">{header}<td>{value}<td class=\"note\">{variable}\n");
        assert!(text.contains(&row), "{row}");
    }
}

#[test]
fn links_and_forms_stay_below_the_mount() {
    let mounted = Ask { mount: "/a b", ..Ask::default() };
    let text = ask(&app(), "/a%20b/c", &mounted).text();
    assert!(text.contains("href=\"/a%20b/environ.json\""));
    assert!(text.contains("action=\"/a%20b/get\""));
    assert!(text.contains("<span class=\"mount\">/a%20b</span><span class=\"path\">/c</span>"));
    assert!(!text.contains("href=\"/environ.json\""));
}

#[test]
fn a_long_body_is_shown_in_part() {
    let body = vec![b'x'; 100_000];
    let text = ask(&app(), "/", &Ask { method: "PUT", body: Some(&body), ..Ask::default() }).text();
    assert!(text.contains("<p>Its first 4096 bytes:</p>"));
    assert!(text.contains(&format!(">{}</pre>", "x".repeat(4096))));
}
