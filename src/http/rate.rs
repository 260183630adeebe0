//! How many orders per second one caller may place. Every answer to an order says what is left of it, in the
//! words of the draft standard "RateLimit header fields for HTTP" (draft-ietf-httpapi-ratelimit-headers-10).

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use actix_web::dev::ServiceRequest;
use actix_web::http::Method;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};

use super::problem::{self, Problem};
use super::{State, sender};

/// Between two sweeps through callers that have long been gone, in orders.
const SWEEP_EVERY: u64 = 10_000;

type Callers = RateLimiter<String, DefaultKeyedStateStore<String>, DefaultClock, StateInformationMiddleware>;

/// The limit of every caller, and where each of them stands.
pub struct Rate {
    per_s: NonZeroU32,
    callers: Callers,
    asked: AtomicU64,
}

impl Rate {
    /// So many a second, and as many at once.
    pub fn new(per_s: NonZeroU32) -> Rate {
        let callers = RateLimiter::keyed(Quota::per_second(per_s)).with_middleware();
        Rate { per_s, callers, asked: Default::default() }
    }

    /// How many are left to a caller after so many, or the answer that refuses all of them.
    pub(super) fn ask(&self, caller: String, orders: NonZeroU32) -> Result<u32, Box<HttpResponse>> {
        if self.asked.fetch_add(1, Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.callers.retain_recent();
        }
        match self.callers.check_key_n(&caller, orders) {
            Ok(Ok(snapshot)) => Ok(snapshot.remaining_burst_capacity()),
            refused => {
                // More at once than one second has are never let in.
                let seconds = match refused {
                    Ok(Err(not_until)) => {
                        not_until.wait_time_from(DefaultClock::default().now()).as_secs() + 1
                    }
                    _ => 1,
                };
                let mut response = Problem::new(&problem::RATE_LIMITED).error_response();
                self.describe(response.headers_mut(), 0, seconds);
                response.headers_mut().insert(RETRY_AFTER, seconds.into());
                Err(Box::new(response))
            }
        }
    }

    /// Says what is left, and for how long.
    pub(super) fn describe(&self, headers: &mut HeaderMap, left: u32, seconds: u64) {
        let mut say = |name: &'static str, text: String| {
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        say("ratelimit-policy", format!("\"orders\";q={};w=1", self.per_s));
        say("ratelimit", format!("\"orders\";r={left};t={seconds}"));
    }
}

/// Whoever places an order is counted, before anything else is looked at.
pub(super) fn limits(request: &ServiceRequest) -> bool {
    *request.method() == Method::POST && request.path().ends_with("/orders")
}

/// A token's name, or an address: who has no name is told apart by where he comes from. A wrong token has no
/// name.
pub(super) fn who(state: &State, request: &HttpRequest) -> String {
    let (authorization, peer) = sender(request);
    match state.access.caller(authorization, peer) {
        Ok(caller) if caller.name != crate::sale::ANONYMOUS => caller.name,
        _ => peer.map(|ip| ip.to_string()).unwrap_or_default(),
    }
}
