//! Conformance test harness and SIP/MSRP traffic simulator for deferred delivery of group chat.

pub mod capture;
pub mod clause;
pub mod cli;
pub mod endpoint;
pub mod engine;
pub mod ids;
pub mod judge;
pub mod msrp;
pub mod net;
pub mod pattern;
pub mod peers;
pub mod pf;
pub mod policy;
pub mod report;
pub mod run;
pub mod sip;
pub mod suite;
pub mod time;
pub mod trace;
pub mod wire;
