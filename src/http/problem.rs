//! Every error as `application/problem+json` (RFC 9457): the only place with error statuses.
//!
//! `type` is stable and is what a client switches on; it is also a path of this service that explains it.
//! Nothing of SQL, addresses or secrets is said to a client: those go to the log, once.

use std::sync::{LazyLock, OnceLock};

use actix_web::http::StatusCode;
use actix_web::http::header::HeaderValue;
use actix_web::web::Bytes;
use actix_web::{HttpResponse, ResponseError};
use uuid::Uuid;

use crate::sale::{Error, Invalid};
use crate::wire;

use super::spoken::Spoken;

const MEDIA: HeaderValue = HeaderValue::from_static("application/problem+json");

/// A kind of problem.
#[derive(Debug)]
pub struct Kind {
    /// Last part of its `type`.
    pub slug: &'static str,
    /// HTTP status.
    pub status: u16,
    /// In words.
    pub title: &'static str,
    /// What to do next.
    pub advice: &'static str,
    /// Said in the body where the status leaves it open: was anything executed?
    executed: Option<bool>,
    /// Seconds for `Retry-After`.
    retry_after: Option<u32>,
    /// Its body with the standard advice, once it was asked for: a crowd is told the same again and again.
    usual: OnceLock<Bytes>,
}

macro_rules! kinds {
    ($($name:ident = $slug:literal, $status:literal, $title:literal, $advice:literal
       $(, executed: $executed:literal)? $(, retry_after: $after:literal)?;)*) => {
        $(#[doc = $title] pub static $name: Kind = Kind {
            slug: $slug, status: $status, title: $title, advice: $advice,
            executed: kinds!(@opt $($executed)?), retry_after: kinds!(@opt $($after)?),
            usual: OnceLock::new(),
        };)*
        /// All kinds.
        pub static KINDS: &[&Kind] = &[$(&$name),*];
    };
    (@opt) => { None };
    (@opt $value:literal) => { Some($value) };
}

kinds! {
    SOLD_OUT = "sold-out", 409, "Sold out", "Fewer units are left than were asked for; nothing was taken.";
    BUYER_LIMIT = "buyer-limit", 409, "Buyer limit reached",
        "This buyer may not have that many; nothing was taken.";
    IN_PROGRESS = "request-in-progress", 409, "Request in progress",
        "The same key is being worked on. Ask again with the same key.", retry_after: 1;
    NOT_OPEN = "sale-not-open", 409, "The sale is not open yet",
        "Nothing was taken. Come back when it opens.";
    ENDED = "sale-ended", 410, "The sale has ended", "Nothing was taken.";
    HOLD_EXPIRED = "hold-expired", 409, "The hold has expired",
        "Its units are for sale again. Place a new order under a new key, or confirm with \"rehold\": true \
         to take them again if they are left.";
    ORDER_STATE = "order-state", 409, "The order's state does not allow that",
        "Look at the order; nothing was done.";
    BELOW_SOLD = "stock-below-sold", 409, "Fewer units are left than that",
        "What is held or sold cannot be taken off; nothing was done.";
    UNSUPPORTED = "unsupported-by-strategy", 422, "Not with this strategy",
        "The sale's strategy cannot do that; nothing was done.";
    IMMUTABLE = "sale-immutable", 409, "An open sale does not change so",
        "Stock is changed by POST …/stock, the strategy by POST …/handover; nothing was done.";
    STORE_UNFIT = "store-unfit", 409, "A store cannot keep the promise",
        "A server's settings may lose what was sold. Change them; only the lab sells without.";
    KEY_REUSED = "idempotency-key-reused", 422, "Idempotency key reused",
        "This key was used for another order. Use a new key for a new order.";
    VALIDATION = "validation", 422, "Not valid", "Correct the named field; nothing was done.";
    KEY_MISSING = "idempotency-key-missing", 400, "Idempotency key missing",
        "Send an Idempotency-Key header, so that a retry cannot buy twice.";
    MALFORMED = "malformed", 400, "Malformed", "The body is not JSON, or cut short; nothing was done.";
    UNAUTHORIZED = "unauthorized", 401, "Not authorized",
        "Send the operator's token as Authorization: Bearer.";
    FORBIDDEN = "forbidden", 403, "Forbidden", "This request may not come from there.";
    NOT_FOUND = "not-found", 404, "Not found", "There is nothing of that name.";
    LAB_ONLY = "lab-only", 404, "Lab only", "This needs a service started with --lab.";
    METHOD_NOT_ALLOWED = "method-not-allowed", 405, "Method not allowed",
        "See /openapi.json for what this path takes.";
    TIMEOUT = "body-timeout", 408, "Body too slow", "The body did not arrive in time; nothing was done.";
    TOO_LARGE = "body-too-large", 413, "Body too large",
        "Nothing here needs a body of that size; nothing was done.";
    MEDIA_TYPE = "unsupported-media-type", 415, "Unsupported media type",
        "Send Content-Type: application/json.";
    CONTENDED = "contended", 503, "Too many at once",
        "Nothing was taken. Try again.", executed: false, retry_after: 1;
    UNAVAILABLE = "store-unavailable", 503, "A store is unavailable",
        "Nothing was taken. Try again later.", executed: false, retry_after: 1;
    OVERLOADED = "overloaded", 503, "Too many are waiting",
        "Nothing was taken. Try again.", executed: false, retry_after: 1;
    RATE_LIMITED = "rate-limited", 429, "Too many requests",
        "Nothing was taken. Send fewer, as the RateLimit headers say.", executed: false, retry_after: 1;
    BUSY = "too-many-viewers", 503, "Too many viewers", "Poll instead.", executed: false, retry_after: 5;
    RUN_ACTIVE = "run-active", 409, "A run is under way",
        "One at a time: wait until it has ended, or cancel it.";
    NOT_OURS = "not-ours", 409, "Not ours to break",
        "Only servers that were started with this service; nothing was done.";
    NO_LOAD_TEST = "load-test-missing", 503, "The load test cannot be started",
        "Build it with cargo build --workspace, or use ./run demo.", executed: false;
    OUTCOME_UNKNOWN = "outcome-unknown", 500, "Outcome unknown",
        "It may or may not have happened. Try again with the same Idempotency-Key, and learn which.",
        retry_after: 1;
}

/// One occurrence.
#[derive(Debug)]
pub struct Problem {
    kind: &'static Kind,
    /// `None`: the standard advice.
    detail: Option<String>,
    short: Vec<Uuid>,
}

impl Problem {
    /// A problem with its standard advice.
    pub fn new(kind: &'static Kind) -> Problem {
        Problem { kind, detail: None, short: Vec::new() }
    }

    /// A problem with words of its own, safe for a stranger to read.
    pub fn because(kind: &'static Kind, detail: impl Into<String>) -> Problem {
        Problem { kind, detail: Some(detail.into()), short: Vec::new() }
    }

    /// Names the sales of a cart of which too few units are left.
    pub fn short(self, short: Vec<Uuid>) -> Problem {
        Problem { short, ..self }
    }

    fn detail(&self) -> &str {
        self.detail.as_deref().unwrap_or(self.kind.advice)
    }

    /// As it stands on the wire.
    pub fn view(&self) -> wire::Problem {
        wire::Problem {
            kind: format!("/problems/{}", self.kind.slug),
            title: self.kind.title.to_owned(),
            status: self.kind.status,
            detail: self.detail().to_owned(),
            executed: self.kind.executed,
            short: self.short.clone(),
        }
    }

    fn body(&self) -> Bytes {
        // A struct of strings always serializes.
        let text = || Bytes::from(serde_json::to_string(&self.view()).unwrap_or_default());
        if self.detail.is_none() && self.short.is_empty() {
            return self.kind.usual.get_or_init(text).clone();
        }
        text()
    }
}

impl std::error::Error for Problem {}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.kind.slug, self.detail())
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.kind.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        if let Some(seconds) = self.kind.retry_after {
            response.insert_header(("Retry-After", seconds.to_string()));
        }
        if std::ptr::eq(self.kind, &raw const UNAUTHORIZED) {
            response.insert_header(("WWW-Authenticate", "Bearer"));
        }
        response.content_type(MEDIA).body(self.body())
    }
}

static UNAVAILABLE_SPOKEN: LazyLock<Spoken> = LazyLock::new(Spoken::new);
static UNKNOWN_SPOKEN: LazyLock<Spoken> = LazyLock::new(Spoken::new);

fn warn(spoken: &Spoken, kind: &Kind, why: &str) {
    match spoken.turn() {
        Some(0) => tracing::warn!(problem = kind.slug, "{why}"),
        Some(besides) => tracing::warn!(problem = kind.slug, besides, "{why}"),
        None => {}
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Problem {
        Problem::because(&VALIDATION, format!("{invalid}."))
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        let kind = match &error {
            Error::Contended(_) | Error::Stale => &CONTENDED,
            Error::Overloaded => &OVERLOADED,
            Error::NotOpen => &NOT_OPEN,
            Error::Ended => &ENDED,
            Error::HoldExpired => &HOLD_EXPIRED,
            Error::WrongState(_) => &ORDER_STATE,
            Error::BelowSold => &BELOW_SOLD,
            Error::Unsupported(_) => &UNSUPPORTED,
            Error::Unavailable(_) => &UNAVAILABLE,
            Error::Unknown(_) => &OUTCOME_UNKNOWN,
            Error::BuyerLimit => &BUYER_LIMIT,
            Error::KeyUsed | Error::KeyReused => &KEY_REUSED,
            Error::InProgress => &IN_PROGRESS,
        };
        // Here an order's error leaves the service, so here it is logged, once; a crowd is no news.
        match &error {
            Error::Unavailable(why) => warn(&UNAVAILABLE_SPOKEN, kind, why),
            Error::Unknown(why) => warn(&UNKNOWN_SPOKEN, kind, why),
            other => tracing::debug!(problem = kind.slug, "{other}"),
        }
        match &error {
            Error::WrongState(_) | Error::Unsupported(_) => Problem::because(kind, format!("{error}.")),
            _ => Problem::new(kind),
        }
    }
}
