//! Runs of the load test: kept on disk, listed, and shown as one self-contained page.

use actix_web::http::header::{CONTENT_DISPOSITION, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};

use super::body::{self, LARGE};
use super::problem::{self, Problem};
use super::{State, json, reports};
use crate::runs::Refused;
use crate::wire::{Problem as ProblemBody, Run, RunSummary};

/// `GET /v1/runs`.
#[derive(serde::Serialize, utoipa::ToSchema)]
struct Kept {
    /// Newest first.
    runs: Vec<RunSummary>,
}

/// Kept runs, newest first.
#[utoipa::path(get, path = "/v1/runs", tag = "runs", responses((status = 200, body = Kept)))]
pub async fn list(state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let runs = state.runs.list().await?;
    Ok(json(&Kept { runs }))
}

/// One run.
#[utoipa::path(
    get, path = "/v1/runs/{run}", tag = "runs", params(("run" = String, Path)),
    responses((status = 200, body = Run), (status = 404, body = ProblemBody))
)]
pub async fn show(state: web::Data<State>, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let run = state.runs.read(&id).await?;
    let mut response = json(&run);
    let named = format!("inline; filename=\"{}\"", reports::name(&run, ".json"));
    // Letters and digits: it always is a header.
    if let Ok(named) = HeaderValue::from_str(&named) {
        response.headers_mut().insert(CONTENT_DISPOSITION, named);
    }
    Ok(response)
}

/// Keeps a run, as far as it has come. Lab only; the load test sends it after every strategy.
#[utoipa::path(
    put, path = "/v1/runs/{run}", tag = "runs", params(("run" = String, Path)), request_body = Run,
    responses((status = 204), (status = 404, body = ProblemBody), (status = 422, body = ProblemBody))
)]
pub async fn keep(
    request: HttpRequest,
    state: web::Data<State>,
    id: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    state.lab_only(&request)?;
    let mut run: Run = body::json(&request, payload, LARGE).await?;
    if run.id != *id {
        return Err(Problem::because(&problem::VALIDATION, "id: must be the same in path and body."));
    }
    let before = state.runs.newest().filter(|before| before.id == run.id);
    run.viewers_max = state.feed.viewers_since(before.map(|before| before.viewers_max));
    let over = run.exit_code.is_some();
    run.faults = state.lab.faults_of(&run);
    state.runs.keep(run).await?;
    if over {
        state.lab.calm();
    }
    Ok(HttpResponse::NoContent().finish())
}

/// Forgets a run and its files. Lab only.
#[utoipa::path(
    delete, path = "/v1/runs/{run}", tag = "runs", params(("run" = String, Path)),
    responses(
        (status = 204), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "run-active"),
    )
)]
pub async fn forget(
    request: HttpRequest,
    state: web::Data<State>,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    state.lab_only(&request)?;
    if state.lab.is_active(&id) {
        return Err(Problem::because(&problem::RUN_ACTIVE, "It is under way: cancel it first."));
    }
    state.runs.forget(&id).await?;
    Ok(HttpResponse::NoContent().finish())
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Problem {
        match refused {
            Refused::NoSuchRun => Problem::because(&problem::NOT_FOUND, "There is no run of that id."),
            Refused::Id => Problem::because(&problem::VALIDATION, "id: 1 to 64 letters, digits and hyphens."),
            Refused::Disk(e) => {
                tracing::warn!("runs folder: {e}");
                Problem::because(&problem::UNAVAILABLE, "The runs folder cannot be used.")
            }
        }
    }
}
