//! The kinds of crowd. One file each; each turns a crowd and dice into the exact list of requests.
//!
//! To add one: a file with the plan, a variant here, an arm in each `match`.

mod carts;
mod holds;
mod one_buyer_many_clicks;
mod plenty;
mod retry_storm;
mod rush;

use clap::ValueEnum;
use sellout::wire::StrategyCard;

use crate::crowd::{Crowd, Dice, Errand, PlannedOrder};

/// A kind of crowd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Everybody wants the last units at once; each attempt is a new buyer.
    Rush,
    /// There is more than enough: nobody may be refused.
    Plenty,
    /// Each order is sent 2 to 4 times under one key, at once or after the answer.
    RetryStorm,
    /// One buyer clicks again and again under new keys: the per-buyer limit must stop it.
    OneBuyerManyClicks,
    /// Short holds are confirmed, released or left to run out; then a rush buys up what came back.
    Holds,
    /// Several sales side by side, and carts that cross each other, all or nothing.
    Carts,
}

impl Scenario {
    /// Every kind, for the tests that must hold for each.
    #[cfg(test)]
    pub const ALL: [Scenario; 6] = [
        Scenario::Rush,
        Scenario::Plenty,
        Scenario::RetryStorm,
        Scenario::OneBuyerManyClicks,
        Scenario::Holds,
        Scenario::Carts,
    ];

    /// Its name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Scenario::Rush => "rush",
            Scenario::Plenty => "plenty",
            Scenario::RetryStorm => "retry-storm",
            Scenario::OneBuyerManyClicks => "one-buyer-many-clicks",
            Scenario::Holds => "holds",
            Scenario::Carts => "carts",
        }
    }

    /// The requests, in the sequence in which they are taken: waves of them, where the next one begins when
    /// all is quiet after the last.
    pub fn waves(self, crowd: &Crowd, dice: &mut Dice) -> Vec<Vec<Errand>> {
        let orders = |wave: Vec<PlannedOrder>| wave.into_iter().map(Errand::Order).collect();
        match self {
            Scenario::Rush => vec![orders(rush::orders(crowd))],
            Scenario::Plenty => vec![orders(plenty::orders(crowd))],
            Scenario::RetryStorm => vec![orders(retry_storm::orders(crowd, dice))],
            Scenario::OneBuyerManyClicks => vec![orders(one_buyer_many_clicks::orders(crowd))],
            Scenario::Holds => holds::waves(crowd, dice).map(orders).into(),
            Scenario::Carts => vec![carts::carts(crowd, dice).into_iter().map(Errand::Cart).collect()],
        }
    }

    /// How many sales are open side by side.
    pub fn sales(self) -> usize {
        if self == Scenario::Carts { carts::SALES } else { 1 }
    }

    /// Why this strategy cannot be run so.
    pub fn beyond(self, card: &StrategyCard) -> Option<String> {
        match self {
            Scenario::Holds if !card.holds => Some("It gives no units back, so none can be held.".into()),
            Scenario::Carts if !card.carts => Some("It sells no carts: it takes from one sale only.".into()),
            _ => None,
        }
    }

    /// Why this crowd would prove nothing.
    pub fn too_few(self, stock: i64, crowd: &Crowd) -> Option<String> {
        match self {
            Scenario::Holds => holds::too_few(stock, crowd),
            Scenario::Carts => carts::too_few(stock, crowd),
            _ => None,
        }
    }

    /// Units at opening; `None` when the service would refuse such a number.
    pub fn opening(self, stock: i64, crowd: &Crowd) -> Option<i64> {
        match self {
            Scenario::Plenty => plenty::opening(stock, crowd),
            _ => Some(stock),
        }
    }

    /// The per-buyer limit of the sale.
    pub fn limit(self, asked: Option<i64>) -> Option<i64> {
        match self {
            Scenario::OneBuyerManyClicks => Some(one_buyer_many_clicks::limit(asked)),
            _ => asked,
        }
    }
}
