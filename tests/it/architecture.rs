//! What may depend on what, read from the sources' `use` lines and paths. ARCHITECTURE.md says why.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A module, and those of our modules that it may name.
const LAYERS: [(&str, &[&str]); 9] = [
    ("image", &[]),
    ("keys", &["image"]),
    ("catalog", &["image"]),
    ("codec", &["image"]),
    ("store", &["image", "keys"]),
    ("import", &["image", "codec", "store"]),
    ("http", &["image", "keys", "catalog", "store"]),
    ("cli", &["image", "keys", "catalog", "codec", "store", "import", "http"]),
    ("main", &["cli"]),
];

/// A crate, and the only module that may name it.
const OWNED: [(&str, &str); 28] = [
    ("warp", "http"),
    ("hyper", "http"),
    ("hyper_util", "http"),
    ("heed", "store"),
    ("sled", "store"),
    ("object_store", "store"),
    ("bincode", "store"),
    ("libmimalloc_sys", "codec"),
    ("webpx", "codec"),
    ("moxcms", "codec"),
    ("fast_image_resize", "codec"),
    ("gif", "codec"),
    ("png", "codec"),
    ("zune_jpeg", "codec"),
    ("hayro_ccitt", "codec"),
    ("heifer_hevc_dec", "codec"),
    ("jxl_oxide", "codec"),
    ("re_rav1d", "codec"),
    ("zstd", "codec"),
    ("walkdir", "import"),
    ("notify", "import"),
    ("argon2", "keys"),
    ("hmac", "keys"),
    ("roaring", "catalog"),
    ("prometheus_client", "http"),
    ("governor", "http"),
    ("tokio_rustls", "http"),
    ("tower_service", "http"),
];

/// Crates that do I/O or are asynchronous, which pure modules may not name.
const IMPURE: [&str; 3] = ["tokio", "std::fs", "std::net"];
const PURE: [&str; 4] = ["image", "keys", "catalog", "codec"];

#[test]
fn modules_depend_downwards_only() {
    let sources = sources();
    assert!(sources.len() > 40, "the sources were not found");
    let mut broken = BTreeSet::new();
    for (module, file, text) in &sources {
        let allowed = LAYERS.iter().find(|(name, _)| name == module).map(|(_, allowed)| *allowed);
        let Some(allowed) = allowed else {
            assert_eq!(module, "lib", "{file}: {module} has no place in the layers");
            continue;
        };
        for (other, _) in LAYERS {
            let names = text.contains(&format!("crate::{other}::"))
                || text.contains(&format!("crate::{{{other}"));
            if names && other != module && !allowed.contains(&other) {
                broken.insert(format!("{file}: {module} may not use {other}"));
            }
        }
        for (owned, owner) in OWNED {
            if module != owner && mentions(text, owned) {
                broken.insert(format!("{file}: only {owner} may name {owned}"));
            }
        }
        for impure in IMPURE {
            if PURE.contains(&module.as_str()) && text.contains(&format!("{impure}::")) {
                broken.insert(format!("{file}: {module} does no I/O, so it may not name {impure}"));
            }
        }
        if module != "codec"
            && text.lines().any(|line| line.trim_start().starts_with("use image::"))
        {
            broken.insert(format!("{file}: only codec may name the image crate"));
        }
        if module != "cli" && module != "main" && text.contains("std::env::") {
            broken.insert(format!("{file}: only cli reads the environment"));
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Whether the text names the crate in a path, as `name::`, and not as a part of another name.
fn mentions(text: &str, name: &str) -> bool {
    let path = format!("{name}::");
    text.lines().filter(|line| !line.trim_start().starts_with("//")).any(|line| {
        line.match_indices(&path).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            before.is_none_or(|before| !before.is_alphanumeric() && before != '_' && before != ':')
        })
    })
}

#[test]
fn files_and_functions_stay_short_and_say_what_they_own() {
    for (_, file, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 500, "{file} has {lines} lines");
        assert!(
            file == "src/lib.rs" || text.starts_with("//! "),
            "{file} does not say what it owns"
        );
    }
}

/// Module, path and text of each source file; unit tests, which may use anything, are cut off.
fn sources() -> Vec<(String, String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = walkdir::WalkDir::new(root.join("src")).into_iter().map(Result::unwrap);
    let files = files.filter(|entry| entry.path().extension().is_some_and(|ending| ending == "rs"));
    files
        .map(|entry| {
            let path = entry.path().strip_prefix(root).unwrap();
            let module =
                path.components().nth(1).unwrap().as_os_str().to_string_lossy().replace(".rs", "");
            let text = fs::read_to_string(entry.path()).unwrap();
            let text = text.split("#[cfg(test)]").next().unwrap().to_owned();
            (module, path.display().to_string(), text)
        })
        .collect()
}
