//! The call and its environ (GW-CALL, GW-EWV).

use super::prelude::*;

/// GW-CALL-05, GW-CALL-06: one call for each request, on one connection and on several at once; nothing is left over
/// from one to the next.
fn gw_call_06_one_call_for_each_request(server: &dyn Server) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let app = move |environ: &mut Environ<'_>, start_response: &mut dyn StartResponse| -> Result<String, Error> {
        counter.fetch_add(1, SeqCst);
        start_response.start(Status::OK, &[("X-Path", environ.raw_path())])?;
        Ok(environ.raw_path().to_owned())
    };
    let site = site(server, app);
    let mut connection = site.connect();
    for n in 0..100 {
        connection.ask(&Ask::get(&format!("/{n}"))).is(200, &format!("/{n}"));
    }
    assert_eq!(calls.load(SeqCst), 100);
    thread::scope(|scope| {
        for thread in 0..16 {
            let site = &site;
            scope.spawn(move || {
                for n in 0..20 {
                    let path = format!("/{thread}/{n}");
                    site.ask(&Ask::get(&path)).is(200, &path);
                }
            });
        }
    });
    assert_eq!(calls.load(SeqCst), 420);
}

/// L03 in small: clients that idle between requests keep nobody from being served, and come back when they like. Ten
/// thousand of them are measured by `report memory`.
fn idle_connections_cost_others_nothing(server: &dyn Server) {
    let app = |_: &mut Environ<'_>, start_response: &mut dyn StartResponse| -> Result<&'static str, Error> {
        start_response.start(Status::OK, &[])?;
        Ok("here")
    };
    let site = site(server, app);
    let mut idle: Vec<_> = (0..100).map(|_| site.connect()).collect();
    for connection in &mut idle {
        connection.ask(&Ask::get("/")).is(200, "here");
    }
    for _ in 0..10 {
        site.ask(&Ask::get("/")).is(200, "here");
    }
    for connection in &mut idle {
        connection.ask(&Ask::get("/")).is(200, "here");
    }
}

/// GW-ENV-02, GW-REF-08: an application may empty its environ; response and connection do not need it.
fn gw_env_02_an_environ_can_be_wiped(server: &dyn Server) {
    let site = site(server, wiping);
    let mut connection = site.connect();
    connection.ask(&Ask::post("/", "body")).is(200, "wiped");
    connection.ask(&Ask::get("/")).is(200, "wiped");
}

/// GW-SR-18: an error that was taken is not kept: it is gone before the body is asked for the first block.
fn gw_sr_18_exc_info_is_not_kept(server: &dyn Server) {
    #[derive(Debug)]
    struct Counted(Counter);
    impl std::fmt::Display for Counted {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("counted")
        }
    }
    impl std::error::Error for Counted {}
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.add();
        }
    }
    let app = |_: &mut Environ<'_>, start_response: &mut dyn StartResponse| -> Result<Body, Error> {
        let dropped = Counter::default();
        start_response.restart(Status::OK, &[], Box::new(Counted(dropped.clone())))?;
        let mut blocks = 0;
        Ok(Body::late(move |_| {
            blocks += 1;
            (blocks == 1).then(|| Ok(dropped.count().to_string().into()))
        }))
    };
    site(server, app).ask(&Ask::get("/")).is(200, "1");
}

/// GW-CALL-08, GW-CALL-09, GW-MW-01, GW-EXT-07: layers that do nothing are not seen, neither by the client nor by the
/// application.
fn gw_call_09_layers_are_invisible(server: &dyn Server) {
    struct Layer(Arc<dyn Application>);
    impl Application for Layer {
        fn call(&self, environ: &mut Environ<'_>, start_response: &mut dyn StartResponse) -> Result<Body, Error> {
            let mut body = self.0.call(environ, start_response)?;
            Ok(Body::late(move |start_response| body.next(start_response)))
        }
    }
    let shown = |environ: &mut Environ<'_>, start_response: &mut dyn StartResponse| -> Result<Body, Error> {
        start_response.start(Status::OK, &[("X-Shown", "1")])?;
        let of_connection = |name: &str| name == "REMOTE_PORT" || name == "SERVER_PORT";
        let vars = environ.vars().into_iter().filter(|(name, _)| !of_connection(name));
        Ok(Body::blocks(vars.map(|(name, value)| format!("{name}={value:?}\n")).collect::<Vec<_>>()))
    };
    let apps: [Arc<dyn Application>; 5] = [
        Arc::new(shown),
        Arc::new(Script::call([start(200)]).body([yields("a"), yields(""), yields("b")])),
        Arc::new(Script::call([]).body([yields(""), start(201), yields("late")])),
        Arc::new(Script::call([start(200), writes("a"), restart(503)])),
        Arc::new(Script::call([start(200), start(200)])),
    ];
    for app in apps {
        let mut layered = Arc::clone(&app);
        let mut answers = Vec::new();
        for layers in 0..4 {
            if layers != 2 {
                let answer = server.start(Arc::clone(&layered)).ask(&Ask::post("/a?b", "c").header("X-D", "e"));
                let lasting = answer.headers.into_iter().filter(|(name, _)| name != "Date").collect::<Vec<_>>();
                answers.push((answer.status, answer.complete, answer.body, lasting));
            }
            layered = Arc::new(Layer(layered));
        }
        assert_eq!(answers[0], answers[1], "one layer");
        assert_eq!(answers[0], answers[2], "three layers");
    }
}

/// GW-EWV-10, GW-EWV-11, GW-EWV-12: the environ tells the truth: other threads call the same application at the same
/// time, no other process does, and this is not the only request.
fn gw_ewv_10_the_flags_are_true(server: &dyn Server) {
    let inside = Counter::default();
    let counter = inside.clone();
    let app = move |environ: &mut Environ<'_>, start_response: &mut dyn StartResponse| -> Result<String, Error> {
        counter.add();
        let together = counter.reached(2); // both are in the call now
        start_response.start(Status::OK, &[])?;
        Ok(format!("{together} {} {} {}", environ.multithread(), environ.multiprocess(), environ.run_once()))
    };
    let site = site(server, app);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| site.ask(&Ask::get("/")).is(200, "2 true false false").status);
        }
    });
}

/// GW-EWV-05, GW-EWV-07, GW-EWV-08, GW-ERR-01: what an application writes to the errors stream arrives where the server
/// was told, whatever text it is.
fn gw_ewv_05_the_errors_stream_arrives(server: &dyn Server) {
    let app = |environ: &mut Environ<'_>, start_response: &mut dyn StartResponse| -> Result<(), Error> {
        let errors = environ.errors().clone();
        errors.write("one: \u{1f600}\u{1}\n");
        errors.write_lines(["two\n", "three\n"]);
        errors.write(&"long ".repeat(200_000));
        errors.write("end\n");
        errors.flush();
        start_response.start(Status::NO_CONTENT, &[])?;
        Ok(())
    };
    let site = site(server, app);
    site.ask(&Ask::get("/")).is(204, "");
    site.must_log("long end\n");
    assert!(site.log().contains("one: \u{1f600}\u{1}\n") && site.log().contains("two\nthree\n"));
}

/// GW-REF-18: one line in the access log for each response, those of the server itself and those that were cut too.
fn gw_ref_18_every_response_is_told(server: &dyn Server) {
    let app = |environ: &mut Environ<'_>, start_response: &mut dyn StartResponse| -> Result<Body, Error> {
        let script = match environ.path_info().as_bytes() {
            b"/fail" => Script::call([fail("error of the script")]),
            b"/cut" => Script::call([start(200)]).body([yields("some"), fail("error of the script")]),
            b"/none" => Script::call([start(204)]),
            _ => Script::call([start(200)]).block("hello"),
        };
        script.call(environ, start_response)
    };
    let site = site(server, app);
    let mut connection = site.connect();
    connection.ask(&Ask::get("/one")).is(200, "hello");
    connection.ask(&Ask::new("HEAD", "/two")).is(200, "");
    connection.ask(&Ask::get("/none")).is(204, "");
    let failed = site.ask(&Ask::get("/fail")).is_failure(500).body.len();
    site.ask(&Ask::get("/cut")).is_cut(200, "some");
    let refused = site.ask(&Ask::get("/%zz")).is_failure(400).body.len();
    let expected = [
        "GET /one 200 5 false".to_owned(),
        "HEAD /two 200 0 false".to_owned(),
        "GET /none 204 0 false".to_owned(),
        format!("GET /fail 500 {failed} false"),
        "GET /cut 200 4 true".to_owned(),
        format!(" 400 {refused} false"),
    ];
    let deadline = Instant::now() + PATIENCE;
    while let Some(responses) = site.responses() {
        // What a refused request asked for may be unknown to the server.
        let refused = |line: &str| line.find(" 400 ").map_or_else(|| line.to_owned(), |at| line[at..].to_owned());
        let mut lines: Vec<String> = responses.lines().map(refused).collect();
        if lines.len() >= expected.len() {
            // Those of different connections may come in any order.
            let mut expected = expected;
            expected.sort_unstable();
            lines.sort_unstable();
            assert_eq!(lines, expected);
            break;
        }
        assert!(Instant::now() < deadline, "{responses}");
        thread::sleep(Duration::from_millis(1));
    }
}

on_every_server! {
    gw_ref_18_every_response_is_told
    gw_call_06_one_call_for_each_request
    idle_connections_cost_others_nothing
    gw_env_02_an_environ_can_be_wiped
    gw_sr_18_exc_info_is_not_kept
    gw_call_09_layers_are_invisible
    gw_ewv_10_the_flags_are_true
    gw_ewv_05_the_errors_stream_arrives
}
