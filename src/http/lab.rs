//! What a page of the lab may ask for: a run, and things that go wrong on purpose.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use super::body::{self, SMALL};
use super::problem::{self, Problem};
use super::{State, json};
use crate::lab::{Asked, Refused};
use crate::strategies::Spec;
use crate::wire::{Faults, LabRun, NewLabRun, Problem as ProblemBody};

/// `POST /v1/lab/faults/kill-redis`.
#[derive(Serialize, utoipa::ToSchema)]
struct Killed {
    /// Milliseconds until it is started again, at the same address and with its data.
    outage_ms: u64,
}

/// Starts a run of the load test against this service, in a process of its own; one at a time. Lab only.
#[utoipa::path(
    post, path = "/v1/lab/runs", tag = "lab", request_body = NewLabRun,
    responses(
        (status = 202, body = LabRun, description = "`Location` names the run"),
        (status = 404, body = ProblemBody, description = "lab-only"),
        (status = 409, body = ProblemBody, description = "run-active"),
        (status = 422, body = ProblemBody), (status = 503, body = ProblemBody),
    )
)]
pub async fn start(
    request: HttpRequest,
    state: web::Data<State>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    state.lab_only(&request)?;
    let new: NewLabRun = body::json(&request, payload, SMALL).await?;
    let asked = Asked::parse(&new, |name| Spec::find(name).is_some()).map_err(not_valid)?;
    let run = state.lab.start(&asked).await?;
    let location = ("Location", format!("/v1/runs/{}", run.id));
    Ok(HttpResponse::Accepted().insert_header(location).json(run))
}

/// The run that a page asked for last, and where it is. Lab only.
#[utoipa::path(
    get, path = "/v1/lab/runs/current", tag = "lab",
    responses((status = 200, body = LabRun), (status = 404, body = ProblemBody))
)]
pub async fn current(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    state.lab_only(&request)?;
    let none = || Problem::because(&problem::NOT_FOUND, "No run was asked for since this service began.");
    Ok(json(&state.lab.current().ok_or_else(none)?))
}

/// Ends a run before its time: what was sold is settled and judged, and the run stays listed as incomplete.
#[utoipa::path(
    post, path = "/v1/lab/runs/{run}/cancel", tag = "lab", params(("run" = String, Path)),
    responses((status = 202, body = LabRun), (status = 404, body = ProblemBody))
)]
pub async fn cancel(
    request: HttpRequest,
    state: web::Data<State>,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    state.lab_only(&request)?;
    Ok(HttpResponse::Accepted().json(state.lab.cancel(&id)?))
}

/// What goes wrong on purpose just now. Lab only.
#[utoipa::path(
    get, path = "/v1/lab/faults", tag = "lab",
    responses((status = 200, body = Faults), (status = 404, body = ProblemBody))
)]
pub async fn faults(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    state.lab_only(&request)?;
    Ok(json(&state.lab.faults()))
}

/// Switches all of it: what is null or left out is off. Off by itself when a run ends. Lab only.
#[utoipa::path(
    put, path = "/v1/lab/faults", tag = "lab", request_body = Faults,
    responses(
        (status = 200, body = Faults), (status = 404, body = ProblemBody, description = "lab-only"),
        (status = 422, body = ProblemBody),
    )
)]
pub async fn set_faults(
    request: HttpRequest,
    state: web::Data<State>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    state.lab_only(&request)?;
    let faults: Faults = body::json(&request, payload, SMALL).await?;
    state.lab.set_faults(faults).map_err(not_valid)?;
    Ok(json(&state.lab.faults()))
}

/// Kills the private Redis as `kill -9` does; whoever started it starts it again. Lab only.
#[utoipa::path(
    post, path = "/v1/lab/faults/kill-redis", tag = "lab",
    responses(
        (status = 202, body = Killed), (status = 404, body = ProblemBody, description = "lab-only"),
        (status = 409, body = ProblemBody, description = "not-ours"), (status = 503, body = ProblemBody),
    )
)]
pub async fn kill_redis(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    state.lab_only(&request)?;
    if !state.environment.private_servers {
        let why = "The servers were named by whoever started this service, so none of them is killed.";
        return Err(Problem::because(&problem::NOT_OURS, why));
    }
    let backends = state.checkout.backends().clone();
    let process = state.checkout.read(async move { backends.redis_process().await }).await?;
    let refused = |why| Problem::because(&problem::NOT_OURS, format!("Redis stays: {why}."));
    let outage = state.lab.kill_redis(process).map_err(refused)?;
    let outage_ms = u64::try_from(outage.as_millis()).unwrap_or(u64::MAX);
    Ok(HttpResponse::Accepted().json(Killed { outage_ms }))
}

fn not_valid(why: String) -> Problem {
    Problem::because(&problem::VALIDATION, why)
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Problem {
        match refused {
            Refused::Active(id) => {
                Problem::because(&problem::RUN_ACTIVE, format!("Run {id} is under way, and one at a time."))
            }
            Refused::Senseless(why) => not_valid(why),
            Refused::Program(why) => Problem::because(&problem::NO_LOAD_TEST, format!("{why}.")),
            Refused::NoSuchRun => {
                Problem::because(&problem::NOT_FOUND, "There is no run of that id under way.")
            }
        }
    }
}
