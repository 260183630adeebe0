//! What shall go wrong while a run lasts: the service's own switches, turned on before and off after it.

use std::str::FromStr;

use sellout::wire::Faults;

use crate::client::{Failure, Service};
use crate::exit::Stop;

/// `--fault NAME=N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `pause-holder=MS`
    PauseHolder(u64),
    /// `drop-reply=N`
    DropReply(u64),
    /// `slow-store=MS`
    SlowStore(u64),
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Fault, String> {
        let (name, n) = text.split_once('=').ok_or("give it as NAME=NUMBER")?;
        let n = n.parse().map_err(|_| format!("{n:?} is no number"))?;
        match name {
            "pause-holder" => Ok(Fault::PauseHolder(n)),
            "drop-reply" => Ok(Fault::DropReply(n)),
            "slow-store" => Ok(Fault::SlowStore(n)),
            _ => Err("there are pause-holder, drop-reply and slow-store".into()),
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fault::PauseHolder(n) => write!(f, "pause-holder={n}"),
            Fault::DropReply(n) => write!(f, "drop-reply={n}"),
            Fault::SlowStore(n) => write!(f, "slow-store={n}"),
        }
    }
}

/// Switches them on; what is on already stays on. The error is a sentence.
pub async fn switch_on(service: &Service, faults: &[Fault]) -> Result<(), Stop> {
    if faults.is_empty() {
        return Ok(());
    }
    let refused = |failure: Failure| Stop::usage(format!("--fault is not taken ({failure})."));
    let mut all = service.faults().await.map_err(refused)?;
    for fault in faults {
        match fault {
            Fault::PauseHolder(n) => all.pause_holder_ms = Some(*n),
            Fault::DropReply(n) => all.drop_reply_every = Some(*n),
            Fault::SlowStore(n) => all.slow_store_ms = Some(*n),
        }
    }
    service.put_faults(&all).await.map_err(refused)
}

/// Switches all of them off again.
pub async fn switch_off(service: &Service, faults: &[Fault]) {
    if !faults.is_empty()
        && let Err(failure) = service.put_faults(&Faults::default()).await
    {
        eprintln!("sellout-load: the faults could not be switched off ({failure}).");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_written_as_it_is_read() {
        for text in ["pause-holder=1500", "drop-reply=2", "slow-store=25"] {
            assert_eq!(text.parse::<Fault>().map(|fault| fault.to_string()), Ok(text.to_owned()));
        }
        for text in ["pause-holder", "pause-holder=", "slow-store=-1", "kill=1", ""] {
            assert!(text.parse::<Fault>().is_err(), "{text}");
        }
    }
}
