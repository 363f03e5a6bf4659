//! A TCP relay that can fall silent without closing anything, like a network that drops every packet.

use std::{net::SocketAddr, pin::pin};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// Relays to one target until it is dropped.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    open: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let open = watch::Sender::new(true);
        let task = tokio::spawn(accept(listener, target, open.subscribe()));
        Self { address, open, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on no byte passes, on old connections or new ones.
    pub(crate) fn cut(&self) {
        self.open.send_replace(false);
    }

    /// New connections pass again; those that lived through the cut stay dead.
    pub(crate) fn heal(&self) {
        self.open.send_replace(true);
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, open: watch::Receiver<bool>) {
    while let Ok((near, _)) = listener.accept().await {
        tokio::spawn(relay(near, target, open.clone()));
    }
}

async fn relay(near: TcpStream, target: SocketAddr, mut open: watch::Receiver<bool>) {
    if !*open.borrow_and_update() {
        return silence(near).await;
    }
    let far = TcpStream::connect(target).await.expect("the target listens");
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let up = tokio::spawn(pump(near_in, far_out, open.clone()));
    pump(far_in, near_out, open).await;
    up.abort();
}

/// Holds a connection that nothing passes.
async fn silence(stream: TcpStream) {
    std::future::pending::<()>().await;
    drop(stream);
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut open: watch::Receiver<bool>) {
    let mut buffer = vec![0; 64 << 10];
    let mut cut = pin!(open.wait_for(|open| !open));
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            _ = &mut cut => break,
        };
        match read {
            Ok(len) if len > 0 && to.write_all(&buffer[..len]).await.is_ok() => {}
            _ => return,
        }
    }
    std::future::pending::<()>().await;
}
