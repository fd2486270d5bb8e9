//! The API server, as the commands of a person ask it: objects as JSON, and errors in words.

mod odd;
mod kubeconfig;

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

/// For one answer: a person waits for it.
const DEADLINE: Duration = Duration::from_secs(30);

/// Objects in one page of a list.
const PAGE: usize = 500;

/// A way to the API server, and the namespace that is meant.
pub(crate) struct Api {
    client: kube::Client,
    server: String,
    /// The namespace of `-n`, else of the kubeconfig's context.
    pub(crate) namespace: String,
    /// The lines about objects that were skipped, so that each is printed once.
    skipped: RefCell<BTreeSet<String>>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The API server says no, in its own words.
    #[error("{message}")]
    Refused {
        /// The HTTP status.
        code: u16,
        /// Its sentence.
        message: String,
    },
    /// It was not reached, or could not be understood.
    #[error("failed to ask the API server at {server}: {why}")]
    Unreachable {
        /// Its address.
        server: String,
        /// The first cause.
        why: String,
    },
    /// It answered with an object that cannot be read.
    #[error("{path} could not be read: {why}")]
    Unreadable {
        /// The object's path.
        path: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Error {
    /// Whether asking again may well be answered otherwise: what is wrong is not what was asked.
    pub(crate) fn may_pass(&self) -> bool {
        !matches!(self, Error::Refused { code: 400..=428 | 430..=499, .. } | Error::Unreadable { .. })
    }

    /// Whether the person, or their ServiceAccount, is not allowed to ask.
    pub(crate) fn is_forbidden(&self) -> bool {
        matches!(self, Error::Refused { code: 401 | 403, .. })
    }
}

/// Runs what asks a cluster.
///
/// # Errors
/// There is no way to a cluster, or whatever `what` says.
pub(crate) fn ask<T>(options: &Cluster, what: impl AsyncFnOnce(Api) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("failed to start a runtime")?.block_on(async { what(Api::connect(options).await?).await })
}

impl Api {
    async fn connect(options: &Cluster) -> anyhow::Result<Api> {
        let mut config = kubeconfig::of(options).await?;
        config.connect_timeout = Some(DEADLINE);
        config.read_timeout = Some(DEADLINE);
        // Else it would ask again and again for hours, and create twice what has no name of its own.
        config.default_retry = false;
        let (server, default) = (config.cluster_url.to_string(), config.default_namespace.clone());
        let client = kube::Client::try_from(config).context("failed to make a client of the cluster")?;
        Ok(Api { client, server, namespace: options.namespace.clone().unwrap_or(default), skipped: RefCell::default() })
    }

    /// An object; none where it is not there, or the API server knows no such kind.
    ///
    /// # Errors
    /// The API server refuses, or was not reached; the object cannot be read.
    pub(crate) async fn get(&self, path: &str) -> Result<Option<Value>, Error> {
        match self.send("GET", path, None).await {
            Err(Error::Refused { code: 404, .. }) => Ok(None),
            answer => self.object(path, &answer?).map(Some),
        }
    }

    /// All objects of a list, each with its kind and without its `managedFields`, read page by page; none where the API
    /// server knows no such kind. One that cannot be read is skipped, with a line on standard error that names it.
    ///
    /// # Errors
    /// The API server refuses, or was not reached.
    pub(crate) async fn list(&self, path: &str) -> Result<Vec<Value>, Error> {
        self.select(path, "").await
    }

    /// The same for those that a selector, as a part of a query, selects.
    ///
    /// # Errors
    /// The API server refuses, or was not reached.
    pub(crate) async fn select(&self, path: &str, selector: &str) -> Result<Vec<Value>, Error> {
        let (mut objects, mut next) = (Vec::new(), String::new());
        loop {
            let page = match self.send("GET", &format!("{path}?limit={PAGE}&{selector}{next}"), None).await {
                Err(Error::Refused { code: 404, .. }) => return Ok(objects),
                answer => odd::page(&answer?).map_err(|error| self.unreachable(error.to_string()))?,
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

    /// Creates an object; the answer is the object as stored.
    ///
    /// # Errors
    /// The API server refuses, or was not reached.
    pub(crate) async fn create(&self, path: &str, object: &Value) -> Result<Value, Error> {
        let stored = self.send("POST", path, Some(object)).await?;
        self.object(path, &stored)
    }

    /// Deletes an object, what it owns with it or before it; whether it was there.
    ///
    /// # Errors
    /// The API server refuses, or was not reached.
    pub(crate) async fn delete(&self, path: &str) -> Result<bool, Error> {
        let options =
            serde_json::json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Foreground"});
        match self.send("DELETE", path, Some(&options)).await {
            Err(Error::Refused { code: 404, .. }) => Ok(false),
            answer => answer.map(|_| true),
        }
    }

    /// What is no object: a log.
    ///
    /// # Errors
    /// The API server refuses, or was not reached.
    pub(crate) async fn text(&self, path: &str) -> Result<String, Error> {
        self.send("GET", path, None).await
    }

    async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<String, Error> {
        let request = self.request(method, path, body)?;
        self.in_time(self.client.request_text(request)).await
    }

    fn object(&self, path: &str, text: &str) -> Result<Value, Error> {
        odd::object(text).map_err(|error| {
            if serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok() {
                Error::Unreadable { path: path.to_owned(), why: error.to_string() }
            } else {
                // No JSON at all: something between here and the API server has answered.
                self.unreachable(error.to_string())
            }
        })
    }

    async fn in_time<T>(&self, answer: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Error> {
        match timeout(DEADLINE, answer).await {
            Ok(answer) => answer.map_err(|error| self.wrong(error)),
            Err(_) => Err(self.unreachable(no_answer_within(DEADLINE))),
        }
    }

    fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Request<Vec<u8>>, Error> {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let body = body.map(Value::to_string).unwrap_or_default().into_bytes();
        request.body(body).map_err(|error| self.unreachable(error.to_string()))
    }

    fn wrong(&self, error: kube::Error) -> Error {
        match error {
            kube::Error::Api(status) => Error::Refused { code: status.code, message: status.message },
            other => self.unreachable(root_cause(&other)),
        }
    }

    fn unreachable(&self, why: String) -> Error {
        Error::Unreachable { server: self.server.clone(), why }
    }
}
