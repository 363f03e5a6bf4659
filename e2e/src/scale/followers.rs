//! The process of the scripted followers: a listener, commands on its standard input, and what it tells on its output.

use std::{
    io::{BufRead as _, Write as _, stdin, stdout},
    net::Ipv4Addr,
    sync::Arc,
    thread,
};

use anyhow::{Context as _, Result};
use tidemark_wire::v1::{
    TipsRequest, TipsResponse,
    replica_server::{Replica, ReplicaServer},
};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::{mpsc, oneshot},
};
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

use super::{
    crowd::{Crowd, Told},
    layout::PORT,
};

/// An operator that starts connects to all followers at once.
const BACKLOG: u32 = 16_384;

/// Serves until its input ends.
///
/// # Errors
/// If the port is not to be had.
pub async fn run(crowd: Crowd) -> Result<()> {
    let listener = listen().with_context(|| format!("cannot listen on port {PORT}"))?;
    let (tell, told) = mpsc::unbounded_channel();
    thread::spawn(move || write(told));
    tell.send(Told::Listening)?;
    let crowd = Arc::new(crowd);
    let answers = Answers { crowd: Arc::clone(&crowd), tell: tell.clone() };
    let (ended, end) = oneshot::channel::<()>();
    thread::spawn(move || {
        obey(&crowd, &tell);
        drop(ended);
    });
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let ended = async {
        // An error is how the other end's going shows.
        let _ = end.await;
    };
    let server = Server::builder().add_service(ReplicaServer::new(answers));
    tokio::select! {
        served = server.serve_with_incoming(incoming) => Ok(served?),
        () = ended => Ok(()),
    }
}

fn listen() -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::UNSPECIFIED, PORT).into())?;
    socket.listen(BACKLOG)
}

fn obey(crowd: &Crowd, tell: &mpsc::UnboundedSender<Told>) {
    for line in stdin().lock().lines().map_while(Result::ok) {
        match serde_json::from_str(&line) {
            Ok(command) => {
                if let Some(report) = crowd.obey(command) {
                    let _ = tell.send(Told::Report(report));
                }
            }
            Err(error) => eprintln!("no command: {line}: {error}"),
        }
    }
}

fn write(mut told: mpsc::UnboundedReceiver<Told>) {
    let mut out = stdout().lock();
    while let Some(told) = told.blocking_recv() {
        let Ok(line) = serde_json::to_string(&told) else { continue };
        if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

struct Answers {
    crowd: Arc<Crowd>,
    tell: mpsc::UnboundedSender<Told>,
}

#[tonic::async_trait]
impl Replica for Answers {
    async fn tips(&self, request: Request<TipsRequest>) -> Result<Response<TipsResponse>, Status> {
        let address = request.local_addr().context("a connection has two ends");
        let address = address.map_err(|error| Status::internal(error.to_string()))?.ip();
        let answer = self.crowd.answer(address, request.into_inner());
        let (answer, told) = answer.ok_or_else(|| Status::not_found(format!("nobody is at {address}")))?;
        if let Some(told) = told {
            let _ = self.tell.send(told);
        }
        Ok(Response::new(answer))
    }
}
