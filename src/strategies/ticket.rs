//! Who draws a number of a sequence up to the limit has a unit.
//!
//! # How
//! A sequence for each sale. The order is recorded, then a number is drawn for each of its units, then it
//! commits, all in one statement; a number beyond the limit undoes it. `nextval` is not transactional: it
//! locks nothing until the commit, so no buyer waits for another one's flush.
//!
//! # Guarantee
//! Exact. No number is drawn twice. One that is drawn and not sold (the connection broke, PostgreSQL
//! crashed, an order for three drew two good ones) is a gap: that unit is not for sale for a while, never
//! sold twice. When the numbers run out, and before anybody is told *sold out*, nobody may draw until the
//! ledger has been asked what is unsold, and so many new numbers are issued. A gap strands nothing.
//!
//! # Fails when
//! Never by interleaving. Until the numbers run out, gaps make it believe that fewer are left.
//!
//! # Cost
//! One round trip. When numbers run out, one buyer adds up the ledger while all others wait. Each sale has a
//! sequence: DDL at its opening and a small file, until another strategy takes over; ten thousand are fine,
//! a million are not.
//!
//! # See
//! <https://www.postgresql.org/docs/current/functions-sequence.html>: "nextval … is never rolled back"

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgPool;

use super::{Need, Spec, Strategy};
use crate::backends::Backends;
use crate::ledger::{self, at_write};
use crate::patience::Patience;
use crate::sale::{Back, Error, Order, Outcome, Sale};
use crate::stock;
use crate::wire::{Guarantee, RoundTrips};

/// The typed facts.
pub const SPEC: Spec = Spec {
    id: "ticket",
    variant: "",
    guarantee: Guarantee::Exact,
    breaks: &[],
    oversells_in: None,
    fails_when: "never by interleaving; a sequence for each sale",
    round_trips: RoundTrips { sold: 1, sold_out: 3 },
    remembers_keys: false,
    queues: false,
    gives_back: true,
    carts: false,
    needs: &[Need::Postgres],
    statements: &[&[
        ("ticket.open.sql", OPEN),
        ("ticket.take.sql", TAKE),
        ("ticket.reissue.sql", REISSUE),
        ("ticket.give_back.sql", GIVE_BACK),
        ("ticket.left.sql", LEFT),
        ("ticket.forget.sql", FORGET),
    ]],
    source: include_str!("ticket.rs"),
    lock: None,
    build: |backends, _| Ok(Arc::new(Ticket::new(backends))),
};

const OPEN: &str = include_str!("ticket.open.sql");
const TAKE: &str = include_str!("ticket.take.sql");
const REISSUE: &str = include_str!("ticket.reissue.sql");
const GIVE_BACK: &str = include_str!("ticket.give_back.sql");
const LEFT: &str = include_str!("ticket.left.sql");
const FORGET: &str = include_str!("ticket.forget.sql");

struct Ticket {
    pg: PgPool,
    wait: Duration,
}

impl Ticket {
    fn new(backends: &Backends) -> Ticket {
        Ticket { pg: backends.pg.clone(), wait: backends.limits.wait() }
    }

    /// `None`: the numbers run out.
    async fn draw(&self, order: &Order) -> Result<Option<Outcome>, Error> {
        let mut pg = ledger::connection(&self.pg).await?;
        // One statement. The number that is drawn in it is nobody else's from that moment on, though the
        // order is not committed yet.
        match ledger::bind(TAKE, order).fetch_one(&mut *pg).await {
            // Between the look at the limit and the draw others have drawn; nothing was recorded.
            Err(e) if ledger::is_conflict(&e) => Ok(None),
            row => match row.and_then(|r| r.try_get::<String, _>("numbers")).map_err(at_write)?.as_str() {
                "some" => Ok(Some(Outcome::Sold(order.id))),
                "none" => Ok(Some(Outcome::SoldOut)),
                _ => Ok(None),
            },
        }
    }

    /// Are there enough for this order, once the numbers are issued anew?
    async fn reissue(&self, order: &Order) -> Result<bool, Error> {
        let mut pg = ledger::connection(&self.pg).await?;
        let wanted = sqlx::query_scalar(REISSUE).bind(order.sale_id).bind(order.epoch).bind(order.quantity);
        wanted.fetch_one(&mut *pg).await.map_err(at_write)
    }
}

#[async_trait]
impl Strategy for Ticket {
    async fn open(&self, sale: &Sale) -> Result<(), Error> {
        stock::lay_out(&self.pg, OPEN, sale).await
    }

    async fn take(&self, _: &Sale, order: &Order) -> Result<Outcome, Error> {
        let mut patience = Patience::new(self.wait);
        loop {
            if let Some(outcome) = self.draw(order).await? {
                order.trace.decide_and_commit(outcome != Outcome::SoldOut, "ticket.take.sql");
                return Ok(outcome);
            }
            if !self.reissue(order).await? {
                order.trace.decide(false, "ticket.reissue.sql");
                return Ok(Outcome::SoldOut);
            }
            // Others may draw what was issued before this one does.
            order.trace.retry();
            patience.pause("others drew the last numbers first").await?;
        }
    }

    async fn give_back(&self, lane: &PgPool, sale: &Sale, back: &Back) -> Result<i64, Error> {
        stock::give_back_apart(lane, GIVE_BACK, sale, back).await
    }

    fn counter(&self) -> &'static str {
        "the numbers of a sequence in PostgreSQL"
    }

    async fn forget(&self, sale: &Sale) {
        stock::forget(&self.pg, FORGET, sale).await;
    }

    async fn left(&self, sale: &Sale) -> Result<Option<i64>, Error> {
        stock::left_apart(&self.pg, LEFT, sale).await.map(Some)
    }
}
