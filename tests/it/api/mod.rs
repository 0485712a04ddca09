//! Tests the HTTP interface, resource by resource. The rows of its tables follow the contract.
//!
//! In reading order:
//! - `gallery`: the gallery that most of these tests serve, and what each filter means in it;
//! - `routes`: every route by method and authorisation;
//! - `parameters`: every query parameter by what it chooses and what it refuses;
//! - `random`: `/random`, its headers, formats and sizes;
//! - `repeatable`: `/random` with `seed` and `shuffle`;
//! - `listing`: `/images`, page by page;
//! - `images`: `/images/ID` and `/images/ID/info`;
//! - `metrics`: `/metrics`;
//! - `openapi`: `/openapi.json`.

mod gallery;
mod images;
mod listing;
mod metrics;
mod openapi;
mod parameters;
mod random;
mod repeatable;
mod routes;
