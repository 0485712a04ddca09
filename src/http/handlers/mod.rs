//! The route handlers: one file for each route, or for a few that belong together.
//!
//! In reading order: `random` picks images; `images` sends them, with `image_body` as the bytes
//! that follow a head; `listing` and `info` describe them; `lookup` has the reads that several
//! share; `updates` keeps the old service's routes; `health` and `metrics` are for monitors; `page`
//! is for browsers and `openapi` for generated clients.

pub(super) mod health;
mod image_body;
pub(super) mod images;
pub(super) mod info;
pub(super) mod listing;
mod lookup;
pub(super) mod metrics;
pub(super) mod openapi;
pub(super) mod page;
pub(super) mod random;
pub(super) mod updates;
