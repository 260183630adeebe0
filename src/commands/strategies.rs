//! `sellout strategies`: the registry as a table, JSON or Markdown.

use clap::Args;

use super::locks;
use crate::http;
use crate::strategies::ALL;

#[derive(Args)]
pub(super) struct Strategies {
    /// The cards as JSON, as the API shows them.
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// A Markdown table.
    #[arg(long)]
    markdown: bool,
    /// The locks instead, requirement by requirement, as the tests observed them.
    #[arg(long, conflicts_with = "json")]
    locks: bool,
}

impl Strategies {
    pub(super) fn run(self) -> anyhow::Result<u8> {
        let text = if self.json {
            let cards: Vec<_> = ALL.iter().map(|s| http::card(s, None)).collect();
            serde_json::to_string_pretty(&cards)?
        } else if self.locks {
            if self.markdown { locks::markdown() } else { locks::plain() }
        } else if self.markdown {
            markdown()
        } else {
            plain()
        };
        super::say(&text)?;
        Ok(0)
    }
}

fn plain() -> String {
    let mut text =
        format!("{:<20} {:<12} {:>5} {:>9}  Fails when\n", "Strategy", "Guarantee", "Sold", "Sold out");
    for spec in ALL {
        let trips = spec.round_trips;
        text += &format!(
            "{:<20} {:<12} {:>5} {:>9}  {}\n",
            spec.id,
            word(spec),
            trips.sold,
            trips.sold_out,
            spec.fails_when
        );
    }
    text + "\nSold, Sold out: round trips of one order, warm and uncontended."
}

/// The table of the README; a test holds the two equal.
pub(super) fn markdown() -> String {
    let mut text =
        "| strategy | how | guarantee | fails when | round trips sold / sold out |\n|---|---|---|---|---|"
            .to_owned();
    for spec in ALL {
        let trips = spec.round_trips;
        text += &format!(
            "\n| `{}` | {} | {} | {} | {} / {} |",
            spec.id,
            spec.title(),
            word(spec),
            spec.fails_when,
            trips.sold,
            trips.sold_out
        );
    }
    text
}

fn word(spec: &crate::strategies::Spec) -> &'static str {
    use crate::wire::Guarantee;
    match spec.guarantee {
        Guarantee::Exact => "exact",
        Guarantee::NeverOver => "never over",
        Guarantee::Conditional => "conditional",
        Guarantee::Oversells => "oversells",
        Guarantee::Control => "control",
    }
}
