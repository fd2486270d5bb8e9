//! Error messages: the root cause of an error, and the wording of a timeout.

use std::error::Error;
use std::time::Duration;

/// The root cause of an error, in the API server's own words if it answered. The outer errors repeat it in more words.
pub fn root_cause(error: &(dyn Error + 'static)) -> String {
    if let Some(kube::Error::Api(status)) = error.downcast_ref() {
        return status.message.clone();
    }
    error.source().map_or_else(|| error.to_string(), root_cause)
}

/// The message for a deadline that has passed.
pub fn no_answer_within(deadline: Duration) -> String {
    format!("no answer within {} s", deadline.as_secs_f32())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kube::core::Status;

    use super::{no_answer_within, root_cause};

    #[test]
    fn the_root_cause_is_the_lowest_or_the_api_servers_message() {
        let refused = kube::Error::Api(Box::new(Status::failure("pods is forbidden", "Forbidden")));
        assert_eq!(root_cause(&refused), "pods is forbidden");
        let above = kube::Error::Service(Box::new(refused));
        assert_eq!(root_cause(&above), "pods is forbidden");
        let broken = kube::Error::Service(std::io::Error::other("connection reset").into());
        assert_eq!(root_cause(&broken), "connection reset");
        assert_eq!(no_answer_within(Duration::from_millis(1500)), "no answer within 1.5 s");
    }
}
