//! A run to take home, each time under a name that says which run it is.

use actix_web::{HttpResponse, web};

use super::State;
use super::problem::{self, Problem};
use crate::wire::{Problem as ProblemBody, Run};
use crate::{dashboard, reports};

/// One run as a page that opens from disk, with no network.
#[utoipa::path(
    get, path = "/v1/runs/{run}/report.html", tag = "runs", params(("run" = String, Path)),
    responses((status = 200, content_type = "text/html"), (status = 404, body = ProblemBody))
)]
pub async fn html(state: web::Data<State>, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let run = state.runs.read(&id).await?;
    Ok(file("inline", "text/html; charset=utf-8", &name(&run, ".html"), dashboard::report(&run).into()))
}

/// One run as Markdown, the verdicts first: for a pull request or a decision record.
#[utoipa::path(
    get, path = "/v1/runs/{run}/report.md", tag = "runs", params(("run" = String, Path)),
    responses((status = 200, content_type = "text/markdown"), (status = 404, body = ProblemBody))
)]
pub async fn markdown(state: web::Data<State>, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let run = state.runs.read(&id).await?;
    let page = reports::markdown::page(&run, None);
    Ok(file("attachment", "text/markdown; charset=utf-8", &name(&run, ".md"), page.into()))
}

/// One run as CSV (RFC 4180): a line per strategy.
#[utoipa::path(
    get, path = "/v1/runs/{run}/report.csv", tag = "runs", params(("run" = String, Path)),
    responses((status = 200, content_type = "text/csv"), (status = 404, body = ProblemBody))
)]
pub async fn csv(state: web::Data<State>, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let run = state.runs.read(&id).await?;
    let rows = reports::rows(&run).map_err(|e| unwritable(&e))?;
    Ok(file("attachment", CSV, &name(&run, ".csv"), rows))
}

/// The curves of one run as CSV: a line per point.
#[utoipa::path(
    get, path = "/v1/runs/{run}/series.csv", tag = "runs", params(("run" = String, Path)),
    responses((status = 200, content_type = "text/csv"), (status = 404, body = ProblemBody))
)]
pub async fn series(state: web::Data<State>, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let run = state.runs.read(&id).await?;
    let points = reports::series(&run).map_err(|e| unwritable(&e))?;
    Ok(file("attachment", CSV, &name(&run, "-series.csv"), points))
}

/// All of these, the run as JSON and its traces, in one file.
#[utoipa::path(
    get, path = "/v1/runs/{run}/run.zip", tag = "runs", params(("run" = String, Path)),
    responses((status = 200, content_type = "application/zip"), (status = 404, body = ProblemBody))
)]
pub async fn zip(state: web::Data<State>, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let run = state.runs.read(&id).await?;
    let name = name(&run, ".zip");
    // Compressing is work for a core, which no order should wait for.
    let zipped = web::block(move || reports::zip(&run, &dashboard::report(&run))).await;
    let bytes = zipped.unwrap_or_else(|gone| Err(std::io::Error::other(gone))).map_err(|e| unwritable(&e))?;
    Ok(file("attachment", "application/zip", &name, bytes))
}

const CSV: &str = "text/csv; charset=utf-8; header=present";

/// What a report of this run is called.
pub(super) fn name(run: &Run, ending: &str) -> String {
    format!("{}{ending}", reports::stem(run))
}

fn file(disposition: &str, content_type: &str, name: &str, body: Vec<u8>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(content_type)
        .insert_header(("Content-Disposition", format!("{disposition}; filename=\"{name}\"")))
        .insert_header(("X-Content-Type-Options", "nosniff"))
        .insert_header(("Cache-Control", "no-store"))
        .body(body)
}

fn unwritable(e: &std::io::Error) -> Problem {
    Problem::because(&problem::UNAVAILABLE, format!("The report cannot be made: {e}"))
}
