//! Decides how datagrams are read and written: never waiting, one reused buffer, and no wake-up
//! for a send that has left.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::task::{Context, Poll, ready};

#[cfg(unix)]
use tokio::io::{Interest, unix::AsyncFd};

/// The socket of a node. On Unix it is registered for reading only: a socket that is registered
/// for writing too wakes the process once more for every datagram that it sent.
#[derive(Debug)]
pub(crate) struct Datagrams {
    #[cfg(unix)]
    socket: AsyncFd<UdpSocket>,
    #[cfg(not(unix))]
    socket: tokio::net::UdpSocket,
    ipv6: bool,
}

impl Datagrams {
    /// `socket` does not block.
    pub(crate) fn new(socket: UdpSocket) -> io::Result<Datagrams> {
        let ipv6 = socket.local_addr()?.is_ipv6();
        // Its successor is `unsafe`: it asks that the socket keeps its descriptor, as std's does.
        #[cfg(unix)]
        #[allow(deprecated)]
        let socket = AsyncFd::with_interest(socket, Interest::READABLE)?;
        #[cfg(not(unix))]
        let socket = tokio::net::UdpSocket::from_std(socket)?;
        Ok(Datagrams { socket, ipv6 })
    }

    /// One datagram into `buffer`. Errors here are news about earlier sends (ICMP), not about the
    /// socket.
    pub(crate) fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        loop {
            let received = ready!(self.poll_once(cx, buffer));
            match received {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Poll::Ready(Err(e)),
                Ok((len, from)) => {
                    let from = SocketAddr::new(from.ip().to_canonical(), from.port());
                    return Poll::Ready(Ok((len, from)));
                }
            }
        }
    }

    #[cfg(unix)]
    fn poll_once(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let mut readable = ready!(self.socket.poll_read_ready(cx))?;
        let received = readable.try_io(|socket| socket.get_ref().recv_from(buffer));
        Poll::Ready(received.unwrap_or_else(|_| Err(io::ErrorKind::WouldBlock.into())))
    }

    #[cfg(not(unix))]
    fn poll_once(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        ready!(self.socket.poll_recv_ready(cx))?;
        Poll::Ready(self.socket.try_recv_from(buffer))
    }

    /// Sends or says why not, at once.
    pub(crate) fn send(&self, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        let to = self.in_family(to);
        #[cfg(unix)]
        let sent = self.socket.get_ref().send_to(bytes, to);
        #[cfg(not(unix))]
        let sent = self.socket.try_send_to(bytes, to);
        sent.map(|_| ())
    }

    /// A socket of IPv6 reaches IPv4 by mapped addresses.
    fn in_family(&self, to: SocketAddr) -> SocketAddr {
        match to.ip() {
            IpAddr::V4(v4) if self.ipv6 => SocketAddr::new(v4.to_ipv6_mapped().into(), to.port()),
            _ => to,
        }
    }
}

/// Holds any datagram, so none is cut without notice.
pub(crate) const DATAGRAM_BYTES_MAX: usize = 65_536;
