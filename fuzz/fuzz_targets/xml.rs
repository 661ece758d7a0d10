//! Any bytes as each XML document: what parses is written so that it parses to the same.
#![no_main]

use cpmcheck::wire::imdn::{Imdn, validate as validate_imdn};
use cpmcheck::wire::xml::conference_info::{ConferenceInfo, validate as validate_conference};
use cpmcheck::wire::xml::group_state::{GroupState, validate as validate_group};
use cpmcheck::wire::xml::reginfo::RegInfo;
use cpmcheck::wire::xml::resource_lists::ResourceLists;
use cpmcheck::wire::xml::roster::Roster;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(imdn) = Imdn::parse(data) {
        let _ = validate_imdn(&imdn);
        assert_eq!(Imdn::parse(imdn.to_xml().as_bytes()).as_ref(), Ok(&imdn));
    }
    if let Ok(info) = ConferenceInfo::parse(data) {
        let _ = (validate_conference(&info), Roster::default().apply(&info));
        assert_eq!(ConferenceInfo::parse(info.to_xml().as_bytes()).as_ref(), Ok(&info));
    }
    if let Ok(state) = GroupState::parse(data) {
        let _ = validate_group(&state);
        assert_eq!(GroupState::parse(state.to_xml().as_bytes()).as_ref(), Ok(&state));
    }
    if let Ok(info) = RegInfo::parse(data) {
        assert_eq!(RegInfo::parse(info.to_xml().as_bytes()).as_ref(), Ok(&info));
    }
    if let Ok(lists) = ResourceLists::parse(data) {
        assert_eq!(ResourceLists::parse(lists.to_xml().as_bytes()).as_ref(), Ok(&lists));
    }
});
