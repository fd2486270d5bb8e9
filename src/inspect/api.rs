//! Access to the API server for the commands: objects as JSON, errors as sentences.

mod kubeconfig;
mod lenient;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use hyper::Request;
use serde_json::Value;
use tokio::time::timeout;

use crate::cli::Cluster;
use crate::failure::{no_answer_within, root_cause};
use crate::terminal::note;

/// How long one request may take: a person waits for the answer.
const DEADLINE: Duration = Duration::from_secs(30);

/// Objects per page of a list.
const PAGE: usize = 500;

/// A client of the API server, and the namespace to work in.
pub(crate) struct Api {
    client: kube::Client,
    server: String,
    /// The namespace given by `-n`, else that of the kubeconfig's context.
    pub(crate) namespace: String,
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
        Ok(Api { client, server, namespace: options.namespace.clone().unwrap_or(default), skipped: RefCell::default() })
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

    /// Lists objects page by page, each with its kind and without its `managedFields`; empty if the API server does not know
    /// the kind. An object that cannot be parsed is skipped, with a note on standard error.
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
        let (mut objects, mut next) = (Vec::new(), String::new());
        loop {
            let page = match self.send("GET", &format!("{path}?limit={PAGE}&{selector}{next}"), None).await {
                Err(Error::Refused { code: 404, .. }) => return Ok(objects),
                answer => lenient::page(&answer?).map_err(|error| self.unreachable(error.to_string()))?,
            };
            for line in page.skipped {
                if self.skipped.borrow_mut().insert(line.clone()) {
                    note(&line);
                }
            }
            objects.extend(page.objects);
            if page.next.is_empty() {
                return Ok(objects);
            }
            next = format!("&continue={}", page.next.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D"));
        }
    }

    /// Creates an object and returns it as stored.
    ///
    /// # Errors
    /// The API server refuses or was not reached.
    pub(crate) async fn create(&self, path: &str, object: &Value) -> Result<Value, Error> {
        let stored = self.send("POST", path, Some(object)).await?;
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
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let body = body.map(Value::to_string).unwrap_or_default().into_bytes();
        request.body(body).map_err(|error| self.unreachable(error.to_string()))
    }

    fn request_error(&self, error: kube::Error) -> Error {
        match error {
            kube::Error::Api(status) => Error::Refused { code: status.code, message: status.message },
            other => self.unreachable(root_cause(&other)),
        }
    }

    fn unreachable(&self, why: String) -> Error {
        Error::Unreachable { server: self.server.clone(), why }
    }
}
