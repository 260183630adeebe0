//! `sellout audit`: judge sales straight from the ledger, without the service.

use anyhow::Context;
use clap::Args;
use uuid::Uuid;

use crate::audit;
use crate::backends::Backends;
use crate::checkout::Checkout;
use crate::config::{Limits, Servers};
use crate::ledger;
use crate::sale::Sale;
use crate::strategies::Spec;
use crate::trace::Recorder;
use crate::wire::{self, Verdict};

#[derive(Args)]
pub(super) struct Audit {
    #[command(flatten)]
    servers: Servers,
    /// One sale; without it the newest hundred.
    #[arg(long)]
    sale: Option<Uuid>,
    /// One JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    limits: Limits,
}

impl Audit {
    pub(super) fn run(self) -> anyhow::Result<u8> {
        super::runtime()?.block_on(self.judge())
    }

    async fn judge(self) -> anyhow::Result<u8> {
        let backends = Backends::open(&self.servers, self.limits.clone()).await;
        let backends = backends.context("PostgreSQL (DATABASE_URL) cannot be used")?;
        let checkout = std::sync::Arc::new(Checkout::new(backends, Recorder::new(false)));
        let sales = match self.sale {
            Some(id) => ledger::sale(&checkout.backends().pg_reads, id).await?.into_iter().collect(),
            None => ledger::sales(&checkout.backends().pg_reads, 100).await?,
        };
        anyhow::ensure!(self.sale.is_none() || !sales.is_empty(), "there is no such sale");
        let mut audits = Vec::with_capacity(sales.len());
        for sale in sales {
            audits.push(one(&checkout, sale).await?);
        }
        let text = if self.json { serde_json::to_string_pretty(&audits)? } else { table(&audits) };
        super::say(&text)?;
        // Without the clients' side nothing reads HELD; what the ledger alone can see is a fault or none.
        let faults = [Verdict::Oversold, Verdict::Lost, Verdict::Inconsistent, Verdict::Stranded];
        Ok(u8::from(audits.iter().any(|a| faults.contains(&a.verdict))))
    }
}

async fn one(checkout: &std::sync::Arc<Checkout>, sale: Sale) -> anyhow::Result<wire::Audit> {
    let pool = &checkout.backends().pg_reads;
    let left = match checkout.sale(sale.id).await {
        Ok(Some(open)) => checkout.left(&open).await.ok().flatten(),
        _ => None,
    };
    let limit = checkout.backends().limits.audit_deadline();
    let (sums, offenders) = audit::read(pool, sale.id, limit).await?.context("the sale is gone")?;
    let evidence = audit::weigh(sums, left, 0);
    let spec = Spec::find(&sale.strategy).with_context(|| format!("no strategy {}", sale.strategy))?;
    let (verdict, reason) = audit::judge(spec.guarantee, spec.oversells_in, &evidence);
    let (strategy, declared) = (sale.strategy, spec.guarantee);
    Ok(wire::Audit { sale_id: sale.id, strategy, declared, verdict, reason, evidence, offenders })
}

fn table(audits: &[wire::Audit]) -> String {
    let mut text = format!(
        "{:<36}  {:<20} {:<13} {:>9} {:>9}  Reason\n",
        "Sale", "Strategy", "Verdict", "Sold", "Opened"
    );
    for a in audits {
        let (id, e) = (a.sale_id.to_string(), &a.evidence);
        let word = a.verdict.word();
        text +=
            &format!("{id:<36}  {:<20} {word:<13} {:>9} {:>9}  {}\n", a.strategy, e.sold, e.opened, a.reason);
    }
    text.trim_end().to_owned()
}
