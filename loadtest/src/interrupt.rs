//! Ctrl-C: stop buying, settle, judge what was sold, say that the run was cut off. Twice: go at once.
//!
//! Goose installs its own Ctrl-C handler in its first attack, over any that was there, and forgets
//! a Ctrl-C that came between two attacks. So we listen too, but only from inside the first attack
//! on: a handler installed later is called first and calls goose's in turn. Before that nothing is
//! sold, and Ctrl-C may end the program as usual.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

static ASKED: AtomicBool = AtomicBool::new(false);

/// Was the run interrupted?
pub fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// Listens from now on. Call it from inside a goose attack; later calls do nothing.
pub fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
            match signal(kind) {
                Ok(signals) => drop(tokio::spawn(watch(signals))),
                Err(e) => eprintln!("sellout-load: signals cannot be caught: {e}"),
            }
        }
    });
}

async fn watch(mut signals: Signal) {
    while signals.recv().await.is_some() {
        if ASKED.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(crate::exit::INTERRUPTED));
        }
        eprintln!("\nsellout-load: stopping; what was sold is still judged. Once more to end at once.");
        // The buyers stop by themselves. Goose must not remember the signal, or its handler would
        // end the program with 1 on the second one, before we can say 130. It hears the signal on a
        // thread of its own, so forgetting takes a moment.
        tokio::spawn(async {
            for _ in 0..40 {
                goose::reset_killswitch();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    }
}
