//! Errors of requests to the API server.

use std::io::ErrorKind;

use kube::core::request;

use crate::cluster::projection::Malformed;
use crate::failure::root_cause;

/// A failed request, or a response that ends early.
#[derive(Debug, thiserror::Error)]
pub(in crate::cluster) enum Error {
    #[error(transparent)]
    Kube(#[from] kube::Error),
    #[error("the response ends early")]
    Truncated,
    #[error("the API server sent nothing for too long")]
    Timeout(#[from] tokio::time::error::Elapsed),
    #[error("the response cannot be parsed: {0}")]
    Malformed(#[from] Malformed),
    #[error("the response cannot be parsed: {0}")]
    Json(#[from] serde_json::Error),
    #[error("failed to write the request: {0}")]
    Request(#[from] request::Error),
    #[error("the list has no resourceVersion")]
    Unversioned,
}

impl Error {
    /// The root cause, in the words of the API server if it answered.
    pub(in crate::cluster) fn root_cause(&self) -> String {
        match self {
            Error::Kube(error) => root_cause(error),
            error => error.to_string(),
        }
    }

    /// Whether the requested version is gone: 410.
    pub(in crate::cluster) fn is_gone(&self) -> bool {
        matches!(self, Error::Kube(kube::Error::Api(status)) if status.code == 410)
    }
}

/// For callers whose errors are `kube::Error`.
impl From<Error> for kube::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Kube(error) => error,
            error => kube::Error::Service(Box::new(error)),
        }
    }
}

/// Whether a connection ended in the middle of a response, as those of watches do at the API server or at a proxy.
/// Nothing is lost, so it is not an error.
pub(super) fn is_end(error: &kube::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        let is_eof = |error: &std::io::Error| error.kind() == ErrorKind::UnexpectedEof;
        let is_incomplete = |error: &hyper::Error| error.is_incomplete_message();
        if error.downcast_ref().is_some_and(is_eof) || error.downcast_ref().is_some_and(is_incomplete) {
            return true;
        }
        if error.source().is_none() && error.to_string().contains("unexpected EOF during chunk") {
            return true;
        }
        cause = error.source();
    }
    false
}
