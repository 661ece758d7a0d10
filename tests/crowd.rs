//! Many held sessions in one PF: they stand, and who registers is answered.

#[path = "common/crowd.rs"]
mod crowd;

use std::thread;

use crowd::{Crowd, register};

const SESSIONS: usize = 300;

#[test]
fn held_sessions_keep_a_connection_each_and_a_register_is_answered_among_them() {
    let mut crowd = Crowd::new(SESSIONS);
    crowd.hold(|_| ());
    let registering = thread::spawn(|| register((0..SESSIONS).step_by(10)));
    crowd.serve_while(|| !registering.is_finished());
    assert_eq!(registering.join().expect("every REGISTER is answered").len(), SESSIONS / 10);
    // One to the focus for each session, besides a few for SIP.
    let open = crowd.connections();
    assert!((SESSIONS..SESSIONS + 50).contains(&open), "{open} connections for {SESSIONS} sessions");
    assert!(crowd.resident() > 0);
    // With nothing missed nobody is invited.
    assert_eq!(crowd.further, 0);
}
