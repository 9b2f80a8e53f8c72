//! Connections that cannot be held for long: their number, the size of what is asked and the time for it are bounded.
//!
//! Nothing here is meant to be asked for at length, so whoever sends slowly or much is cut, and the others are served.

use std::{
    io::{Error, ErrorKind, Result},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::serve::Listener;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep},
};

/// What a connection may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Connections at a time; further ones wait until one ends.
    pub(super) connections: usize,
    /// Bytes of a request: its line, headers and body.
    pub(super) request: usize,
    /// From the first byte of a request, or from connecting, until it is complete.
    pub(super) asking: Duration,
    /// From the first byte of an answer until the next request begins: sending it and staying idle.
    pub(super) answered: Duration,
}

impl Bounds {
    /// What is right for probes, scrapes and browsers.
    pub(super) const USUAL: Self = Self {
        connections: 256,
        request: 16 * 1024,
        asking: Duration::from_secs(10),
        answered: Duration::from_secs(60),
    };
}

/// A listener whose connections are bounded.
pub(super) struct Bounded {
    listener: TcpListener,
    room: Arc<Semaphore>,
    bounds: Bounds,
}

impl Bounded {
    pub(super) fn new(listener: TcpListener, bounds: Bounds) -> Self {
        Self { listener, room: Arc::new(Semaphore::new(bounds.connections)), bounds }
    }
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // never closed, so there always is one in the end
        let room = Arc::clone(&self.room).acquire_owned().await.ok();
        let (stream, from) = Listener::accept(&mut self.listener).await;
        (Connection::new(stream, self.bounds, room), from)
    }

    fn local_addr(&self) -> Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends when its time is over or it has said too much.
pub(super) struct Connection {
    stream: TcpStream,
    bounds: Bounds,
    /// Bytes of the request that is being read; `None` once it is being answered.
    asked: Option<usize>,
    over: Pin<Box<Sleep>>,
    _room: Option<OwnedSemaphorePermit>,
}

impl Connection {
    fn new(stream: TcpStream, bounds: Bounds, room: Option<OwnedSemaphorePermit>) -> Self {
        Self { stream, bounds, asked: Some(0), over: Box::pin(sleep(bounds.asking)), _room: room }
    }

    /// Fails once its time is over, and sees to it that the task is woken then.
    fn in_time(&mut self, context: &mut Context<'_>) -> Result<()> {
        if self.over.as_mut().poll(context).is_pending() {
            return Ok(());
        }
        if self.asked.is_some_and(|bytes| bytes > 0) {
            self.refuse("408 Request Timeout");
        }
        Err(Error::new(ErrorKind::TimedOut, "a request or its answer took too long"))
    }

    /// Counts what was read.
    fn heard(&mut self, bytes: usize) -> Result<()> {
        if bytes > 0 && self.asked.is_none() {
            self.over.as_mut().reset(Instant::now() + self.bounds.asking);
            self.asked = Some(0);
        }
        let Some(asked) = &mut self.asked else { return Ok(()) };
        *asked += bytes;
        if *asked <= self.bounds.request {
            return Ok(());
        }
        self.refuse("431 Request Header Fields Too Large");
        Err(Error::new(ErrorKind::InvalidData, "a request is too long"))
    }

    /// An answer begins.
    fn answers(&mut self) {
        if self.asked.take().is_some() {
            self.over.as_mut().reset(Instant::now() + self.bounds.answered);
        }
    }

    /// Says why it ends, to those who still listen: nothing of an answer was sent yet.
    fn refuse(&self, status: &str) {
        let refusal = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        // whoever does not take it is cut all the same
        drop(self.stream.try_write(refusal.as_bytes()));
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        self.in_time(context)?;
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, into))?;
        Poll::Ready(self.heard(into.filled().len() - before))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<Result<usize>> {
        self.answers();
        self.in_time(context)?;
        Pin::new(&mut self.stream).poll_write(context, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
