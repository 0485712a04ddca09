pub mod catalog;
pub mod cli;
pub mod codec;
pub mod http;
pub mod image;
pub mod import;
pub mod keys;
pub mod store;
