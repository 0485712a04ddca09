//! The flags that say whom `serve` serves.

use clap::builder::FalseyValueParser;

use crate::http::{Host, Policy, Rate, WebOrigin};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Whom to serve")]
pub(super) struct PolicyFlags {
    /// Let everybody read, without a key
    #[arg(long, env = "IMAGEPOOL_PUBLIC", value_parser = FalseyValueParser::new())]
    public: bool,

    /// Let scripts on this site's pages read answers, by scheme and host (repeatable) [default: on
    /// any site's]
    #[arg(long, env = "IMAGEPOOL_CORS_ORIGIN", value_name = "ORIGIN")]
    cors_origin: Vec<WebOrigin>,

    /// Let pages on this host show images, others not; *.HOST is all below it (repeatable)
    /// [default: any page]
    #[arg(long, env = "IMAGEPOOL_ALLOW_REFERER", value_name = "HOST")]
    allow_referer: Vec<Host>,

    /// Requests that each client address, and each key, may make: such as 10/s, 300/m or 5000/h
    /// [default: any number]
    #[arg(long, env = "IMAGEPOOL_RATE", value_name = "N/UNIT")]
    rate: Option<Rate>,

    /// Requests that each key may make, where that is another number [default: --rate]
    #[arg(long, env = "IMAGEPOOL_KEY_RATE", value_name = "N/UNIT")]
    key_rate: Option<Rate>,

    /// Take a client's address from X-Forwarded-For; only behind a proxy that sets it
    #[arg(long, env = "IMAGEPOOL_TRUST_FORWARDED", value_parser = FalseyValueParser::new())]
    trust_forwarded: bool,
}

impl PolicyFlags {
    pub(super) fn into_policy(self) -> Policy {
        Policy {
            public: self.public,
            cors_origins: self.cors_origin,
            allowed_referers: self.allow_referer,
            rate: self.rate,
            key_rate: self.key_rate.or(self.rate),
            trust_forwarded: self.trust_forwarded,
        }
    }
}
