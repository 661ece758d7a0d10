//! One connection: a task that reads and writes until either side ends it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::mpsc::Sender;
use tokio_rustls::TlsStream;

use super::drain::Share;
use super::queue::{Next, Queue};
use super::{Arrival, Wire};
use crate::engine::{Closure, ConnectionId, Input};
use crate::net::NodeId;

/// How long an ended connection waits for the peer to take what is left, and to end its side.
const LINGER: Duration = Duration::from_secs(2);
/// How long a driver that ends listens to a peer that says nothing.
const QUIET: Duration = Duration::from_millis(200);
/// How much is read at a time.
const READ: usize = 64 * 1024;

/// A TCP connection, inside TLS or not.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    pub(super) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Tcp(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Makes the closing of the socket a reset.
    fn abort(&self) {
        // If the system will not, the connection ends in good order, which serves as well.
        let _ = socket2::SockRef::from(self.tcp()).set_linger(Some(Duration::ZERO));
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}

/// The buffer into which all connections of a driver read, one after the other, so that an idle
/// connection holds no memory for what may come.
#[derive(Clone, Debug)]
pub(super) struct Scratch(Arc<Mutex<Box<[u8]>>>);

impl Default for Scratch {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(vec![0; READ].into_boxed_slice())))
    }
}

impl Scratch {
    fn poll_read(&self, stream: &mut ReadHalf<Stream>, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let mut scratch = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffer = ReadBuf::new(&mut scratch);
        ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(Bytes::copy_from_slice(buffer.filled())))
    }

    async fn read(&self, stream: &mut ReadHalf<Stream>) -> io::Result<Bytes> {
        std::future::poll_fn(|cx| self.poll_read(stream, cx)).await
    }
}

/// What a connection's task needs to know.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) node: NodeId,
    pub(super) connection: ConnectionId,
    pub(super) queue: Arc<Queue>,
    pub(super) scratch: Scratch,
    pub(super) inbox: Sender<Arrival>,
}

impl Line {
    pub(super) async fn tell(&self, input: Input) {
        // A driver that is gone wants to hear nothing.
        let _ = self.inbox.send(Arrival { node: self.node, wire: Wire::Input(input) }).await;
    }

    /// Moves bytes until the connection ends, and tells how it did.
    pub(super) async fn run(self, stream: Stream, share: Share) {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let ended = self.carry(&mut reader, &mut writer, share).await;
        if ended == Closure::Finished {
            // Whatever the outcome, the connection is over.
            let _ = tokio::time::timeout(LINGER, self.part(&mut reader, &mut writer)).await;
        }
        let stream = reader.unsplit(writer);
        if ended != Closure::Finished || self.queue.is_aborted() {
            stream.abort();
        }
        drop(stream);
        self.tell(Input::Closed { connection: self.connection, how: ended }).await;
    }

    /// Moves bytes in both directions until our side has ended. When the peer ends its side first, the
    /// driver ends ours once the engine has dealt with what came before: that is still answered.
    async fn carry(&self, reader: &mut ReadHalf<Stream>, writer: &mut WriteHalf<Stream>, share: Share) -> Closure {
        let (reading, writing, overdue) = (self.read_all(reader, share), self.write_all(writer), self.queue.overdue(LINGER));
        tokio::pin!(reading, writing, overdue);
        let peer = tokio::select! {
            how = &mut reading => how,
            how = &mut writing => return how,
            () = &mut overdue => return Closure::Reset,
        };
        if peer != Closure::Finished {
            return peer;
        }
        let said = Arrival { node: self.node, wire: Wire::Ended { connection: self.connection } };
        if self.inbox.send(said).await.is_err() {
            return peer;
        }
        tokio::select! {
            _ = &mut writing => peer,
            () = &mut overdue => Closure::Reset,
        }
    }

    /// Reads until the peer has ended its side. Once the driver wants no more, that is not noticed.
    async fn read_all(&self, reader: &mut ReadHalf<Stream>, share: Share) -> Closure {
        loop {
            self.queue.relieved().await;
            let read = tokio::select! {
                biased;
                read = self.scratch.read(reader) => read,
                () = share.last_call() => break,
            };
            match read {
                Ok(data) if data.is_empty() => return Closure::Finished,
                Ok(data) => self.tell(Input::Received { connection: self.connection, data }).await,
                // TLS without close_notify: the TCP connection ended in good order.
                Err(fault) if fault.kind() == io::ErrorKind::UnexpectedEof => return Closure::Finished,
                Err(_) => return Closure::Reset,
            }
        }
        drop(share);
        std::future::pending().await
    }

    async fn write_all(&self, writer: &mut WriteHalf<Stream>) -> Closure {
        loop {
            match self.queue.next().await {
                Next::End(how) => return how,
                Next::Write(data) => {
                    if self.write(writer, data).await.is_err() {
                        return Closure::Reset;
                    }
                }
            }
        }
    }

    /// Writes bytes to the end, unless the connection is given up meanwhile.
    async fn write(&self, writer: &mut WriteHalf<Stream>, mut data: Bytes) -> io::Result<()> {
        while data.has_remaining() {
            let written = writer.write(&data).await?;
            if written == 0 || self.queue.is_aborted() {
                return Err(io::ErrorKind::WriteZero.into());
            }
            data.advance(written);
            self.queue.wrote(written);
        }
        writer.flush().await?;
        self.queue.flushed();
        Ok(())
    }

    /// Ends our side, then reads what the peer still says: to close a socket with unread bytes would
    /// be a reset, and could take back what was just sent.
    async fn part(&self, reader: &mut ReadHalf<Stream>, writer: &mut WriteHalf<Stream>) -> io::Result<()> {
        writer.shutdown().await?;
        loop {
            let read = self.scratch.read(reader);
            let said = if self.queue.is_leaving() { tokio::time::timeout(QUIET, read).await?? } else { read.await? };
            if said.is_empty() {
                return Ok(());
            }
        }
    }
}
