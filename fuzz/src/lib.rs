//! What the fuzz targets that decode have in common.

use std::sync::Once;
use std::time::Duration;

use imagepool::codec::DecodeLimits;

/// Small, so that each run is quick: what is to be found lies in decoders, not in encoding large pictures.
pub const LIMITS: DecodeLimits = DecodeLimits {
    source_bytes: 1 << 20,
    pixels: 1 << 16,
    frames: 20,
    total_pixels: 1 << 18,
    memory_bytes: 100_000_000,
    decode_time: Duration::from_secs(5),
};

/// libFuzzer aborts at every panic; those of the decoders that we depend on are caught, lose their file only, and are their
/// authors' to mend. Our own, and what leaves the target, still abort.
pub fn tolerate_caught_panics() {
    static TOLERATE: Once = Once::new();
    TOLERATE.call_once(|| {
        let abort = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !panic.location().is_some_and(|location| location.file().contains("/registry/src/")) {
                abort(panic);
            }
        }));
    });
}
