//! The API's verbs, one method each: the only room that speaks HTTP.
//!
//! One `reqwest` client for all: connections are kept alive and shared by all buyers, as a browser
//! crowd behind a proxy would. No redirects and no proxy from the environment, so that one call is
//! one request to the host that was named.

use std::fmt;
use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response};
use sellout::wire::{
    Audit, CartItem, Environment, Faults, LedgerRow, NewCart, NewOrder, NewSale, Problem, Run, SaleView,
    StrategyCard, Tally, Trace,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::answer::Answer;
use crate::cart_answer::CartAnswer;
use crate::crowd::{PlannedCart, PlannedOrder, Then};
use crate::ending::Ended;

/// Limit of everything that is not an order: ledgers may be long.
const CALL_LIMIT: Duration = Duration::from_secs(60);
/// Reading again is harmless; a kept connection that the server just closed is no news.
const READ_TRIES: u32 = 3;

/// Why a call did not bring what it should.
#[derive(Debug)]
pub enum Failure {
    /// No answer at all.
    Unreachable(String),
    /// An answer with an error status, and what it said.
    Refused(u16, String),
    /// An answer that cannot be read.
    Senseless(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Unreachable(said) => write!(f, "no answer: {said}"),
            Failure::Refused(status, said) => write!(f, "{status}: {said}"),
            Failure::Senseless(said) => write!(f, "an answer that cannot be read: {said}"),
        }
    }
}

/// A running sellout.
#[derive(Clone)]
pub struct Service {
    http: reqwest::Client,
    host: String,
    token: Option<String>,
}

#[derive(Deserialize)]
struct Cards {
    strategies: Vec<StrategyCard>,
}

impl Service {
    /// Prepares to talk; connects only when asked to.
    pub fn new(host: &str, token: Option<String>, order_limit: Duration) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .timeout(order_limit)
            .pool_max_idle_per_host(usize::MAX)
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            // Certificates are looked at where there are any. A bare container has no roots, and
            // without this its client would not even be built.
            .tls_danger_accept_invalid_certs(!host.starts_with("https:"))
            .build()?;
        Ok(Service { http, host: host.to_owned(), token })
    }

    /// Is it there?
    pub async fn live(&self) -> Result<(), Failure> {
        self.read("/livez").await.map(drop)
    }

    /// Every strategy's card, in the order of the exhibition.
    pub async fn strategies(&self) -> Result<Vec<StrategyCard>, Failure> {
        json(self.read("/v1/strategies").await?).await.map(|cards: Cards| cards.strategies)
    }

    /// Where it runs.
    pub async fn environment(&self) -> Result<Environment, Failure> {
        json(self.read("/v1/environment").await?).await
    }

    /// Opens a sale.
    pub async fn open_sale(&self, sale: &NewSale) -> Result<SaleView, Failure> {
        json(ask(self.call(Method::POST, "/v1/sales").json(sale)).await?).await
    }

    /// A sale as it is now.
    pub async fn sale(&self, id: Uuid) -> Result<SaleView, Failure> {
        json(self.read(&format!("/v1/sales/{id}")).await?).await
    }

    /// What the service says about it.
    pub async fn audit(&self, id: Uuid) -> Result<Audit, Failure> {
        json(self.read(&format!("/v1/sales/{id}/audit")).await?).await
    }

    /// What is written about it, line by line.
    pub async fn ledger(&self, id: Uuid) -> Result<Vec<LedgerRow>, Failure> {
        let text = text(self.read(&format!("/v1/sales/{id}/ledger")).await?).await?;
        let row = |line: &str| serde_json::from_str(line).map_err(|e| Failure::Senseless(e.to_string()));
        text.lines().filter(|line| !line.trim().is_empty()).map(row).collect()
    }

    /// How it was decided, step by step; refused where that was not recorded.
    pub async fn trace(&self, id: Uuid) -> Result<Trace, Failure> {
        json(self.read(&format!("/v1/sales/{id}/trace")).await?).await
    }

    /// Hands in what the clients were told.
    pub async fn put_tally(&self, id: Uuid, tally: &Tally) -> Result<(), Failure> {
        self.put(&format!("/v1/sales/{id}/tally"), tally).await
    }

    /// Shows the run so far.
    pub async fn put_run(&self, run: &Run) -> Result<(), Failure> {
        self.put(&format!("/v1/runs/{}", run.id), run).await
    }

    /// What goes wrong there on purpose.
    pub async fn faults(&self) -> Result<Faults, Failure> {
        json(self.read("/v1/lab/faults").await?).await
    }

    /// Switches that on and off.
    pub async fn put_faults(&self, faults: &Faults) -> Result<(), Failure> {
        self.put("/v1/lab/faults", faults).await
    }

    /// The service's one-file report of a run.
    pub async fn report_html(&self, run_id: &str) -> Result<String, Failure> {
        text(self.read(&format!("/v1/runs/{run_id}/report.html")).await?).await
    }

    /// Sends one order, once, and says what came back, with the status if there was one.
    pub async fn order(&self, sale: Uuid, order: &PlannedOrder) -> (Option<u16>, Answer) {
        let body = NewOrder {
            buyer_id: order.buyer_id.clone(),
            quantity: order.quantity,
            hold_seconds: order.hold.map(|hold| hold.seconds),
        };
        let url = format!("{}/v1/sales/{sale}/orders", self.host);
        let request = self.signed(self.http.post(url)).header("idempotency-key", &order.key).json(&body);
        match once(request).await {
            Err(failure) => (None, unanswered(&failure)),
            Ok((status, None)) => (Some(status), Answer::broken_off(status)),
            Ok((status, Some(body))) => (Some(status), Answer::read(status, &body)),
        }
    }

    /// Sends one cart, once.
    pub async fn cart(&self, cart: &PlannedCart, items: &[CartItem]) -> (Option<u16>, CartAnswer) {
        let body = NewCart { buyer_id: cart.buyer_id.clone(), items: items.to_vec(), hold_seconds: None };
        let request = self.signed(self.http.post(format!("{}/v1/orders", self.host)));
        match once(request.header("idempotency-key", &cart.key).json(&body)).await {
            Err(failure) => (None, CartAnswer::Other(unanswered(&failure))),
            Ok((status, None)) => (Some(status), CartAnswer::Other(Answer::broken_off(status))),
            Ok((status, Some(body))) => (Some(status), CartAnswer::read(status, &body)),
        }
    }

    /// Confirms or releases a held order, once.
    pub async fn end(&self, id: Uuid, then: Then, verb: &str) -> Ended {
        let request = self.signed(self.http.post(format!("{}/v1/orders/{id}/{verb}", self.host)));
        match once(request).await {
            Err(failure) => Ended::none(&failure),
            Ok((status, None)) => Ended::broken_off(status),
            Ok((status, Some(body))) => Ended::read(then, id, status, &body),
        }
    }

    async fn put(&self, path: &str, body: &impl Serialize) -> Result<(), Failure> {
        ask(self.call(Method::PUT, path).json(body)).await.map(drop)
    }

    async fn read(&self, path: &str) -> Result<Response, Failure> {
        let mut tried = 0;
        loop {
            tried += 1;
            match ask(self.call(Method::GET, path)).await {
                Err(Failure::Unreachable(_)) if tried < READ_TRIES => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                answer => return answer,
            }
        }
    }

    fn call(&self, method: Method, path: &str) -> RequestBuilder {
        self.signed(self.http.request(method, format!("{}{path}", self.host))).timeout(CALL_LIMIT)
    }

    fn signed(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}

/// No answer at all.
fn unanswered(failure: &reqwest::Error) -> Answer {
    // Nothing left this machine, so nothing can have been sold.
    if failure.is_connect() || failure.is_builder() { Answer::Error } else { Answer::Unknown }
}

/// One request, never sent again: the status, and the body where it was read to its end.
async fn once(request: RequestBuilder) -> Result<(u16, Option<Vec<u8>>), reqwest::Error> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    Ok((status, response.bytes().await.ok().map(Vec::from)))
}

async fn ask(request: RequestBuilder) -> Result<Response, Failure> {
    let response = request.send().await.map_err(|e| Failure::Unreachable(causes(&e)))?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body = response.bytes().await.unwrap_or_default();
    let said = serde_json::from_slice::<Problem>(&body).map_or_else(|_| status.to_string(), |p| p.detail);
    Err(Failure::Refused(status.as_u16(), said))
}

async fn json<T: DeserializeOwned>(response: Response) -> Result<T, Failure> {
    let text = text(response).await?;
    serde_json::from_str(&text).map_err(|e| Failure::Senseless(e.to_string()))
}

async fn text(response: Response) -> Result<String, Failure> {
    response.text().await.map_err(|e| Failure::Unreachable(causes(&e)))
}

/// `reqwest` names the URL and hides why; the reason is at the end of the chain.
fn causes(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
