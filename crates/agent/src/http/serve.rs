//! Decides how connections are taken: so many at once, and none that sends half a request for
//! ever. Gossip needs files too, so HTTP never takes them all.

use std::convert::Infallible;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Sleep;

/// Connections at once, where the limit of open files allows. More wait to be accepted.
const CONNECTIONS_MAX: usize = 4096;
/// From the first byte of a request's head to its last. A connection between requests may idle.
const HEAD_WAIT: Duration = Duration::from_secs(20);
/// After the system had no connection to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Answers until the process ends. `files_max` is the limit of open files.
pub(crate) async fn serve(listener: TcpListener, router: Router, files_max: usize) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX.min(files_max / 2)));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) if is_of_the_peer(&error) => continue,
            Err(error) => {
                tracing::warn!("http: cannot accept a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let router = router.clone();
        tokio::spawn(async move {
            answer(stream, router).await;
            drop(place);
        });
    }
}

fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::*;
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn answer(stream: TcpStream, router: Router) {
    let requests = Arc::new(Requests::default());
    let stream = Patient {
        stream,
        requests: Arc::clone(&requests),
        begun_seen: 0,
        patience: None,
        head_wait: HEAD_WAIT,
    };
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request: Request<Incoming>| {
        requests.begun.fetch_add(1, Ordering::Relaxed);
        requests.answering.store(true, Ordering::Relaxed);
        let (answer, requests) = (router.call(request), Arc::clone(&requests));
        async move {
            let answer: Result<Response, Infallible> = answer.await;
            requests.answering.store(false, Ordering::Relaxed);
            answer
        }
    });
    // Whatever breaks a connection is its client's affair.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// What the service tells the connection below it.
#[derive(Debug, Default)]
struct Requests {
    begun: AtomicU64,
    answering: AtomicBool,
}

/// A stream that fails when a head that has begun does not end.
struct Patient<S> {
    stream: S,
    requests: Arc<Requests>,
    begun_seen: u64,
    /// Runs from the first byte that no request explains.
    patience: Option<Pin<Box<Sleep>>>,
    head_wait: Duration,
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let begun = this.requests.begun.load(Ordering::Relaxed);
        if begun != this.begun_seen {
            this.begun_seen = begun;
            this.patience = None;
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        let answering = this.requests.answering.load(Ordering::Relaxed);
        if buf.filled().len() > before && !answering && this.patience.is_none() {
            this.patience = Some(Box::pin(tokio::time::sleep(this.head_wait)));
        }
        if let Some(patience) = &mut this.patience
            && read.is_pending()
            && patience.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[test]
    fn half_a_head_ends_in_time_and_an_idle_connection_does_not() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut client, stream) = duplex(64);
            let requests = Arc::new(Requests::default());
            let head_wait = Duration::from_millis(50);
            let mut patient = Patient {
                stream,
                requests: Arc::clone(&requests),
                begun_seen: 0,
                patience: None,
                head_wait,
            };
            let long = head_wait * 4;
            let mut buf = [0; 8];
            assert!(tokio::time::timeout(long, patient.read(&mut buf)).await.is_err(), "idle");
            client.write_all(b"GET").await.unwrap();
            assert_eq!(patient.read(&mut buf).await.unwrap(), 3);
            requests.begun.fetch_add(1, Ordering::Relaxed);
            assert!(tokio::time::timeout(long, patient.read(&mut buf)).await.is_err(), "begun");
            client.write_all(b"GET").await.unwrap();
            assert_eq!(patient.read(&mut buf).await.unwrap(), 3);
            let error = patient.read(&mut buf).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        });
    }
}
