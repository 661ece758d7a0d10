//! Any bytes as each XML document: what parses is written so that it parses to what is written the
//! same.
#![no_main]

use cpmcheck::wire::Fault;
use cpmcheck::wire::imdn::{Imdn, validate as validate_imdn};
use cpmcheck::wire::xml::conference_info::{ConferenceInfo, validate as validate_conference};
use cpmcheck::wire::xml::group_state::{GroupState, validate as validate_group};
use cpmcheck::wire::xml::reginfo::RegInfo;
use cpmcheck::wire::xml::resource_lists::ResourceLists;
use cpmcheck::wire::xml::roster::Roster;

fn settles<T>(document: &T, parse: impl Fn(&[u8]) -> Result<T, Fault>, write: impl Fn(&T) -> String) {
    let written = write(document);
    assert_eq!(parse(written.as_bytes()).map(|again| write(&again)).as_ref(), Ok(&written));
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(imdn) = Imdn::parse(data) {
        let _ = validate_imdn(&imdn);
        settles(&imdn, Imdn::parse, Imdn::to_xml);
    }
    if let Ok(info) = ConferenceInfo::parse(data) {
        let _ = (validate_conference(&info), Roster::default().apply(&info));
        settles(&info, ConferenceInfo::parse, ConferenceInfo::to_xml);
    }
    if let Ok(state) = GroupState::parse(data) {
        let _ = validate_group(&state);
        settles(&state, GroupState::parse, GroupState::to_xml);
    }
    if let Ok(info) = RegInfo::parse(data) {
        settles(&info, RegInfo::parse, RegInfo::to_xml);
    }
    if let Ok(lists) = ResourceLists::parse(data) {
        settles(&lists, ResourceLists::parse, ResourceLists::to_xml);
    }
});
