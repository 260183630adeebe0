//! In place of `etcd.rs` in a program that was built without etcd: says so.

use crate::config::Limits;

/// There is none.
#[derive(Clone)]
pub enum Etcd {}

impl Etcd {
    /// Refuses.
    pub fn open(urls: &[String], limits: &Limits) -> Result<Etcd, String> {
        let _of_no_use = (urls, limits);
        Err("built without etcd: cargo build --features etcd (needs protoc); ./run does it".to_owned())
    }

    /// Nowhere.
    pub fn urls(&self) -> &[String] {
        match *self {}
    }
}
