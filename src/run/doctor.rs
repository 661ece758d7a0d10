//! Whether the surroundings of a run are as it needs them: our addresses, the target's, certificates,
//! clock and descriptors.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;

use super::foreign::Foreign;
use crate::engine::Transport;
use crate::net::socket::{self, Bound, Fault, Limits, Listener, Tls, Use, names_of};
use crate::suite::targets::Reach;
use crate::wire::datetime;
use crate::wire::sip::{Builder, Message, Name};

/// How long a target may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Descriptors that a run may need: two sockets and a few connections for every actor.
const DESCRIPTORS: u64 = 1_024;
/// How far two clocks may be apart, in seconds.
const SKEW: i64 = 60;
/// No machine has been running since before this: 1 January 2024.
const PAST: i64 = 1_704_067_200;

/// How a check went.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum State {
    /// As it has to be.
    Fine,
    /// A run is possible, and less than it could be.
    Doubtful,
    /// No run is possible.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// What.
    pub what: String,
    /// How it went.
    pub state: State,
    /// What was found.
    pub found: String,
    /// How to mend it; empty when there is nothing to mend.
    pub mend: String,
}

impl Check {
    /// A check that found what it has to find.
    pub fn fine(what: impl Into<String>, found: impl Into<String>) -> Self {
        Self { what: what.into(), state: State::Fine, found: found.into(), mend: String::new() }
    }

    /// A check that found less.
    pub fn doubtful(what: impl Into<String>, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { state: State::Doubtful, mend: mend.into(), ..Self::fine(what, found) }
    }

    /// A check that found something that has to be mended.
    pub fn bad(what: impl Into<String>, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { state: State::Bad, ..Self::doubtful(what, found, mend) }
    }
}

/// Checks this machine alone.
pub fn machine() -> Vec<Check> {
    vec![descriptors(), clock(now()), loopback()]
}

/// Checks what lies between this machine and a target, and the target.
pub fn target(foreign: &Foreign) -> Vec<Check> {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(why) => return vec![Check::bad("runtime", why.to_string(), "see what the system says")],
    };
    let _inside = runtime.enter();
    let mut checks = own_addresses(foreign);
    let tls = match tls_of(foreign) {
        Ok(tls) => tls,
        Err(fault) => {
            checks.push(Check::bad("certificates", fault.to_string(), "name other files in `tls` of the target"));
            return checks;
        }
    };
    for reach in &foreign.target.addresses.pf {
        checks.extend(runtime.block_on(answers(foreign, *reach, &tls)));
    }
    checks.extend(runtime.block_on(media(foreign, &tls)));
    checks.push(control(foreign));
    checks
}

/// Whether the target answers at all where our actors will speak to it.
///
/// # Errors
///
/// Why not.
pub fn greet(foreign: &Foreign) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|why| why.to_string())?;
    let _inside = runtime.enter();
    let tls = tls_of(foreign).map_err(|fault| fault.to_string())?;
    runtime.block_on(options(foreign, foreign.reach, &tls)).map(drop)
}

fn tls_of(foreign: &Foreign) -> Result<Tls, Fault> {
    Tls::new(&foreign.tls(), &names_of(foreign.target.addresses.ours().map(|(_, address)| address)), &foreign.names())
}

/// Seconds since 1970.
fn now() -> i64 {
    i64::try_from(socket::Clock::since_1970().as_secs()).unwrap_or(i64::MAX)
}

fn descriptors() -> Check {
    match socket::raise_descriptor_limit(DESCRIPTORS) {
        Ok(limit) => Check::fine("descriptors", format!("{limit} may be open")),
        Err(fault) => {
            Check::doubtful("descriptors", fault.to_string(), "ulimit -n 4096, or run fewer scenarios at a time (--jobs)")
        }
    }
}

fn clock(now: i64) -> Check {
    let date = datetime::format(now.saturating_mul(1_000_000));
    if now >= PAST {
        return Check::fine("clock", date);
    }
    Check::doubtful("clock", format!("{date}, which is past"), "set the date: certificates and DateTime headers depend on it")
}

/// The addresses of runs against our own PF.
fn loopback() -> Check {
    let bound = std::net::UdpSocket::bind((Ipv4Addr::new(127, 2, 0, 1), 0));
    match bound {
        Ok(_) => Check::fine("loopback", "127.0.0.0/8 is ours, self:udp, self:tcp and self:tls can be run"),
        Err(why) => Check::doubtful(
            "loopback",
            format!("127.2.0.1 cannot be bound: {why}"),
            "add 127.0.0.0/8 to the loopback card; only `reference` can be run so far",
        ),
    }
}

/// Whether our actors can live where the configuration puts them.
fn own_addresses(foreign: &Foreign) -> Vec<Check> {
    let check = |(role, address): (&str, IpAddr)| {
        let what = format!("{role} {address}");
        match Bound::bind(&listeners(foreign, address), &Limits::default()) {
            Ok(_) => Check::fine(what, format!("ports {} are free", ports(foreign))),
            Err(fault) => Check::bad(what, fault.to_string(), remedy(&fault, address)),
        }
    };
    foreign.target.addresses.ours().map(check).collect()
}

fn ports(foreign: &Foreign) -> &'static str {
    if foreign.transport() == Transport::Tls { "5060, 5061 and 2855" } else { "5060 and 2855" }
}

fn listeners(foreign: &Foreign, address: IpAddr) -> Vec<Listener> {
    let listener = |of, transport, port| Listener { of, transport, address: SocketAddr::new(address, port) };
    let mut listeners = vec![
        listener(Use::Sip, Transport::Udp, 5060),
        listener(Use::Sip, Transport::Tcp, 5060),
        listener(Use::Msrp, Transport::Tcp, 2855),
    ];
    if foreign.transport() == Transport::Tls {
        listeners.push(listener(Use::Sip, Transport::Tls, 5061));
    }
    listeners
}

fn remedy(fault: &Fault, address: IpAddr) -> String {
    match fault {
        Fault::Bind { cause, address: socket, .. } => match cause.kind() {
            std::io::ErrorKind::AddrInUse => format!("stop what has the port: ss -lnp 'sport = {}'", socket.port()),
            std::io::ErrorKind::AddrNotAvailable => format!("ip address add {address} dev INTERFACE, or list another address"),
            _ => "list another address".to_owned(),
        },
        Fault::Descriptors { .. } | Fault::Tls(_) | Fault::Io(..) => "see what the system says".to_owned(),
    }
}

/// What the target answers to OPTIONS over one of its transports.
async fn answers(foreign: &Foreign, reach: Reach, tls: &Tls) -> Vec<Check> {
    let token = reach.transport.token().to_ascii_lowercase();
    let what = format!("pf {token}:{}", reach.address);
    let answer = match options(foreign, reach, tls).await {
        Ok(answer) => answer,
        Err(why) => return vec![Check::bad(what, why, mend_silence(reach, foreign))],
    };
    let status = answer.status().unwrap_or(0);
    let agent = answer.value(Name::Server).or_else(|| answer.value(Name::UserAgent)).map(|name| format!(", {}", name.trim()));
    let found = format!("OPTIONS is answered {status}{}", agent.unwrap_or_default());
    let mut checks = vec![if (200..300).contains(&status) {
        Check::fine(what.clone(), found)
    } else {
        Check::doubtful(what.clone(), found, "any answer shows that it is there; 200 would show that it takes our requests")
    }];
    if reach.transport == Transport::Tls && tls.trusts_all() {
        let found = "any certificate is taken, since the target names none to trust";
        checks.push(Check::doubtful(format!("{what} certificate"), found, "name the issuer: tls = { trusted = \"ca.pem\" }"));
    } else if reach.transport == Transport::Tls {
        checks.push(Check::fine(format!("{what} certificate"), "accepted"));
    }
    if reach.transport == Transport::Udp {
        checks.push(large(foreign, reach).await);
    }
    checks.extend(answer.value(Name::Date).and_then(|date| apart(&what, date)));
    checks
}

/// Requests above 1300 bytes go by TCP to the same port (RFC 3261 18.1.1).
async fn large(foreign: &Foreign, reach: Reach) -> Check {
    let what = format!("pf tcp:{} for large requests", reach.address);
    match socket::reach(reach.address, source(foreign), None, PATIENCE).await {
        Ok(()) => Check::fine(what, "takes connections"),
        Err(why) => Check::doubtful(
            what,
            why.to_string(),
            "requests above 1300 bytes go there (RFC 3261 18.1.1); have it listen on TCP too",
        ),
    }
}

fn mend_silence(reach: Reach, foreign: &Foreign) -> String {
    match reach.transport {
        Transport::Tls => "check that it listens there, that its certificate carries this address, and `tls.trusted`".to_owned(),
        Transport::Udp | Transport::Tcp => {
            format!("check that it listens there, lets {} in, and that nothing filters between", source(foreign))
        }
    }
}

/// How far the target's clock is from ours.
fn apart(what: &str, date: &str) -> Option<Check> {
    let theirs = seconds_of(date)?;
    let apart = theirs.saturating_sub(now());
    let what = format!("{what} clock");
    Some(if apart.abs() <= SKEW {
        Check::fine(what, format!("{} s from ours", apart.abs()))
    } else {
        Check::doubtful(what, format!("{} s from ours", apart.abs()), "let both follow one time server")
    })
}

/// The value of a Date header (RFC 3261 20.17), in seconds since 1970.
fn seconds_of(date: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = date.split_whitespace().skip(1);
    let (day, month, year, time) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let month = MONTHS.iter().position(|known| known.eq_ignore_ascii_case(month))? + 1;
    datetime::parse(&format!("{year}-{month:02}-{day:0>2}T{time}Z")).ok().map(|micros| micros / 1_000_000)
}

async fn media(foreign: &Foreign, tls: &Tls) -> Option<Check> {
    let peer = foreign.target.addresses.msrp?;
    let what = format!("pf msrp {peer}");
    let secure = (foreign.transport() == Transport::Tls).then_some(tls);
    Some(match socket::reach(peer, source(foreign), secure, PATIENCE).await {
        Ok(()) => Check::fine(what, "takes connections"),
        Err(why) => {
            Check::bad(what, why.to_string(), "check that it listens there; leave `msrp` out if it listens only within sessions")
        }
    })
}

/// Whether the programs by which the target is controlled are there.
fn control(foreign: &Foreign) -> Check {
    let control = &foreign.target.control;
    let commands = [("reset", &control.reset), ("restart", &control.restart), ("policy", &control.policy)];
    let missing = commands.iter().find_map(|(name, command)| {
        let program = command.first()?;
        (program.contains('/') && !std::path::Path::new(program).is_file()).then(|| format!("`{name}`: there is no {program}"))
    });
    if let Some(missing) = missing {
        return Check::bad("control", missing, "mend the path; it is seen from the folder of the configuration");
    }
    let offered: Vec<&str> = commands.iter().filter(|(_, command)| !command.is_empty()).map(|(name, _)| *name).collect();
    if control.reset.is_empty() && control.policy.is_empty() {
        let found = if offered.is_empty() { "none".to_owned() } else { offered.join(", ") };
        let mend = "give `control.reset`, else what one scenario leaves behind meets the next one";
        return Check::doubtful("control", found, mend);
    }
    Check::fine("control", offered.join(", "))
}

fn source(foreign: &Foreign) -> IpAddr {
    foreign.target.addresses.core.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

async fn options(foreign: &Foreign, reach: Reach, tls: &Tls) -> Result<Message, String> {
    let place = (reach.transport, reach.address);
    let answer = socket::ask(place, source(foreign), tls, PATIENCE, |local| question(reach, local)).await;
    let answer = answer.map_err(|why| why.to_string())?;
    let message = Message::decode(answer).map_err(|fault| format!("its answer is no SIP: {fault}"))?;
    if message.status().is_some() { Ok(message) } else { Err("it answered with a request".to_owned()) }
}

/// An OPTIONS that is answered where it came from (RFC 3581).
fn question(reach: Reach, local: SocketAddr) -> Bytes {
    let token = reach.transport.token();
    let uri = format!("sip:{};transport={}", reach.address, token.to_ascii_lowercase());
    let mark = format!("{}-{}", std::process::id(), local.port());
    Builder::request("OPTIONS", &uri)
        .push("Via", format!("SIP/2.0/{token} {local};branch=z9hG4bK-doctor-{mark};rport"))
        .push("Max-Forwards", "70")
        .push("From", format!("<sip:doctor@{local}>;tag=doctor-{mark}"))
        .push("To", format!("<{uri}>"))
        .push("Call-ID", format!("doctor-{mark}"))
        .push("CSeq", "1 OPTIONS")
        .push("Contact", format!("<sip:doctor@{local}>"))
        .push("Accept", "application/sdp")
        .push("Content-Length", "0")
        .encode()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_never_set_is_doubtful() {
        assert_eq!(clock(0).state, State::Doubtful);
        assert_eq!(clock(PAST).state, State::Fine);
    }

    #[test]
    fn what_has_to_be_mended_says_how() {
        let address = IpAddr::from([192, 0, 2, 1]);
        let fault = |kind: std::io::ErrorKind| Fault::Bind {
            transport: Transport::Udp,
            address: SocketAddr::new(address, 5060),
            cause: kind.into(),
        };
        assert!(remedy(&fault(std::io::ErrorKind::AddrNotAvailable), address).starts_with("ip address add 192.0.2.1"));
        assert!(remedy(&fault(std::io::ErrorKind::AddrInUse), address).contains("5060"));
    }

    #[test]
    fn the_date_of_a_target_is_read() {
        assert_eq!(seconds_of("Sat, 13 Nov 2010 23:29:00 GMT"), Some(1_289_690_940));
        assert_eq!(seconds_of("yesterday"), None);
        assert!(apart("pf", "Sat, 13 Nov 2010 23:29:00 GMT").is_some_and(|check| check.state == State::Doubtful));
    }

    #[test]
    fn the_question_is_a_request_that_we_can_read() {
        let reach = Reach { transport: Transport::Tcp, address: SocketAddr::from(([192, 0, 2, 10], 5070)) };
        let message = Message::decode(question(reach, SocketAddr::from(([192, 0, 2, 1], 4000)))).expect("a message");
        assert_eq!((message.method_token(), message.request_uri()), (Some("OPTIONS"), Some("sip:192.0.2.10:5070;transport=tcp")));
    }
}
