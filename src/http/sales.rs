//! Sales: open one, list them, look at one, download its ledger.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use uuid::Uuid;

use super::body::{self, SMALL};
use super::problem::{self, Problem};
use super::{State, json};
use crate::checkout::OpenSale;
use crate::ledger;
use crate::sale::{Error, Sale};
use crate::strategies::{ALL, Spec};
use crate::wire::{LedgerRow, Live, NewSale, Problem as ProblemBody, SaleView};

/// Sales shown in the list.
const LISTED_MAX: i64 = 100;

/// Opens a sale. Needs the operator's token, or lab mode on loopback; unsafe strategies need lab mode.
#[utoipa::path(
    post, path = "/v1/sales", tag = "sales", request_body = NewSale,
    responses(
        (status = 201, body = SaleView), (status = 401, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "store-unfit"),
        (status = 422, body = ProblemBody), (status = 503, body = ProblemBody),
    )
)]
pub async fn open(
    request: HttpRequest,
    state: web::Data<State>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let new: NewSale = body::json(&request, payload, SMALL).await?;
    state.operator(&request)?;
    let sale = Sale::parse(new)?;
    if sale.race_window.is_some() {
        state.lab_only(&request)?;
    }
    allowed(&state, &sale.strategy).await?;
    let open = state.checkout.open(sale).await?;
    let view = view(&state, &open).await;
    let location = ("Location", format!("/v1/sales/{}", view.id));
    Ok(HttpResponse::Created().insert_header(location).json(view))
}

/// Is there such a strategy, may it be used here, and can the stores keep what it promises?
pub(super) async fn allowed(state: &State, strategy: &str) -> Result<&'static Spec, Problem> {
    let Some(spec) = Spec::find(strategy) else {
        let known: Vec<&str> = ALL.iter().map(|s| s.id).collect();
        let detail = format!("strategy: there is no {strategy:?}; there are {}.", known.join(", "));
        return Err(Problem::because(&problem::VALIDATION, detail));
    };
    let lab = state.access.is_lab();
    if !spec.is_safe() && !lab {
        let detail = format!("strategy: {} does not keep stock safe and runs in the lab only.", spec.id);
        return Err(Problem::because(&problem::VALIDATION, detail));
    }
    // The operator is told what the strategy's card says too.
    if let Some(why) = state.checkout.unavailable(spec, &state.checkout.down().await) {
        return Err(Problem::because(
            &problem::UNAVAILABLE,
            format!("strategy: {} cannot sell: {why}.", spec.id),
        ));
    }
    // Asked for every sale: settings change while a service runs.
    let unfit: Vec<String> = match lab {
        true => Vec::new(),
        false => state.checkout.unfit(spec).await,
    };
    if !unfit.is_empty() {
        return Err(Problem::because(&problem::STORE_UNFIT, format!("{}.", unfit.join("; "))));
    }
    Ok(spec)
}

pub(super) async fn view(state: &State, open: &Arc<OpenSale>) -> SaleView {
    let mut seen = SaleView { left: state.checkout.left(open).await.ok().flatten(), ..glance(open) };
    // What was taken elsewhere and is not in the ledger yet is under way like any other order.
    seen.live.in_flight += state.checkout.pending(open).await.unwrap_or(0);
    seen
}

/// A sale as this process knows it, without asking any store.
pub fn glance(open: &OpenSale) -> SaleView {
    seen(open.sale.clone(), open.live())
}

fn seen(sale: Sale, live: Live) -> SaleView {
    SaleView {
        id: sale.id,
        name: sale.name,
        units: sale.units,
        strategy: sale.strategy,
        per_buyer_limit: sale.per_buyer_limit,
        opened_at: sale.opened_at,
        opens_at: sale.hours.opens_at,
        closes_at: sale.hours.closes_at,
        epoch: sale.epoch,
        race_window_ms: sale.race_window.and_then(|long| u64::try_from(long.as_millis()).ok()),
        left: None,
        live,
    }
}

/// `GET /v1/sales`.
#[derive(serde::Serialize, utoipa::ToSchema)]
struct Sales {
    /// Newest first.
    sales: Vec<SaleView>,
}

/// The newest sales, without what is left: ask one for that.
#[utoipa::path(get, path = "/v1/sales", tag = "sales", responses((status = 200, body = Sales)))]
pub async fn list(state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let checkout = Arc::clone(&state.checkout);
    let pool = checkout.backends().pg_reads.clone();
    let sales = checkout.read(async move { ledger::sales(&pool, LISTED_MAX).await }).await?;
    let mut views = Vec::with_capacity(sales.len());
    for sale in sales {
        // One that cannot be sold from here, of another version's strategy say, is listed all the same.
        views.push(match checkout.sale(sale.id).await {
            Ok(Some(open)) => glance(&open),
            _ => seen(sale, Live::default()),
        });
    }
    Ok(json(&Sales { sales: views }))
}

/// One sale, and what its strategy believes is left.
#[utoipa::path(
    get, path = "/v1/sales/{sale}", tag = "sales", params(("sale" = Uuid, Path)),
    responses((status = 200, body = SaleView), (status = 404, body = ProblemBody))
)]
pub async fn show(state: web::Data<State>, sale: web::Path<String>) -> Result<HttpResponse, Problem> {
    let open = state.sale_now(&sale).await?;
    Ok(json(&view(&state, &open).await))
}

/// The ledger of a sale as NDJSON, one order a line, for any checker that does not trust ours.
#[utoipa::path(
    get, path = "/v1/sales/{sale}/ledger", tag = "sales", params(("sale" = Uuid, Path)),
    responses(
        (status = 200, body = LedgerRow, content_type = "application/x-ndjson"),
        (status = 404, body = ProblemBody)
    )
)]
pub async fn ledger(state: web::Data<State>, sale: web::Path<String>) -> Result<HttpResponse, Problem> {
    let open = state.sale(&sale).await?;
    let checkout = Arc::clone(&state.checkout);
    // Page by page: a ledger of millions of orders must not stand in memory.
    let pages = futures_util::stream::try_unfold(Some(Uuid::nil()), move |after| {
        let (checkout, sale) = (Arc::clone(&checkout), open.sale.id);
        async move {
            let Some(after) = after else { return Ok::<_, Error>(None) };
            let pool = checkout.backends().pg_reads.clone();
            let page = checkout.read(async move { ledger::export(&pool, sale, after).await }).await?;
            let next = page.last().map(|row| row.order_id);
            Ok(next.is_some().then(|| (lines(&page), next)))
        }
    });
    Ok(HttpResponse::Ok()
        .content_type("application/x-ndjson")
        .insert_header(("Cache-Control", "no-store"))
        .streaming(futures_util::TryStreamExt::map_err(pages, Problem::from)))
}

fn lines(page: &[LedgerRow]) -> web::Bytes {
    let mut text = String::new();
    for row in page {
        // A struct of strings and numbers always serializes.
        text.push_str(&serde_json::to_string(row).unwrap_or_default());
        text.push('\n');
    }
    text.into()
}
