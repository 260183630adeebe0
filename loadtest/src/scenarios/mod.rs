//! The kinds of crowd. One file each; each turns a crowd and dice into the exact list of requests.
//!
//! To add one: a file with `orders`, a variant here, an arm in each `match`.

mod one_buyer_many_clicks;
mod plenty;
mod retry_storm;
mod rush;

use clap::ValueEnum;

use crate::crowd::{Crowd, Dice, PlannedOrder};

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
}

impl Scenario {
    /// Every kind, for the tests that must hold for each.
    #[cfg(test)]
    pub const ALL: [Scenario; 4] =
        [Scenario::Rush, Scenario::Plenty, Scenario::RetryStorm, Scenario::OneBuyerManyClicks];

    /// Its name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Scenario::Rush => "rush",
            Scenario::Plenty => "plenty",
            Scenario::RetryStorm => "retry-storm",
            Scenario::OneBuyerManyClicks => "one-buyer-many-clicks",
        }
    }

    /// The requests, in the sequence in which they are taken.
    pub fn orders(self, crowd: &Crowd, dice: &mut Dice) -> Vec<PlannedOrder> {
        match self {
            Scenario::Rush => rush::orders(crowd),
            Scenario::Plenty => plenty::orders(crowd),
            Scenario::RetryStorm => retry_storm::orders(crowd, dice),
            Scenario::OneBuyerManyClicks => one_buyer_many_clicks::orders(crowd),
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
