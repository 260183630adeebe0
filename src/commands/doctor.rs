//! `sellout doctor`: can this machine sell, and can its stores keep the promise?

use clap::Args;

use crate::backends::Backends;
use crate::config::Limits;

#[derive(Args)]
pub(super) struct Doctor {
    /// PostgreSQL, which holds the ledger.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Redis.
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    redis_url: Option<String>,
    #[command(flatten)]
    limits: Limits,
}

impl Doctor {
    pub(super) fn run(self) -> anyhow::Result<u8> {
        super::runtime()?.block_on(self.examine())
    }

    async fn examine(self) -> anyhow::Result<u8> {
        let Some(url) = &self.database_url else {
            super::say("PostgreSQL  not set: give DATABASE_URL, or use `./run demo` for private servers")?;
            return Ok(super::ENVIRONMENT);
        };
        let backends = match Backends::open(url, self.redis_url.as_deref(), self.limits.clone()).await {
            Ok(backends) => backends,
            Err(e) => {
                super::say(&format!("PostgreSQL  cannot be used: {e:#}"))?;
                return Ok(super::ENVIRONMENT);
            }
        };
        let facts = backends.facts().await;
        super::say(&format!("PostgreSQL  {}", facts.postgres))?;
        match (&facts.redis, &backends.redis) {
            (Some(line), _) => super::say(&format!("Redis       {line}"))?,
            (None, Err(why)) => {
                super::say(&format!("Redis       none: {why}; its strategies are unavailable"))?
            }
            (None, Ok(_)) => super::say("Redis       does not answer")?,
        }
        for (_, risk) in &facts.unfit {
            super::say(&format!("at risk     {risk}"))?;
        }
        let fit = facts.unfit.is_empty();
        super::say(if fit {
            "ready to sell"
        } else {
            "sales will open in the lab only until this is put right"
        })?;
        Ok(u8::from(!fit))
    }
}
