//! The API's verbs that a measurement needs, beside the orders: open, tally, audit.

use std::collections::VecDeque;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response};
use sellout::wire::{Audit, Environment, NewSale, SaleView, StrategyCard, Tally};
use serde::{Deserialize, de::DeserializeOwned};
use uuid::Uuid;

/// A tally or an audit of a million orders takes its time.
const CALL_LIMIT: Duration = Duration::from_secs(120);
/// How long an audit may be asked again until nothing is under way any more.
const FINAL_LIMIT: Duration = Duration::from_secs(30);
/// Between two of them.
const FINAL_STEP: Duration = Duration::from_millis(50);
/// Calls about many sales that are under way at once.
const AT_ONCE: usize = 16;

/// A running sellout. Errors are sentences.
#[derive(Clone)]
pub struct Api {
    http: Client,
    host: String,
}

#[derive(Deserialize)]
struct Cards {
    strategies: Vec<StrategyCard>,
}

impl Api {
    /// Prepares to talk.
    pub fn new(host: &str) -> Result<Api, String> {
        let client = Client::builder().timeout(CALL_LIMIT).no_proxy().tls_danger_accept_invalid_certs(true);
        let http = client.build().map_err(|e| e.to_string())?;
        Ok(Api { http, host: host.trim_end_matches('/').to_owned() })
    }

    /// What it can sell with.
    pub async fn strategies(&self) -> Result<Vec<StrategyCard>, String> {
        json(self.http.get(self.url("/v1/strategies"))).await.map(|cards: Cards| cards.strategies)
    }

    /// Where it runs.
    pub async fn environment(&self) -> Result<Environment, String> {
        json(self.http.get(self.url("/v1/environment"))).await
    }

    /// Does it take orders by the thousand? Asked with none in it, which sells nothing.
    pub async fn has_batches(&self) -> Result<bool, String> {
        let url = self.url(&format!("/v1/sales/{}/orders:batch", Uuid::nil()));
        let sent = self.http.get(url).send().await.map_err(|e| e.to_string())?;
        // GET is the wrong method there, where the path is known at all.
        Ok(sent.status().as_u16() == 405)
    }

    /// Opens a sale.
    pub async fn open(&self, strategy: &str, units: i64) -> Result<Uuid, String> {
        let sale = NewSale { name: "bench".into(), units, strategy: strategy.into(), ..NewSale::default() };
        json(self.http.post(self.url("/v1/sales")).json(&sale)).await.map(|sale: SaleView| sale.id)
    }

    /// Opens so many alike.
    pub async fn open_many(&self, strategy: &str, units: i64, items: usize) -> Result<Vec<Uuid>, String> {
        let open = |api: Api, strategy: String| async move { api.open(&strategy, units).await };
        at_once((0..items).map(|_| open(self.clone(), strategy.to_owned()))).await
    }

    /// The judgement of each sale, once it has been told what its clients were.
    pub async fn audits(&self, sales: &[Uuid], tallies: Vec<Tally>) -> Result<Vec<Audit>, String> {
        let judge = |api: Api, sale: Uuid, tally: Tally| async move {
            api.put_tally(sale, &tally).await?;
            api.audit(sale).await
        };
        at_once(sales.iter().zip(tallies).map(|(sale, tally)| judge(self.clone(), *sale, tally))).await
    }

    /// Hands in what the clients were told.
    async fn put_tally(&self, sale: Uuid, tally: &Tally) -> Result<(), String> {
        ask(self.http.put(self.url(&format!("/v1/sales/{sale}/tally"))).json(tally)).await.map(drop)
    }

    /// The judgement, once nothing is under way any more.
    async fn audit(&self, sale: Uuid) -> Result<Audit, String> {
        let begun = tokio::time::Instant::now();
        loop {
            let audit: Audit = json(self.http.get(self.url(&format!("/v1/sales/{sale}/audit")))).await?;
            if audit.evidence.in_flight == 0 || begun.elapsed() > FINAL_LIMIT {
                return Ok(audit);
            }
            tokio::time::sleep(FINAL_STEP).await;
        }
    }

    /// Asks once for an audit, whatever is answered.
    pub async fn audit_once(&self, sale: Uuid) -> Result<(u16, String), String> {
        let sent = self.http.get(self.url(&format!("/v1/sales/{sale}/audit"))).send().await;
        let answered = sent.map_err(|e| e.to_string())?;
        let status = answered.status().as_u16();
        Ok((status, answered.text().await.map_err(|e| e.to_string())?))
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.host)
    }
}

/// All of them, a few at a time, in their order.
async fn at_once<T, F>(calls: impl Iterator<Item = F>) -> Result<Vec<T>, String>
where
    T: Send + 'static,
    F: Future<Output = Result<T, String>> + Send + 'static,
{
    let (mut under_way, mut done) = (VecDeque::new(), Vec::new());
    for call in calls {
        under_way.push_back(tokio::spawn(call));
        if under_way.len() >= AT_ONCE
            && let Some(first) = under_way.pop_front()
        {
            done.push(first.await.map_err(|e| e.to_string())??);
        }
    }
    for call in under_way {
        done.push(call.await.map_err(|e| e.to_string())??);
    }
    Ok(done)
}

async fn ask(request: RequestBuilder) -> Result<Response, String> {
    let response = request.send().await.map_err(|e| e.to_string())?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    Err(format!("{status}: {}", response.text().await.unwrap_or_default()))
}

async fn json<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, String> {
    let text = ask(request).await?.text().await.map_err(|e| e.to_string())?;
    serde_json::from_str(&text).map_err(|e| e.to_string())
}
