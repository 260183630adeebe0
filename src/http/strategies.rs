//! The strategies' cards, from the registry.

use actix_web::{HttpResponse, web};
use serde_json::json as value;

use super::{State, json};
use crate::strategies::{ALL, Need, Spec};
use crate::wire::{StatementView, StrategyCard};

/// Every strategy: what it claims, what breaks it, what it costs, and the code that runs.
#[utoipa::path(get, path = "/v1/strategies", tag = "strategies", responses((status = 200, body = [StrategyCard])))]
pub async fn list(state: web::Data<State>) -> HttpResponse {
    let cards: Vec<_> = ALL.iter().map(|s| card(s, state.checkout.unavailable(s.id))).collect();
    json(&value!({ "strategies": cards }))
}

/// A card; `unavailable` says why no sale can be opened with it now.
pub fn card(spec: &Spec, unavailable: Option<String>) -> StrategyCard {
    let need = |n: &Need| match n {
        Need::Postgres => "postgres".to_owned(),
        Need::Redis => "redis".to_owned(),
    };
    let statement =
        |(name, text): &(&str, &str)| StatementView { name: (*name).to_owned(), text: (*text).to_owned() };
    StrategyCard {
        id: spec.id.to_owned(),
        title: spec.title(),
        guarantee: spec.guarantee,
        safe: spec.is_safe(),
        breaks: spec.breaks.iter().map(|h| h.id().to_owned()).collect(),
        oversells_in: spec.oversells_in.map(str::to_owned),
        fails_when: spec.fails_when.to_owned(),
        round_trips: spec.round_trips,
        needs: spec.needs.iter().map(need).collect(),
        available: unavailable.is_none(),
        unavailable_reason: unavailable,
        doc: spec.doc(),
        statements: spec.statements.iter().map(statement).collect(),
        source: spec.source.to_owned(),
    }
}
