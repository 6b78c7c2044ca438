//! Replies of all routes: lines of JSON, and what cannot be done.

use super::schema::{Code, Object, Trouble};
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

/// When to try again what failed for now, in seconds. Guess: a network mends itself in less.
const RETRY_AFTER_S: &str = "5";

/// Who may show a reply: <https://fetch.spec.whatwg.org/#cross-origin-resource-policy-header>.
const OWN_PAGES: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Why a request is not begun with, and the status that says so.
#[derive(Debug)]
pub struct Refusal(pub StatusCode, pub Trouble);

impl Refusal {
    /// As it is said.
    pub fn reply(self) -> Response {
        refuse_as(self.0, self.1)
    }
}

/// Objects, one a line.
pub fn reply(status: StatusCode, body: Body) -> Response {
    (status, [(header::CONTENT_TYPE, "application/jsonl")], body).into_response()
}

/// Tells browsers to take a reply for what it says to be, and to show it in no page of another origin.
pub fn for_own_pages(mut reply: Response) -> Response {
    let headers = reply.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(OWN_PAGES, HeaderValue::from_static("same-origin"));
    reply
}

/// Why something cannot be done, with the status that fits.
pub fn refuse(trouble: Trouble) -> Response {
    let status = match trouble.code {
        Code::Usage => StatusCode::BAD_REQUEST,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::OutOfReach | Code::NoPeer => StatusCode::SERVICE_UNAVAILABLE,
        Code::Refused => StatusCode::FORBIDDEN,
        Code::Timeout => StatusCode::GATEWAY_TIMEOUT,
        Code::Failed | Code::Damaged => StatusCode::INTERNAL_SERVER_ERROR,
    };
    refuse_as(status, trouble)
}

/// The same with another status.
pub fn refuse_as(status: StatusCode, trouble: Trouble) -> Response {
    let mut response = reply(status, Body::from(Object::Error(trouble).line()));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
    }
    response
}
