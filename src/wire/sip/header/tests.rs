use super::*;

#[test]
fn separators_inside_quotes_and_brackets_do_not_split() {
    let value = "\"a, \\\"b\" <sip:x,y@z>;q=1 , <sip:c@d>,, e";
    assert_eq!(list(value).collect::<Vec<_>>(), ["\"a, \\\"b\" <sip:x,y@z>;q=1", "<sip:c@d>", "", "e"]);
    assert_eq!(list("\"open, never closed").collect::<Vec<_>>(), ["\"open, never closed"]);
    assert_eq!(list("").collect::<Vec<_>>(), [""]);
}

#[test]
fn a_via_is_read_in_every_spelling() {
    for (text, version) in [
        ("SIP/2.0/UDP [2001:db8::1]:5070;rport;branch=z9hG4bKx", "2.0"),
        ("sip / 2.0 / UDP\r\n  [2001:db8::1]:5070 ;rport ; branch = z9hG4bKx", "2.0"),
        ("SIP/7.0/UDP [2001:db8::1]:5070;rport;branch=z9hG4bKx", "7.0"),
    ] {
        let via = Via::parse(text).expect("a Via");
        assert_eq!(via.version, version);
        assert_eq!((via.transport, via.host.0, via.port, via.branch()), ("UDP", "[2001:db8::1]", Some(5070), Some("z9hG4bKx")));
        assert_eq!(via.rport(), Some(None));
    }
    let via = Via::parse("SIP/2.0/TCP a;received=2001:db8::9;rport=40112").expect("a Via");
    assert_eq!((via.rport(), via.received()), (Some(Some(40112)), "2001:db8::9".parse().ok()));
    for text in [
        "",
        "SIP/2.0",
        "SIP/2.0/",
        "SIP/2.0/UDP",
        "SIP/2.0/ UDP",
        "SIP//UDP a",
        "HTTP/2.0/UDP a",
        "SIP/2.0/UDP a:99999",
        "SIP/2.0/UDP \u{e4}",
    ] {
        assert!(Via::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn an_address_without_brackets_keeps_no_parameters_in_its_uri() {
    let bare = NameAddr::parse("sip:a@b.example;tag=x").expect("an address");
    assert_eq!((bare.uri.text, bare.tag()), ("sip:a@b.example", Some("x")));
    let bracketed = NameAddr::parse("\"<\\\"\" <sip:a@b.example;lr>;tag=x").expect("an address");
    assert_eq!((bracketed.uri.params.has("lr"), bracketed.tag(), bracketed.name().as_deref()), (true, Some("x"), Some("<\"")));
    let unclosed = NameAddr::parse("\"x <sip:a@b>").expect_err("the quote is open");
    assert_eq!((unclosed.code, unclosed.offset), ("sip-name-addr", 0));
    assert!(NameAddr::parse("<sip:a@b").is_err() && NameAddr::parse("<sip:a@b> x").is_err());
}

#[test]
fn contacts_of_devices_and_foci_tell_what_they_are() {
    let contact = Contact::parse("<sip:x@y>;isfocus;expires=60;+sip.instance=\"<urn:uuid:1>\"").expect("a contact");
    let address = contact.address().expect("an address");
    assert_eq!((address.is_focus(), address.expires(), address.instance()), (true, Some(60), Some("urn:uuid:1")));
    assert_eq!(Contact::parse("*"), Ok(Contact::Any));
}

#[test]
fn numbers_that_order_are_read_with_any_white_space() {
    assert_eq!(CSeq::parse("0009\r\n INVITE"), Ok(CSeq { number: 9, method: "INVITE" }));
    let rack = RAck::parse("776656 1\tINVITE").expect("a RAck");
    assert_eq!((rack.response, rack.cseq.number, rack.cseq.method), (776_656, 1, "INVITE"));
    assert!(CSeq::parse("4294967296 BYE").is_err() && CSeq::parse("1").is_err() && RAck::parse("1 INVITE").is_err());
}

#[test]
fn reasons_and_timers_and_replacements_are_read() {
    let reasons: Vec<_> =
        list("SIP;cause=503;text=\"Radio, lost\", Q.850 ;cause=16").filter_map(|text| Reason::parse(text).ok()).collect();
    assert_eq!((reasons[0].cause(), reasons[0].text().as_deref()), (Some(503), Some("Radio, lost")));
    assert_eq!((reasons[1].protocol, reasons[1].cause()), ("Q.850", Some(16)));
    assert_eq!(
        SessionExpires::parse("1800 ; refresher=UAS").map(|expires| (expires.seconds, expires.refresher)),
        Ok((1800, Some(Refresher::Uas)))
    );
    assert!(SessionExpires::parse("1800;refresher=me").is_err());
    assert_eq!(seconds("90;x"), Ok(90));
    assert!(seconds("4294967296").is_err());
    let replaces = Replaces::parse("c@h;from-tag=a;to-tag=b").expect("a Replaces");
    assert_eq!((replaces.call_id, replaces.to_tag(), replaces.from_tag()), ("c@h", "b", "a"));
    assert!(Replaces::parse("c@h;to-tag=b").is_err());
}

#[test]
fn subscriptions_say_their_state() {
    let event = Event::parse("conference;id=7").expect("an Event");
    assert!(!event.matches(&Event::parse("conference").expect("an Event")));
    let state = SubscriptionState::parse("Terminated;reason=noresource;retry-after=5").expect("a state");
    assert_eq!(
        (state.state, state.reason(), state.retry_after(), state.expires()),
        (State::Terminated, Some("noresource"), Some(5), None)
    );
    assert!(SubscriptionState::parse(";x").is_err());
}

#[test]
fn features_services_and_media_types_are_read() {
    let wanted = AcceptContact::parse("*;+sip.instance=\"<urn:gsma:imei:1>\";require").expect("an Accept-Contact");
    assert_eq!((wanted.instance(), wanted.params.has("require")), (Some("urn:gsma:imei:1"), true));
    assert_eq!(Service::parse("urn:urn-7:3gpp-service.x").map(|service| service.name), Ok("3gpp-service.x"));
    assert!(Service::parse("urn:other:x").is_err());
    let media = MediaType::parse("multipart/mixed ; boundary=\"a;b\"").expect("a media type");
    assert_eq!((media.essence, media.params.get("boundary")), ("multipart/mixed", Some("\"a;b\"")));
    assert_eq!(tokens("INVITE, ,ACK;x").collect::<Vec<_>>(), ["INVITE", "ACK"]);
}

#[test]
fn responses_say_when_and_why() {
    let retry = RetryAfter::parse("120 (in a (short) meeting);duration=3600").expect("a Retry-After");
    assert_eq!((retry.seconds, retry.comment, retry.duration()), (120, Some("(in a (short) meeting)"), Some(3600)));
    let warning = Warning::parse("399 pf.home1.example \"No \\\"route\\\"\"").expect("a Warning");
    assert_eq!((warning.code, warning.agent, warning.text()), (399, "pf.home1.example", "No \"route\"".to_owned()));
    assert_eq!(Warning::parse("1812 overture \"In Progress\"").map_err(|fault| fault.code), Err("sip-warning"));
}
