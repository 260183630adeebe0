//! The strategies' cards, from the registry.

use actix_web::{HttpResponse, web};

use super::{State, json};
use crate::strategies::{ALL, Bracket, Spec};
use crate::wire::{StatementView, StrategyCard};

/// `GET /v1/strategies`.
#[derive(serde::Serialize, utoipa::ToSchema)]
struct Cards {
    /// In the order of the exhibition.
    strategies: Vec<StrategyCard>,
}

/// Every strategy: what it claims, what breaks it, what it costs, and the code that runs.
#[utoipa::path(
    get, path = "/v1/strategies", tag = "strategies", responses((status = 200, body = Cards))
)]
pub async fn list(state: web::Data<State>) -> HttpResponse {
    let down = state.checkout.down().await;
    let strategies = ALL.iter().map(|s| card(s, state.checkout.unavailable(s, &down))).collect();
    json(&Cards { strategies })
}

/// A card; `unavailable` says why no sale can be opened with it now.
pub fn card(spec: &Spec, unavailable: Option<String>) -> StrategyCard {
    let statement =
        |(name, text): (&str, &str)| StatementView { name: name.to_owned(), text: text.to_owned() };
    StrategyCard {
        id: spec.id.to_owned(),
        title: spec.title(),
        guarantee: spec.guarantee,
        safe: spec.is_safe(),
        breaks: spec.breaks.to_vec(),
        oversells_in: spec.oversells_in.map(str::to_owned),
        fails_when: spec.fails_when.to_owned(),
        round_trips: spec.round_trips,
        needs: spec.needs.iter().map(|n| n.id().to_owned()).collect(),
        available: unavailable.is_none(),
        unavailable_reason: unavailable,
        doc: spec.doc(),
        holds: spec.gives_back,
        carts: spec.carts,
        statements: spec.statements().map(statement).collect(),
        source: spec.source.to_owned(),
        lock: spec.lock.as_ref().map(Bracket::card),
    }
}
