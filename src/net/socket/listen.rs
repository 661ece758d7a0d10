//! Sockets that wait: datagrams, and listeners for connections.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::sync::mpsc::{Receiver, Sender};

use super::drain::Share;
use super::stream::Stream;
use super::tls::Tls;
use super::{Arrival, Fault, Wire};
use crate::engine::{Input, Transport};
use crate::net::NodeId;

/// The largest datagram.
const DATAGRAM: usize = 65_535;
/// Connections that the system keeps until they are accepted.
const BACKLOG: i32 = 1_024;
/// The pause after an accept that failed, for want of descriptors say.
const BREATH: Duration = Duration::from_millis(100);

fn socket(address: SocketAddr, kind: Type, protocol: Protocol) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Binds a UDP socket.
pub(super) fn bind_udp(address: SocketAddr, buffer: usize) -> Result<UdpSocket, Fault> {
    let bind = || {
        let socket = socket(address, Type::DGRAM, Protocol::UDP)?;
        // What the system grants may be less; bursts are then lost and repeated.
        let _ = socket.set_recv_buffer_size(buffer);
        socket.bind(&address.into())?;
        UdpSocket::from_std(socket.into())
    };
    bind().map_err(|cause| Fault::Bind { transport: Transport::Udp, address, cause })
}

/// Binds a listener. A port in TIME-WAIT is no hindrance, one in use is.
pub(super) fn bind_tcp(transport: Transport, address: SocketAddr) -> Result<TcpListener, Fault> {
    let bind = || {
        let socket = socket(address, Type::STREAM, Protocol::TCP)?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    };
    bind().map_err(|cause| Fault::Bind { transport, address, cause })
}

/// Reads datagrams until the driver is gone or wants no more.
pub(super) async fn read_datagrams(node: NodeId, local: SocketAddr, socket: Arc<UdpSocket>, inbox: Sender<Arrival>, share: Share) {
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let read = tokio::select! {
            biased;
            read = socket.recv_from(&mut buffer) => read,
            () = share.last_call() => return,
        };
        match read {
            Ok((size, peer)) => {
                let data = Bytes::copy_from_slice(&buffer[..size]);
                let input = Input::Datagram { local, peer, data };
                if inbox.send(Arrival { node, wire: Wire::Input(input) }).await.is_err() {
                    return;
                }
            }
            // What an earlier datagram met with is no fault of the next one.
            Err(fault) => tracing::debug!(target: "socket", %local, %fault, "a datagram could not be read"),
        }
    }
}

/// Writes datagrams until the driver is gone.
pub(super) async fn write_datagrams(socket: Arc<UdpSocket>, mut waiting: Receiver<(SocketAddr, Bytes, Share)>) {
    while let Some((peer, data, _share)) = waiting.recv().await {
        if let Err(fault) = socket.send_to(&data, peer).await {
            tracing::debug!(target: "socket", %peer, %fault, "a datagram could not be sent");
        }
    }
}

/// A listener and what becomes of the connections that it accepts.
#[derive(Clone, Debug)]
pub(super) struct Doorman {
    pub(super) node: NodeId,
    /// TLS to be spoken first.
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) patience: Duration,
    pub(super) inbox: Sender<Arrival>,
}

impl Doorman {
    /// Accepts connections until the driver is gone.
    pub(super) async fn run(self, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    tokio::spawn(self.clone().welcome(stream, peer));
                }
                Err(fault) => {
                    tracing::warn!(target: "socket", %fault, "a connection could not be accepted");
                    tokio::time::sleep(BREATH).await;
                }
            }
        }
    }

    async fn welcome(self, stream: TcpStream, peer: SocketAddr) {
        let Ok(local) = stream.local_addr() else { return };
        // Without it small messages wait for each other's acknowledgements.
        let _ = stream.set_nodelay(true);
        let stream = match &self.tls {
            None => Stream::Tcp(stream),
            Some(tls) => match tokio::time::timeout(self.patience, tls.accept(stream)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(fault)) => return tracing::debug!(target: "socket", %peer, %fault, "no TLS connection came about"),
                Err(_) => return tracing::debug!(target: "socket", %peer, "TLS took too long"),
            },
        };
        let _ = self.inbox.send(Arrival { node: self.node, wire: Wire::Accepted { stream, local, peer } }).await;
    }
}

/// Opens a connection from an address of ours.
pub(super) async fn connect(
    source: Option<IpAddr>,
    peer: SocketAddr,
    tls: Option<&Tls>,
    patience: Duration,
) -> std::io::Result<(Stream, SocketAddr)> {
    let attempt = async {
        let socket = if peer.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
        if let Some(source) = source {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        let stream = socket.connect(peer).await?;
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        let stream = match tls {
            Some(tls) => tls.connect(stream, peer).await?,
            None => Stream::Tcp(stream),
        };
        Ok((stream, local))
    };
    tokio::time::timeout(patience, attempt).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}

/// The address to connect from: one of ours of the peer's family, unless it stands for all.
pub(super) fn source_for(peer: SocketAddr, ours: impl Iterator<Item = IpAddr>) -> Option<IpAddr> {
    let unspecified = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    ours.filter(|own| own.is_ipv4() == peer.is_ipv4()).find(|own| !unspecified.contains(own))
}
