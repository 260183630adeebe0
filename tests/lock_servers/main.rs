//! Each lock on its own real server, by the faults that are known of it: servers that are killed, frozen,
//! emptied or cut off, and other people's clients in the same queue.

#![expect(clippy::expect_used, reason = "a test that cannot go on says so and ends")]

#[path = "../it/support/mod.rs"]
mod support;

mod curator;
#[cfg(feature = "etcd")]
mod etcd;
#[cfg(feature = "etcd")]
mod etcd_server;
#[cfg(feature = "etcd")]
mod etcdctl;
mod java;
mod pg_table;
mod redis;
mod redis_failover;
mod redis_messages;
mod redis_py;
mod redlock;
mod redlock_nodes;
mod zoo;
mod zookeeper;
