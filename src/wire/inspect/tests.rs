use super::*;

fn sip(text: &str) -> Inspection {
    inspect(&Bytes::from(text.replace('\n', "\r\n")), As::Auto, Transport::Udp)
}

const GOOD: &str = "MESSAGE sip:bob@home1.example SIP/2.0
Via: SIP/2.0/UDP a.example;branch=z9hG4bKa
Max-Forwards: 70
f: <sip:alice@home1.example>;tag=1
To: <sip:bob@home1.example>
Call-ID: a@a.example
CSeq: 1
 MESSAGE
";

#[test]
fn a_good_message_is_fine_and_shown_with_full_names() {
    let inspection = sip(&format!("{GOOD}Content-Type: text/plain\nContent-Length: 5\n\nHi!\n"));
    assert_eq!(inspection.violations, []);
    assert!(inspection.is_fine());
    let tree = inspection.to_tree();
    assert!(tree.contains("\n    From (f): <sip:alice@home1.example>;tag=1\n"), "{tree}");
    assert!(tree.contains("\n    CSeq: 1 MESSAGE\n") && tree.contains("\n    body: text/plain, 5 octets\n      Hi!\n"), "{tree}");
}

#[test]
fn nested_bodies_are_followed_and_their_faults_placed_in_the_file() {
    let body = "--b\nContent-Type: application/sdp\n\nv=0\nnonsense\nm=message 9 TCP/MSRP *\n\n--b--\n";
    let text = format!("{GOOD}Content-Type: multipart/mixed;boundary=b\n\n{body}");
    let inspection = sip(&text);
    let fault = inspection.violations.iter().find(|violation| violation.rfc.starts_with("RFC 8866")).expect("the SDP is broken");
    let wire = text.replace('\n', "\r\n");
    assert!(fault.offset >= wire.find("v=0").expect("there is SDP"), "{fault:?}");
    assert!(inspection.parsed && inspection.lossless && !inspection.is_fine());
}

#[test]
fn what_does_not_parse_says_where() {
    let inspection = sip("INVITE sip:a@b SIP/2.0\nno colon\n\n");
    assert!(!inspection.parsed && !inspection.lossless);
    let line = inspection.to_json("x.sip");
    assert_eq!(
        line,
        "{\"file\":\"x.sip\",\"protocol\":\"sip\",\"parsed\":false,\"lossless\":false,\"violations\":[{\"code\":\
         \"sip-header-line\",\"level\":\"error\",\"offset\":24,\"rfc\":\"RFC 3261 7\",\"message\":\
         \"expected a header name and a colon\"}]}"
    );
}

#[test]
fn a_stream_may_hold_several_messages() {
    let one = format!("{GOOD}Content-Length: 0\n\n").replace('\n', "\r\n");
    let two = Bytes::from(format!("{one}\r\n\r\n{one}\r\n"));
    let stream = inspect(&two, As::Sip, Transport::Tcp);
    assert_eq!((stream.tree.len(), stream.is_fine(), stream.violations.len()), (2, true, 0));
    let datagram = inspect(&two, As::Sip, Transport::Udp);
    assert_eq!(datagram.violations.iter().map(|violation| violation.code).collect::<Vec<_>>(), ["sip-trailing"]);
}

#[test]
fn the_kind_of_message_is_guessed() {
    for (text, protocol) in [
        ("MSRP d93kswow SEND\r\n", Protocol::Msrp),
        ("\r\n\r\nSIP/2.0 200 OK\r\n", Protocol::Sip),
        ("NOTHING at all", Protocol::Sip),
        ("BYE sip:a SIP/2.0\r\n", Protocol::Sip),
        ("v=0\r\no=-", Protocol::Sdp),
        ("From: <im:a@b>\r\n", Protocol::Cpim),
    ] {
        assert_eq!(Protocol::guess(text.as_bytes()), protocol, "{text:?}");
    }
}

#[test]
fn an_unfinished_chunk_is_no_message() {
    let text =
        Bytes::from_static(b"MSRP a786hjs2 SEND\r\nTo-Path: msrp://b.example:7/b;tcp\r\nFrom-Path: msrp://a.example:7/a;tcp\r\n");
    let inspection = inspect(&text, As::Auto, Transport::Tcp);
    assert!(!inspection.parsed && !inspection.violations.is_empty());
}
