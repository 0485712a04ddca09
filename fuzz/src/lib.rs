//! Holds what the decoding fuzz targets share: their limits, and which panics they tolerate.

use std::sync::Once;
use std::time::Duration;

use imagepool::codec::DecodeLimits;

/// Small limits, so that each run is quick. The faults to be found lie in decoders, not in the
/// encoding of large pictures.
pub const LIMITS: DecodeLimits = DecodeLimits {
    source_bytes: 1 << 20,
    pixels: 1 << 16,
    frames: 20,
    total_pixels: 1 << 18,
    memory_bytes: 100_000_000,
    decode_time: Duration::from_secs(5),
};

/// Lets panics of decoders from other crates pass, although libFuzzer aborts at every panic.
///
/// The codec catches them, so that they lose one file only, and they are for their authors to mend.
/// Our own panics, and those that leave the target, still abort.
pub fn tolerate_caught_panics() {
    static TOLERATE: Once = Once::new();
    TOLERATE.call_once(|| {
        let abort = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !panic.location().is_some_and(|location| location.file().contains("/registry/src/"))
            {
                abort(panic);
            }
        }));
    });
}
