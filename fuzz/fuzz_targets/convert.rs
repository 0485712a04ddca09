//! Any bytes through the codec: an error or an image, and what comes out decodes at the size that it says.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use imagepool::codec::{self, CodecError, Limits, Lossless, Settings, Timer};
use libfuzzer_sys::fuzz_target;

/// Small, so that each run is quick: what is to be found lies in decoders, not in encoding large pictures.
const LIMITS: Limits = Limits {
    source_bytes: 1 << 20,
    pixels: 1 << 16,
    frames: 20,
    total_pixels: 1 << 18,
    memory_bytes: 100_000_000,
    decode_time: Duration::from_secs(5),
};

/// libFuzzer aborts at every panic; those of the decoders that we depend on are caught, lose their file only, and are their
/// authors' to mend. Our own, and what leaves the target, still abort.
static TOLERATE_CAUGHT_PANICS: LazyLock<()> = LazyLock::new(|| {
    let abort = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic.location().is_some_and(|location| location.file().contains("/registry/src/")) {
            abort(panic);
        }
    }));
});

fuzz_target!(|source: &[u8]| {
    LazyLock::force(&TOLERATE_CAUGHT_PANICS);
    let settings = Settings { quality: 1, lossless: Lossless::Never, renditions: vec![16] };
    let timer = Timer::new(LIMITS.decode_time);
    if codec::memory_bytes(source, &settings, &LIMITS, &timer).is_err() {
        return;
    }
    match codec::convert(source.to_vec(), &settings, &LIMITS, &timer) {
        Ok(converted) => {
            let size = codec::probe(&converted.webp, &LIMITS).expect("what was converted decodes");
            assert_eq!(size, (converted.width, converted.height));
            for (width, webp) in converted.renditions {
                let size = codec::probe(&webp, &LIMITS).expect("a rendition decodes");
                assert_eq!(size.0, u32::from(width));
            }
        }
        Err(CodecError::TooSlow { .. }) => unreachable!("a decoder ran away"),
        Err(_) => {}
    }
});
