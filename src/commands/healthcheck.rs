//! `sellout healthcheck`: for a container that has no shell and no curl.

use std::time::Duration;

use clap::Args;

#[derive(Args)]
pub(super) struct Healthcheck {
    /// The service to ask.
    #[arg(long, env = "SELLOUT_HEALTH_URL", default_value = "http://127.0.0.1:8080/readyz")]
    url: String,
}

impl Healthcheck {
    pub(super) fn run(self) -> anyhow::Result<u8> {
        super::runtime()?.block_on(async {
            let client = reqwest::Client::builder().timeout(Duration::from_secs(3)).build()?;
            match client.get(&self.url).send().await {
                Ok(answer) if answer.status().is_success() => Ok(0),
                Ok(answer) => {
                    eprintln!("{} answers {}", self.url, answer.status());
                    Ok(1)
                }
                Err(e) => {
                    eprintln!("{} does not answer: {e}", self.url);
                    Ok(1)
                }
            }
        })
    }
}
