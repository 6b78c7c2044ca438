//! `/f/{name}`: a file, stored or removed.
//!
//! The bytes go to the peer's disk as they come; when all are there the peer stores them as it stores any file, and the
//! reply comes when they are durable at those who keep them.

use super::answers::{self, Subject};
use super::control::Control;
use super::files::{Named, escaped, hash_of};
use super::ranges::entity_tag;
use super::replies::{Refusal, refuse, refuse_as, reply};
use super::routes::Shared;
use super::schema::{Code, Object, Outcome, Trouble};
use super::told::Meter;
use crate::ground::FileName;
use crate::live::{Arriving, NoRoom, Unheard, is_for_lack_of_room};
use crate::peer::Answer;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use http_body_util::BodyExt as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// The longest file, in bytes: up to here each piece that is checked while it is read has at most 1 MiB.
const MAX_FILE_BYTES: u64 = 64 << 30;

/// How long whoever sends a file may send nothing of it.
const BODY_STALLS: Duration = Duration::from_secs(30);

/// Stores a file.
pub async fn put(
    State(control): Shared,
    Named(name): Named,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let checked = ttl(query.as_deref()).and_then(|ttl| announced(&headers).map(|length| (ttl, length)));
    match checked {
        Err(refusal) => refusal.reply(),
        Ok((ttl, length)) => match arrived(&control, &name, length, body).await {
            Err(refusal) => refusal.reply(),
            Ok(arriving) => store(&control, &name, &arriving, ttl).await,
        },
    }
}

/// Removes a file.
pub async fn delete(State(control): Shared, Named(name): Named, headers: HeaderMap) -> Response {
    if let Some(refusal) = conditional(&headers) {
        return refusal.reply();
    }
    let answer = match control.host.remove(name.as_str()) {
        Ok(reply) => reply.await,
        Err(error) => return refuse(answers::unheard(error)),
    };
    match answer {
        Ok(answer) => ended(&control, answer, |_, _| StatusCode::NO_CONTENT),
        Err(_) => refuse(answers::unheard(Unheard::Ended)),
    }
}

/// How many bytes are to come.
#[derive(Clone, Copy)]
enum Length {
    /// So many: room is made before, and fewer are no file.
    Said(u64),
    /// Their end will be told (Transfer-Encoding: chunked), as where a program still writes them.
    Untold,
}

fn announced(headers: &HeaderMap) -> Result<Length, Refusal> {
    let no = |status, message: &str| Err(Refusal(status, Trouble::new(Code::Usage, message)));
    if let Some(refusal) = conditional(headers) {
        return Err(refusal);
    }
    if headers.contains_key(header::CONTENT_RANGE) {
        return no(StatusCode::BAD_REQUEST, "a file is stored as a whole: leave out Content-Range");
    }
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    match length.and_then(|length| length.parse::<u64>().ok()) {
        Some(length) if length > MAX_FILE_BYTES => Err(too_long()),
        Some(length) => Ok(Length::Said(length)),
        None if headers.contains_key(header::TRANSFER_ENCODING) => Ok(Length::Untold),
        None => no(StatusCode::LENGTH_REQUIRED, "say in Content-Length how long the file is, or send it chunked"),
    }
}

fn too_long() -> Refusal {
    let message = "a file that is stored over HTTP has at most 64 GiB";
    Refusal(StatusCode::PAYLOAD_TOO_LARGE, Trouble::new(Code::Usage, message))
}

/// A network has no moment at which a condition could hold everywhere: who relies on one is told so.
fn conditional(headers: &HeaderMap) -> Option<Refusal> {
    let conditions = [header::IF_MATCH, header::IF_NONE_MATCH, header::IF_UNMODIFIED_SINCE];
    conditions.into_iter().find(|condition| headers.contains_key(condition)).map(|condition| {
        let message = format!("files are stored and removed without conditions: leave out {condition}");
        Refusal(StatusCode::BAD_REQUEST, Trouble::new(Code::Usage, message))
    })
}

/// `?ttl_s=60`.
fn ttl(query: Option<&str>) -> Result<Option<Duration>, Refusal> {
    let Some(query) = query.filter(|query| !query.is_empty()) else { return Ok(None) };
    let seconds = query.strip_prefix("ttl_s=").and_then(|seconds| seconds.parse::<u64>().ok());
    let seconds = seconds.filter(|seconds| *seconds > 0);
    let message = "after the name comes nothing, or ?ttl_s= and a number of seconds, at least 1";
    let wrong = || Refusal(StatusCode::BAD_REQUEST, Trouble::new(Code::Usage, message));
    seconds.map(|seconds| Some(Duration::from_secs(seconds))).ok_or_else(wrong)
}

/// Takes the bytes as they come.
async fn arrived(control: &Arc<Control>, name: &FileName, length: Length, mut body: Body) -> Result<Arriving, Refusal> {
    let (room, mut meter) = match length {
        Length::Said(bytes) => (bytes, Some(Meter::new(control.told.clone(), name, bytes))),
        Length::Untold => (0, None),
    };
    let mut arriving = control.host.arrive(room).await.map_err(no_room)?;
    let bad = |status, message: &str| Err(Refusal(status, Trouble::new(Code::Usage, message)));
    loop {
        let frame = match timeout(BODY_STALLS, body.frame()).await {
            Err(_) => return bad(StatusCode::REQUEST_TIMEOUT, "the rest of the file did not come"),
            Ok(Some(Err(_))) => return bad(StatusCode::BAD_REQUEST, "the file broke off"),
            Ok(Some(Ok(frame))) => frame,
            Ok(None) => match length {
                Length::Said(bytes) if arriving.len_bytes() < bytes => {
                    return bad(StatusCode::BAD_REQUEST, "the file is shorter than was said");
                }
                Length::Said(_) | Length::Untold => return Ok(arriving),
            },
        };
        if let Ok(bytes) = frame.into_data() {
            if arriving.len_bytes() + bytes.len() as u64 > MAX_FILE_BYTES {
                return Err(too_long());
            }
            arriving.write(bytes).await.map_err(no_room)?;
            if let Some(meter) = &mut meter {
                meter.reached(arriving.len_bytes());
            }
        }
    }
}

async fn store(control: &Arc<Control>, name: &FileName, arriving: &Arriving, ttl: Option<Duration>) -> Response {
    let answer = match control.host.store_as(arriving.path(), name.as_str(), ttl) {
        Ok(reply) => reply.await,
        Err(error) => return refuse(answers::unheard(error)),
    };
    match answer {
        Ok(answer) => ended(control, answer, |replaces, outcome| match outcome {
            _ if !replaces => StatusCode::CREATED,
            Outcome::Good => StatusCode::NO_CONTENT,
            // With words: fewer copies than wanted.
            Outcome::Few | Outcome::Damaged => StatusCode::OK,
        }),
        Err(_) => refuse(answers::unheard(Unheard::Ended)),
    }
}

/// What a store or a removal came to. `status`: by whether a file was there before, and the outcome.
fn ended(control: &Control, answer: Answer, status: impl Fn(bool, Outcome) -> StatusCode) -> Response {
    if let Answer::Failed { name, reason } = &answer {
        let trouble = Trouble::new(Code::OutOfReach, format!("{name}: {reason}"));
        let full = is_for_lack_of_room(reason);
        return refuse_as(
            if full { StatusCode::INSUFFICIENT_STORAGE } else { StatusCode::SERVICE_UNAVAILABLE },
            trouble,
        );
    }
    let stored = match &answer {
        Answer::Stored { manifest, replaces, .. } => Some((manifest.clone(), *replaces)),
        _ => None,
    };
    let objects = answers::objects(control.naming, &Subject::default(), answer);
    let ((manifest, replaces), outcome) = match (stored, objects.last()) {
        (Some(stored), Some(Object::Done { outcome })) => (stored, *outcome),
        (_, Some(Object::Error(trouble))) => return refuse(trouble.clone()),
        (_, _) => return refuse(Trouble::new(Code::Failed, "the answer is none to this question")),
    };
    let status = status(replaces, outcome);
    let mut response = match status {
        StatusCode::NO_CONTENT => status.into_response(),
        status => reply(status, Body::from(objects.iter().map(Object::line).collect::<String>())),
    };
    if !manifest.content.is_removed() {
        let set = [
            (header::ETAG, entity_tag(&hash_of(&manifest.content))),
            (header::LOCATION, format!("/f/{}", escaped(&manifest.name))),
        ];
        for (header, value) in set {
            response.headers_mut().insert(header, HeaderValue::from_str(&value).expect("it is plain ASCII"));
        }
    }
    response
}

fn no_room(why: NoRoom) -> Refusal {
    match why {
        NoRoom::Full(reason) => Refusal(StatusCode::INSUFFICIENT_STORAGE, Trouble::new(Code::Failed, reason)),
        NoRoom::Disk(reason) => Refusal(StatusCode::INTERNAL_SERVER_ERROR, Trouble::new(Code::Failed, reason)),
    }
}
