//! Decodes any bytes as records of a gallery: they give an error, or a record that is written as it
//! was read.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| imagepool::store::fuzz_records(body));
