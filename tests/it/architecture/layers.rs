//! Checks who may name whom: modules, rooms within a module, and crates with one owner.
//!
//! ARCHITECTURE.md gives the reasons. A change of these tables is a change of the design.

use super::names::{Names, Reference, Target, module_path};
use super::tree::{Tree, Violation, expect_places, made_up};

/// A module or room, and those that it may name, which all stand above it in its table.
type Table = &'static [(&'static str, &'static [&'static str])];

const LAYERS: Table = &[
    ("allocator", &[]),
    ("image", &[]),
    ("keys", &["image"]),
    ("catalog", &["image"]),
    ("codec", &["allocator", "image"]),
    ("store", &["image", "keys"]),
    ("import", &["image", "codec", "store"]),
    ("http", &["allocator", "image", "keys", "catalog", "store"]),
    ("cli", &["allocator", "image", "keys", "catalog", "codec", "store", "import", "http"]),
    ("main", &["cli"]),
];

/// Modules whose files and folders, their rooms, name each other in one direction.
///
/// The longest room that fits a file counts, and `mod` is what the module's `mod.rs` defines.
const HOUSES: &[(&str, Table)] = &[("http", HTTP), ("codec", CODEC)];

const HTTP: Table = &[
    ("error", &[]),
    ("query", &["error"]),
    ("metrics", &[]),
    ("panics", &[]),
    ("blocking", &["error"]),
    ("access", &["error", "query", "metrics", "blocking"]),
    ("connection", &[]),
    ("page_cache_hints", &[]),
    ("gallery", &["error", "metrics", "panics", "blocking", "access", "page_cache_hints"]),
    ("request", &["error", "metrics", "access", "connection", "gallery"]),
    ("admission", &["error", "access", "request"]),
    ("handlers", &["error", "query", "metrics", "blocking", "gallery", "request", "admission"]),
    ("routes", &["error", "metrics", "request", "handlers"]),
    ("access_log", &["query", "access", "request"]),
    (
        "responder",
        &["error", "panics", "access", "connection", "gallery", "request", "routes", "access_log"],
    ),
    ("server", &["error", "access", "connection", "gallery", "responder"]),
    ("probe", &["connection"]),
    ("mod", &[]),
];

const CODEC: Table = &[
    ("signatures", &[]),
    ("sniff", &["signatures"]),
    ("header", &[]),
    ("settings", &[]),
    ("memory", &[]),
    ("error", &["sniff"]),
    ("timer", &["error"]),
    ("guard", &["sniff", "error"]),
    ("limits", &["header", "error"]),
    ("pixels", &["error"]),
    ("encode", &["sniff", "settings", "memory", "error", "timer", "pixels"]),
    // The formats' glue reads EXIF, which is TIFF, and our TIFF reader uses JPEG and WebP.
    ("decoders/tiff/error", &["sniff", "error"]),
    ("decoders/tiff/directory", &["decoders/tiff/error"]),
    ("decoders/tiff/exif", &["decoders/tiff/directory"]),
    ("formats", &["sniff", "header", "error", "timer", "pixels", "encode", "decoders/tiff/exif"]),
    (
        "decoders",
        &[
            "sniff",
            "header",
            "error",
            "timer",
            "pixels",
            "encode",
            "decoders/tiff/error",
            "decoders/tiff/directory",
            "decoders/tiff/exif",
            "formats",
        ],
    ),
    ("unshown", &["sniff", "formats", "decoders"]),
    ("decode", &["sniff", "header", "error", "timer", "limits", "pixels", "formats", "decoders"]),
    (
        "metadata",
        &["sniff", "guard", "encode", "decoders/tiff/exif", "formats", "decoders", "decode"],
    ),
    (
        "estimate",
        &["header", "settings", "error", "timer", "guard", "limits", "pixels", "encode", "decode"],
    ),
    (
        "convert",
        &[
            "sniff", "header", "settings", "error", "timer", "guard", "limits", "pixels", "encode",
            "formats", "decode", "unshown",
        ],
    ),
    ("mod", &[]),
];

/// A crate or a path into one, and the only module that may name it.
const OWNED: &[(&str, &str)] = &[
    ("warp", "http"),
    ("hyper", "http"),
    ("hyper_util", "http"),
    ("http_body_util", "http"),
    ("heed", "store"),
    ("sled", "store"),
    ("object_store", "store"),
    ("bincode", "store"),
    ("image", "codec"),
    ("brotli_decompressor", "codec"),
    ("quick_xml", "codec"),
    ("libmimalloc_sys", "allocator"),
    ("webpx", "codec"),
    ("moxcms", "codec"),
    ("fast_image_resize", "codec"),
    ("gif", "codec"),
    ("png", "codec"),
    ("mozjpeg_sys", "codec"),
    ("hayro_ccitt", "codec"),
    ("heifer_hevc_dec", "codec"),
    ("jxl_bitstream", "codec"),
    ("jxl_oxide", "codec"),
    ("jxl_oxide_common", "codec"),
    ("re_rav1d", "codec"),
    ("weezl", "codec"),
    ("zstd", "codec"),
    ("walkdir", "import"),
    ("ignore", "import"),
    ("notify", "import"),
    ("argon2", "keys"),
    ("hmac", "keys"),
    ("roaring", "catalog"),
    ("prometheus_client", "http"),
    ("governor", "http"),
    ("tokio_rustls", "http"),
    ("tower_service", "http"),
    ("indicatif", "cli"),
    ("logroller", "cli"),
    ("tracing_subscriber", "cli"),
    ("std::env", "cli"),
];

/// What does I/O or is asynchronous, which pure modules may not name.
const IMPURE: &[&str] = &["tokio", "std::fs", "std::net"];
const PURE: &[&str] = &["image", "keys", "catalog", "codec"];

/// Reports names of a higher module, and of crates that belong to another module.
pub(super) fn check_layers(tree: &Tree) -> Vec<Violation> {
    let names = Names::read(tree);
    let mut violations = Vec::new();
    for module in names.modules.iter().filter(|module| module.path.len() == 1) {
        if !LAYERS.iter().any(|(name, _)| *name == module.path[0]) {
            let advice = format!("{} has no place in LAYERS: give it one", module.path[0]);
            violations.push(Violation::new(&module.file.path, 1, advice));
        }
    }
    for reference in names.references() {
        let from = module_path(&reference.file.path);
        let Some(module) = from.first() else { continue };
        let Some(allowed) = allowed(LAYERS, module) else { continue };
        for target in &reference.targets {
            let advice = match target {
                Target::Extern(path) => advice_on_crate(module, path),
                Target::Module(at) | Target::Item(at) => {
                    names.modules[*at].path.first().and_then(|other| {
                        let fits = other == module || allowed.contains(&other.as_str());
                        (!fits).then(|| {
                            format!(
                                "{module} may not name {other}; \
                                 move what both need to a lower module"
                            )
                        })
                    })
                }
            };
            violations.extend(advice.map(|advice| at(&reference, &advice)));
        }
    }
    violations.sort();
    violations.dedup();
    violations
}

fn advice_on_crate(module: &str, path: &[String]) -> Option<String> {
    let path = path.join("::");
    let is_in = |whole: &str| {
        path.strip_prefix(whole).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    for (owned, owner) in OWNED {
        if is_in(owned) && *owner != module {
            return Some(format!(
                "only {owner} may name {owned}; let {owner} offer what is needed"
            ));
        }
    }
    let impure = IMPURE.iter().find(|impure| is_in(impure))?;
    PURE.contains(&module).then(|| format!("{module} does no I/O, so it may not name {impure}"))
}

/// Reports names of a room that the naming room may not name.
pub(super) fn check_rooms(tree: &Tree) -> Vec<Violation> {
    let names = Names::read(tree);
    let references = names.references();
    let mut violations = Vec::new();
    for (house, rooms) in HOUSES {
        for module in names.modules.iter().filter(|module| is_in_house(house, &module.path)) {
            if module.path.len() == 2 && room(rooms, &module.path).is_none() {
                let advice =
                    format!("{} has no place among {house}'s rooms: give it one", module.path[1]);
                violations.push(Violation::new(&module.file.path, 1, advice));
            }
        }
        for reference in references.iter().filter(|reference| !reference.passed_up) {
            let from = module_path(&reference.file.path);
            if !is_in_house(house, &from) {
                continue;
            }
            let Some(from) = room(rooms, &from) else { continue };
            for target in &reference.targets {
                let to = room_of_target(&names, house, rooms, target);
                let Some(to) = to.filter(|to| !may_name(rooms, from, to)) else { continue };
                let advice = format!("room {from} may not name {to}; move what both need lower");
                violations.push(at(reference, &advice));
            }
        }
    }
    violations.sort();
    violations.dedup();
    violations
}

fn room_of_target(
    names: &Names<'_>,
    house: &str,
    rooms: Table,
    target: &Target,
) -> Option<&'static str> {
    let at = match target {
        Target::Item(at) => *at,
        Target::Module(at) if names.modules[*at].path.len() > 1 => *at,
        _ => return None,
    };
    let path = &names.modules[at].path;
    is_in_house(house, path).then(|| room(rooms, path)).flatten()
}

fn is_in_house(house: &str, path: &[String]) -> bool {
    path.first().is_some_and(|first| first == house)
}

/// The longest room that holds a module of a house.
fn room(rooms: Table, path: &[String]) -> Option<&'static str> {
    let path = if path.len() == 1 { "mod".to_owned() } else { path[1..].join("/") };
    let holds = |room: &&str| {
        path.strip_prefix(*room).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    rooms.iter().map(|(room, _)| *room).filter(holds).max_by_key(|room| room.len())
}

fn may_name(rooms: Table, from: &str, to: &str) -> bool {
    from == to || allowed(rooms, from).is_some_and(|allowed| allowed.contains(&to))
}

fn allowed(table: Table, name: &str) -> Option<&'static [&'static str]> {
    table.iter().find(|(listed, _)| *listed == name).map(|(_, allowed)| *allowed)
}

fn at(reference: &Reference<'_>, advice: &str) -> Violation {
    let advice = format!("`{}`: {advice}", reference.path);
    Violation::new(&reference.file.path, reference.line, advice)
}

#[test]
fn each_table_goes_one_way() {
    for table in HOUSES.iter().map(|(_, rooms)| *rooms).chain([LAYERS]) {
        for (place, (name, allowed)) in table.iter().enumerate() {
            for other in *allowed {
                let above = table[..place].iter().any(|(listed, _)| listed == other);
                assert!(above, "{name} may name {other}, which does not stand above it");
            }
        }
    }
}

#[test]
fn a_name_of_a_higher_module_is_reported() {
    let tree = made_up(&[
        ("src/lib.rs", "mod codec; mod http; mod image; mod news; mod store;"),
        ("src/codec/mod.rs", "\nuse crate::{image::Id,\n store::Store};"),
        ("src/http/mod.rs", "\nuse crate::codec;\nuse crate::{codec as c, image};"),
        ("src/image.rs", "pub struct Id;\nfn f() { crate::store::open(); }"),
        ("src/news.rs", "//! A module without a place."),
        ("src/store/mod.rs", "pub struct Store; pub fn open() {}\nuse crate::image::Id;"),
        ("src/main.rs", "\nfn main() { imagepool::store::open(); }"),
    ]);
    let mut violations = check_layers(&tree);
    violations.sort();
    let places = [
        "src/codec/mod.rs:3",
        "src/http/mod.rs:2",
        "src/http/mod.rs:3",
        "src/image.rs:2",
        "src/main.rs:2",
        "src/news.rs:1",
    ];
    expect_places(&violations, &places);
}

#[test]
fn a_crate_belongs_to_one_module() {
    let tree = made_up(&[
        ("src/lib.rs", "mod cli; mod codec; mod image; mod store;"),
        ("src/cli/mod.rs", "use std::env; use crate::image; fn f() { image::now(); env::args(); }"),
        ("src/codec/mod.rs", "mod png;\nuse image::RgbImage; use std::{fmt,\n fs};"),
        ("src/codec/png.rs", "use png::Decoder;"),
        ("src/image.rs", "\npub fn now() { std::env::var(\"A\"); tokio_like::spawn(); }"),
        (
            "src/store/mod.rs",
            "use std as s; use image as pictures;\nfn f() { s::env::args(); }\n\
             fn g() { println!(\"{}\", ::png::VERSION); png.decode(); }\n\
             /// Not `png::Decoder`.\n#[cfg(test)] mod tests { use png::Decoder; }",
        ),
    ]);
    let places = [
        "src/codec/mod.rs:3",
        "src/image.rs:2",
        "src/store/mod.rs:1",
        "src/store/mod.rs:2",
        "src/store/mod.rs:3",
    ];
    expect_places(&check_layers(&tree), &places);
}

#[test]
fn rooms_name_each_other_in_one_direction() {
    let tree = made_up(&[
        ("src/lib.rs", "mod http;"),
        (
            "src/http/mod.rs",
            "mod query; mod routes; mod handlers; mod extra; pub use routes::Route;",
        ),
        ("src/http/query.rs", "pub struct Query;\nuse super::routes::Route;"),
        ("src/http/routes.rs", "pub struct Route; use super::handlers::random::random;"),
        ("src/http/handlers/mod.rs", "pub mod random; mod list;"),
        (
            "src/http/handlers/random.rs",
            "pub fn random() {}\nuse super::super::query::Query;\nuse super::list::list;\n\
             use crate::http::Route;",
        ),
        ("src/http/handlers/list.rs", "pub fn list() {}"),
        ("src/http/extra.rs", "//! A room without a place.\nuse super::routes::Route;"),
    ]);
    let places = ["src/http/extra.rs:1", "src/http/handlers/random.rs:4", "src/http/query.rs:2"];
    expect_places(&check_rooms(&tree), &places);
}

#[test]
fn the_longest_room_counts() {
    let path = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(room(CODEC, &path("codec/decoders/tiff/exif")), Some("decoders/tiff/exif"));
    assert_eq!(room(CODEC, &path("codec/decoders/tiff/exifs")), Some("decoders"));
    assert_eq!(room(CODEC, &path("codec/decode")), Some("decode"));
    assert_eq!(room(CODEC, &path("codec")), Some("mod"));
    assert_eq!(room(CODEC, &path("codec/cellar")), None);
}
