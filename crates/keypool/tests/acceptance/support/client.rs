//! A client of the gateway, over HTTP/1.1 with kept connections or over h2c.

use std::future::{Future, IntoFuture};
use std::pin::Pin;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use super::answer::{Answer, OpenAnswer};
use super::api::Api;
use super::secrets::Seen;
use super::wait::PATIENCE;

/// A client that knows the gateway's address.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    base: String,
    http: legacy::Client<HttpConnector, Full<Bytes>>,
    headers: Vec<(String, String)>,
    seen: Seen,
}

impl Client {
    pub(crate) fn http1(base: &str, seen: Seen) -> Self {
        let http = legacy::Client::builder(TokioExecutor::new()).build_http();
        Self {
            base: base.to_owned(),
            http,
            headers: Vec::new(),
            seen,
        }
    }

    /// The same on connections of its own.
    pub(crate) fn over_http1(&self) -> Self {
        let http = legacy::Client::builder(TokioExecutor::new()).build_http();
        Self {
            http,
            ..self.clone()
        }
    }

    /// The same over HTTP/2 without TLS.
    pub(crate) fn over_h2c(&self) -> Self {
        let http = legacy::Client::builder(TokioExecutor::new())
            .http2_only(true)
            .build_http();
        Self {
            http,
            ..self.clone()
        }
    }

    /// The same with a header in every request.
    pub(crate) fn with_header(&self, name: &str, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.push((name.to_owned(), value.to_owned()));
        client
    }

    /// `http://host:port`.
    pub(crate) fn url(&self) -> &str {
        &self.base
    }

    pub(crate) fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    /// A POST with no body and no content type.
    pub(crate) fn post(&self, path: &str) -> Call {
        self.call(Method::POST, path)
    }

    /// A request of this API. Of one for Gemini, model and stream go from the body into the path.
    pub(crate) fn send(&self, api: Api, body: &Value) -> Call {
        let (mut path, mut body) = (api.path().to_owned(), body.clone());
        if api == Api::Gemini {
            let members = body.as_object_mut().unwrap();
            let model = members.remove("model").unwrap();
            let method = match members.remove("stream") {
                Some(Value::Bool(true)) => "streamGenerateContent?alt=sse",
                _ => "generateContent",
            };
            path = format!("/v1beta/models/{}:{method}", model.as_str().unwrap());
        }
        self.post(&path).headers(api.headers()).json(&body)
    }

    /// A small request of this API.
    pub(crate) fn ask(&self, api: Api) -> Call {
        self.send(api, &api.body())
    }

    /// The same, answered as a stream.
    pub(crate) fn ask_stream(&self, api: Api) -> Call {
        self.send(api, &api.streamed())
    }

    /// Sends `count` small requests at once.
    pub(crate) async fn burst(&self, api: Api, count: usize) -> Vec<Answer> {
        let calls: JoinSet<Answer> = (0..count).map(|_| self.ask(api).into_future()).collect();
        calls.join_all().await
    }

    pub(crate) fn call(&self, method: Method, path: &str) -> Call {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base));
        let call = Call {
            client: self.clone(),
            request,
            body: Bytes::new(),
        };
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        call.headers(headers)
    }
}

/// A request in the making; awaiting it sends it and reads the whole answer.
#[must_use]
pub(crate) struct Call {
    client: Client,
    request: http::request::Builder,
    body: Bytes,
}

impl Call {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    fn headers<'a>(self, headers: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        headers
            .into_iter()
            .fold(self, |call, (name, value)| call.header(name, value))
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json")
            .body(body.to_string())
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends it beside what the test does next.
    pub(crate) fn spawn(self) -> JoinHandle<Answer> {
        tokio::spawn(self.into_future())
    }

    /// Sends it and returns as soon as the answer has begun.
    pub(crate) async fn open(self) -> OpenAnswer {
        let request = self.request.body(Full::new(self.body)).unwrap();
        let response = timeout(PATIENCE, self.client.http.request(request))
            .await
            .expect("no answer began")
            .expect("the gateway broke the connection");
        OpenAnswer::new(response, self.client.seen)
    }
}

impl IntoFuture for Call {
    type Output = Answer;
    type IntoFuture = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.open().await.whole().await })
    }
}
