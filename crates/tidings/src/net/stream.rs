//! Decides how a request and its response travel over TCP: one exchange per connection, each
//! message behind its length (4 bytes, little-endian), all of it bounded in bytes and time.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tidings_proto::io::RequestError;
use tidings_proto::limits::STREAM_BYTES_MAX;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use super::Losses;

/// A request that came in, and where its response goes. The loop drops `answer` to say nothing.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) from: SocketAddr,
    pub(crate) bytes: Vec<u8>,
    pub(crate) answer: oneshot::Sender<Vec<u8>>,
}

/// A message with its length in front, ready to be written in one go.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(LENGTH_BYTES + message.len());
    frame.extend_from_slice(&(message.len() as u32).to_le_bytes());
    frame.extend_from_slice(message);
    frame
}

/// Sends a framed request and reads the response, all within `limit`.
pub(crate) async fn exchange(
    to: SocketAddr,
    from: Option<IpAddr>,
    frame: Vec<u8>,
    limit: Duration,
) -> Result<Vec<u8>, RequestError> {
    let whole = async {
        let mut stream = connect(to, from).await.map_err(|e| match e.kind() {
            io::ErrorKind::ConnectionRefused => RequestError::Refused,
            io::ErrorKind::TimedOut => RequestError::Timeout,
            _ => RequestError::Broken,
        })?;
        stream.write_all(&frame).await.map_err(|_| RequestError::Broken)?;
        read_message(&mut stream).await.map_err(|_| RequestError::Broken)
    };
    timeout(limit, whole).await.unwrap_or(Err(RequestError::Timeout))
}

/// Serves one connection: reads a request, hands it to the loop, writes the response.
pub(crate) async fn serve(
    mut stream: TcpStream,
    from: SocketAddr,
    requests: mpsc::Sender<Incoming>,
    losses: Arc<Losses>,
) {
    let deadline = Instant::now() + SERVE_LIMIT;
    let whole = async {
        let bytes = read_message(&mut stream).await?;
        let (answer, answered) = oneshot::channel();
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        requests.send(Incoming { from, bytes, answer }).await.map_err(|e| gone(e.to_string()))?;
        let frame = answered.await.map_err(|e| gone(e.to_string()))?;
        stream.write_all(&frame).await?;
        stream.shutdown().await
    };
    match timeout_at(deadline, whole).await {
        Ok(Ok(())) => {}
        Ok(Err(e)) if e.kind() == io::ErrorKind::FileTooLarge => {
            losses.streams_oversized.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%from, "stream closed: {e}");
        }
        Ok(Err(e)) => tracing::trace!(%from, "stream broke: {e}"),
        Err(_) => tracing::debug!(%from, "stream closed: no whole exchange in {SERVE_LIMIT:?}"),
    }
}

async fn connect(to: SocketAddr, from: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    // Leave from the address that we listen on, so that filters see one node as one address.
    if let Some(from) = from.filter(|ip| ip.is_ipv4() == to.is_ipv4()) {
        socket.bind(&SocketAddr::new(from, 0).into())?;
    }
    TcpSocket::from_std_stream(socket.into()).connect(to).await
}

/// Reads one message. Memory grows with the bytes that arrive, not with the length that is claimed.
async fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let len = stream.read_u32_le().await? as usize;
    if len > MESSAGE_BYTES_MAX {
        let text = format!("message of {len} bytes: expected at most {MESSAGE_BYTES_MAX}");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    let mut message = Vec::with_capacity(len.min(FIRST_READ_BYTES));
    stream.take(len as u64).read_to_end(&mut message).await?;
    if message.len() < len {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(message)
}

/// Connections served at once. More wait in the system's backlog.
pub(crate) const CONNECTIONS_MAX: usize = 128;
const LENGTH_BYTES: usize = 4;
/// The core's limit counts what it puts into a message; its own header comes on top.
const MESSAGE_BYTES_MAX: usize = STREAM_BYTES_MAX + 1024;
const FIRST_READ_BYTES: usize = 16 * 1024;
/// From accept to the last byte of the response.
const SERVE_LIMIT: Duration = Duration::from_secs(10);
