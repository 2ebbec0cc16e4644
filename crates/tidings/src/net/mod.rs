//! Decides how a node sits on its address: one port, TCP and UDP.

pub(crate) mod stream;
pub(crate) mod udp;

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::AtomicU64;

use socket2::{Domain, Socket, Type};

/// What the sockets lost, in counts.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    pub(crate) sends_full: AtomicU64,
    pub(crate) sends_failed: AtomicU64,
    pub(crate) streams_oversized: AtomicU64,
}

/// Binds TCP first, then UDP to the same port. With port 0 the system picks a port, which may be
/// taken for UDP: then another one is tried.
pub(crate) fn bind(addr: SocketAddr) -> io::Result<(TcpListener, UdpSocket)> {
    let tries = if addr.port() == 0 { PORT_TRIES } else { 1 };
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..tries {
        let listener = listen(addr)?;
        match datagrams(listener.local_addr()?) {
            Ok(socket) => return Ok((listener, socket)),
            Err(e) => last = e,
        }
    }
    Err(last)
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    #[cfg(unix)]
    socket.set_reuse_address(true)?; // connections of an earlier life may linger on the port
    both_families(&socket, addr)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn datagrams(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, None)?;
    both_families(&socket, addr)?;
    socket.set_nonblocking(true)?;
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES); // as much as the system allows
    let _ = socket.set_send_buffer_size(SEND_BUFFER_BYTES);
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

fn both_families(socket: &Socket, addr: SocketAddr) -> io::Result<()> {
    if addr.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    Ok(())
}

/// The address that others would see, asked of the routing table; nothing is sent.
pub(crate) fn outward_ip(bound: SocketAddr) -> Option<std::net::IpAddr> {
    let (any, probe) = match bound {
        SocketAddr::V4(_) => ("0.0.0.0:0", "192.0.2.1:9"),
        SocketAddr::V6(_) => ("[::]:0", "[2001:db8::1]:9"),
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(probe).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified()).then_some(ip)
}

const PORT_TRIES: usize = 32;
const BACKLOG: i32 = 1024;
const RECEIVE_BUFFER_BYTES: usize = 4 * 1024 * 1024;
const SEND_BUFFER_BYTES: usize = 1024 * 1024;
