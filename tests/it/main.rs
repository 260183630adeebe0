//! One binary for the promises of the README, each file one of them.

mod services;
mod support;
