//! How often who may ask: a bucket for each client address and each key (the generic cell rate algorithm, by governor).

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use governor::clock::{Clock as _, MonotonicClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::error::ApiError;
use super::policy::{Policy, Rate};
use crate::keys::KeyId;

/// Clients remembered at once, some 50 bytes each. Above that all share a bucket until some are forgotten.
const MAX_CLIENTS: usize = 100_000;

pub(super) struct Limiter {
    by_address: Option<DefaultKeyedRateLimiter<IpAddr>>,
    by_key: Option<DefaultKeyedRateLimiter<KeyId>>,
    clock: MonotonicClock,
}

impl Limiter {
    pub(super) fn new(policy: &Policy) -> Self {
        Self {
            by_address: policy.rate.map(|rate| RateLimiter::keyed(quota(rate))),
            by_key: policy.key_rate.map(|rate| RateLimiter::keyed(quota(rate))),
            clock: MonotonicClock,
        }
    }

    /// Counts a request of a client.
    pub(super) fn check_address(&self, address: IpAddr) -> Result<(), ApiError> {
        let Some(limiter) = &self.by_address else { return Ok(()) };
        // Those that are remembered have their own buckets only as long as there is room for all.
        let bucket = if limiter.len() < MAX_CLIENTS {
            network(address)
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        limiter
            .check_key(&bucket)
            .map_err(|refused| too_many(refused.wait_time_from(self.clock.now())))
    }

    /// Counts a request that a key opened.
    pub(super) fn check_key(&self, key: KeyId) -> Result<(), ApiError> {
        let Some(limiter) = &self.by_key else { return Ok(()) };
        limiter
            .check_key(&key)
            .map_err(|refused| too_many(refused.wait_time_from(self.clock.now())))
    }

    /// Forgets clients whose bucket is full again.
    pub(super) fn prune(&self) {
        if let Some(limiter) = &self.by_address {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
        if let Some(limiter) = &self.by_key {
            limiter.retain_recent();
        }
    }
}

fn quota(rate: Rate) -> Quota {
    let period = (rate.per / rate.count.get()).max(Duration::from_nanos(1));
    Quota::with_period(period).expect("the period is not zero").allow_burst(rate.count)
}

/// A network of 2^64 addresses is what one client of IPv6 has.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

fn too_many(wait: Duration) -> ApiError {
    ApiError::TooManyRequests {
        retry_after_seconds: wait.as_secs() + u64::from(wait.subsec_nanos() > 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_a_bucket_of_its_own() {
        let policy = Policy { rate: Some("3/h".parse().unwrap()), ..Policy::default() };
        let limiter = Limiter::new(&policy);
        let check = |address: &str| limiter.check_address(address.parse().unwrap());
        for client in ["203.0.113.5", "203.0.113.6", "2001:db8::1", "2001:db8:0:1::1"] {
            assert_eq!([(); 3].map(|()| check(client)), [Ok(()); 3], "{client}");
            let Err(ApiError::TooManyRequests { retry_after_seconds }) = check(client) else {
                panic!("{client}: a fourth request in an hour")
            };
            assert!((1190..=1200).contains(&retry_after_seconds), "{retry_after_seconds}");
        }
        assert!(check("2001:db8::ffff").is_err(), "the same network");
        assert_eq!(limiter.check_key(KeyId([0; 8])), Ok(()), "keys are not limited");
    }

    #[test]
    fn a_flood_of_clients_is_not_remembered_without_end() {
        let policy = Policy { rate: Some("1/h".parse().unwrap()), ..Policy::default() };
        let limiter = Limiter::new(&policy);
        let clients = u32::try_from(MAX_CLIENTS).unwrap();
        let refused = (0..clients + 1_000)
            .filter(|bits| limiter.check_address(IpAddr::V4((*bits).into())).is_err());
        assert_eq!(refused.count(), 999, "those above share one bucket");
    }
}
