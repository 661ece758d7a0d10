//! One question to a peer, to learn whether it can be reached at all.

use std::io::{Error, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;

use super::listen::connect;
use super::tls::Tls;
use crate::engine::Transport;

/// How often a datagram is sent before it counts as unanswered.
const REPETITIONS: u32 = 4;
/// The longest answer.
const LONGEST: usize = 65_535;

/// Sends what `question` makes of our address, and returns the first answer, or what of it came.
///
/// # Errors
///
/// Why no answer came: what the system said, or that time is over.
pub async fn ask(
    (transport, peer): (Transport, SocketAddr),
    source: IpAddr,
    tls: &Tls,
    patience: Duration,
    question: impl Fn(SocketAddr) -> Bytes,
) -> Result<Bytes, Error> {
    if transport == Transport::Udp {
        return ask_by_datagram(peer, source, patience, question).await;
    }
    let tls = (transport == Transport::Tls).then_some(tls);
    let (mut stream, local) = connect(Some(source), peer, tls, patience).await?;
    stream.write_all(&question(local)).await?;
    stream.flush().await?;
    let mut answer = Vec::new();
    let whole = async {
        while !answer.windows(4).any(|end| end == b"\r\n\r\n") && answer.len() < LONGEST {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err(Error::new(ErrorKind::UnexpectedEof, "it closed the connection"));
            }
        }
        Ok(())
    };
    tokio::time::timeout(patience, whole).await.unwrap_or_else(|_| Err(silent()))?;
    Ok(answer.into())
}

async fn ask_by_datagram(
    peer: SocketAddr,
    source: IpAddr,
    patience: Duration,
    question: impl Fn(SocketAddr) -> Bytes,
) -> Result<Bytes, Error> {
    let socket = UdpSocket::bind(SocketAddr::new(source, 0)).await?;
    socket.connect(peer).await?;
    let question = question(socket.local_addr()?);
    let mut buffer = vec![0; LONGEST];
    for _ in 0..REPETITIONS {
        socket.send(&question).await?;
        match tokio::time::timeout(patience / REPETITIONS, socket.recv(&mut buffer)).await {
            Ok(length) => return Ok(Bytes::copy_from_slice(&buffer[..length?])),
            Err(_) => continue,
        }
    }
    Err(silent())
}

fn silent() -> Error {
    Error::new(ErrorKind::TimedOut, "no answer came")
}

/// Opens a connection and closes it again.
///
/// # Errors
///
/// Why it did not come up.
pub async fn reach(peer: SocketAddr, source: IpAddr, tls: Option<&Tls>, patience: Duration) -> Result<(), Error> {
    connect(Some(source), peer, tls, patience).await.map(drop)
}
