//! The HTTP interface in tables: every route by method and authorisation, every parameter by what it chooses and what it
//! refuses. The rows follow the contract's.

use serde_json::{Value, json};

use crate::harness::{Response, Server, Workspace, wait_for};
use crate::pictures::{animation, decode, photo, save};

/// What an image of the gallery is, beside its id.
#[derive(Clone, Debug)]
struct Known {
    id: String,
    width: u64,
    height: u64,
    animated: bool,
    tags: Vec<String>,
}

/// Pictures of all orientations with tags and an animation among them.
fn varied() -> Workspace {
    let space = Workspace::file();
    save(photo(120, 60, 1), &space.picture("sea/landscape-1.png"));
    save(photo(100, 80, 2), &space.picture("sea/calm/landscape-2.png"));
    save(photo(60, 120, 3), &space.picture("sea/portrait-1.png"));
    save(photo(50, 90, 4), &space.picture("woods/portrait-2.png"));
    save(photo(70, 70, 5), &space.picture("woods/square.png"));
    save(photo(700, 400, 6), &space.picture("woods/blaue Bäume/large.png"));
    std::fs::write(space.picture("moving.webp"), animation(64, 48)).unwrap();
    space.import();
    space
}

fn known(space: &Workspace) -> Vec<Known> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    space
        .list()
        .iter()
        .map(|image| Known {
            id: text(&image["id"]),
            width: image["width"].as_u64().unwrap(),
            height: image["height"].as_u64().unwrap(),
            animated: image["animated"].as_bool().unwrap(),
            tags: image["tags"].as_array().unwrap().iter().map(text).collect(),
        })
        .collect()
}

type Meets = fn(&Known) -> bool;

/// A filter's query, and what it means.
const FILTERS: &[(&str, Meets)] = &[
    ("", |_| true),
    ("orientation=landscape", |image| image.width > image.height),
    ("orientation=portrait", |image| image.width < image.height),
    ("orientation=square", |image| image.width == image.height),
    ("orientation=auto", |_| true),
    ("min_width=100", |image| image.width >= 100),
    ("max_width=99", |image| image.width <= 99),
    ("min_height=90", |image| image.height >= 90),
    ("max_height=0080", |image| image.height <= 80),
    ("min_width=60&max_width=100", |image| (60..=100).contains(&image.width)),
    ("tag=sea", |image| has(image, "sea")),
    ("tag=sea&tag=calm", |image| has(image, "sea") && has(image, "calm")),
    ("tag=-sea", |image| !has(image, "sea")),
    ("tag=sea&tag=-calm", |image| has(image, "sea") && !has(image, "calm")),
    ("tag=blaue+B%C3%A4ume", |image| has(image, "blaue Bäume")),
    ("tag=%20sea%20", |image| has(image, "sea")),
    ("animated=true", |image| image.animated),
    ("animated=false", |image| !image.animated),
    ("tag=-woods&orientation=landscape&min_height=70&animated=false", |image| {
        !has(image, "woods") && image.width > image.height && image.height >= 70 && !image.animated
    }),
    ("unknown=1&_=2&tag%5B%5D=x&Tag=x&%ff=%ff&=&", |_| true),
];

fn has(image: &Known, tag: &str) -> bool {
    image.tags.iter().any(|known| known == tag)
}

fn id_of(answer: &Response) -> String {
    answer.header("x-image-id").unwrap_or_else(|| panic!("no image: {}", answer.status)).to_owned()
}

fn ids(images: &Value) -> Vec<String> {
    images
        .as_array()
        .unwrap()
        .iter()
        .map(|image| image["id"].as_str().unwrap().to_owned())
        .collect()
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}

#[test]
fn every_route_answers_by_method_and_authorisation() {
    let space = varied();
    let (server, key) = space.serve_with_key();
    let id = &space.ids()[0];
    let wrong = format!("{}{}", &key[..16], "0".repeat(48));
    let unknown = "ab".repeat(32);
    // Path, whether it needs a key, the type of its answer.
    let routes = [
        ("/random".to_owned(), true, "image/webp"),
        ("/random?format=json".into(), true, "application/json"),
        ("/images".into(), true, "application/json"),
        (format!("/images/{id}"), true, "image/webp"),
        (format!("/images/{id}.webp"), true, "image/webp"),
        (format!("/images/{}", id.to_uppercase()), true, "image/webp"),
        (format!("/images/{id}/info"), true, "application/json"),
        ("/metrics".into(), true, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        ("/".into(), false, "text/html; charset=utf-8"),
        ("/page.css".into(), false, "text/css; charset=utf-8"),
        ("/page.js".into(), false, "text/javascript; charset=utf-8"),
        ("/healthz".into(), false, "application/json"),
        ("/readyz".into(), false, "application/json"),
        ("/openapi.json".into(), false, "application/json"),
        (format!("/random-image/{key}"), false, "image/webp"),
        (format!("/update-images/{key}"), false, "application/json"),
        (format!("/update-key/{key}"), false, "application/json"),
    ];
    let bearer = format!("Bearer {key}");
    for (path, needs_key, content_type) in &routes {
        let join = if path.contains('?') { '&' } else { '?' };
        for (query, headers, right) in [
            (String::new(), &[][..], !needs_key),
            (String::new(), &[("Authorization", bearer.as_str())], true),
            (String::new(), &[("X-API-Key", key.as_str())], true),
            (format!("{join}key={key}"), &[], true),
            (format!("{join}k%65y={key}"), &[], true),
            (format!("{join}key={wrong}"), &[], !needs_key),
            (format!("{join}key={unknown}"), &[], !needs_key),
            (format!("{join}key="), &[], !needs_key),
            (format!("{join}key={key}"), &[("X-API-Key", wrong.as_str())], !needs_key),
            (format!("{join}key={wrong}"), &[("X-API-Key", key.as_str())], true),
            (
                String::new(),
                &[("Authorization", bearer.as_str()), ("X-API-Key", wrong.as_str())],
                true,
            ),
            (
                String::new(),
                &[("Authorization", "Bearer"), ("X-API-Key", key.as_str())],
                !needs_key,
            ),
            (format!("{join}key={wrong}&key={key}"), &[], !needs_key),
        ] {
            for method in ["GET", "HEAD"] {
                let row = format!("{method} {path}{query} {headers:?}");
                let answer = server.request(method, &format!("{path}{query}"), headers);
                assert_eq!(answer.status, if right { 200 } else { 401 }, "{row}");
                let expected = if right { content_type } else { "application/json" };
                assert_eq!(answer.header("content-type"), Some(expected), "{row}");
                assert_eq!(
                    answer.header("www-authenticate"),
                    (!right).then_some("Bearer"),
                    "{row}"
                );
                assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{row}");
                assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{row}");
                assert_eq!(answer.body.is_empty(), method == "HEAD", "{row}");
                if !right && method == "GET" {
                    assert_eq!(answer.json(), json!({ "error": "Unauthorized" }), "{row}");
                }
            }
        }
        for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"] {
            let answer = server.request(method, path, &[("X-API-Key", &key)]);
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.header("allow"), Some("GET, HEAD, OPTIONS"), "{method} {path}");
            assert_eq!(answer.json(), json!({ "error": "Method not allowed" }), "{method} {path}");
        }
    }
}

#[test]
fn filters_choose_the_same_for_random_and_for_the_list() {
    let space = varied();
    let (server, key) = space.serve_with_key();
    let all = known(&space);
    assert_eq!(all.len(), 7);
    for (query, meets) in FILTERS {
        let expected: Vec<String> =
            all.iter().filter(|image| meets(image)).map(|image| image.id.clone()).collect();
        assert!(!expected.is_empty(), "{query}");
        let listed = server.get(&format!("/images?{query}&key={key}"));
        // The command line lists newest first too.
        assert_eq!((listed.status, ids(&listed.json())), (200, expected.clone()), "{query}");
        assert_eq!(listed.header("cache-control"), Some("no-store"));

        let several = server.get(&format!("/random?{query}&count=30&format=json&key={key}"));
        assert_eq!(
            (several.status, sorted(ids(&several.json()))),
            (200, sorted(expected.clone())),
            "{query}"
        );
        for path in [format!("/random?key={key}&{query}"), format!("/random-image/{key}?{query}")] {
            for _ in 0..10 {
                let answer = server.get(&path);
                assert_eq!(
                    (answer.status, answer.header("cache-control")),
                    (200, Some("no-store")),
                    "{path}"
                );
                assert!(expected.contains(&id_of(&answer)), "{path}");
            }
        }
    }
    for query in ["tag=nothing", "min_width=10000", "tag=sea&tag=-sea", "min_width=90&max_width=80"]
    {
        let answer = server.get(&format!("/random?key={key}&{query}"));
        assert_eq!(
            (answer.status, answer.json()),
            (404, json!({ "error": "No images match" })),
            "{query}"
        );
        let list = server.get(&format!("/images?key={key}&{query}"));
        assert_eq!(
            (list.status, list.json(), list.header("link")),
            (200, json!([]), None),
            "{query}"
        );
    }
}

#[test]
fn what_does_not_parse_is_400_and_named() {
    let space = varied();
    let (server, key) = space.serve_with_key();
    let id = &space.ids()[0];
    let both = ["/random", "/images"];
    let random = ["/random"];
    let listing = ["/images"];
    let image = format!("/images/{id}.webp");
    let sized = ["/random", image.as_str()];
    let rows: &[(&[&str], &str, &[&str])] = &[
        (&both, "orientation", &["", "Landscape", "left", "%00", "%ff", "auto&orientation=auto"]),
        (
            &both,
            "min_width",
            &[
                "",
                "-1",
                "+1",
                "1.5",
                "1e3",
                "0x10",
                "4294967296",
                "99999999999999999999999",
                "a",
                "%31%",
            ],
        ),
        (&both, "max_width", &["", "-1", "%2B1", "1%2C0", "1&max_width=1"]),
        (&both, "min_height", &["", "-1", "%ff", "%2531"]),
        (&both, "max_height", &["", "-1", "one"]),
        (&both, "tag", &["", "-", "%20", "%00", "a%0Ab", "%ff", "--a"]),
        (&both, "animated", &["", "yes", "1", "TRUE", "true&animated=true"]),
        (&random, "seed", &["%ff", "a&seed=a", "a&shuffle=b&n=1"]),
        (&random, "n", &["-1", "", "18446744073709551616", "a", "1&n=1"]),
        (&random, "count", &["", "0", "31", "-1", "5", "5&format=image", "5&format=redirect"]),
        (&random, "format", &["", "png", "JSON", "json&format=json"]),
        (&sized, "w", &["", "-1", "1.5", "4294967296", "640px", "1&w=2"]),
        (&listing, "limit", &["", "0", "-1", "101", "a"]),
        (&listing, "cursor", &["", "-1", "a", "4294967296"]),
    ];
    for (paths, name, values) in rows {
        for (path, value) in
            paths.iter().flat_map(|path| values.iter().map(move |value| (path, value)))
        {
            let answer = server.get(&format!("{path}?key={key}&{name}={value}"));
            let row = format!("{path} {name}={value}");
            assert_eq!(answer.status, 400, "{row}");
            let error = answer.json()["error"].as_str().unwrap().to_owned();
            assert!(error.starts_with(&format!("{name}: ")), "{row}: {error}");
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{row}");
        }
    }
    let missing = server.get(&format!("/random?key={key}&shuffle=a"));
    assert_eq!(
        (missing.status, missing.json()["error"].as_str().unwrap().starts_with("n: ")),
        (400, true)
    );
    // A key is asked for before a parameter is looked at, and a route ignores the parameters of others.
    assert_eq!(server.get("/random?w=a").status, 401);
    for path in [
        format!("/images?key={key}&seed=%ff&w=a&format=x&count=99"),
        format!("/random?key={key}&limit=a&cursor=b"),
        format!("{image}?key={key}&tag=&format=x"),
        format!("/images/{id}/info?key={key}&w=a"),
    ] {
        assert_eq!(server.get(&path).status, 200, "{path}");
    }
}

#[test]
fn hostile_addresses_get_an_answer_of_the_contract() {
    let space = varied();
    let (server, key) = space.serve_with_key();
    let id = &space.ids()[0];
    for (path, status) in [
        ("/..".to_owned(), 404),
        ("/random/..".into(), 404),
        ("/%2e%2e/random".into(), 404),
        ("//random".into(), 404),
        ("/random%00".into(), 404),
        ("/RANDOM".into(), 404),
        (format!("/images/{id}%00?key={key}"), 404),
        (format!("/images/{id}.webp.webp?key={key}"), 404),
        (format!("/images/{id}.png?key={key}"), 404),
        (format!("/images/../images/{id}?key={key}"), 404),
        (format!("/images/..%2f{id}?key={key}"), 404),
        (format!("/images/{id}/info/more?key={key}"), 404),
        (format!("/images/{id}/infos?key={key}"), 404),
        (format!("/images/%2e%2e?key={key}"), 404),
        ("/random-image/".into(), 404),
        (format!("/random-image/{key}%00"), 401),
        (format!("/random-image/{}", "a".repeat(4_000)), 401),
        (format!("/random?key={key}&{}", "tag=a&".repeat(33)), 400),
        (format!("/random?key={key}&{}", "a=1&".repeat(1_500)), 200),
        (format!("/random?key={key}&{}", "a=1&".repeat(3_000)), 414),
        (format!("/random?key={key}&seed={}", "x".repeat(8_000)), 200),
        (format!("/random?key={key}&w={}", "1".repeat(8_000)), 400),
        (format!("/random?key={key}?key={key}"), 401),
        (format!("/random?key={key}%00"), 401),
        (format!("/random?key=%20{key}"), 401),
    ] {
        let answer = server.get(&path);
        assert_eq!(answer.status, status, "{}", &path[..path.len().min(200)]);
        if status >= 400 {
            assert!(answer.json()["error"].is_string());
        }
    }
    let many = "x: 1\r\n".repeat(90);
    assert!(
        server.raw(&format!("GET /readyz HTTP/1.1\r\nhost: x\r\n{many}\r\n")).contains(" 200 ")
    );
    let bomb = "x: 1\r\n".repeat(2_000);
    let parameters = "a=1&".repeat(10_000);
    for request in [
        format!("GET /readyz HTTP/1.1\r\nhost: x\r\n{bomb}\r\n"),
        format!("GET /random?{parameters} HTTP/1.1\r\nhost: x\r\n\r\n"),
    ] {
        let answer = server.raw(&request);
        assert!(answer.contains(" 431 ") || answer.contains(" 414 "), "{answer}");
    }
    assert_eq!(server.get("/readyz").status, 200);
}

#[test]
fn a_seed_gives_the_same_image_and_may_be_kept_a_minute() {
    let space = varied();
    let (server, key) = space.serve_with_key();
    let all = known(&space);
    let get = |query: &str| server.get(&format!("/random?key={key}&{query}"));
    let mut seen = std::collections::HashSet::new();
    for seed in 0..40 {
        let first = get(&format!("seed=day+{seed}"));
        assert_eq!(first.header("cache-control"), Some("private, max-age=60"));
        let id = id_of(&first);
        // However the text is written.
        assert_eq!(id_of(&get(&format!("s%65ed=day%20{seed}"))), id);
        assert_eq!(get(&format!("seed=day+{seed}&format=json")).json()["id"], id.as_str());
        // An image that wins among all wins among those of its own kind.
        let image = all.iter().find(|image| image.id == id).unwrap();
        assert_eq!(
            id_of(&get(&format!(
                "seed=day+{seed}&max_width={}&min_width={}",
                image.width, image.width
            ))),
            id
        );
        let several = ids(&get(&format!("seed=day+{seed}&format=json&count=3")).json());
        assert_eq!((several.len(), &several[0]), (3, &id));
        seen.insert(id);
    }
    assert_eq!(
        seen.len(),
        all.len(),
        "40 seeds miss one of 7 images with a probability of 1 %, and these do not"
    );
    assert_eq!(get("seed=").status, 200);

    // Another image comes: it takes seeds, and the others stay where they were.
    let before: Vec<String> = (0..100).map(|seed| id_of(&get(&format!("seed={seed}")))).collect();
    save(photo(64, 50, 99), &space.picture("new.png"));
    space.import();
    let new = space.ids()[0].clone();
    wait_for("the image is listed", || {
        ids(&server.get(&format!("/images?key={key}")).json()).contains(&new)
    });
    let after: Vec<String> = (0..100).map(|seed| id_of(&get(&format!("seed={seed}")))).collect();
    assert!(before.iter().zip(&after).all(|(before, after)| before == after || *after == new));
    assert!(after.contains(&new), "none of 100 seeds went to the new one of 8 images");
    // It goes: everything is as it was.
    space.run(["remove", &new]).expect(0);
    wait_for("the image is gone", || {
        !ids(&server.get(&format!("/images?key={key}")).json()).contains(&new)
    });
    let again: Vec<String> = (0..100).map(|seed| id_of(&get(&format!("seed={seed}")))).collect();
    assert_eq!(again, before);
}

#[test]
fn a_shuffle_shows_every_image_once_in_each_round() {
    let space = varied();
    let (server, key) = space.serve_with_key();
    let get = |query: &str| server.get(&format!("/random?key={key}&{query}"));
    for filter in ["", "&tag=sea", "&orientation=portrait"] {
        let all = sorted(ids(&server.get(&format!("/images?key={key}{filter}")).json()));
        let round = |text: &str, start: usize| -> Vec<String> {
            (start..start + all.len())
                .map(|n| {
                    let answer = get(&format!("shuffle={text}&n={n}{filter}"));
                    assert_eq!(answer.header("cache-control"), Some("no-store"));
                    id_of(&answer)
                })
                .collect()
        };
        let first = round("party", 0);
        assert_eq!(sorted(first.clone()), all);
        assert_eq!(round("party", all.len() * 5), first);
        assert_eq!(sorted(round("party", 3)), all);
        let page = ids(&get(&format!("shuffle=party&n=1&count=2&format=json{filter}")).json());
        assert_eq!(page, first[1..].iter().chain(&first).take(2).cloned().collect::<Vec<_>>());
    }
    let orders: std::collections::HashSet<String> =
        (0..20).map(|text| id_of(&get(&format!("shuffle={text}&n=0")))).collect();
    assert!(orders.len() > 1, "20 texts begin with the same image");
    assert_eq!(get("shuffle=a&n=18446744073709551615").status, 200);
    assert_eq!(get("n=5").status, 200, "n alone changes nothing");
}

#[test]
fn formats_answer_as_image_json_or_redirect() {
    let space = varied();
    let (server, key) = space.serve_with_key();
    let by_header = [("X-API-Key", key.as_str())];
    let get = |path: &str| server.request("GET", path, &by_header);
    let image = get("/random?format=image");
    assert_eq!((image.status, image.header("content-type")), (200, Some("image/webp")));

    let one = get("/random?format=json&tag=calm");
    let info = one.json();
    let id = info["id"].as_str().unwrap();
    assert_eq!(info, get(&format!("/images/{id}/info")).json());
    assert_eq!(one.header("x-image-id"), Some(id));
    assert_eq!(one.header("content-location"), Some(format!("/images/{id}/info").as_str()));
    for count in 1..=7 {
        let several = get(&format!("/random?format=json&count={count}")).json();
        let several: std::collections::HashSet<String> = ids(&several).into_iter().collect();
        assert_eq!(several.len(), count, "they are distinct");
    }
    assert_eq!(get("/random?format=json&count=30").json().as_array().unwrap().len(), 7);

    for method in ["GET", "HEAD"] {
        let redirect = server.request(method, "/random?format=redirect&tag=calm", &by_header);
        assert_eq!((redirect.status, redirect.header("cache-control")), (302, Some("no-store")));
        assert_eq!(redirect.header("location"), Some(format!("/images/{id}.webp").as_str()));
        assert_eq!(redirect.header("x-image-id"), Some(id));
        assert!(redirect.body.is_empty());
    }
    let seeded = get("/random?format=redirect&seed=a");
    assert_eq!(seeded.header("cache-control"), Some("no-store"));

    // Whose key stands in the address would lose it on the way; no address of ours carries it, a signature does.
    for path in [
        format!("/random?format=redirect&tag=calm&key={key}"),
        format!("/random-image/{key}?format=redirect"),
    ] {
        let redirect = server.get(&path);
        let location = redirect.header("location").unwrap();
        assert!(!location.contains(&key[16..]) && location.contains("&sig="), "{location}");
        let followed = server.get(location);
        assert_eq!((followed.status, followed.header("content-type")), (200, Some("image/webp")));
        let other = location.replace(
            &id_of(&redirect),
            &space.ids().iter().find(|id| **id != id_of(&redirect)).unwrap().clone(),
        );
        assert_eq!(server.get(&other).status, 401, "it opens one image");
    }
}

#[test]
fn w_takes_the_smallest_rendition_that_is_wide_enough() {
    let space = Workspace::file();
    save(photo(700, 400, 6), &space.picture("large.png"));
    space.run(["import", "--renditions", "100,320,640", "pictures"]).expect(0);
    let (server, key) = space.serve_with_key();
    let id = &space.ids()[0];
    let whole = space.stored(id);
    let mut tags = std::collections::HashSet::new();
    for (w, width) in [
        ("0", 100),
        ("1", 100),
        ("100", 100),
        ("101", 320),
        ("320", 320),
        ("640", 640),
        ("641", 700),
        ("700", 700),
        ("4294967295", 700),
    ] {
        for path in [format!("/random?w={w}&key={key}"), format!("/images/{id}?w={w}&key={key}")] {
            // The second answer comes from what was checked before.
            for _ in 0..2 {
                let answer = server.get(&path);
                assert_eq!(
                    (answer.status, answer.header("content-type")),
                    (200, Some("image/webp")),
                    "{path}"
                );
                assert_eq!(decode(&answer.body).width(), width, "{path}");
                assert_eq!(answer.body == whole, width == 700, "{path}");
                if path.starts_with("/random") {
                    let own = if width == 700 { String::new() } else { format!("?w={width}") };
                    assert_eq!(
                        answer.header("content-location"),
                        Some(format!("/images/{id}.webp{own}").as_str())
                    );
                    assert_eq!(answer.header("x-image-id"), Some(id.as_str()));
                } else {
                    let etag = answer.header("etag").unwrap().to_owned();
                    let headers = [("If-None-Match", etag.as_str())];
                    assert_eq!(server.request("GET", &path, &headers).status, 304);
                    let part = server.request(
                        "GET",
                        &path,
                        &[("Range", "bytes=4-9"), ("If-Range", &etag)],
                    );
                    assert_eq!((part.status, &part.body[..]), (206, &answer.body[4..10]));
                    tags.insert((width, etag));
                }
            }
        }
    }
    assert_eq!(tags.len(), 4, "each rendition has one entity tag of its own: {tags:?}");
    let redirect = server.get(&format!("/random?w=200&format=redirect&key={key}"));
    assert!(
        redirect.header("location").unwrap().starts_with(&format!("/images/{id}.webp?w=320&exp="))
    );
}

#[test]
fn the_viewport_decides_the_orientation_when_it_is_known() {
    let space = varied();
    let (server, key) = space.serve_with_key();
    let hints = "Sec-CH-Viewport-Width, Sec-CH-Viewport-Height";
    for (width, height, fits) in [
        ("1920", "1080", Some(FILTERS[1].1)),
        ("390", "844", Some(FILTERS[2].1)),
        ("500", "500", Some(FILTERS[3].1)),
        ("", "1080", None),
        ("wide", "high", None),
    ] {
        let headers = [
            ("X-API-Key", key.as_str()),
            ("Sec-CH-Viewport-Width", width),
            ("Sec-CH-Viewport-Height", height),
        ];
        let all = known(&space);
        let fits = |id: &str| {
            fits.is_none_or(|fits| fits(all.iter().find(|image| image.id == id).unwrap()))
        };
        for path in [
            "/random?orientation=auto",
            "/random?orientation=auto&seed=a",
            "/images?orientation=auto",
        ] {
            let answer = server.request("GET", path, &headers);
            assert_eq!(
                (answer.header("accept-ch"), answer.header("vary")),
                (Some(hints), Some(hints)),
                "{path}"
            );
            let ids = if path.starts_with("/images") {
                ids(&answer.json())
            } else {
                vec![id_of(&answer)]
            };
            assert!(ids.iter().all(|id| fits(id)), "{path} {width}x{height}");
        }
        // Nobody else looks at the hints.
        let answer = server.request("GET", "/random?seed=a", &headers);
        assert_eq!((answer.header("accept-ch"), answer.header("vary")), (None, None));
    }
}

#[test]
fn pages_follow_each_other_while_images_come_and_go() {
    let space = Workspace::with_photos(20);
    let (server, key) = space.serve_with_key();
    let headers = [("X-API-Key", key.as_str())];
    let before = known(&space);
    let mut next = Some("/images?limit=3&max_width=75&x=%3C&key=wrong".to_owned());
    let mut seen = Vec::new();
    let mut pages = 0;
    while let Some(path) = next {
        let page = server.request("GET", &path, &headers);
        assert_eq!(page.status, 200, "{path}");
        seen.extend(ids(&page.json()));
        next = page.header("link").map(|link| {
            let path = link
                .strip_prefix('<')
                .and_then(|link| link.strip_suffix(">; rel=\"next\""))
                .expect(link);
            assert!(path.starts_with("/images?limit=3&max_width=75&x=%3C&cursor="), "{path}");
            path.to_owned()
        });
        pages += 1;
        if pages == 2 {
            save(photo(50, 50, 77), &space.picture("late.png"));
            space.import();
            // One that was shown, and one that was not yet.
            space.run(["remove", &seen[1], &before[15].id]).expect(0);
            let update = server.get(&format!("/update-images/{key}"));
            assert_eq!(update.status, 200);
        }
    }
    let stayed = |image: &&Known| {
        image.width <= 75 && (image.id != before[15].id || seen.contains(&image.id))
    };
    let narrow: Vec<String> = before.iter().filter(stayed).map(|image| image.id.clone()).collect();
    assert_eq!(seen, narrow, "all that stayed, newest first, each once");
    let all = server.request("GET", "/images", &headers);
    assert_eq!((ids(&all.json()).len(), all.header("link")), (19, None));
    let fields = all.json()[0].as_object().unwrap().len();
    assert_eq!(fields, 15);
    assert_eq!(ids(&server.request("GET", "/images?limit=100&cursor=0", &headers).json()), [""; 0]);
}

/// The description is what clients are generated from.
#[test]
fn the_description_knows_every_route_and_every_field() {
    let space = varied();
    let (server, key) = space.serve_with_key();
    let document = server.get("/openapi.json").json();
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let id = &space.ids()[0];
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    let routes = [
        "/",
        "/healthz",
        "/images",
        "/images/{id}",
        "/images/{id}.webp",
        "/images/{id}/info",
        "/metrics",
        "/openapi.json",
        "/random",
        "/random-image/{key}",
        "/readyz",
        "/update-images/{key}",
        "/update-key/{key}",
    ];
    let mut sorted_paths = paths.clone();
    sorted_paths.sort();
    assert_eq!(sorted_paths, routes);
    for path in paths {
        let real = path.replace("{id}", id).replace("{key}", &key);
        assert_eq!(server.request("GET", &real, &[("X-API-Key", &key)]).status, 200, "{path}");
    }
    let info = server.get(&format!("/images/{id}/info?key={key}")).json();
    let schema = &document["components"]["schemas"]["ImageInfo"];
    let described = |part: &str| {
        let names = match &schema[part] {
            Value::Object(fields) => fields.keys().cloned().collect(),
            Value::Array(names) => {
                names.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
            }
            other => panic!("{other}"),
        };
        sorted(names)
    };
    let real = sorted(info.as_object().unwrap().keys().cloned().collect());
    assert_eq!((described("properties"), described("required")), (real.clone(), real));
}

#[test]
fn metrics_count_what_happens_and_name_no_secret() {
    let space = varied();
    let (server, key) = space.serve_with_key();
    let wrong = format!("{}{}", &key[..16], "0".repeat(48));
    for path in [
        format!("/random?key={key}"),
        format!("/random?key={key}&seed=private-seed"),
        format!("/random?key={key}&format=json&count=3"),
        format!("/random?key={wrong}"),
        "/random".into(),
        format!("/random?key={}", "ab".repeat(32)),
        "/random?exp=9999999999&sig=AAAA".into(),
        format!("/nothing/{key}"),
    ] {
        server.get(&path);
    }
    let text = metrics(&server, &key);
    for line in [
        "imagepool_http_requests_total{route=\"random\",status=\"200\"} 3",
        "imagepool_http_requests_total{route=\"random\",status=\"401\"} 4",
        "imagepool_http_requests_total{route=\"other\",status=\"404\"} 1",
        "imagepool_http_request_duration_seconds_count{route=\"random\"} 7",
        "imagepool_picks_total{by=\"random\"} 4",
        "imagepool_picks_total{by=\"seed\"} 1",
        "imagepool_key_checks_total{outcome=\"verified\"} 1",
        "imagepool_key_checks_total{outcome=\"wrong\"} 1",
        "imagepool_key_checks_total{outcome=\"unknown\"} 1",
        "imagepool_key_checks_total{outcome=\"missing\"} 2",
        "imagepool_catalog_images 7",
        "# TYPE imagepool_http_request_duration_seconds histogram",
        "# TYPE imagepool_catalog_reload_seconds histogram",
        "# TYPE imagepool_http_connections gauge",
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    let bytes = text
        .lines()
        .find(|line| line.starts_with("imagepool_http_response_bytes_total{route=\"random\"}"));
    let bytes: u64 = bytes.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    assert!(bytes > 500, "{bytes}");
    for secret in [&key[16..], "private-seed", &key[..16]] {
        assert!(!text.contains(secret), "{secret}");
    }
    // At most one connection may still be closing.
    wait_for("connections are counted down", || {
        let text = metrics(&server, &key);
        ["1", "2"].iter().any(|open| text.contains(&format!("imagepool_http_connections {open}\n")))
    });
}

fn metrics(server: &Server, key: &str) -> String {
    let answer = server.request("GET", "/metrics", &[("X-API-Key", key)]);
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")));
    String::from_utf8(answer.body).unwrap()
}

#[test]
fn an_import_beside_the_server_is_counted() {
    let space = Workspace::with_photos(3);
    std::fs::write(space.picture("notes.txt"), "words").unwrap();
    let key = {
        space.run(["import", "--dry-run", "pictures"]).expect(0);
        std::fs::create_dir(space.path("none")).unwrap();
        space.run(["import", "none"]).expect(0);
        space.rotate(&[])
    };
    let server = space.serve_with(&["--import", "pictures"]);
    wait_for("the import is counted", || {
        let text = metrics(&server, &key);
        text.contains("imagepool_import_files_total{status=\"imported\"} 3\n")
            && text.contains("imagepool_import_files_total{status=\"not_image\"} 1\n")
            && text.contains("imagepool_import_stored_bytes_total ")
    });
}
