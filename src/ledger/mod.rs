//! The ledger: the one way to write an order, and the ways to read what was written.
//!
//! SQL functions in migrations/ are the only writers: `record_one` of orders, `move_orders` of their states.
//! A strategy calls `record_order` inside its own statement or transaction, so that an order and the units
//! it took become durable together or not at all; [`bind`] gives it its ten parameters. PostgreSQL only.

mod sales;
mod words;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgPool, PgRow};
use sqlx::query::Query;
use sqlx::{Postgres, Row};
use uuid::Uuid;

use crate::sale::{Back, Error, Order, Sale};
use crate::wire::{LedgerRow, OrderView};

pub use sales::{Exhausted, OnHold, exhausted, insert_sale, on_hold, raise_epoch, returns, sale, sales};
pub use words::{RECORDED, STALE, outcome};

/// Every statement of this room, for the test that PREPAREs them.
pub const STATEMENTS: &[(&str, &str)] = &[
    ("find.sql", FIND),
    ("order.sql", ORDER),
    ("export.sql", EXPORT),
    ("sale_insert.sql", sales::INSERT),
    ("sale.sql", sales::ONE),
    ("sales.sql", sales::NEWEST),
    ("raise_epoch.sql", sales::RAISE),
    ("exhausted.sql", sales::EXHAUSTED),
    ("returns.sql", sales::RETURNS),
    ("on_hold.sql", sales::ON_HOLD),
    ("cart.sql", CART),
];

const FIND: &str = include_str!("find.sql");
const ORDER: &str = include_str!("order.sql");
const CART: &str = include_str!("cart.sql");
const EXPORT: &str = include_str!("export.sql");

/// A connection, or a word that nothing was sent. Taken before the write is sent, so that from then on
/// every broken wire means *unknown* and none before it does.
pub async fn connection(pool: &PgPool) -> Result<PoolConnection<Postgres>, Error> {
    pool.acquire().await.map_err(before_write)
}

/// Binds `$1` to `$10`, the parameters of `record_order`: caller, key, order id, sale, buyer, quantity,
/// fingerprint, retry_safe, hold in ms, epoch. A statement's own parameters follow from `$11`.
pub fn bind<'q>(sql: &'static str, order: &'q Order) -> Query<'q, Postgres, PgArguments> {
    sqlx::query(sql)
        .bind(&order.caller)
        .bind(&order.key)
        .bind(order.id)
        .bind(order.sale_id)
        .bind(&order.buyer_id)
        .bind(order.quantity)
        .bind(&order.fingerprint[..])
        .bind(order.retry_safe)
        .bind(order.hold_ms)
        .bind(order.epoch)
}

/// Binds `$1` to `$6`, the parameters of `give_back`: sale, epoch, orders and their ending, or the key and
/// the units of a change.
pub fn bind_back<'q>(sql: &'static str, sale: &Sale, back: &'q Back) -> Query<'q, Postgres, PgArguments> {
    let (orders, ending, key, delta) = match back {
        Back::Orders(ids, ending) => (Some(&ids[..]), Some(ending.state()), None, None),
        Back::Change { key, delta } => (None, None, Some(key.as_str()), Some(*delta)),
    };
    sqlx::query(sql).bind(sale.id).bind(sale.epoch).bind(orders).bind(ending).bind(key).bind(delta)
}

/// The order of a key, as it was answered first, and the fingerprint of what it asked for.
/// `flush`: makes what was found durable, where it may not be yet.
pub async fn find(
    pool: &PgPool,
    caller: &str,
    key: &str,
    flush: Option<&'static str>,
) -> Result<Option<(OrderView, Vec<u8>)>, Error> {
    let mut connection = connection(pool).await?;
    let row = sqlx::query(FIND).bind(caller).bind(key).fetch_optional(&mut *connection).await;
    let row = row.map_err(before_write)?;
    if let Some(flush) = flush.filter(|_| row.is_some()) {
        // On the same connection: had the server crashed in between, this fails.
        sqlx::query(flush).execute(&mut *connection).await.map_err(at_write)?;
    }
    row.map(|r| Ok((order_view(&r)?, r.try_get("fingerprint")?))).transpose().map_err(before_write)
}

/// A cart as it was answered first, and the fingerprint of what it asked for. An order that was placed alone
/// comes as a cart without an id.
pub type FoundCart = (Option<Uuid>, Vec<OrderView>, Vec<u8>);

/// The cart of a key.
pub async fn find_cart(pool: &PgPool, caller: &str, key: &str) -> Result<Option<FoundCart>, Error> {
    let mut connection = connection(pool).await?;
    let rows = sqlx::query(CART).bind(caller).bind(key).fetch_all(&mut *connection).await;
    let rows = rows.map_err(before_write)?;
    let Some(first) = rows.first() else { return Ok(None) };
    let found = || -> Result<FoundCart, sqlx::Error> {
        let orders = rows.iter().map(order_view).collect::<Result<_, _>>()?;
        Ok((first.try_get("cart_id")?, orders, first.try_get("fingerprint")?))
    };
    found().map(Some).map_err(before_write)
}

/// One order by its id, with the time at which it was recorded, and whose it is. An operator (`None`) sees
/// all.
pub async fn order(
    pool: &PgPool,
    caller: Option<&str>,
    id: Uuid,
) -> Result<Option<(OrderView, String)>, Error> {
    let row = sqlx::query(ORDER).bind(caller).bind(id).fetch_optional(pool).await.map_err(before_write)?;
    let seen = |r: &PgRow| -> Result<(OrderView, String), sqlx::Error> {
        let recorded_at = Some(r.try_get("recorded_at")?);
        Ok((OrderView { recorded_at, ..order_view(r)? }, r.try_get("caller")?))
    };
    row.as_ref().map(seen).transpose().map_err(before_write)
}

/// The next rows of a sale's ledger after `after` (an order id), in the order of their ids.
pub async fn export(pool: &PgPool, sale: Uuid, after: Uuid) -> Result<Vec<LedgerRow>, Error> {
    let rows = sqlx::query(EXPORT).bind(sale).bind(after).fetch_all(pool).await.map_err(before_write)?;
    let row = |r: &PgRow| -> Result<LedgerRow, sqlx::Error> {
        Ok(LedgerRow {
            order_id: r.try_get("id")?,
            key: r.try_get("key")?,
            buyer_id: r.try_get("buyer_id")?,
            quantity: r.try_get("quantity")?,
            state: r.try_get("state")?,
        })
    };
    rows.iter().map(row).collect::<Result<_, _>>().map_err(before_write)
}

fn order_view(row: &PgRow) -> Result<OrderView, sqlx::Error> {
    Ok(OrderView {
        id: row.try_get("id")?,
        sale_id: row.try_get("sale_id")?,
        key: row.try_get("key")?,
        buyer_id: row.try_get("buyer_id")?,
        quantity: row.try_get("quantity")?,
        state: row.try_get("state")?,
        expires_at: row.try_get("expires_at")?,
        recorded_at: None,
        retry_safe: row.try_get("retry_safe")?,
    })
}

/// What an error means while nothing has been written: nothing was taken, whatever broke.
pub fn before_write(e: sqlx::Error) -> Error {
    match code(&e).as_deref() {
        Some("40001" | "40P01" | "55P03" | "57014") => Error::Contended(e.to_string()),
        _ if matches!(e, sqlx::Error::PoolTimedOut) => {
            Error::Contended("no free PostgreSQL connection within the wait limit".into())
        }
        _ => Error::Unavailable(format!("PostgreSQL: {e}")),
    }
}

/// What an error means once the write (or COMMIT) has been sent.
///
/// An answer with an SQLSTATE is PostgreSQL's word that the statement was rolled back. Two exceptions:
/// a server that is being shut down may have committed locally before it let go (57P01, 57P02), and any
/// other failure is the wire's: it may or may not have happened.
pub fn at_write(e: sqlx::Error) -> Error {
    match code(&e).as_deref() {
        Some("SO001") => Error::KeyUsed,
        Some("SO002") => Error::BuyerLimit,
        Some("SO003") => Error::Stale,
        Some("SO004") => Error::NotOpen,
        Some("SO005") => Error::Ended,
        Some("SO006") => Error::Unavailable("the sale is gone".into()),
        Some("SO007") => Error::KeyReused,
        Some("SO008") => Error::BelowSold,
        Some("57P01" | "57P02") | None => Error::Unknown(format!("PostgreSQL: {e}")),
        Some(_) => before_write(e),
    }
}

/// Does the reason lie in what was to be written, so that the same again fails again? (Data exceptions and
/// violated constraints: PostgreSQL, appendix A.) In a batch it lies in one of its orders.
pub fn is_poisoned(e: &sqlx::Error) -> bool {
    code(e).is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
}

/// May the same transaction be tried again at once? (Serialization failure, deadlock.)
pub fn is_conflict(e: &sqlx::Error) -> bool {
    matches!(code(e).as_deref(), Some("40001" | "40P01"))
}

fn code(e: &sqlx::Error) -> Option<String> {
    e.as_database_error().and_then(|db| db.code()).map(|c| c.into_owned())
}
