//! The record of a run: what happened, when, between whom.

pub mod event;
