//! Serves a router on a port of which nobody can hold more than a bounded part for a bounded time.

use std::{sync::Arc, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

/// How many connections there may be; more wait. Probes, scrapers and people ask once a connection.
const CONNECTIONS: usize = 100;
/// How long the head of a request may take.
const HEAD: Duration = Duration::from_secs(5);
/// How long a request may take altogether, with its answer.
const ANSWERED: Duration = Duration::from_secs(30);
/// Long enough for a process out of descriptors not to spin, short enough that no probe notices.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until it is dropped.
pub(super) async fn serve(listener: TcpListener, router: Router) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let mut open = JoinSet::new();
    // Nobody closes the semaphore.
    while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
        while open.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let router = router.clone();
                open.spawn(async move {
                    answer(stream, router).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the admin port takes no connection: trying again");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One request on one connection. What goes wrong is the client's.
async fn answer(stream: TcpStream, router: Router) {
    let mut http = Builder::new(TokioExecutor::new()).http1_only();
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEAD).keep_alive(false);
    let served = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let _ = timeout(ANSWERED, served).await;
}

#[cfg(test)]
mod tests {
    use axum::{Router, routing::get};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
    };

    use super::{CONNECTIONS, serve};

    #[tokio::test]
    async fn those_who_connect_and_say_nothing_keep_nobody_out_for_long() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().route("/livez", get(async || "ok\n"));
        let mut silent = Vec::new();
        let serving = tokio::spawn(serve(listener, router));
        for _ in 0..CONNECTIONS {
            silent.push(TcpStream::connect(address).await.expect("connected"));
        }
        let mut probe = TcpStream::connect(address).await.expect("connected");
        probe.write_all(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("sent");
        let mut answer = String::new();
        probe.read_to_string(&mut answer).await.expect("answered, and closed");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok\n"), "{answer}");
        assert!(!serving.is_finished());
    }
}
