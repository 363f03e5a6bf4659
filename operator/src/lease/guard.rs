//! A client whose writes ask the lease: none is begun without it, nor outlasts it.

use std::time::Duration;

use http::{Method, Request, Response, Uri};
use kube::{Client, client::Body};

use super::Leadership;

/// Why a request was not sent, or given up.
#[derive(Debug, thiserror::Error)]
pub enum NotLeading {
    /// This process does not lead.
    #[error("only the leader writes, and this process does not lead")]
    Standby,
    /// The lease may have run out while the request was under way.
    #[error("no answer while this process was sure to lead")]
    RanOut,
}

/// The same client, but only the leader writes. Reads and watches pass.
///
/// The server is told to drop what it has not done when the lease may be over, so that a write that it keeps waiting is
/// not done by one who leads no longer.
pub fn guard(client: &Client, leadership: &Leadership) -> Client {
    let (inner, leadership) = (client.clone(), leadership.clone());
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, leadership) = (inner.clone(), leadership.clone());
        async move { send(&client, &leadership, request).await }
    });
    Client::new(service, client.default_namespace())
}

async fn send(
    client: &Client,
    leadership: &Leadership,
    mut request: Request<Body>,
) -> Result<Response<Body>, kube::Error> {
    if [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method()) {
        return client.send(request).await;
    }
    let _writing = leadership.writing();
    let left = leadership.remaining();
    if left.is_zero() {
        return Err(not_leading(NotLeading::Standby));
    }
    if left < Duration::MAX {
        *request.uri_mut() = with_deadline(request.uri(), left);
    }
    match tokio::time::timeout(left, client.send(request)).await {
        Ok(answer) => answer,
        Err(_) => Err(not_leading(NotLeading::RanOut)),
    }
}

fn not_leading(why: NotLeading) -> kube::Error {
    kube::Error::Service(Box::new(why))
}

/// The address with the deadline that the API server keeps; unchanged if it has one.
fn with_deadline(uri: &Uri, left: Duration) -> Uri {
    let (path, query) = (uri.path(), uri.query().unwrap_or_default());
    if query.split('&').any(|field| field.starts_with("timeout=")) {
        return uri.clone();
    }
    let and = if query.is_empty() { "" } else { "&" };
    let text = format!("{path}?{query}{and}timeout={}ms", left.as_millis().max(1));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = text.parse().ok().or(parts.path_and_query);
    Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, sync::Arc, time::Duration};

    use http::{Request, Response, Uri};
    use k8s_openapi::api::core::v1::Pod;
    use kube::{
        Api, Client,
        api::{Patch, PatchParams},
        client::Body,
    };
    use serde_json::json;
    use tokio::sync::{Semaphore, mpsc};

    use super::{guard, with_deadline};
    use crate::lease::{Leadership, leadership::now};

    #[test]
    fn a_deadline_is_added_to_whatever_is_asked() {
        let check = |uri: &'static str, expected: &str| {
            let left = Duration::from_micros(2_500_900);
            assert_eq!(with_deadline(&Uri::from_static(uri), left).to_string(), expected);
        };
        check("/api/v1/pods", "/api/v1/pods?timeout=2500ms");
        check("/api/v1/pods?", "/api/v1/pods?timeout=2500ms");
        check("/a?fieldManager=b", "/a?fieldManager=b&timeout=2500ms");
        check("https://host:1/a?timeout=1s", "https://host:1/a?timeout=1s");
    }

    /// A server that tells what arrives, and answers to no more than it is permitted to.
    fn server(permits: &Arc<Semaphore>) -> (Client, mpsc::UnboundedReceiver<String>) {
        let (tell, told) = mpsc::unbounded_channel();
        let permits = Arc::clone(permits);
        let answer = move |request: Request<Body>| {
            let (tell, permits) = (tell.clone(), Arc::clone(&permits));
            async move {
                tell.send(format!("{} {}", request.method(), request.uri())).expect("somebody listens");
                permits.acquire().await.expect("never closed").forget();
                let pod = serde_json::to_vec(&json!({ "metadata": { "name": "a" } })).expect("JSON");
                Ok::<_, Infallible>(Response::new(Body::from(pod)))
            }
        };
        (Client::new(tower::service_fn(answer), "n"), told)
    }

    async fn write(pods: &Api<Pod>) -> Result<Pod, kube::Error> {
        pods.patch_status("a", &PatchParams::default(), &Patch::Merge(json!({}))).await
    }

    #[tokio::test]
    async fn who_does_not_lead_reads_and_does_not_write() {
        let (client, mut told) = server(&Arc::new(Semaphore::new(9)));
        let leadership = Leadership::standby();
        let pods: Api<Pod> = Api::default_namespaced(guard(&client, &leadership));
        let refused = write(&pods).await.expect_err("nobody leads").to_string();
        assert!(refused.contains("only the leader writes"), "{refused}");
        pods.get("a").await.expect("a read passes");
        assert_eq!(told.recv().await.as_deref(), Some("GET /api/v1/namespaces/n/pods/a"));
        leadership.extend(now().plus(Duration::from_secs(60)));
        write(&pods).await.expect("the leader writes");
        let written = told.recv().await.expect("a write");
        assert!(written.starts_with("PATCH") && written.contains("timeout=59"), "{written}");
        leadership.end();
        write(&pods).await.expect_err("it led");
        assert!(told.try_recv().is_err(), "nothing was sent");
    }

    #[tokio::test]
    async fn a_write_that_is_not_answered_ends_with_the_lease() {
        let (client, mut told) = server(&Arc::new(Semaphore::new(0)));
        let leadership = Leadership::standby();
        leadership.extend(now().plus(Duration::from_millis(200)));
        let pods: Api<Pod> = Api::default_namespaced(guard(&client, &leadership));
        let given_up = write(&pods).await.expect_err("no answer").to_string();
        assert!(given_up.contains("sure to lead"), "{given_up}");
        assert!(told.recv().await.is_some_and(|write| write.starts_with("PATCH")));
    }
}
