//! Random scripts: the same answer on every server as in process.

use super::prelude::*;

/// Every random script has the same answer on this server as in process, and closes its body exactly once.
fn any_script_has_the_same_answer_everywhere(server: &dyn Server) {
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};

    let head = prop_oneof![
        4 => Just(vec![("X-Script", "1")]),
        1 => Just(vec![("Content-Length", "5")]),
        1 => Just(vec![("Content-Length", "0")]),
        1 => Just(vec![("Bad Name", "x")]),
    ];
    let code = prop_oneof![6 => Just(200), 1 => Just(204), 1 => Just(304), 1 => Just(404)];
    let text = prop_oneof![Just(""), Just("abc"), Just("hello"), Just("longer than five")];
    let step = prop_oneof![
        3 => (code.clone(), head.clone()).prop_map(|(code, head)| start_with(code, &head)),
        2 => (code, head).prop_map(|(code, head)| restart_with(code, &head)),
        3 => text.clone().prop_map(writes),
        5 => text.clone().prop_map(yields),
        1 => Just(fail("error")),
        1 => Just(panics("panic")),
    ];
    let steps = proptest::collection::vec(step, 0..5);
    let script = (steps.clone(), steps, any::<bool>(), any::<bool>());
    let started =
        (script, any::<bool>(), any::<bool>()).prop_map(|((mut call, body, swallows, announces), good, one)| {
            if good {
                call.insert(0, start(200));
            }
            // A length is announced only where it is true: what comes of a false one is not the same everywhere.
            let lengths = body.iter().map(|step| match step {
                Step::Yield(text) => Some(text.len() as u64),
                _ => None,
            });
            let length = lengths.sum::<Option<u64>>().filter(|_| announces);
            let script = Script::call(call);
            let script = match (one, body.first()) {
                (true, Some(Step::Yield(text))) => script.block(text),
                _ => script.body(body),
            };
            let script = if swallows { script.swallowing() } else { script };
            match length {
                Some(length) => script.announcing(length),
                None => script,
            }
        });
    let method = prop_oneof![3 => Just("GET"), 1 => Just("HEAD")];
    let config = Config { cases: 300, failure_persistence: None, ..Config::default() };
    let slot: Arc<std::sync::Mutex<Option<Script>>> = Arc::default();
    let current = Arc::clone(&slot);
    let app = move |environ: &mut Environ<'_>, start_response: &mut dyn StartResponse| -> Result<Body, Error> {
        let script = current.lock().unwrap().clone().ok_or("no script")?;
        script.call(environ, start_response)
    };
    let site = site(server, app);
    let result = TestRunner::new(config).run(&(started, method), |(script, method)| {
        let ask = Ask::new(method, "/");
        let expected = InProcess.start(Arc::new(script.clone())).ask(&ask);
        let (model_called, model_closed) = (script.called().count(), script.closed().count());
        *slot.lock().unwrap() = Some(script.clone());
        let got = site.ask(&ask);
        let closed = script.closed().reached(2 * model_closed);
        prop_assert_eq!(
            (got.status, got.complete, got.framing),
            (expected.status, expected.complete, expected.framing),
            "{}",
            script
        );
        // The text of a failure is the server's own.
        if expected.status != 500 {
            prop_assert_eq!(got.text(), expected.text(), "{}", script);
            prop_assert_eq!(got.header("Content-Length"), expected.header("Content-Length"), "{}", script);
        }
        prop_assert_eq!((script.called().count(), closed), (2 * model_called, 2 * model_closed), "{}", script);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

on_every_server! {
    any_script_has_the_same_answer_everywhere
}
