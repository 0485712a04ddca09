//! Measures the parts of a request and of an import: the read, the key check, the conversion.
//!
//! Everything is made here from fixed seeds, so that two runs measure the same work. The pick is
//! measured by `pick.rs`, the start of a large gallery by `start.rs`, and whole requests through
//! the server by the scripts beside them.
#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench ends by a panic, and prints what it measured"
)]

mod common;

use std::hint::black_box;
use std::io::Cursor;

use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use image::codecs::jpeg::JpegEncoder;
use image::{ImageFormat, Rgb, RgbImage};
use imagepool::codec::{self, DecodeLimits, Lossless, Settings, Timer};
use imagepool::image::ImageId;
use imagepool::keys::{ApiKey, KeyRecord, KnownKey, Recall};
use imagepool::store::{Access, Locator, Store};
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};

/// The program's allocator, so that a copy costs here what it costs there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Length of a typical image of the galleries that the targets were set for, in bytes.
const IMAGE_BYTES: usize = 215_000;
/// Length of the part of a large image that the server copies at once, in bytes.
const PART_BYTES: usize = 64 << 10;
/// Number of images read in turn: 14 MB, more than a processor's second-level cache holds.
const IMAGES_READ: u32 = 64;
/// Width and height of the picture that is converted, in pixels.
const PICTURE_SIDE: u32 = 1_000;

criterion_group!(benches, read, convert, check_key);
criterion_main!(benches);

/// Measures reading an image's bytes, copied as the server copies them.
fn read(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let mut group = criterion.benchmark_group("read");
    read_from(&mut group, "file", &Locator::File(folder.path().join("gallery.pool")));
    #[cfg(feature = "sled")]
    read_from(&mut group, "sled", &Locator::Sled(folder.path().join("gallery.sled")));
}

fn read_from(group: &mut BenchmarkGroup<'_, WallTime>, engine: &str, locator: &Locator) {
    let (store, ids) = filled_store(locator);
    let mut turn = ids.iter().copied().cycle();
    let mut next = move || turn.next().expect("there are images");

    group.throughput(Throughput::Bytes(IMAGE_BYTES as u64));
    group.bench_function(BenchmarkId::new(engine, "whole image of 215 KB"), |bencher| {
        bencher.iter(|| store.blob(next(), 0, <[u8]>::to_vec).expect("the gallery can be read"));
    });
    group.throughput(Throughput::Bytes(PART_BYTES as u64));
    group.bench_function(BenchmarkId::new(engine, "part of 64 KiB"), |bencher| {
        bencher.iter(|| {
            store
                .hold_blob(next(), 0)
                .expect("the gallery can be read")
                .map(|blob| blob.as_ref()[..PART_BYTES].to_vec())
        });
    });
}

/// Makes a store of images whose bytes are noise, because the store never looks into them.
fn filled_store(locator: &Locator) -> (Store, Vec<ImageId>) {
    let store = Store::open(locator, Access::Create).expect("a gallery can be made");
    let mut random = StdRng::seed_from_u64(1);
    let mut ids = Vec::new();
    for index in 0..IMAGES_READ {
        let mut webp = vec![0; IMAGE_BYTES];
        random.fill_bytes(&mut webp);
        webp[..4].copy_from_slice(b"RIFF");
        let addition = common::addition(index, webp);
        ids.push(addition.id);
        store.add(&[addition]).expect("an image can be added");
    }
    (store, ids)
}

/// Measures converting a source to WebP, as an import without renditions does it.
fn convert(criterion: &mut Criterion) {
    let picture = photo_like(PICTURE_SIDE);
    let mut png = Vec::new();
    picture
        .write_to(&mut Cursor::new(&mut png), ImageFormat::Png)
        .expect("a picture can be written as PNG");
    let mut jpeg = Vec::new();
    picture
        .write_with_encoder(JpegEncoder::new_with_quality(&mut jpeg, 90))
        .expect("a picture can be written as JPEG");

    let limits = DecodeLimits::default();
    let settings = Settings { lossless: Lossless::Never, ..Settings::default() };
    let mut group = criterion.benchmark_group("convert 1 megapixel to WebP");
    group.throughput(Throughput::Elements(u64::from(PICTURE_SIDE * PICTURE_SIDE)));
    group.sample_size(20);
    for (name, source) in [("from PNG", png), ("from JPEG", jpeg)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let timer = Timer::new(limits.decode_time);
                codec::convert(black_box(source.clone()), &settings, &limits, &timer)
                    .expect("the picture can be converted")
            });
        });
    }
}

/// Makes a picture that costs an encoder about what a photograph does: a sky of a smooth gradient,
/// hills with soft texture in front of it, hard edges between them, and a sensor's noise over all.
fn photo_like(side: u32) -> RgbImage {
    let mut random = StdRng::seed_from_u64(1);
    RgbImage::from_fn(side, side, |x, y| {
        let (across, down) = (f64::from(x) / f64::from(side), f64::from(y) / f64::from(side));
        let ridge = 0.55 + 0.08 * (across * 9.0).sin() + 0.03 * (across * 31.0).sin();
        let base = if down < ridge {
            [90.0 + 110.0 * down, 140.0 + 80.0 * down, 235.0 - 40.0 * down]
        } else {
            let texture =
                (across * 240.0).sin() * (down * 310.0).cos() + (across * 57.0 + down * 83.0).sin();
            [70.0 + 22.0 * texture, 105.0 + 26.0 * texture - 40.0 * down, 45.0 + 14.0 * texture]
        };
        let noise = random.random_range(-6.0..6.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "`as` saturates"
        )]
        Rgb(base.map(|channel: f64| (channel + noise) as u8))
    })
}

/// Measures a key's first use since the start, and every later one.
fn check_key(criterion: &mut Criterion) {
    let key = ApiKey::generate().expect("the system has random numbers");
    let record = KeyRecord::new(&key, "bench", 0, None).expect("a key can be hashed");
    let memory_key = [7; 32];
    let known = KnownKey::new(record.clone());
    known.remember(&memory_key, &key);
    assert!(record.verify(&key) && known.recall(&memory_key, &key) == Recall::Right);

    let mut group = criterion.benchmark_group("key check");
    group.throughput(Throughput::Elements(1));
    group.bench_function("remembered", |bencher| {
        bencher.iter(|| black_box(&known).recall(black_box(&memory_key), black_box(&key)));
    });
    group.sample_size(20);
    group.bench_function("first use, argon2", |bencher| {
        bencher.iter(|| black_box(&record).verify(black_box(&key)));
    });
}
