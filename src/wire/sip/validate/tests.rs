use bytes::Bytes;

use super::*;

const REQUEST: &str = "INVITE sip:bob@home1.example SIP/2.0
Via: SIP/2.0/TCP a.example;branch=z9hG4bKa
Max-Forwards: 70
From: <sip:alice@home1.example>;tag=1
To: <sip:bob@home1.example>
Call-ID: a@a.example
CSeq: 1 INVITE
Contact: <sip:alice@a.example>
Content-Length: 0
";

const RESPONSE: &str = "SIP/2.0 200 OK
Via: SIP/2.0/TCP a.example;branch=z9hG4bKa
From: <sip:alice@home1.example>;tag=1
To: <sip:bob@home1.example>;tag=2
Call-ID: a@a.example
CSeq: 1 INVITE
Contact: <sip:bob@b.example>
Content-Length: 0
";

fn findings(text: &str, transport: Transport) -> Vec<Violation> {
    let bytes = Bytes::from(format!("{text}\n").replace('\n', "\r\n"));
    validate(&Message::decode_tolerant(bytes).expect("the message decodes"), transport)
}

fn excerpt(text: &str) -> Vec<Violation> {
    let bytes = Bytes::from(format!("{text}\n").replace('\n', "\r\n"));
    validate_excerpt(&Message::decode_tolerant(bytes).expect("the message decodes"), Transport::Udp)
}

fn codes(text: &str) -> Vec<&'static str> {
    findings(text, Transport::Tcp).iter().map(|violation| violation.code).collect()
}

/// The request with one line replaced.
fn with(name: &str, line: &str) -> String {
    let line_of = |old: &str| if old.starts_with(name) { line.to_owned() } else { old.to_owned() };
    REQUEST.lines().map(line_of).filter(|line| !line.is_empty()).map(|line| line + "\n").collect()
}

/// The request with one more line.
fn plus(line: &str) -> String {
    format!("{REQUEST}{line}\n")
}

#[test]
fn well_formed_messages_have_no_violation() {
    assert_eq!(codes(REQUEST), [""; 0]);
    assert_eq!(codes(RESPONSE), [""; 0]);
}

#[test]
fn every_well_formed_value_passes() {
    for line in [
        "Reason: SIP;cause=503;text=\"Radio, lost\", Q.850;cause=16",
        "Accept-Contact: *;+sip.instance=\"<urn:uuid:1>\";require;explicit",
        "P-Asserted-Identity: \"A\" <sip:a@b.example>, <tel:+15145550101>",
        "P-Asserted-Service: urn:urn-7:3gpp-service.ims.icsi.oma.cpm.session.group",
        "P-Access-Network-Info: 3GPP-E-UTRAN-FDD;utran-cell-id-3gpp=23415D0FCE11",
        "Referred-By: <sip:a@b.example>;cid=\"20398823.2UWQFN309shb3@b.example\"",
        "Session-Expires: 1800;refresher=uac",
        "Min-SE: 90",
        "Subscription-State: active;expires=3600",
        "Warning: 399 pf.home1.example \"busy\"",
        "Retry-After: 120 (at lunch);duration=60",
        "Date: Sat, 13 Nov 2010 23:29:00 GMT",
        "User-Agent: CPM-client/OMA2.0 (device; 1) RCS",
        "Require: timer, 100rel",
        "Allow:",
        "Replaces: c@h;to-tag=1;from-tag=2;early-only",
        "History-Info: <sip:a@b.example?Reason=SIP%3Bcause%3D302>;index=1.1",
        "Proxy-Authorization: Digest username=\"a\", realm=\"b\", nc=00000001",
        "Conversation-ID: 7d3c1f52-0c8e-4f0e-9d0e-5b1f6a2c9e11",
        "Contact: <sip:a@[2001:db8::1]:5070;transport=tcp>;q=0.5;+g.3gpp.icsi-ref=\"urn%3Aurn-7%3Ax\"",
        "X-Own: \u{416} anything \"goes",
    ] {
        assert_eq!(codes(&plus(line)), [""; 0], "{line}");
    }
}

#[test]
fn each_malformed_field_is_named() {
    for (line, code) in [
        ("Via: SIP/2.0/TCP b.example;;branch=z9hG4bKb", "sip-via"),
        ("Via: SIP/2.0/TCP b.example;branch=z9hG4bK", "sip-via"),
        ("Via: SIP/3.0/TCP b.example;branch=z9hG4bKb", "sip-via"),
        ("Via: SIP/2.0/TCP 999.1.1.1;branch=z9hG4bKb", "sip-via"),
        ("Route: sip:a@b.example;lr", "sip-route"),
        ("Contact: sip:a@b.example?Subject=x", "sip-contact"),
        ("Contact: <sip:a@b.example>;q=1.5", "sip-contact"),
        ("Contact: <sip:a@b.example>;expires=9999999999", "sip-contact"),
        ("Contact: *", "sip-contact"),
        ("Contact: < sip:a@b.example>", "sip-contact"),
        ("Contact: <sip:a@b.example", "sip-contact"),
        ("Contact: \"x <sip:a@b.example>", "sip-contact"),
        ("Contact: <sip:a%4@b.example>", "sip-contact"),
        ("Contact: <sip:a@b.example:70000>", "sip-contact"),
        ("Contact: <sip:a@b.example>;+sip.instance=\"urn:uuid:1\"", "sip-contact"),
        ("Expires: 4294967296", "sip-expires"),
        ("Expires: soon", "sip-expires"),
        ("Date: Sat, 13 Nov 2010 23:29:00 EST", "sip-date"),
        ("Session-Expires: 60", "sip-session-expires"),
        ("Session-Expires: 1800;refresher=me", "sip-session-expires"),
        ("Min-SE: 10", "sip-min-se"),
        ("Reason: SIP;cause=many", "sip-reason"),
        ("Reason: SIP;text=bare", "sip-reason"),
        ("Accept-Contact: +sip.instance=\"<urn:x>\"", "sip-accept-contact"),
        ("P-Asserted-Identity: <sip:a@b.example>, <sip:c@d.example>", "sip-p-asserted-identity"),
        ("P-Asserted-Identity: <http://a.example>", "sip-p-asserted-identity"),
        ("Referred-By: sip a@b", "sip-referred-by"),
        ("Replaces: c@h;to-tag=1", "sip-replaces"),
        ("Warning: 1812 overture \"In Progress\"", "sip-warning"),
        ("Require: two words", "sip-require"),
        ("Require:", "sip-require"),
        ("RSeq: 0", "sip-rseq"),
        ("RAck: 1 INVITE", "sip-rack"),
        ("Content-Type: multipart/mixed", "sip-content-type"),
        ("Content-Type: text", "sip-content-type"),
        ("To: <sip:again@b.example>", "sip-header-repeated"),
        ("b(d: value", "sip-header-name"),
        ("X-Own: \u{7}", "sip-header-value"),
        ("Subject: \u{1}", "sip-subject"),
        ("Subscription-State: active;expires=x", "sip-subscription-state"),
        ("Conversation-ID: two words", "sip-conversation-id"),
    ] {
        let found = findings(&plus(line), Transport::Tcp);
        let named = found.iter().any(|violation| violation.code == code && violation.level == Level::Error);
        assert!(named, "{line}: {found:?}");
    }
}

#[test]
fn a_malformed_field_is_placed_where_it_breaks() {
    let text = plus("Contact: <sip:a@b.example>;q=0.5;;x");
    let wire = text.replace('\n', "\r\n");
    let found = findings(&text, Transport::Tcp);
    let at = wire.find(";;x").map(|at| at + 1);
    assert_eq!(found.iter().map(|violation| Some(violation.offset)).collect::<Vec<_>>(), [at]);
    assert_eq!(found[0].message, "Contact is malformed: expected a parameter");
}

#[test]
fn each_start_line_fault_is_named() {
    for (line, code) in [
        ("INVITE  sip:bob@home1.example SIP/2.0", "sip-start-line-spacing"),
        ("INVITE sip:bob@home1.example SIP/2.0 ", "sip-start-line-spacing"),
        ("INVITE sip:bob@home1.example SIP/7.0", "sip-version"),
        ("INVITE <sip:bob@home1.example> SIP/2.0", "sip-request-uri"),
        ("INVITE sip:bob@home1.example; lr SIP/2.0", "sip-request-uri"),
        ("INVITE sip:2001:db8::10 SIP/2.0", "sip-request-uri"),
        ("INVITE sip:bob@home1.example?Route=x SIP/2.0", "sip-request-uri-headers"),
        ("INVITE sip:bob@home1.example;method=BYE SIP/2.0", "sip-request-uri-method"),
        ("INVITE soap.beep://192.0.2.103:3002 SIP/2.0", "sip-request-uri-scheme"),
        ("IN(VITE sip:bob@home1.example SIP/2.0", "sip-method"),
    ] {
        assert!(codes(&with("INVITE", line)).contains(&code), "{line}: {:?}", codes(&with("INVITE", line)));
    }
    assert_eq!(codes(&RESPONSE.replace("SIP/2.0 200 OK", "SIP/2.0 200")), ["sip-start-line-spacing"]);
    assert_eq!(codes(&RESPONSE.replace("SIP/2.0 200 OK", "SIP/2.0 200 ")), [""; 0]);
    assert!(codes(&RESPONSE.replace("200 OK", "700 No")).contains(&"sip-status-code"));
}

#[test]
fn mandatory_fields_and_ranges_are_demanded() {
    for (name, line, code) in [
        ("From", "", "sip-header-missing"),
        ("Call-ID", "", "sip-header-missing"),
        ("Contact", "", "sip-header-missing"),
        ("Content-Length", "", "sip-header-missing"),
        ("From", "From: <sip:alice@home1.example>", "sip-from-tag"),
        ("CSeq", "CSeq: 2147483648 INVITE", "sip-cseq"),
        ("CSeq", "CSeq: 1 BYE", "sip-cseq-method"),
        ("Max-Forwards", "Max-Forwards: 256", "sip-max-forwards"),
        ("Content-Length", "Content-Length: -1", "sip-content-length"),
        ("Content-Length", "Content-Length: 7", "sip-content-length"),
        ("Content-Length", "Content-Length: 0\nl: 5", "sip-content-length"),
    ] {
        assert!(codes(&with(name, line)).contains(&code), "{line:?}: {:?}", codes(&with(name, line)));
    }
}

#[test]
fn an_rfc_2543_element_is_only_warned_of() {
    let text = with("Via", "Via: SIP/2.0/UDP a.example").replace(";tag=1", "").replace("Max-Forwards: 70\n", "");
    let found = excerpt(&text);
    assert_eq!(found.len(), 3);
    assert!(found.iter().all(|violation| violation.level == Level::Warning), "{found:?}");
}

#[test]
fn what_an_excerpt_may_lack_traffic_may_not() {
    let sdp = "v=0\no=- 1 1 IN IP4 a\ns=-\nt=0 0\n";
    for (text, code, excuse) in [
        (with("Via", ""), "sip-header-missing", "call flows print messages"),
        (with("Max-Forwards", ""), "sip-header-missing", "a proxy adds one"),
        (with("Via", "Via: SIP/2.0/UDP a").replace(";tag=1", ""), "sip-from-tag", "RFC 2543"),
        (with("Via", "Via: SIP/2.0/UDP a").replace("Contact: <sip:alice@a.example>\n", ""), "sip-header-missing", "RFC 2543"),
        (format!("{}\n{sdp}", with("Content-Length", "")), "sip-header-missing", "SDP at first sight"),
        (format!("{}\n \n", with("Content-Length", "")), "sip-header-missing", "blank"),
        (with("Contact", "Contact: (whatever URI)"), "sip-contact", "parentheses"),
    ] {
        let excused = excerpt(&text);
        let told = |violation: &&Violation| violation.code == code && violation.message.contains(excuse);
        assert_eq!(excused.iter().find(told).map(|violation| violation.level), Some(Level::Warning), "{text}: {excused:?}");
        let strict = findings(&text, Transport::Udp);
        assert!(strict.iter().any(|violation| violation.code == code && violation.level == Level::Error), "{text}: {strict:?}");
    }
}

#[test]
fn lines_that_end_with_a_bare_feed_are_noticed_once() {
    let bytes = Bytes::from(format!("{REQUEST}\n"));
    let message = Message::decode(bytes.clone()).expect("the decoder takes them");
    assert_eq!(message.encode(), bytes);
    let found = validate(&message, Transport::Tcp);
    assert_eq!(found.iter().map(|violation| violation.code).collect::<Vec<_>>(), ["sip-line-end"]);
}

#[test]
fn text_that_is_not_utf_8_is_noticed_and_the_rest_still_read() {
    let mut bytes = plus("Subject: M\u{1}").replace('\n', "\r\n").into_bytes();
    let at = bytes.iter().position(|byte| *byte == 1).expect("it is there");
    bytes[at] = 0xfc;
    bytes.extend_from_slice(b"\r\n");
    let message = Message::decode(Bytes::from(bytes)).expect("decodes");
    let found = validate(&message, Transport::Tcp);
    assert_eq!(found.iter().map(|violation| (violation.code, violation.offset)).collect::<Vec<_>>(), [("sip-utf8", at)]);
}

#[test]
fn responses_owe_what_explains_them() {
    for (status, name) in [
        (401, "WWW-Authenticate"),
        (405, "Allow"),
        (420, "Unsupported"),
        (422, "Min-SE"),
        (423, "Min-Expires"),
        (489, "Allow-Events"),
    ] {
        let found = findings(&RESPONSE.replace("200 OK", &format!("{status} No")), Transport::Tcp);
        assert!(found.iter().any(|violation| violation.message == format!("{name} is missing")), "{status}: {found:?}");
    }
    let expires = RESPONSE.replace("Content-Length", "Session-Expires: 1800\nContent-Length");
    assert_eq!(codes(&expires), ["sip-session-expires"]);
}

#[test]
fn requests_owe_what_their_method_needs() {
    for (method, name) in
        [("SUBSCRIBE", "Event"), ("NOTIFY", "Subscription-State"), ("REFER", "Refer-To"), ("PRACK", "RAck"), ("PUBLISH", "Event")]
    {
        let found = findings(&REQUEST.replace("INVITE", method), Transport::Tcp);
        assert!(found.iter().any(|violation| violation.message == format!("{name} is missing")), "{method}: {found:?}");
    }
    let removal = REQUEST.replace("INVITE", "REGISTER").replace("sip:bob@home1", "sip:home1").replace("<sip:alice@a.example>", "*");
    assert_eq!(codes(&removal.replace("Content-Length", "Expires: 0\nContent-Length")), [""; 0]);
    assert_eq!(codes(&removal), ["sip-contact"]);
}
