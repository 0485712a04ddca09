//! Converts any bytes, which must give an error or an image that decodes at the size it claims.
#![no_main]

use imagepool::codec::{self, CodecError, Lossless, Settings, Timer};
use imagepool_fuzz::{LIMITS, tolerate_caught_panics};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|source: &[u8]| {
    tolerate_caught_panics();
    let settings = Settings {
        quality: 1,
        lossless: Lossless::Never,
        renditions: vec![16],
        ..Settings::default()
    };
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
