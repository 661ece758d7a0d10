//! Answers and reports: which are wanted, and what they look like (RFC 4975 7.1.2, 7.2).

use bytes::Bytes;

use super::types::Report;
use crate::wire::msrp::{ByteRange, Chunk, ChunkBuilder, FailureReport, comment, paths};

/// Whether the sender of a chunk wants this answer (RFC 4975 7.2): `partial` means errors only.
pub(super) const fn wants(wish: FailureReport, code: u16) -> bool {
    match wish {
        FailureReport::Yes => true,
        FailureReport::Partial => code != 200,
        FailureReport::No => false,
    }
}

/// Whether a chunk with this wish is owed an answer, be it good or bad.
pub(super) const fn owes_answer(wish: FailureReport) -> bool {
    match wish {
        FailureReport::Yes => true,
        FailureReport::Partial | FailureReport::No => false,
    }
}

/// The answer to a request: From-Path is the URI at which the request came.
pub(super) fn answer(request: &Chunk, code: u16) -> Bytes {
    let own = paths(request.to_path()).next().unwrap_or("");
    ChunkBuilder::response(request, code, own).encode()
}

/// A report to the peer at `to_path`.
pub(super) fn report(transact_id: &str, to_path: &str, from_path: &str, report: &Report) -> Bytes {
    let range = ByteRange { start: 1, end: Some(report.size), total: Some(report.size) };
    let status = format!("000 {:03} {}", report.code, comment(report.code));
    ChunkBuilder::request(transact_id, "REPORT", to_path, from_path)
        .push("Message-ID", &report.message_id)
        .push("Byte-Range", range)
        .push("Status", status.trim_end())
        .encode()
}
