//! Access to the API server for the commands: objects as JSON, errors as sentences.

mod kubeconfig;
mod lenient;
mod pages;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use anyhow::Context as _;
use futures::{AsyncBufRead, AsyncBufReadExt as _};
use hyper::Request;
use serde_json::Value;
use tokio::time::{Instant, timeout};

use crate::cli::Cluster;
use crate::failure::{no_answer_within, root_cause};
use crate::terminal::note;
use crate::terminal::progress_line;

pub(crate) use pages::{Item, Pages};

/// How long one request may take: a person waits for the answer.
const DEADLINE: Duration = Duration::from_secs(30);

/// How long a person waits without seeing for what.
const QUIET: Duration = Duration::from_secs(1);

/// A client of the API server, and the namespace to work in.
pub(crate) struct Api {
    client: kube::Client,
    server: String,
    /// The namespace given by `-n`, else that of the kubeconfig's context.
    pub(crate) namespace: String,
    begin: Instant,
    /// The notes about skipped objects that were already printed.
    skipped: RefCell<BTreeSet<String>>,
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The API server refused the request.
    #[error("{message}")]
    Refused {
        /// The HTTP status.
        code: u16,
        /// Its message.
        message: String,
        /// The `continue` token with which a list that has expired goes on.
        resume: Option<String>,
    },
    /// The API server was not reached, or its response could not be understood.
    #[error("failed to reach the API server at {server}: {why}")]
    Unreachable {
        /// Its address.
        server: String,
        /// The root cause.
        why: String,
    },
    /// The response is an object that cannot be parsed.
    #[error("{path} could not be read: {why}")]
    Unreadable {
        /// The object's path.
        path: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Error {
    /// Whether the same request may succeed later. Status 429 and server errors are retryable, other client errors are not.
    pub(crate) fn is_retryable(&self) -> bool {
        !matches!(self, Error::Refused { code: 400..=428 | 430..=499, .. } | Error::Unreadable { .. })
    }

    /// Whether the user or ServiceAccount lacks the permission.
    pub(crate) fn is_forbidden(&self) -> bool {
        matches!(self, Error::Refused { code: 401 | 403, .. })
    }
}

/// Connects to the cluster that the options name and runs `work` with it on a runtime of its own.
///
/// # Errors
/// No cluster is configured, or `work` failed.
pub(crate) fn with_cluster<T>(
    options: &Cluster,
    work: impl AsyncFnOnce(Api) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("failed to start a runtime")?.block_on(async { work(Api::connect(options).await?).await })
}

impl Api {
    async fn connect(options: &Cluster) -> anyhow::Result<Api> {
        let mut config = kubeconfig::load(options).await?;
        config.connect_timeout = Some(DEADLINE);
        config.read_timeout = Some(DEADLINE);
        // kube would retry for hours, and a retried create with generateName could create two objects.
        config.default_retry = false;
        let (server, default) = (config.cluster_url.to_string(), config.default_namespace.clone());
        let client = kube::Client::try_from(config).context("failed to create a Kubernetes client")?;
        let namespace = options.namespace.clone().unwrap_or(default);
        Ok(Api { client, server, namespace, begin: Instant::now(), skipped: RefCell::default() })
    }

    /// Gets an object; `None` if it does not exist, or if the API server does not know its kind.
    ///
    /// # Errors
    /// The API server refuses or was not reached, or the object cannot be parsed.
    pub(crate) async fn get(&self, path: &str) -> Result<Option<Value>, Error> {
        match self.send("GET", path, None).await {
            Err(Error::Refused { code: 404, .. }) => Ok(None),
            answer => self.object(path, &answer?).map(Some),
        }
    }

    /// Lists all objects, each with its kind and without its `managedFields`; empty if the API server does not know the kind.
    /// An object that cannot be parsed is skipped, with a note on standard error. For lists that are short in every cluster;
    /// [`Api::pages`] reads the others.
    ///
    /// # Errors
    /// The API server refuses or was not reached.
    pub(crate) async fn list(&self, path: &str) -> Result<Vec<Value>, Error> {
        self.select(path, "").await
    }

    /// Like [`Api::list`], for the objects that a selector matches; `selector` is a part of the URL's query.
    ///
    /// # Errors
    /// The API server refuses or was not reached.
    pub(crate) async fn select(&self, path: &str, selector: &str) -> Result<Vec<Value>, Error> {
        let (mut objects, mut pages) = (Vec::new(), Pages::new(self, path, selector));
        while let Some(page) = pages.next().await? {
            objects.extend(page.objects());
        }
        Ok(objects)
    }

    /// A list of which a page is in memory at a time.
    pub(crate) fn pages(&self, path: &str) -> Pages<'_> {
        Pages::new(self, path, "")
    }

    /// Creates an object and returns it as stored.
    ///
    /// # Errors
    /// The API server refuses or was not reached.
    pub(crate) async fn create(&self, path: &str, object: &Value) -> Result<Value, Error> {
        let stored = self.send("POST", path, Some(object)).await?;
        self.object(path, &stored)
    }

    /// Changes an object by a JSON merge patch. With `metadata.resourceVersion` in it, the API server answers 409 if the object
    /// has changed since.
    ///
    /// # Errors
    /// The API server refuses or was not reached.
    pub(crate) async fn patch(&self, path: &str, merged: &Value) -> Result<Value, Error> {
        let stored = self.send("PATCH", path, Some(merged)).await?;
        self.object(path, &stored)
    }

    /// Deletes an object and its dependents in the foreground; `false` if it did not exist.
    ///
    /// # Errors
    /// The API server refuses or was not reached.
    pub(crate) async fn delete(&self, path: &str) -> Result<bool, Error> {
        let options =
            serde_json::json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Foreground"});
        match self.send("DELETE", path, Some(&options)).await {
            Err(Error::Refused { code: 404, .. }) => Ok(false),
            answer => answer.map(|_| true),
        }
    }

    /// Gets plain text, such as a log.
    ///
    /// # Errors
    /// The API server refuses or was not reached.
    pub(crate) async fn text(&self, path: &str) -> Result<String, Error> {
        self.send("GET", path, None).await
    }

    /// Awaits something that a terminal shows as `line` if the command has run for a while.
    pub(crate) async fn waiting_for<T>(&self, line: &str, work: impl Future<Output = T>) -> T {
        progress_line::show_while(line, self.begin + QUIET, work).await
    }

    /// Replaces `text` by the body of an answer; false if the body has more than `most` bytes. `line` names what is
    /// read.
    async fn body(&self, uri: &str, line: &str, most: usize, text: &mut Vec<u8>) -> Result<bool, Error> {
        let request = self.request("GET", uri, None)?;
        let answer = async {
            let body = self.client.request_stream(request).await?;
            read_at_most(most, body, text).await.map_err(kube::Error::ReadEvents)
        };
        self.waiting_for(line, self.in_time(answer)).await
    }

    /// Prints a note, unless it was printed before.
    fn note_once(&self, line: String) {
        if !self.skipped.borrow().contains(&line) {
            note(&line);
            self.skipped.borrow_mut().insert(line);
        }
    }

    async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<String, Error> {
        let request = self.request(method, path, body)?;
        self.in_time(self.client.request_text(request)).await
    }

    fn object(&self, path: &str, text: &str) -> Result<Value, Error> {
        lenient::object(text).map_err(|error| {
            if serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok() {
                Error::Unreadable { path: path.to_owned(), why: error.to_string() }
            } else {
                // Not JSON at all: a proxy before the API server has answered.
                self.unreachable(error.to_string())
            }
        })
    }

    async fn in_time<T>(&self, answer: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Error> {
        match timeout(DEADLINE, answer).await {
            Ok(answer) => answer.map_err(|error| self.request_error(error)),
            Err(_) => Err(self.unreachable(no_answer_within(DEADLINE))),
        }
    }

    fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Request<Vec<u8>>, Error> {
        let content = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let request = Request::builder().method(method).uri(path).header("content-type", content);
        let body = body.map(Value::to_string).unwrap_or_default().into_bytes();
        request.body(body).map_err(|error| self.unreachable(error.to_string()))
    }

    fn request_error(&self, error: kube::Error) -> Error {
        match error {
            kube::Error::Api(status) => {
                let resume = status.metadata.and_then(|metadata| metadata.continue_).filter(|token| !token.is_empty());
                Error::Refused { code: status.code, message: status.message, resume }
            }
            other => self.unreachable(root_cause(&other)),
        }
    }

    fn unreachable(&self, why: String) -> Error {
        Error::Unreachable { server: self.server.clone(), why }
    }
}

/// Replaces `text` by what a body has; false if that is more than `most` bytes.
async fn read_at_most(most: usize, body: impl AsyncBufRead, text: &mut Vec<u8>) -> std::io::Result<bool> {
    let mut body = pin!(body);
    text.clear();
    loop {
        let chunk = body.fill_buf().await?;
        if chunk.is_empty() || text.len() + chunk.len() > most {
            return Ok(chunk.is_empty());
        }
        text.extend_from_slice(chunk);
        let read = chunk.len();
        body.as_mut().consume(read);
    }
}
