//! The yardstick: the same HTTP server with as many workers, which parses the same order and answers with
//! as many bytes, and does nothing in between. What a strategy is slower than this, it or the service costs.

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use clap::Args;
use sellout::wire::{NewOrder, OrderView, Problem};
use uuid::Uuid;

/// What the bare server is told.
#[derive(Args)]
pub struct Bare {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:0")]
    bind: SocketAddr,
    /// HTTP worker threads, as many as the service has.
    #[arg(long, default_value_t = 2)]
    workers: usize,
}

/// Orders for this sale are refused, as if it were sold out.
pub const REFUSED: Uuid = Uuid::from_u128(1);
/// Every second order is.
pub const EVERY_SECOND: Uuid = Uuid::from_u128(2);

impl Bare {
    /// Serves until it is asked to stop.
    pub fn run(self) -> Result<ExitCode, String> {
        let served = actix_web::rt::System::new().block_on(async move {
            let orders = || web::resource("/v1/sales/{sale}/orders").route(web::post().to(order));
            let server = HttpServer::new(move || App::new().service(orders()))
                .workers(self.workers)
                .bind(self.bind)?;
            let address = server.addrs().first().copied().unwrap_or(self.bind);
            writeln!(std::io::stdout(), "listening on http://{address}")?;
            server.run().await
        });
        served.map(|()| ExitCode::SUCCESS).map_err(|e: std::io::Error| e.to_string())
    }
}

async fn order(request: HttpRequest, sale: web::Path<Uuid>, new: web::Json<NewOrder>) -> HttpResponse {
    let key = request.headers().get("idempotency-key").and_then(|key| key.to_str().ok()).unwrap_or("");
    let last = key.as_bytes().last().copied().unwrap_or(b'0');
    if *sale == REFUSED || (*sale == EVERY_SECOND && last % 2 == 0) {
        return refused();
    }
    let NewOrder { buyer_id, quantity, .. } = new.into_inner();
    HttpResponse::Created().json(OrderView {
        id: Uuid::max(),
        sale_id: *sale,
        key: key.to_owned(),
        buyer_id,
        quantity,
        state: "confirmed".into(),
        expires_at: None,
        recorded_at: None,
        retry_safe: true,
    })
}

/// As long as the service's own refusal.
fn refused() -> HttpResponse {
    HttpResponse::Conflict().content_type("application/problem+json").json(Problem {
        kind: "/problems/sold-out".into(),
        title: "Sold out".into(),
        status: 409,
        detail: "Fewer units are left than were asked for; nothing was taken.".into(),
        executed: None,
        short: Vec::new(),
    })
}
