//! Every middleware of the framework between two lints: whatever the application does behind it, it adds no breach of the
//! contract, and what it has no reason to change comes through unchanged.

use std::collections::BTreeSet;
use std::sync::Arc;

use conformance::fixtures::{Script, Step, fail, panics, restart_with, start, start_with, writes, yields};
use conformance::inprocess::{Client, Response};
use conformance::lint::{Lint, Party, Reports, Severity};
use framework_mini::middleware::{
    AccessLog, BasicAuth, BodyLimit, CatchPanic, ConditionalGet, Cors, CrossOriginCheck, ForwardedBy, Gzip,
    MethodOverride, ProxyFix, RequestIds, SecurityHeaders, SessionKey, Sessions,
};
use gateway_spec::{Application, Body, Environ, Error, StartResponse, Status};
use proptest::prelude::*;

type Inner = Arc<dyn Application>;

/// A middleware around an application, set up so that it has something to do.
struct Layer {
    name: &'static str,
    around: fn(Inner) -> Inner,
}

#[rustfmt::skip] // one line each, as a table
const LAYERS: &[Layer] = &[
    Layer { name: "AccessLog", around: |app| Arc::new(AccessLog::new(app).to(|_| {})) },
    Layer { name: "BasicAuth", around: |app| Arc::new(BasicAuth::new(app, "realm", |_: &str, _: &str| true)) },
    Layer { name: "BodyLimit", around: |app| Arc::new(BodyLimit::new(app, 1000)) },
    Layer { name: "CatchPanic", around: |app| Arc::new(CatchPanic::new(app)) },
    Layer { name: "ConditionalGet", around: |app| Arc::new(ConditionalGet::new(app)) },
    Layer { name: "Cors", around: |app| Arc::new(Cors::new(app).any_origin()) },
    Layer { name: "CrossOriginCheck", around: |app| Arc::new(CrossOriginCheck::new(app)) },
    Layer { name: "Gzip", around: |app| Arc::new(Gzip::new(app).min_size(0)) },
    Layer { name: "MethodOverride", around: |app| Arc::new(MethodOverride::new(app)) },
    Layer { name: "ProxyFix", around: |app| Arc::new(ProxyFix::new(app, ForwardedBy::XForwarded).hops(1)) },
    Layer { name: "RequestIds", around: |app| Arc::new(RequestIds::new(app)) },
    Layer { name: "SecurityHeaders", around: |app| Arc::new(SecurityHeaders::new(app)) },
    Layer { name: "Sessions", around: |app| Arc::new(Sessions::new(app, SessionKey::new(&[7; 64]).unwrap())) },
    Layer { name: "all", around: |app| LAYERS.iter().rev().skip(1).fold(app, |app, layer| (layer.around)(app)) },
];

/// Asks with everything that gives a layer a reason to act.
fn ask(app: impl Application, method: &str, compressed: bool) -> Response {
    let client = Client::new(app);
    let request = client
        .request(method, "/path?query")
        .header("Authorization", "Basic dXNlcjpwYXNz")
        .header("Origin", "http://localhost")
        .header("X-Forwarded-For", "192.0.2.1")
        .header("If-None-Match", "\"other\"");
    if compressed { request.header("Accept-Encoding", "gzip").send() } else { request.send() }
}

fn rules(reports: &Reports) -> BTreeSet<(&'static str, Party)> {
    let findings = reports.take();
    findings.iter().filter(|f| f.severity <= Severity::Warning).map(|f| (f.rule, f.party)).collect()
}

/// Sends one request through a layer and holds what comes back, and what both lints say, against the bare application.
fn check(layer: &Layer, script: &Script, method: &str, compressed: bool) {
    let shown = format!("{method} through {}: {script}", layer.name);
    let bare = ask(script.clone(), method, compressed);
    let (inner, inside) = Lint::collecting(script.clone());
    let (outer, outside) = Lint::collecting((layer.around)(Arc::new(inner)));
    let through = ask(outer, method, compressed);

    let (inside, outside) = (rules(&inside), rules(&outside));
    let servers: Vec<_> = inside.iter().filter(|(_, party)| *party == Party::Server).collect();
    assert!(servers.is_empty(), "as a server to the application it breaks {servers:?}: {shown}");
    // One breach of the application may become another one further out; a layer's own are never excused.
    let added = |(_, party): &&(&str, Party)| *party == Party::Middleware || inside.is_empty();
    let added: Vec<_> = outside.difference(&inside).filter(added).collect();
    assert!(added.is_empty(), "it adds {added:?} to {inside:?}: {shown}");
    assert_eq!(script.closed().count(), script.returned().count(), "GW-MW-08: {shown}");
    let failed = through.cut.is_some() || through.status == 500;
    if bare.cut.is_some() || bare.status == 500 {
        // A layer that holds content back may have sent nothing yet, so that a cut becomes a 500; never a success.
        assert!(failed || method == "HEAD", "{}: {shown}", through.status);
        return;
    }
    if failed && !inside.is_empty() {
        return; // it has looked further than a server needs to, and found what is wrong there
    }
    assert_eq!((through.status, through.cut.as_deref()), (bare.status, None), "{}: {shown}", through.log);
    if through.header("content-encoding").is_none() {
        assert_eq!(through.text(), bare.text(), "{shown}");
    }
    for (name, value) in bare.headers.iter().filter(|(name, _)| name.starts_with("X-")) {
        assert_eq!(through.header(name), Some(value.as_str()), "{shown}");
    }
}

/// GW-MW-01, GW-MW-02, GW-MW-03, GW-MW-04, GW-MW-05, GW-MW-06, GW-MW-07, GW-MW-08, GW-CL-08
#[test]
fn layers_pass_on_every_kind_of_answer() {
    let text = || start_with(200, &[("Content-Type", "text/plain"), ("X-Script", "1")]);
    let sized = |length: &str| start_with(200, &[("Content-Type", "text/plain"), ("Content-Length", length)]);
    let scripts = [
        Script::call([text()]).block("hello"),
        Script::call([sized("5")]).block("hello"),
        Script::call([text()]).body([yields("one "), yields(""), yields("two "), yields("three")]),
        Script::call([text()]).body([yields("one "), yields("two")]).announcing(7),
        Script::call([]).body([yields(""), text(), yields("late")]),
        Script::call([text(), writes("one "), writes("two ")]).body([yields("three")]),
        Script::call([sized("7"), writes("one ")]).block("two"),
        Script::call([text(), restart_with(503, &[("Content-Type", "text/plain"), ("X-Second", "2")])]).block("sorry"),
        Script::call([text()]).body([yields(""), restart_with(404, &[("Content-Type", "text/plain")]), yields("none")]),
        Script::call([text()]).body([yields("one"), fail("in the middle")]),
        Script::call([text()]).body([yields("one"), restart_with(503, &[])]),
        Script::call([fail("at once")]),
        Script::call([start(204)]),
        Script::call([start_with(304, &[("ETag", "\"x\"")])]),
        Script::call([start_with(302, &[("Location", "/elsewhere")])]),
        Script::call([start_with(401, &[("WWW-Authenticate", "Basic realm=\"x\""), ("Content-Type", "text/plain")])])
            .block("no"),
        Script::call([text()]),
    ];
    for layer in LAYERS {
        for script in &scripts {
            for (method, compressed) in [("GET", false), ("GET", true), ("HEAD", false), ("HEAD", true), ("POST", true)]
            {
                check(layer, script, method, compressed);
            }
        }
    }
}

/// Any script at all, right or wrong.
fn any_script() -> impl Strategy<Value = Script> {
    let head = prop_oneof![
        4 => Just(vec![("Content-Type", "text/plain"), ("X-Script", "1")]),
        1 => Just(vec![("Content-Type", "text/plain"), ("Content-Length", "5")]),
        1 => Just(vec![("Bad Name", "x")]),
    ];
    let code = prop_oneof![6 => Just(200), 1 => Just(204), 1 => Just(404)];
    let text = prop_oneof![Just(""), Just("abc"), Just("hello")];
    let step = prop_oneof![
        3 => (code.clone(), head.clone()).prop_map(|(code, head)| start_with(code, &head)),
        2 => (code, head).prop_map(|(code, head)| restart_with(code, &head)),
        3 => text.clone().prop_map(writes),
        5 => text.prop_map(yields),
        1 => Just(fail("error")),
        1 => Just(panics("panic")),
    ];
    let steps = proptest::collection::vec(step, 0..5);
    (steps.clone(), steps, any::<bool>(), any::<bool>()).prop_map(|(mut call, body, good, one)| {
        if good {
            call.insert(0, start_with(200, &[("Content-Type", "text/plain")]));
        }
        // A write in an iteration is a breach that a layer may refuse in its own way.
        let body: Vec<Step> = body.into_iter().filter(|step| !matches!(step, Step::Write(_))).collect();
        let script = Script::call(call);
        match (one, body.first()) {
            (true, Some(Step::Yield(text))) => script.block(text),
            _ => script.body(body),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// GW-MW-01, GW-MW-09. Not HEAD: there a layer may look further into a broken body than a server does, and tell.
    #[test]
    fn layers_add_no_breach_of_their_own(
        script in any_script(),
        layer in 0..LAYERS.len(),
        compressed in any::<bool>(),
    ) {
        check(&LAYERS[layer], &script, "GET", compressed);
    }
}

/// A length that is in the answer to HEAD is that of the whole, and not of the first block, which is all that is asked for.
#[test]
fn a_head_tells_no_other_length() {
    let stream = |_: &mut Environ<'_>, start_response: &mut dyn StartResponse| -> Result<Body, Error> {
        start_response.start(Status::OK, &[("Content-Type", "text/plain")])?;
        Ok(Body::blocks(["one", "two", "three"]))
    };
    for layer in LAYERS {
        for method in ["GET", "HEAD"] {
            let response = ask((layer.around)(Arc::new(stream)), method, false);
            let length = response.header("Content-Length");
            assert!(matches!(length, None | Some("11")), "{method} through {}: {length:?}", layer.name);
        }
    }
}
