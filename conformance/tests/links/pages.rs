//! What people do with the pages.

use std::collections::BTreeSet;

use crate::browser::{Browser, at_every_mount};
use crate::html::{has, tags, text_of, value_of};
use crate::support::{Ask, Server};

const TARGET: &str = "https://example.com/a?b=c&d=e#f";

pub(crate) fn a_link_from_its_making_to_its_end(server: &dyn Server) {
    at_every_mount(server, |browser| {
        let empty = browser.page("/");
        assert!(has(&empty, "empty") && !has(&empty, "links"), "{empty}");

        browser.create("Wiki", &format!(" {TARGET} "), "Our wiki");
        let list = browser.page("/");
        assert!(!has(&list, "empty") && text_of(&list, "link-wiki").contains("Our wiki example.com/a?b=c&d=e#f 0"));
        assert!(list.contains(&format!(
            "Created: http:&#x2f;&#x2f;localhost{}&#x2f;wiki",
            browser.mount.replace('/', "&#x2f;")
        )));
        assert!(!browser.page("/").contains("Created:"), "a message is shown once");

        // Whoever follows it needs no login, and letter case does not count.
        for name in ["/wiki", "/WIKI"] {
            let followed = browser.other().get(name);
            let head = (followed.status, followed.header("Location"), followed.header("Cache-Control"));
            assert_eq!(head, (302, Some(TARGET), Some("no-store")), "{followed:?}");
        }
        // Who only looks is not counted.
        let looked = browser.other().ask(Ask::new("HEAD", "/wiki"));
        assert_eq!((looked.status, looked.header("Location")), (302, Some(TARGET)));
        assert_eq!(browser.visits("wiki"), 2);

        let edit = browser.page("/links/wiki/edit");
        assert_eq!((value_of(&edit, "target").as_str(), value_of(&edit, "title").as_str()), (TARGET, "Our wiki"));
        let changed = [("slug", "handbook"), ("target", "https://b.example/"), ("title", ""), ("revision", "1")];
        assert_eq!(browser.target_of(&browser.post("/links/wiki", &changed)), "/links/handbook");
        assert!(browser.page("/links/handbook").contains("Saved: "));
        assert_eq!(browser.get("/wiki").status, 404);
        assert_eq!(browser.get("/handbook").header("Location"), Some("https://b.example/"));
        assert_eq!(browser.visits("Handbook"), 3, "the visits stay");

        assert_eq!(browser.target_of(&browser.post("/links/handbook/delete", &[])), "/");
        assert!(browser.page("/").contains("Deleted: "));
        assert_eq!(browser.get("/handbook").status, 404);
        assert_eq!(browser.target_of(&browser.post("/links/handbook/delete", &[])), "/");
        assert!(browser.page("/").contains("There was no link"));

        // A name that nobody chose.
        browser.create("", TARGET, "");
        let list = browser.page("/");
        let row = tags(&list).into_iter().find_map(|tag| tag.get("id")?.strip_prefix("link-").map(str::to_owned));
        assert_eq!(browser.get(&format!("/{}", row.unwrap())).status, 302);
    });
}

pub(crate) fn what_is_wrong_is_told_and_nothing_is_lost(server: &dyn Server) {
    at_every_mount(server, |browser| {
        browser.create("wiki", TARGET, "");
        let bad = [("slug", "a b"), ("target", "javascript:alert(1)"), ("title", "T\"><i>")];
        browser.create("other", TARGET, "");
        for path in ["/links", "/links/other"] {
            let answer = browser.post(path, &bad);
            assert_eq!(answer.status, 422, "{path}");
            let page = answer.text();
            for (name, value) in bad {
                assert_eq!(value_of(&page, name), value, "{path}");
            }
            assert!(text_of(&page, "target-error").contains("https://"), "{page}");
            assert!(text_of(&page, "slug-error").contains("letters from a to z"), "{page}");
            let fields = tags(&page);
            let field = fields.iter().find(|tag| tag.get("id") == Some("target")).unwrap();
            assert_eq!(
                (field.get("aria-invalid"), field.get("aria-describedby")),
                (Some("true"), Some("target-error"))
            );
            assert!(page.contains("<title>Error: "));

            let taken = browser.post(path, &[("slug", "WIKI"), ("target", "https://b.example/"), ("title", "kept")]);
            assert_eq!(taken.status, 409, "{path}");
            assert!(text_of(&taken.text(), "slug-error").contains("“wiki” is taken"));
            assert_eq!(value_of(&taken.text(), "title"), "kept");

            for target in [
                "",
                "data:text/html,x",
                "JAVASCRIPT:x",
                " javascript:x",
                "java\tscript:x",
                "//x",
                "ftp://x/",
                "https://a\r\nb",
            ] {
                assert_eq!(browser.post(path, &[("slug", "x"), ("target", target)]).status, 422, "{target:?}");
            }
            for slug in ["login", "api", "a/b", "..", "a.b", "%61"] {
                assert_eq!(browser.post(path, &[("slug", slug), ("target", TARGET)]).status, 422, "{slug:?}");
            }
        }
        assert_eq!(browser.get("/wiki").header("Location"), Some(TARGET));
        assert_eq!(browser.post("/links/none", &[("slug", "none"), ("target", TARGET)]).status, 404);
        let json = Ask::post("/links", "{}").header("Content-Type", "application/json");
        assert_eq!(browser.ask(json).status, 415);
    });
}

pub(crate) fn markup_is_text(server: &dyn Server) {
    const EVIL: &str = "<script>alert('1')</script>\"'>&amp;";
    at_every_mount(server, |browser| {
        let refused = browser.post("/links", &[("slug", "evil"), ("target", "https://example.com/?a='&b=<")]);
        assert_eq!(refused.status, 422, "an address with < is none");
        browser.create("evil", "https://example.com/?a='&b=(c)", EVIL);
        let pages = [
            "/",
            "/links/evil",
            "/links/evil/edit",
            "/?q=%3Cscript%3Ealert%281%29",
            "/?title=%3Cscript%3E&slug=%22%3E",
        ];
        for target in pages {
            let page = browser.page(target);
            assert!(!page.contains("<script") && page.contains("&lt;script&gt;"), "{target}: {page}");
        }
        assert_eq!(value_of(&browser.page("/links/evil/edit"), "title"), EVIL);
        for target in ["/%3Cscript%3E", "/links/%3Cscript%3E"] {
            let answer = browser.get(target);
            assert!(answer.status == 404 && !answer.text().contains("<script"), "{target}: {answer:?}");
        }
        let login = browser.other().get("/login?next=%22%3E%3Cscript%3E").text();
        assert!(!login.contains("<script") && value_of(&login, "next") == "\"><script>");
        let policy = browser.get("/").header("Content-Security-Policy").unwrap().to_owned();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    });
}

pub(crate) fn two_at_the_same_form(server: &dyn Server) {
    at_every_mount(server, |browser| {
        browser.create("wiki", TARGET, "");
        let revision = value_of(&browser.page("/links/wiki/edit"), "revision");
        let save = |target: &str, revision: &str| {
            browser.post("/links/wiki", &[("slug", "wiki"), ("target", target), ("revision", revision)])
        };
        assert_eq!(save("https://first.example/", &revision).status, 303);
        let second = save("https://second.example/", &revision);
        assert_eq!(second.status, 409);
        let page = second.text();
        assert!(text_of(&page, "problem").contains("team has changed this link meanwhile"), "{page}");
        assert!(
            page.contains("https:&#x2f;&#x2f;first.example&#x2f;")
                && value_of(&page, "target") == "https://second.example/"
        );
        assert_eq!(save("https://second.example/", &value_of(&page, "revision")).status, 303);
        assert_eq!(browser.get("/wiki").header("Location"), Some("https://second.example/"));
    });
}

pub(crate) fn unknown_names_are_offered(server: &dyn Server) {
    at_every_mount(server, |browser| {
        for visitor in [browser, &browser.other()] {
            let missing = visitor.get("/Nowhere");
            assert_eq!((missing.status, missing.header("Content-Type")), (404, Some("text/html; charset=utf-8")));
            assert!(text_of(&missing.text(), "make").contains("Create “nowhere”"));
        }
        let page = browser.get("/Nowhere").text();
        let offered = tags(&page).into_iter().find(|tag| tag.get("id") == Some("make")).unwrap();
        let offered = offered.get("href").unwrap().strip_prefix(browser.mount).unwrap().to_owned();
        assert_eq!(value_of(&browser.page(&offered), "slug"), "nowhere");
        for target in ["/a.b", "/%C3%A4", "/no/such/page", "/login/x"] {
            let answer = browser.get(target);
            assert!(answer.status == 404 && !has(&answer.text(), "make"), "{target}: {answer:?}");
        }
        let long = browser.get(&format!("/{}", "\u{e4}x".repeat(500).replace('\u{e4}', "%C3%A4")));
        assert!(long.status == 404 && long.body.len() < 3000, "{}", long.text());
        assert_eq!(browser.get("/%ff").status, 400);
        assert_eq!(browser.ask(Ask::new("PUT", "/wiki")).status, 405);
    });
}

pub(crate) fn searching_sorting_paging(server: &dyn Server) {
    at_every_mount(server, |browser| {
        for n in 1..=45 {
            browser.create(
                &format!("link-{n:02}"),
                &format!("https://example.com/{n}"),
                if n == 7 { "Lucky & odd" } else { "" },
            );
        }
        let rows = |page: &str| -> Vec<String> {
            let tags = tags(page);
            tags.iter().filter_map(|tag| Some(tag.get("id")?.strip_prefix("link-")?.to_owned())).collect()
        };
        let first = browser.page("/");
        assert_eq!((rows(&first).len(), rows(&first)[0].as_str()), (20, "link-45"));
        assert!(text_of(&first, "list-heading").contains("45 links"));
        // By the links of the pages alone every link is found once.
        let mut seen = BTreeSet::new();
        let mut next = Some("/".to_owned());
        while let Some(target) = next {
            let page = browser.page(&target);
            assert!(rows(&page).into_iter().all(|row| seen.insert(row)), "twice");
            next = tags(&page)
                .into_iter()
                .find(|tag| tag.get("rel") == Some("next"))
                .map(|tag| tag.get("href").unwrap().strip_prefix(browser.mount).unwrap().to_owned());
        }
        assert_eq!(seen.len(), 45);
        assert_eq!(rows(&browser.page("/?page=99")), rows(&browser.page("/?page=3")));
        assert_eq!(rows(&browser.page("/?page=nonsense&order=nonsense")), rows(&first));

        let found = browser.page("/?q=lucky+%26");
        assert_eq!((rows(&found), value_of(&found, "q").as_str()), (vec!["link-07".to_owned()], "lucky &"));
        assert_eq!(rows(&browser.page("/?q=LINK-1+example")).len(), 10);
        assert_eq!(rows(&browser.page("/?q=link-1&order=name"))[0], "link-10");
        let nothing = browser.page("/?q=nothing-like-it");
        assert!(has(&nothing, "nothing") && nothing.contains("Create “nothing-like-it”"));

        assert_eq!(browser.get("/link-33").status, 302);
        assert_eq!(rows(&browser.page("/?order=visits"))[0], "link-33");
    });
}

/// All that a browser could go to from the pages, followed.
pub(crate) fn every_link_form_and_redirect_stays_below_the_mount(server: &dyn Server) {
    at_every_mount(server, |browser| {
        for n in 0..25 {
            browser.create(&format!("n{n}"), TARGET, "A title");
        }
        let mut seen =
            BTreeSet::from(["/".to_owned(), "/unknown".to_owned(), "/?q=n1".to_owned(), "/?q=none".to_owned()]);
        let mut open: Vec<String> = seen.iter().cloned().collect();
        let mut forms = BTreeSet::new();
        while let Some(target) = open.pop() {
            let answer = browser.get(&target);
            assert!(matches!(answer.status, 200 | 302) || target == "/unknown", "{target}: {answer:?}");
            if answer.status == 302 || answer.header("Content-Type") != Some("text/html; charset=utf-8") {
                continue;
            }
            for tag in tags(&answer.text()) {
                let urls = ["href", "src"].into_iter().filter_map(|name| tag.get(name));
                for url in urls.filter(|url| !url.starts_with('#') && *url != TARGET) {
                    let below = url.strip_prefix(browser.mount).filter(|below| below.starts_with('/'));
                    let below = below.unwrap_or_else(|| panic!("{url} on {target} is not below {:?}", browser.mount));
                    if seen.insert(below.to_owned()) {
                        open.push(below.to_owned());
                    }
                }
                if tag.name == "form" {
                    let action = tag.get("action").unwrap();
                    let below = action.strip_prefix(browser.mount).filter(|below| below.starts_with('/'));
                    forms.insert(below.unwrap_or_else(|| panic!("{action} on {target}")).to_owned());
                }
            }
        }
        for page in
            ["/login", "/account", "/export.csv", "/links/n3/edit", "/static/style.css", "/?page=2", "/?order=name"]
        {
            assert!(seen.contains(page) || page == "/login", "{page} cannot be reached: {seen:?}");
        }
        assert!(
            forms.contains("/links") && forms.contains("/logout") && forms.contains("/links/n3/delete"),
            "{forms:?}"
        );
        assert_eq!(browser.get("/links/").header("Location"), Some(format!("{}/links", browser.mount).as_str()));
        assert_eq!(browser.target_of(&browser.get("/links")), "/");
        if !browser.mount.is_empty() {
            // The mount itself, without a slash.
            let answer = browser.get("");
            assert_eq!((answer.status, answer.header("Location")), (308, Some(format!("{}/", browser.mount).as_str())));
        }
    });
}

pub(crate) fn by_keyboard_and_without_scripts(server: &dyn Server) {
    at_every_mount(server, |browser| {
        browser.create("wiki", TARGET, "Our wiki");
        let mut pages: Vec<String> =
            ["/", "/links/wiki", "/links/wiki/edit", "/account"].iter().map(|target| browser.page(target)).collect();
        pages.push(browser.other().page("/login"));
        pages.push(browser.get("/unknown").text());
        for page in &pages {
            check_markup(page);
        }
    });
}

fn check_markup(page: &str) {
    let tags = tags(page);
    let labelled: BTreeSet<&str> =
        tags.iter().filter(|tag| tag.name == "label").filter_map(|tag| tag.get("for")).collect();
    let ids: Vec<&str> = tags.iter().filter_map(|tag| tag.get("id")).collect();
    assert_eq!(ids.len(), ids.iter().collect::<BTreeSet<_>>().len(), "an id twice: {ids:?}");
    let mut open_forms = 0;
    for tag in &tags {
        assert!(tag.name != "script" && tag.names().all(|name| !name.starts_with("on") && name != "style"), "{tag:?}");
        assert!(tag.get("tabindex").is_none_or(|index| index == "0"), "the order of tabs is that of the page: {tag:?}");
        assert!(tag.name != "img" || tag.get("alt").is_some(), "{tag:?}");
        if tag.name == "input" && tag.get("type") != Some("hidden") {
            assert!(tag.get("id").is_some_and(|id| labelled.contains(id)), "no label: {tag:?}");
        }
        if let Some(described) = tag.get("aria-describedby").or(tag.get("aria-labelledby")) {
            assert!(ids.contains(&described), "{tag:?}");
        }
        match tag.name.as_str() {
            "form" => open_forms += 1,
            "button" => assert!(open_forms > 0, "a button is in a form: {tag:?}"),
            "/form" => open_forms -= 1,
            _ => {}
        }
    }
    let count = |name: &str| tags.iter().filter(|tag| tag.name == name).count();
    assert_eq!(count("h1"), 1, "one main heading: {page}");
    assert_eq!((count("main"), count("title")), (1, 1));
    assert_eq!(tags.iter().find(|tag| tag.name == "html").and_then(|tag| tag.get("lang")), Some("en"));
    assert!(tags.iter().any(|tag| tag.get("href") == Some("#main")), "a way past the header");
    let buttons = tags.iter().filter(|tag| tag.name == "form").count();
    assert!(count("button") >= buttons, "every form has its button");
}

/// H1-COND-28, H1-NOB-02.
pub(crate) fn static_files(server: &dyn Server) {
    at_every_mount(server, |browser| {
        for (target, content_type) in
            [("/static/style.css", "text/css; charset=utf-8"), ("/static/icon.svg", "image/svg+xml")]
        {
            let visitor: Browser<'_> = browser.other();
            let file = visitor.get(target);
            assert_eq!((file.status, file.header("Content-Type")), (200, Some(content_type)));
            assert_eq!(file.header("Cache-Control"), Some("no-cache"));
            let tag = file.header("ETag").expect("a validator").to_owned();
            let head = visitor.ask(Ask::new("HEAD", target));
            let of = |answer: &crate::support::Answer| {
                ["Content-Type", "ETag", "Content-Length"].map(|name| answer.header(name).map(str::to_owned))
            };
            assert_eq!((head.status, head.body.len(), of(&head)), (200, 0, of(&file)));
            for method in ["GET", "HEAD"] {
                let known = visitor.ask(Ask::new(method, target).header("If-None-Match", &tag));
                assert_eq!((known.status, known.body.len(), known.header("ETag")), (304, 0, Some(tag.as_str())));
                assert_eq!((known.header("Content-Type"), known.header("Last-Modified")), (None, None));
            }
            let changed = visitor.ask(Ask::get(target).header("If-None-Match", "\"other\""));
            assert_eq!((changed.status, changed.body), (200, file.body));
        }
        assert_eq!(browser.get("/static/none.css").status, 404);
        assert_eq!(browser.get("/static/../Cargo.toml").status, 404);
    });
}
