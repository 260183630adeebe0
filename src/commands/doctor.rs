//! `sellout doctor`: can this machine sell, and can its stores keep the promise?

use clap::Args;

use crate::backends::Backends;
use crate::config::{Limits, Servers};

#[derive(Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    servers: Option<Servers>,
    #[command(flatten)]
    limits: Limits,
}

impl Doctor {
    pub(super) fn run(self) -> anyhow::Result<u8> {
        super::runtime()?.block_on(self.examine())
    }

    async fn examine(self) -> anyhow::Result<u8> {
        let Some(servers) = &self.servers else {
            super::say("PostgreSQL  not set: give DATABASE_URL, or use `./run demo` for private servers")?;
            return Ok(super::ENVIRONMENT);
        };
        let backends = match Backends::open(servers, self.limits.clone()).await {
            Ok(backends) => backends,
            Err(e) => {
                super::say(&format!("PostgreSQL  cannot be used: {e:#}"))?;
                return Ok(super::ENVIRONMENT);
            }
        };
        let facts = backends.facts().await;
        super::say(&format!("PostgreSQL  {}", facts.postgres))?;
        let others = [
            ("Redis", &facts.redis, backends.redis.as_ref().err()),
            ("Redlock", &facts.redlock, backends.redlock.as_ref().err()),
            ("ZooKeeper", &facts.zookeeper, backends.zookeeper.as_ref().err()),
            ("etcd", &facts.etcd, backends.etcd.as_ref().err()),
        ];
        for (name, line, without) in others {
            let text = match (line, without) {
                (Some(line), _) => line.clone(),
                (None, Some(why)) => format!("none: {why}; its strategies are unavailable"),
                (None, None) => "does not answer".to_owned(),
            };
            super::say(&format!("{name:<12}{text}"))?;
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
