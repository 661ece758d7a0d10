//! What peers that misbehave can do: they are closed in bounded time, and nobody else notices.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::time::Duration;

use super::secure::Client;
use super::server::{PATIENCE, Server, connect, first_line, is_closed, options};

#[test]
fn a_peer_that_sends_garbage_is_closed_and_nobody_else_notices() {
    let server = Server::start("");
    let mut good = server.tcp();
    good.write_all(&options("good-1", "")).expect("a request");
    assert!(first_line(&mut good).starts_with("SIP/2.0 "));
    for (address, garbage) in [(server.tcp, &b"\x00\xff\x17nonsense\r\n\r\n"[..]), (server.msrp, b"GET / HTTP/1.1\r\n\r\n")] {
        let mut bad = connect(address);
        bad.write_all(garbage).expect("garbage");
        assert!(is_closed(&mut bad), "{address} was not closed");
    }
    UdpSocket::bind("127.0.0.1:0").expect("a socket").send_to(b"\x00\x01\x02", server.udp).expect("garbage");
    good.write_all(&options("good-2", "")).expect("a request");
    assert!(first_line(&mut good).starts_with("SIP/2.0 "));
    assert!(server.udp_answers());
}

#[test]
fn half_a_message_and_silence_are_closed_in_bounded_time() {
    let server = Server::start("[limits]\nunfinished = 0.4\n");
    let mut halves: Vec<TcpStream> = vec![server.tcp(), server.tcp(), connect(server.msrp), connect(server.msrp)];
    halves[0].write_all(b"OPTIONS sip:pf SIP/2.0\r\nVia: ").expect("half a message");
    halves[2].write_all(b"MSRP a1b2c3d4 SEND\r\nTo-Path: msrp://").expect("half a message");
    for half in &mut halves {
        assert!(is_closed(half), "a peer that says nothing whole stays");
    }
    assert!(server.udp_answers());
}

#[test]
fn bytes_that_drip_do_not_hold_a_connection_open() {
    let server = Server::start("[limits]\nunfinished = 0.5\n");
    let mut drip = server.tcp();
    drip.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
    drip.write_all(b"OPTIONS sip:pf SIP/2.0\r\nX: ").expect("half a message");
    let mut byte = [0; 1];
    // Each round waits for the server to close, and adds a byte when it does not.
    let closed = (0..400).any(|_| match drip.read(&mut byte) {
        Ok(_) => true,
        Err(fault) if matches!(fault.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => drip.write_all(b"x").is_err(),
        Err(_) => true,
    });
    assert!(closed, "a byte now and then keeps the connection");
}

#[test]
fn an_oversized_header_is_refused_before_it_is_stored() {
    let server = Server::start("");
    let mut bad = server.tcp();
    let endless = vec![b'a'; 1 << 20];
    // The server may close while we are still writing.
    let _ = bad.write_all(b"OPTIONS sip:pf SIP/2.0\r\nX-Endless: ").and_then(|()| bad.write_all(&endless));
    assert!(is_closed(&mut bad));
    assert!(server.udp_answers());
}

#[test]
fn a_peer_that_does_not_read_is_given_up_and_holds_up_nobody() {
    let server = Server::start("[limits]\nstalled = 0.5\n");
    let mut deaf = server.tcp();
    deaf.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    let padding = format!("X-Padding: {}\r\n", "p".repeat(800));
    let batch: Vec<u8> = (0..64).flat_map(|number| options(&format!("deaf-{number}"), &padding)).collect();
    let fault = (0..100_000).find_map(|_| deaf.write_all(&batch).err()).expect("an endless peer is cut off");
    let given_up = matches!(fault.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted);
    assert!(given_up, "{fault}");
    assert!(server.udp_answers());
}

#[test]
fn an_msrp_peer_that_does_not_read_is_given_up_and_holds_up_nobody() {
    let server = Server::start("[limits]\nstalled = 0.5\n");
    let mut deaf = connect(server.msrp);
    deaf.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    let batch: Vec<u8> = (0..64).flat_map(|number| send(&format!("deaf{number:04}"), &server)).collect();
    let fault = (0..100_000).find_map(|_| deaf.write_all(&batch).err()).expect("an endless peer is cut off");
    let given_up = matches!(fault.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted);
    assert!(given_up, "{fault}");
    assert!(server.udp_answers());
}

#[test]
fn a_peer_that_ends_its_side_still_gets_every_answer() {
    let server = Server::start("");
    let asked = 200;
    let requests: Vec<u8> = (0..asked).flat_map(|number| options(&format!("half-{number}"), "")).collect();
    let sends: Vec<u8> = (0..asked).flat_map(|number| send(&format!("half{number:04}"), &server)).collect();
    for (address, said, answer) in [(server.tcp, &requests, "SIP/2.0 200 "), (server.msrp, &sends, " 481 ")] {
        let mut half = connect(address);
        half.write_all(said).expect("requests");
        half.shutdown(Shutdown::Write).expect("an end");
        let mut heard = String::new();
        half.read_to_string(&mut heard).expect("answers, then the end");
        assert_eq!(heard.matches(answer).count(), asked, "{address}");
    }
}

#[test]
fn a_peer_that_ends_its_side_and_says_nothing_is_closed() {
    let server = Server::start("");
    for address in [server.tcp, server.msrp, server.tls] {
        let mut half = connect(address);
        half.shutdown(Shutdown::Write).expect("an end");
        assert!(is_closed(&mut half), "{address}");
    }
}

#[test]
fn a_port_of_tls_is_no_better_place_for_garbage_or_silence() {
    let server = Server::start(&format!("{}[limits]\nunfinished = 0.4\nconnect = 0.4\n", super::secure::identity()));
    let mut good = Client::connect(server.tls, false).expect("a handshake");
    good.write_all(&options("tls-0", "")).expect("a request");
    assert!(first_line(&mut good).starts_with("SIP/2.0 200 "));
    for said in [&b"OPTIONS sip:pf SIP/2.0\r\n\r\n"[..], &[0x16, 3, 1, 2, 0, 1], &[0xff; 4_096], b""] {
        let mut bad = connect(server.tls);
        // The server may close while we are still writing.
        let _ = bad.write_all(said);
        assert!(is_closed(&mut bad), "{} bytes and no handshake", said.len());
    }
    good.write_all(&options("tls-1", "")).expect("a request");
    assert!(first_line(&mut good).starts_with("SIP/2.0 200 "), "nobody else noticed");
    for said in [&b"\x00\x17nonsense\r\n\r\n"[..], b"OPTIONS sip:pf SIP/2.0\r\nVia: ", b""] {
        let mut bad = Client::connect(server.tls, false).expect("a handshake");
        bad.write_all(said).and_then(|()| bad.flush()).expect("what is no message");
        assert!(is_closed(&mut bad), "{} bytes inside of TLS", said.len());
    }
    assert!(server.udp_answers());
}

#[test]
fn datagrams_of_every_kind_of_garbage_change_nothing() {
    let server = Server::start("");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let whole = options("udp-garbage", "");
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        // xorshift: any bytes will do, as long as they are the same each time.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    socket.send_to(&[], server.udp).expect("an empty datagram");
    socket.send_to(&vec![b'A'; 65_507], server.udp).expect("the largest datagram");
    for length in 0..whole.len() {
        socket.send_to(&whole[..length], server.udp).expect("a part");
    }
    for _ in 0..2_000 {
        let mut spoilt = whole.clone();
        for _ in 0..1 + next() % 8 {
            let at = next() as usize % spoilt.len();
            spoilt[at] = next() as u8;
        }
        socket.send_to(&spoilt, server.udp).expect("a datagram");
    }
    assert!(server.udp_answers());
}

#[test]
fn many_who_misbehave_at_once_do_not_keep_one_who_behaves_waiting() {
    let server = Server::start("[limits]\nunfinished = 0.5\nstalled = 0.5\n");
    let said: [&[u8]; 3] = [b"\x00\x17nonsense\r\n\r\n", b"OPTIONS sip:pf SIP/2.0\r\nVia: ", b""];
    let mut bad: Vec<TcpStream> = Vec::new();
    for number in 0..150 {
        let mut peer = connect(if number % 2 == 0 { server.tcp } else { server.msrp });
        peer.write_all(said[number % 3]).expect("what is no message");
        bad.push(peer);
    }
    let mut good = server.tcp();
    for number in 0..20 {
        good.write_all(&options(&format!("among-{number}"), "")).expect("a request");
        assert!(first_line(&mut good).starts_with("SIP/2.0 200 "));
    }
    for peer in &mut bad {
        peer.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        assert!(is_closed(peer), "one stays");
    }
}

/// A SEND for a session that is not there; it is answered 481.
fn send(id: &str, server: &Server) -> Vec<u8> {
    let padding = "p".repeat(600);
    format!(
        "MSRP {id} SEND\r\nTo-Path: msrp://{}/nobody;tcp\r\nFrom-Path: msrp://127.0.0.1:9/peer;tcp\r\nMessage-ID: m{id}\r\n\
         Byte-Range: 1-600/600\r\nContent-Type: text/plain\r\n\r\n{padding}\r\n-------{id}$\r\n",
        server.msrp
    )
    .into_bytes()
}
