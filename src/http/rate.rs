//! How many orders per second one caller may place. Every answer to an order says what is left of it, in the
//! words of the draft standard "RateLimit header fields for HTTP" (draft-ietf-httpapi-ratelimit-headers-10).

use std::num::NonZeroU32;
use std::time::Duration;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use actix_web::middleware::Next;
use actix_web::{ResponseError, web};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};

use super::State;
use super::problem::{self, Problem};

/// Between two sweeps through callers that have long been gone, in orders.
const SWEEP_EVERY: u64 = 10_000;

type Callers = RateLimiter<String, DefaultKeyedStateStore<String>, DefaultClock, StateInformationMiddleware>;

/// The limit of every caller, and where each of them stands.
pub struct Rate {
    per_s: NonZeroU32,
    callers: Callers,
    asked: std::sync::atomic::AtomicU64,
}

impl Rate {
    /// So many a second, and as many at once.
    pub fn new(per_s: NonZeroU32) -> Rate {
        let callers = RateLimiter::keyed(Quota::per_second(per_s)).with_middleware();
        Rate { per_s, callers, asked: Default::default() }
    }

    /// How many are left, or how long to wait.
    fn ask(&self, caller: &str) -> Result<u32, Duration> {
        if self.asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.callers.retain_recent();
        }
        match self.callers.check_key(&caller.to_owned()) {
            Ok(snapshot) => Ok(snapshot.remaining_burst_capacity()),
            Err(not_until) => Err(not_until.wait_time_from(DefaultClock::default().now())),
        }
    }

    fn describe(&self, headers: &mut HeaderMap, left: u32, seconds: u64) {
        let mut say = |name: &'static str, text: String| {
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        say("ratelimit-policy", format!("\"orders\";q={};w=1", self.per_s));
        say("ratelimit", format!("\"orders\";r={left};t={seconds}"));
    }
}

/// Counts whoever places an order, and refuses who has placed too many, before anything else is looked at.
pub async fn limited<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, actix_web::Error> {
    let state: Option<web::Data<State>> = request.app_data().cloned();
    let places = *request.method() == Method::POST && request.path().ends_with("/orders");
    let Some((state, rate)) = state.as_ref().and_then(|s| Some((s, s.rate.as_ref()?))).filter(|_| places)
    else {
        return Ok(next.call(request).await?.map_into_left_body());
    };
    match rate.ask(&who(state, &request)) {
        Ok(left) => {
            let mut response = next.call(request).await?.map_into_left_body();
            rate.describe(response.headers_mut(), left, 1);
            Ok(response)
        }
        Err(wait) => {
            let seconds = wait.as_secs() + 1;
            let mut response = Problem::new(&problem::RATE_LIMITED).error_response();
            rate.describe(response.headers_mut(), 0, seconds);
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
            Ok(request.into_response(response).map_into_right_body())
        }
    }
}

/// A token's name, or an address: who has no name is told apart by where he comes from. A wrong token has no
/// name.
fn who(state: &State, request: &ServiceRequest) -> String {
    let authorization = request.headers().get("authorization").and_then(|v| v.to_str().ok());
    let peer = request.peer_addr().map(|a| a.ip());
    match state.access.caller(authorization, peer) {
        Ok(caller) if caller.name != crate::sale::ANONYMOUS => caller.name,
        _ => peer.map(|ip| ip.to_string()).unwrap_or_default(),
    }
}
