//! How long a pick takes, among a thousand images and a million: of all, under filters that are evaluated already, by seed,
//! by permutation; and how long evaluating a filter takes the first time.
//!
//! The catalogs are made from fixed numbers, so that two runs measure the same work.
#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench ends by a panic, and prints what it measured"
)]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use imagepool::catalog::{Catalog, CatalogBuilder, Draw, Entry, Filter, TagTerm};
use imagepool::image::{ImageId, Orientation};

/// The program's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SIZES: [u32; 2] = [1_000, 1_000_000];

criterion_group!(benches, unfiltered, filtered, first);
criterion_main!(benches);

/// Every second image is a landscape, every tenth is animated; tags of a half, a tenth, a thousandth of all.
fn catalog(images: u32) -> Arc<Catalog> {
    let mut builder = CatalogBuilder::default();
    let mut ordinals: Vec<u32> = (0..images).collect();
    ordinals.sort_by_cached_key(|ordinal| ImageId::of(&ordinal.to_le_bytes()));
    for ordinal in ordinals {
        let number = ordinal.wrapping_mul(0x9E37_79B1) >> 8;
        let tag = |every: u32, tag| number.is_multiple_of(every).then_some(tag);
        let tags: Vec<&str> = [tag(2, "half"), tag(10, "tenth"), tag(1_000, "thousandth")]
            .into_iter()
            .flatten()
            .collect();
        let (long, short) = (1_000 + number % 3_000, 500 + number % 500);
        let (width, height) = if number % 4 < 2 { (long, short) } else { (short, long) };
        let (id, stamp) = (ImageId::of(&ordinal.to_le_bytes()), [0; 8]);
        let animated = number % 10 == 3;
        builder.push(Entry { id, stamp, ordinal, width, height, animated, tags: &tags });
    }
    Arc::new(builder.build(1))
}

fn filters() -> Vec<(&'static str, Filter)> {
    let tag = |tag: &str, wanted| TagTerm { tag: tag.into(), wanted };
    let any = Filter::default;
    vec![
        ("orientation", Filter { orientation: Some(Orientation::Landscape), ..any() }),
        ("tag of a thousandth", Filter { tags: vec![tag("thousandth", true)], ..any() }),
        (
            "tag left out, still",
            Filter { tags: vec![tag("half", false)], animated: Some(false), ..any() },
        ),
        (
            "bounds",
            Filter {
                min_width: Some(1_920),
                max_width: Some(3_840),
                min_height: Some(600),
                ..any()
            },
        ),
        (
            "everything",
            Filter {
                tags: vec![tag("half", true), tag("tenth", true), tag("thousandth", false)],
                orientation: Some(Orientation::Portrait),
                min_width: Some(600),
                max_width: Some(4_000),
                min_height: Some(1_080),
                max_height: Some(3_900),
                animated: Some(false),
            },
        ),
    ]
}

/// One draw of all images; a thousand and a million should cost nearly the same.
fn unfiltered(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pick of all");
    for images in SIZES {
        let catalog = catalog(images);
        group.bench_function(BenchmarkId::new("random", images), |bencher| {
            bencher.iter(|| black_box(&catalog).pick(&mut rand::rng()));
        });
        let matches = catalog.matches(&Filter::default());
        draws(&mut group, &images.to_string(), |draw| matches.draw(draw, &mut rand::rng()));
    }
}

/// With the lookup of the evaluated filter, as a request does it.
fn filtered(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pick under a filter");
    for images in SIZES {
        let catalog = catalog(images);
        for (name, filter) in filters() {
            let found = catalog.matches(&filter).len();
            assert!(found > 0, "{name} leaves nothing of {images}");
            let name = format!("{name}, {found} of {images}");
            let look_up = || catalog.known_matches(&filter).expect("it was evaluated");
            group.bench_function(BenchmarkId::new("random", &name), |bencher| {
                bencher.iter(|| look_up().draw(Draw::Random, &mut rand::rng()));
            });
            draws(&mut group, &name, |draw| look_up().draw(draw, &mut rand::rng()));
        }
    }
}

/// The draws that depend on a text, each time another.
fn draws(
    group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>,
    name: &str,
    draw: impl Fn(Draw<'_>) -> Option<ImageId>,
) {
    let seeds: Vec<String> = (0..4_096).map(|seed| format!("seed {seed}")).collect();
    let mut turn = seeds.iter().cycle();
    group.bench_function(BenchmarkId::new("seed", name), |bencher| {
        bencher.iter(|| draw(Draw::Seed(turn.next().expect("the cycle has no end"))));
    });
    let mut index = 0;
    group.bench_function(BenchmarkId::new("shuffle", name), |bencher| {
        bencher.iter(|| {
            index += 1;
            draw(Draw::Shuffle("slideshow", index))
        });
    });
}

/// A filter's first pick, on a catalog that has evaluated none.
fn first(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("first pick under a filter");
    group.sample_size(20);
    let images = 1_000_000;
    let catalog = catalog(images);
    // As many other filters as are kept push one out.
    let others: Vec<Filter> = (0..64)
        .map(|least| Filter { min_width: Some(100_000 + least), ..Filter::default() })
        .collect();
    for (name, filter) in filters() {
        group.bench_function(BenchmarkId::new(name, images), |bencher| {
            bencher.iter_batched(
                || others.iter().for_each(|other| drop(catalog.matches(other))),
                |()| catalog.matches(&filter).draw(Draw::Random, &mut rand::rng()),
                BatchSize::PerIteration,
            );
        });
    }
}
