//! A line between the bridge and a server that passes, stalls, is cut or refuses.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

use crate::bed::Bed;

/// How the line is, and how often it was cut.
#[derive(Clone, Copy, PartialEq)]
struct Line {
    mode: Mode,
    cuts: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Pass,
    Stall,
    Refuse,
}

/// A TCP proxy on a port of its own; passes everything until told otherwise. Dropping it ends its connections.
pub(crate) struct Proxy {
    port: u16,
    line: watch::Sender<Line>,
    taken: Arc<AtomicUsize>,
    listening: JoinHandle<()>,
}

impl Proxy {
    /// A line to the server at this port of 127.0.0.1.
    pub(crate) async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (line, seen) = watch::channel(Line { mode: Mode::Pass, cuts: 0 });
        let taken = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&taken);
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(connection(client, ([127, 0, 0, 1], server).into(), seen.clone()));
            }
        });
        Self { port, line, taken, listening }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// How many connections were taken so far, whatever became of them.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// What stalled goes on; new connections pass.
    pub(crate) fn pass(&self) {
        self.line.send_modify(|line| line.mode = Mode::Pass);
    }

    /// Open connections stay open and new ones are taken, but nothing moves.
    pub(crate) fn stall(&self) {
        self.line.send_modify(|line| line.mode = Mode::Stall);
    }

    /// Resets all open connections; new ones fare as before.
    pub(crate) fn cut(&self) {
        self.line.send_modify(|line| line.cuts += 1);
    }

    /// Resets all open connections, and new ones as soon as they are made.
    pub(crate) fn refuse(&self) {
        self.line.send_modify(|line| {
            line.mode = Mode::Refuse;
            line.cuts += 1;
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// Serves one connection until either end closes it or the line is cut.
async fn connection(client: TcpStream, server: SocketAddr, mut line: watch::Receiver<Line>) {
    client.set_zero_linger().unwrap();
    let Line { mode, cuts } = *line.borrow_and_update();
    if mode == Mode::Refuse {
        return;
    }
    let Ok(server) = TcpStream::connect(server).await else { return };
    server.set_zero_linger().unwrap();
    for end in [&client, &server] {
        end.set_nodelay(true).unwrap();
    }
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let (up, down) = (flow(from_client, to_server, line.clone()), flow(from_server, to_client, line.clone()));
    tokio::select! {
        () = async { tokio::join!(up, down); } => {}
        _ = line.wait_for(|line| line.cuts != cuts) => {}
    }
}

/// Carries bytes one way; holds them back while the line stalls.
async fn flow(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut line: watch::Receiver<Line>) {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let count = from.read(&mut bytes).await.unwrap_or(0);
        if line.wait_for(|line| line.mode == Mode::Pass).await.is_err() {
            return;
        }
        let written = if count == 0 { to.shutdown().await } else { to.write_all(&bytes[..count]).await };
        if count == 0 || written.is_err() {
            return;
        }
    }
}

impl Bed {
    /// Puts a line of its own between the bridge and each server; the test itself goes past them. The lines to legacy (its
    /// first member) and to renaissance.
    pub(crate) async fn behind_lines(&mut self) -> (Proxy, Proxy) {
        let legacy = Proxy::to(self.mongo.members()[0].port()).await;
        let renaissance = Proxy::to(self.postgres.port()).await;
        self.legacy_uri = format!("mongodb://127.0.0.1:{}/BioGraphDemo?directConnection=true", legacy.port());
        self.renaissance_url = self
            .renaissance_url
            .replace(&format!("127.0.0.1:{}/", self.postgres.port()), &format!("127.0.0.1:{}/", renaissance.port()));
        (legacy, renaissance)
    }
}

#[tokio::test]
async fn a_line_passes_stalls_goes_on_is_cut_and_refuses() {
    let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let line = Proxy::to(echo.local_addr().unwrap().port()).await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = echo.accept().await {
            let (mut from, mut to) = stream.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from, &mut to).await });
        }
    });
    let connect = async || TcpStream::connect(("127.0.0.1", line.port())).await.unwrap();
    let (short, mut answer) = (Duration::from_millis(100), [0; 4]);
    let mut open = connect().await;
    open.write_all(b"pass").await.unwrap();
    open.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"pass");

    line.stall();
    let mut late = connect().await;
    for stream in [&mut open, &mut late] {
        stream.write_all(b"wait").await.unwrap();
        assert!(tokio::time::timeout(short, stream.read_exact(&mut answer)).await.is_err(), "nothing moves");
    }
    line.pass();
    for stream in [&mut open, &mut late] {
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"wait");
    }

    line.cut();
    assert!(open.read_exact(&mut answer).await.is_err() && late.read_exact(&mut answer).await.is_err());
    let mut next = connect().await;
    next.write_all(b"next").await.unwrap();
    next.read_exact(&mut answer).await.unwrap();
    line.refuse();
    assert!(next.read_exact(&mut answer).await.is_err());
    assert!(connect().await.read_exact(&mut answer).await.is_err());
}
