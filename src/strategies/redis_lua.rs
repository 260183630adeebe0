//! Check and take in one Redis script, then record the order in PostgreSQL, then answer.
//!
//! # How
//! One Lua script looks at the key, the buyer's limit and the stock, and takes the units, all before Redis
//! runs anything else. The order is then written to PostgreSQL, and only after that commit is the buyer
//! told yes. The script remembers which order id a key got: a retry completes what was interrupted.
//!
//! # Guarantee
//! Never more than there was, while Redis remembers. A missing key in Redis means closed (503), never zero
//! and never "seed it again".
//!
//! # Fails when
//! The service dies between the script and the commit and the buyer never retries: the units are taken and
//! not sold. Redis loses what it acknowledged (power, failover): it would sell those units again.
//!
//! # Cost
//! Three round trips: the pool's ping, the script, the insert. A sold-out buyer costs PostgreSQL nothing.
//! No lock is held while waiting.
//!
//! # See
//! <https://redis.io/docs/latest/develop/programmability/eval-intro/>

use std::sync::Arc;

use async_trait::async_trait;
use deadpool_redis::Pool;
use redis::{Script, Value};
use sqlx::postgres::PgPool;
use uuid::Uuid;

use super::{Hazard, Need, Spec, Strategy};
use crate::backends::{self, Backends, redis_at_write};
use crate::ledger::{self, at_write};
use crate::sale::{Error, Order, Outcome, Sale};
use crate::wire::{Guarantee, RoundTrips};

/// The typed facts.
pub const SPEC: Spec = Spec {
    id: "redis_lua",
    variant: "",
    guarantee: Guarantee::NeverOver,
    breaks: &[Hazard::CrashBetweenStores, Hazard::StoreLoss],
    oversells_in: Some("Redis losing acknowledged writes"),
    fails_when: "a crash between the two stores strands units; Redis forgets what it took",
    round_trips: RoundTrips { sold: 3, sold_out: 2 },
    remembers_keys: true,
    needs: &[Need::Postgres, Need::Redis],
    statements: &[&[("redis_lua.lua", TAKE), ("redis_lua.record.sql", RECORD)]],
    source: include_str!("redis_lua.rs"),
    lock: None,
    build: |backends, _| Ok(Arc::new(RedisLua::new(backends)?)),
};

const TAKE: &str = include_str!("redis_lua.lua");
const RECORD: &str = include_str!("redis_lua.record.sql");

struct RedisLua {
    redis: Pool,
    pg: PgPool,
    take: Script,
}

impl RedisLua {
    fn new(backends: &Backends) -> Result<RedisLua, Error> {
        let redis = backends.redis()?.clone();
        Ok(RedisLua { redis, pg: backends.pg.clone(), take: Script::new(TAKE) })
    }

    /// Runs the script: the order id that the units were taken for, or `None` when sold out.
    async fn take_in_redis(&self, sale: &Sale, order: &Order) -> Result<Option<Uuid>, Error> {
        let mut redis = backends::redis_connection(&self.redis).await?;
        let mut call = self.take.prepare_invoke();
        call.key(key(sale, "stock")).key(key(sale, "keys")).key(key(sale, "buyers"));
        call.arg(order.quantity).arg(format!("{}:{}", order.caller, order.key));
        call.arg(hex(&order.fingerprint)).arg(order.id.to_string());
        call.arg(&order.buyer_id).arg(sale.per_buyer_limit.unwrap_or(0));
        let (word, id): (String, Value) = call.invoke_async(&mut redis).await.map_err(redis_at_write)?;
        match word.as_str() {
            "taken" => Ok(Some(parse_id(id)?)),
            "sold_out" => Ok(None),
            "reused" => Err(Error::KeyReused),
            "limit" => Err(Error::BuyerLimit),
            "closed" => Err(Error::Unavailable("Redis does not know this sale: it is closed".into())),
            other => Err(Error::Unknown(format!("Redis script said {other}"))),
        }
    }
}

#[async_trait]
impl Strategy for RedisLua {
    async fn open(&self, sale: &Sale) -> Result<(), Error> {
        let mut redis = backends::redis_connection(&self.redis).await?;
        let mut set = redis::cmd("SET");
        // NX: opening twice must not fill the shelf again.
        set.arg(key(sale, "stock")).arg(sale.units).arg("NX");
        let _: Option<String> = set.query_async(&mut redis).await.map_err(redis_at_write)?;
        Ok(())
    }

    async fn take(&self, sale: &Sale, order: &Order) -> Result<Outcome, Error> {
        let Some(id) = self.take_in_redis(sale, order).await? else {
            return Ok(Outcome::SoldOut);
        };
        // The units are gone from the counter and no order exists. If this process dies now only a retry
        // with the same key can finish the sale. So whatever fails from here on is unknown, not "failed".
        let taken = Order { id, ..order.clone() };
        let unfinished = |e: Error| Error::Unknown(format!("taken in Redis, not yet recorded: {e}"));
        let mut pg = ledger::connection(&self.pg).await.map_err(unfinished)?;
        match ledger::bind(RECORD, &taken).execute(&mut *pg).await.map_err(at_write) {
            Ok(_) => Ok(Outcome::Sold(id)),
            Err(e @ (Error::KeyUsed | Error::BuyerLimit)) => Err(e),
            Err(e) => Err(unfinished(e)),
        }
    }

    async fn left(&self, sale: &Sale) -> Result<Option<i64>, Error> {
        let mut redis = backends::redis_connection(&self.redis).await?;
        let left = redis::cmd("GET").arg(key(sale, "stock")).query_async(&mut redis).await;
        left.map_err(|e| Error::Unavailable(format!("Redis: {e}")))
    }
}

/// All keys of a sale share a hash tag, so that a cluster keeps them on one node.
fn key(sale: &Sale, what: &str) -> String {
    format!("sellout:{{{}}}:{what}", sale.id)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn parse_id(value: Value) -> Result<Uuid, Error> {
    let text: String = redis::from_redis_value(value).map_err(|e| Error::Unknown(format!("Redis: {e}")))?;
    Uuid::parse_str(&text).map_err(|e| Error::Unknown(format!("Redis answered {text}: {e}")))
}
