//! The HTTP API: the route table below, one file per resource, [`problem`] for every error.

mod audit;
mod batches;
mod body;
mod changes;
mod docs;
mod environment;
mod events;
mod health;
mod lab;
mod live;
mod lives;
mod openapi;
mod orders;
pub mod problem;
pub mod rate;
mod reply;
mod reports;
mod runs;
mod sales;
mod spoken;
mod strategies;
mod traces;

use std::num::NonZeroU32;
use std::sync::Arc;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{ALLOW, AUTHORIZATION, HOST, HeaderName, HeaderValue, ORIGIN};
use actix_web::middleware::Next;
use actix_web::{HttpRequest, HttpResponse, Resource, ResponseError, web};
use uuid::Uuid;

use crate::access::{Access, Caller, Denied};
use crate::checkout::{Checkout, OpenSale};
use crate::config::Idempotency;
use crate::feed::Feed;
use crate::lab::Lab;
use crate::oversight::Oversight;
use crate::runs::Runs;
use crate::wire::Environment;

pub use openapi::document;
use problem::Problem;
pub use reply::hold_wire;
pub use sales::glance;
pub use strategies::card;

/// What the handlers share.
pub struct State {
    /// The one door to the strategies.
    pub checkout: Arc<Checkout>,
    /// Who may do what.
    pub access: Access,
    /// How many orders one caller may place, if there is a limit.
    pub rate: Option<rate::Rate>,
    /// Must orders carry a key?
    pub idempotency: Idempotency,
    /// Kept runs.
    pub runs: Arc<Runs>,
    /// Runs that a page asks for, and what goes wrong on purpose.
    pub lab: Arc<Lab>,
    /// What pages listen to.
    pub feed: Arc<Feed>,
    /// Who watches over open sales.
    pub oversight: Arc<Oversight>,
    /// Where this runs.
    pub environment: Environment,
    /// Prometheus text.
    pub metrics: metrics_exporter_prometheus::PrometheusHandle,
    /// Is the service going down?
    pub draining: std::sync::atomic::AtomicBool,
}

/// The whole route table.
pub fn routes(config: &mut web::ServiceConfig) {
    // A path that is no text is a path of nothing.
    let no_text = |_, _: &HttpRequest| Problem::new(&problem::NOT_FOUND).into();
    config
        .app_data(web::PathConfig::default().error_handler(no_text))
        // A path is held against one resource after the other: the crowd's comes first.
        .service(at("/v1/sales/{sale}/orders").post(orders::place))
        .service(at("/v1/sales/{sale}/orders:batch").post(batches::place))
        .service(at("/v1/sales").get(sales::list).post(sales::open))
        .service(at("/v1/sales/{sale}").get(sales::show).patch(changes::immutable))
        .service(at("/v1/sales/{sale}/stock").post(changes::stock))
        .service(at("/v1/sales/{sale}/handover").post(changes::handover))
        .service(at("/v1/sales/{sale}/audit").get(audit::show))
        .service(at("/v1/sales/{sale}/ledger").get(sales::ledger))
        .service(at("/v1/sales/{sale}/tally").put(audit::tally))
        .service(at("/v1/sales/{sale}/trace").get(traces::show))
        .service(at("/v1/orders").post(lives::cart))
        .service(at("/v1/orders/{order}").get(orders::show).delete(lives::cancel))
        .service(at("/v1/orders/{order}/confirm").post(lives::confirm))
        .service(at("/v1/orders/{order}/release").post(lives::release))
        .service(at("/v1/strategies").get(strategies::list))
        .service(at("/v1/live").get(live::show))
        .service(at("/v1/environment").get(environment::show))
        .service(at("/v1/runs").get(runs::list))
        .service(at("/v1/runs/{run}").get(runs::show).put(runs::keep).delete(runs::forget))
        .service(at("/v1/lab/runs").post(lab::start))
        .service(at("/v1/lab/runs/current").get(lab::current))
        .service(at("/v1/lab/runs/{run}/cancel").post(lab::cancel))
        .service(at("/v1/lab/faults").get(lab::faults).put(lab::set_faults))
        .service(at("/v1/lab/faults/kill-redis").post(lab::kill_redis))
        .service(at("/v1/runs/{run}/report.html").get(reports::html))
        .service(at("/v1/runs/{run}/report.md").get(reports::markdown))
        .service(at("/v1/runs/{run}/report.csv").get(reports::csv))
        .service(at("/v1/runs/{run}/series.csv").get(reports::series))
        .service(at("/v1/runs/{run}/run.zip").get(reports::zip))
        .service(at("/v1/events").get(events::listen))
        .service(at("/livez").get(health::livez))
        .service(at("/readyz").get(health::readyz))
        .service(at("/metrics").get(health::metrics))
        .service(at("/openapi.json").get(openapi::show))
        .service(at("/docs").get(docs::redirect))
        .service(at("/docs/{file:.*}").get(docs::show))
        .service(at("/problems/{slug}").get(openapi::problem))
        .service(at("/").get(crate::dashboard::index))
        .service(at("/app.css").get(crate::dashboard::css))
        .service(at("/app.js").get(crate::dashboard::js))
        .service(at("/uplot.js").get(crate::dashboard::vendor::script))
        .service(at("/uplot.css").get(crate::dashboard::vendor::styles))
        .default_service(web::to(async || Err::<HttpResponse, _>(Problem::new(&problem::NOT_FOUND))));
}

/// A resource that answers a wrong method in the same words as every other error, and says which it takes.
struct At(Resource, Vec<&'static str>);

fn at(path: &str) -> At {
    At(web::resource(path), Vec::new())
}

macro_rules! methods {
    ($($name:ident),*) => {$(
        fn $name<F, Args>(mut self, handler: F) -> At
        where
            F: actix_web::Handler<Args>,
            Args: actix_web::FromRequest + 'static,
            F::Output: actix_web::Responder + 'static,
        {
            self.1.push(stringify!($name));
            At(self.0.route(web::$name().to(handler)), self.1)
        }
    )*};
}

impl At {
    methods!(get, post, put, patch, delete);
}

impl actix_web::dev::HttpServiceFactory for At {
    fn register(self, config: &mut actix_web::dev::AppService) {
        let allow = self.1.join(", ").to_uppercase();
        let wrong = web::to(move || std::future::ready(wrong_method(&allow)));
        self.0.default_service(wrong).register(config);
    }
}

fn wrong_method(allow: &str) -> HttpResponse {
    let mut response = Problem::new(&problem::METHOD_NOT_ALLOWED).error_response();
    if let Ok(allow) = HeaderValue::from_str(allow) {
        response.headers_mut().insert(ALLOW, allow);
    }
    response
}

/// What every request passes, in one layer because each one costs: nothing changes on the word of a page from
/// elsewhere, and nobody places more orders than the limit allows.
pub async fn gate<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, actix_web::Error> {
    let Some(state) = request.app_data::<web::Data<State>>().cloned() else {
        return Ok(next.call(request).await?.map_into_left_body());
    };
    if let Err(denied) = same_site(&state, &request) {
        return Ok(request.into_response(refused(denied).error_response()).map_into_right_body());
    }
    let Some(rate) = state.rate.as_ref().filter(|_| rate::limits(&request)) else {
        return Ok(next.call(request).await?.map_into_left_body());
    };
    match rate.ask(rate::who(&state, request.request()), NonZeroU32::MIN) {
        Ok(left) => {
            let mut response = next.call(request).await?.map_into_left_body();
            rate.describe(response.headers_mut(), left, 1);
            Ok(response)
        }
        Err(refusal) => Ok(request.into_response(*refusal).map_into_right_body()),
    }
}

fn same_site(state: &State, request: &ServiceRequest) -> Result<(), Denied> {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(());
    }
    let header = |name: &HeaderName| request.headers().get(name).and_then(|v| v.to_str().ok());
    state.access.same_site(header(&HOST), header(&ORIGIN))
}

fn refused(denied: Denied) -> Problem {
    match denied {
        Denied::Token => Problem::new(&problem::UNAUTHORIZED),
        Denied::Host => Problem::because(
            &problem::FORBIDDEN,
            "Host must be a name of this machine's loopback, or one of SELLOUT_HOSTS.",
        ),
        Denied::Origin => Problem::because(&problem::FORBIDDEN, "Origin and Host differ."),
    }
}

impl State {
    /// The sale that a path names.
    async fn sale(&self, id: &str) -> Result<Arc<OpenSale>, Problem> {
        let none = || Problem::because(&problem::NOT_FOUND, "There is no sale of that id.");
        let id = Uuid::parse_str(id).map_err(|_| none())?;
        self.checkout.sale(id).await?.ok_or_else(none)
    }

    /// The same as the ledger has it now: another process may have handed it over. Where the ledger cannot be
    /// asked, as it was known.
    async fn sale_now(&self, id: &str) -> Result<Arc<OpenSale>, Problem> {
        let known = self.sale(id).await?;
        Ok(self.checkout.refresh(Arc::clone(&known)).await.unwrap_or(known))
    }

    /// Refuses what only a lab may do, and whoever may not do it there.
    fn lab_only(&self, request: &HttpRequest) -> Result<(), Problem> {
        if !self.access.is_lab() {
            return Err(Problem::new(&problem::LAB_ONLY));
        }
        let (authorization, peer) = sender(request);
        self.access.lab(authorization, peer).map_err(refused)
    }

    /// Refuses whoever is not an operator.
    fn operator(&self, request: &HttpRequest) -> Result<(), Problem> {
        let (authorization, peer) = sender(request);
        self.access.operator(authorization, peer).map_err(refused)
    }

    /// Who places, reads or ends orders.
    fn caller(&self, request: &HttpRequest) -> Result<Caller, Problem> {
        let (authorization, peer) = sender(request);
        self.access.caller(authorization, peer).map_err(refused)
    }
}

fn sender(request: &HttpRequest) -> (Option<&str>, Option<std::net::IpAddr>) {
    let authorization = request.headers().get(AUTHORIZATION).and_then(|v| v.to_str().ok());
    (authorization, request.peer_addr().map(|a| a.ip()))
}

/// JSON that no cache keeps.
fn json(value: &impl serde::Serialize) -> HttpResponse {
    HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).json(value)
}
