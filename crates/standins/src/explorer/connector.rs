//! The connector under the clients of a run: it hands each request to the explorer and waits for the decision.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use tokio::sync::oneshot;

use super::touch::Touch;

/// A request that waits for its decision.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) run: usize,
    pub(crate) request: Request<Bytes>,
    pub(crate) touch: Touch,
    /// The answer; `None` for a connection that broke.
    pub(crate) answer: oneshot::Sender<Option<Response<Bytes>>>,
}

/// The requests of all runs that wait, in the order in which they were made. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Desk(Arc<Mutex<Vec<Pending>>>);

impl Desk {
    pub(crate) fn pending(&self) -> MutexGuard<'_, Vec<Pending>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The HTTP client of `run`.
    pub(crate) fn client(&self, run: usize) -> SharedHttpClient {
        SharedHttpClient::new(Connector { desk: self.clone(), run })
    }
}

#[derive(Clone)]
struct Connector {
    desk: Desk,
    run: usize,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connector({})", self.run)
    }
}

impl HttpClient for Connector {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let connector = self.clone();
        HttpConnectorFuture::new(async move { connector.ask(request).await })
    }
}

impl Connector {
    async fn ask(&self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
        let (parts, body) = request.into_parts();
        // A request whose body breaks off is never carried out.
        let body = body.collect().await.map_err(ConnectorError::io)?.to_bytes();
        let request = Request::from_parts(parts, body);
        let touch = Touch::of(&request);
        let (answer, answered) = oneshot::channel();
        self.desk.pending().push(Pending { run: self.run, request, touch, answer });
        match answered.await {
            Ok(Some(answer)) => HttpResponse::try_from(answer.map(SdkBody::from))
                .map_err(|error| ConnectorError::other(error.into(), None)),
            Ok(None) | Err(_) => Err(ConnectorError::io("the connection broke".into())),
        }
    }
}
