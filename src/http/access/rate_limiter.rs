//! Limits how often each client address and each key may send requests.
//!
//! Each has a bucket of its own, by the generic cell rate algorithm of the governor crate.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use governor::clock::{Clock as _, MonotonicClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::policy::{Policy, Rate};
use crate::http::error::ApiError;
use crate::keys::KeyId;

/// Clients remembered at once, about 50 bytes each. New ones beyond that share one bucket.
const MAX_CLIENTS: usize = 100_000;

/// Time between two prunings of clients that send no more requests.
const PRUNE_INTERVAL: Duration = Duration::from_secs(10);

/// Counts requests by client address and by key.
pub(crate) struct RateLimiters {
    by_address: Option<DefaultKeyedRateLimiter<IpAddr>>,
    by_key: Option<DefaultKeyedRateLimiter<KeyId>>,
    clock: MonotonicClock,
    /// When clients were last forgotten.
    pruned: Mutex<Instant>,
}

impl RateLimiters {
    pub(crate) fn new(policy: &Policy) -> Self {
        Self {
            by_address: policy.rate.map(|rate| RateLimiter::keyed(quota(rate))),
            by_key: policy.key_rate.map(|rate| RateLimiter::keyed(quota(rate))),
            clock: MonotonicClock,
            pruned: Mutex::new(Instant::now()),
        }
    }

    /// Counts a request from a client's address; an error if it is one too many.
    pub(crate) fn check_address(&self, address: IpAddr) -> Result<(), ApiError> {
        let Some(limiter) = &self.by_address else { return Ok(()) };
        // Once there is no room for another client, even known ones use the shared bucket.
        let bucket = if limiter.len() < MAX_CLIENTS {
            network(address)
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        limiter
            .check_key(&bucket)
            .map_err(|refused| too_many(refused.wait_time_from(self.clock.now())))
    }

    /// Counts a request with a key; an error if it is one too many.
    pub(crate) fn check_key(&self, key: KeyId) -> Result<(), ApiError> {
        let Some(limiter) = &self.by_key else { return Ok(()) };
        limiter
            .check_key(&key)
            .map_err(|refused| too_many(refused.wait_time_from(self.clock.now())))
    }

    /// Forgets clients whose bucket has filled up again, if that was not done just before.
    pub(crate) fn prune_if_due(&self, now: Instant) {
        let mut pruned = self.pruned.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(*pruned) < PRUNE_INTERVAL {
            return;
        }
        *pruned = now;
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
    #[expect(clippy::expect_used, reason = "the period is at least a nanosecond")]
    let quota = Quota::with_period(period).expect("the period is not zero");
    quota.allow_burst(rate.count)
}

/// Returns the address that a client is counted by. One client of IPv6 has a network of 2^64.
pub(crate) fn network(address: IpAddr) -> IpAddr {
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
        let limiter = RateLimiters::new(&policy);
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
        let limiter = RateLimiters::new(&policy);
        let clients = u32::try_from(MAX_CLIENTS).unwrap();
        let refused = (0..clients + 1_000)
            .filter(|bits| limiter.check_address(IpAddr::V4((*bits).into())).is_err());
        assert_eq!(refused.count(), 999, "those above share one bucket");
    }
}
