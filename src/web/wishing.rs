//! What somebody wishes: the body of a request. It is short, comes soon, and is JSON.

use super::replies::Refusal;
use super::schema::{Code, Trouble};
use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::response::Response;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::time::timeout;

/// The longest wish, in bytes: two paths of 4096, and each byte of them escaped.
const MAX_WISH_BYTES: usize = 64 << 10;

/// How long a wish may take to come. Guess: whoever takes longer for so little has stopped.
const WISH_TAKES: Duration = Duration::from_secs(30);

/// What a body wishes; an empty one is the same as an empty object. Whatever is no wish is refused with an object that says why.
#[derive(Debug)]
pub struct Wished<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Wished<T> {
    type Rejection = Response;

    async fn from_request(request: Request, _: &S) -> Result<Wished<T>, Response> {
        let body = whole(request.into_body(), WISH_TAKES).await;
        body.and_then(|body| parsed(&body)).map(Wished).map_err(Refusal::reply)
    }
}

/// All of a body, if it comes in time.
async fn whole(body: Body, takes: Duration) -> Result<Bytes, Refusal> {
    let no = |status, message: &str| Refusal(status, Trouble::new(Code::Usage, message));
    let too_long = || no(StatusCode::PAYLOAD_TOO_LARGE, "a wish has at most 64 KiB");
    if body.size_hint().lower() > MAX_WISH_BYTES as u64 {
        return Err(too_long());
    }
    match timeout(takes, Limited::new(body, MAX_WISH_BYTES).collect()).await {
        Err(_) => Err(no(StatusCode::REQUEST_TIMEOUT, "the rest of the wish did not come")),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_long()),
        Ok(Err(_)) => Err(no(StatusCode::BAD_REQUEST, "the wish broke off")),
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
    }
}

fn parsed<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    let wrong = |error| Trouble::new(Code::Usage, format!("the wish is no wish: {error}"));
    let text: &[u8] = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(text).map_err(|error| Refusal(StatusCode::BAD_REQUEST, wrong(error)))
}

#[cfg(test)]
mod tests {
    use super::super::schema::NameWish;
    use super::*;
    use http_body_util::channel::Channel;
    use hyper::body::Frame;
    use std::convert::Infallible;

    fn status(body: Body) -> u16 {
        let runtime = crate::live::runtime().unwrap();
        let read = runtime.block_on(whole(body, Duration::from_millis(1)));
        read.and_then(|body| parsed::<NameWish>(&body)).map_or_else(|refusal| refusal.0.as_u16(), |_| 200)
    }

    #[test]
    fn a_wish_that_stalls_is_given_up() {
        let (mut sender, body) = Channel::<Bytes, Infallible>::new(1);
        sender.try_send(Frame::data(Bytes::from(r#"{"name":"#))).unwrap();
        assert_eq!(status(Body::new(body)), 408);
        drop(sender);
    }

    #[test]
    fn a_wish_is_short_and_json() {
        assert_eq!(status(Body::from(r#"{"name":"a"}"#)), 200);
        for wrong in ["", "{", r#"{"name":7}"#, "\"\u{0}\""] {
            assert_eq!(status(Body::from(wrong)), 400, "{wrong}");
        }
        let wish = r#"{"name":"a"}"#;
        let longest = wish.to_owned() + &" ".repeat(MAX_WISH_BYTES - wish.len());
        assert_eq!(status(Body::from(longest.clone())), 200);
        assert_eq!(status(Body::from(longest.clone() + " ")), 413);
        // Its length is told by nobody.
        let (mut sender, body) = Channel::<Bytes, Infallible>::new(2);
        for part in [longest, " ".to_owned()] {
            sender.try_send(Frame::data(Bytes::from(part))).unwrap();
        }
        drop(sender);
        assert_eq!(status(Body::new(body)), 413);
    }

    #[test]
    fn a_wish_that_breaks_off_is_none() {
        let (sender, body) = Channel::<Bytes, std::io::Error>::new(1);
        sender.abort(std::io::ErrorKind::ConnectionReset.into());
        assert_eq!(status(Body::new(body)), 400);
    }
}
