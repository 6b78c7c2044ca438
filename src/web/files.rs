//! `/f/{name}`: a file, read as a whole or in part.
//!
//! What this peer holds comes from its store, piece by piece as whoever reads it takes it, each piece checked on the way.
//! Anything else is brought here, and sent on while it comes, each chunk when it has proved itself; what is read next comes
//! before the rest of it. It is kept open for a minute for who wants more of it.

use super::control::Control;
use super::fetches::{Known, Readable};
use super::ranges::{self, Want};
use super::replies::{Refusal, refuse};
use super::routes::{Route, Shared};
use super::schema::{Code, Trouble};
use super::taking;
use crate::ground::{Content, FileName};
use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http_body_util::channel::{Channel, Sender};
use std::fmt::Display;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use tokio::task;

/// Pieces of a file that wait for whoever reads it, apart from the one being sent.
const WAITING_PIECES: usize = 1;

/// The routes of files.
pub fn routes() -> Vec<Route> {
    let handler = get(read).head(head).put(taking::put).delete(taking::delete);
    vec![Route { path: "/f/{name}", methods: &["get", "head", "put", "delete"], handler }]
}

/// The file that the path of a request names.
pub struct Named(pub FileName);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Named, Response> {
        let no = |code, reason: &dyn Display| Refusal(StatusCode::BAD_REQUEST, Trouble::new(code, reason)).reply();
        // Left as it stands, a slip of the pen would be the name of another file.
        if !is_well_escaped(parts.uri.path()) {
            return Err(no(Code::Usage, &"in a path % is followed by two hexadecimal digits; itself it is %25"));
        }
        let Path(name) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| no(Code::Usage, &"a name is UTF-8, percent-encoded"))?;
        FileName::parse(&name).map(Named).map_err(|reason| no(Code::Usage, &reason))
    }
}

fn is_well_escaped(path: &str) -> bool {
    let is_digits = |rest: &str| rest.len() >= 2 && rest.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
    path.split('%').skip(1).all(is_digits)
}

/// The hash as hexadecimal digits.
pub fn hash_of(content: &Content) -> String {
    content.hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn read(State(control): Shared, Named(name): Named, headers: HeaderMap) -> Response {
    answer(&control, &name, &headers).await.unwrap_or_else(refuse)
}

async fn head(State(control): Shared, Named(name): Named, headers: HeaderMap) -> Response {
    let content = match control.find(&name).await {
        Ok(known) => known.content(),
        Err(trouble) => return refuse(trouble),
    };
    // Ranges are for reading: RFC 9110 §14.2.
    let whole = |headers: &HeaderMap| {
        let mut headers = headers.clone();
        headers.remove(header::RANGE);
        headers
    };
    respond(&name, &content, &ranges::wanted(&whole(&headers), &hash_of(&content), content.len_bytes), Body::empty())
}

async fn answer(control: &Arc<Control>, name: &FileName, headers: &HeaderMap) -> Result<Response, Trouble> {
    match begin(control, name, headers).await {
        // Our own copy is known to be damaged now: another peer's is as good as ours was.
        Err(trouble) if trouble.code == Code::Damaged => {}
        outcome => return outcome,
    }
    begin(control, name, headers).await.map_err(|trouble| match trouble.code {
        Code::Damaged => Trouble::new(Code::Damaged, format!("{name} is held, but damaged: check it with --repair")),
        _ => trouble,
    })
}

/// The response, when the first bytes that are wanted are here.
async fn begin(control: &Arc<Control>, name: &FileName, headers: &HeaderMap) -> Result<Response, Trouble> {
    let found = control.find(name).await?;
    let content = found.content();
    let want = ranges::wanted(headers, &hash_of(&content), content.len_bytes);
    let Some(range) = wanted_bytes(&want, &content) else {
        return Ok(respond(name, &content, &want, Body::empty()));
    };
    let mut readable = match found {
        Known::Here(opened) => Readable::Whole(opened),
        Known::Elsewhere { version, .. } => control.bring(name, content, version).await?,
    };
    let first = if range.is_empty() { Vec::new() } else { readable.read(range.start).await? };
    Ok(respond(name, &content, &want, stream(readable, range, first)))
}

fn wanted_bytes(want: &Want, content: &Content) -> Option<Range<u64>> {
    match want {
        Want::All => Some(0..content.len_bytes),
        Want::Part(range) => Some(range.clone()),
        Want::Unchanged | Want::Changed | Want::Beyond => None,
    }
}

/// The bytes of a range, each piece read when the one before has been taken.
fn stream(readable: Readable, range: Range<u64>, first: Vec<u8>) -> Body {
    let (sender, body) = Channel::<Bytes, io::Error>::new(WAITING_PIECES);
    task::spawn(pour(readable, range, first, sender));
    Body::new(body)
}

async fn pour(mut readable: Readable, range: Range<u64>, first: Vec<u8>, mut sender: Sender<Bytes, io::Error>) {
    let (mut at, mut piece) = (range.start, first);
    while at < range.end {
        piece.truncate((range.end - at).try_into().unwrap_or(usize::MAX));
        at += piece.len() as u64;
        if sender.send_data(Bytes::from(piece)).await.is_err() || at == range.end {
            return;
        }
        piece = match readable.read(at).await {
            Ok(piece) => piece,
            // The connection breaks off: fewer bytes than were announced are no file.
            Err(trouble) => return sender.abort(io::Error::other(trouble.message)),
        };
    }
}

fn respond(name: &FileName, content: &Content, want: &Want, body: Body) -> Response {
    let len = content.len_bytes;
    let (status, length, range) = match want {
        Want::All => (StatusCode::OK, Some(len), None),
        Want::Part(Range { start, end }) => {
            (StatusCode::PARTIAL_CONTENT, Some(end - start), Some(format!("bytes {start}-{}/{len}", end - 1)))
        }
        Want::Unchanged => (StatusCode::NOT_MODIFIED, None, None),
        Want::Changed => (StatusCode::PRECONDITION_FAILED, Some(0), None),
        Want::Beyond => (StatusCode::RANGE_NOT_SATISFIABLE, Some(0), Some(format!("bytes */{len}"))),
    };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    let mut set = |header, value: &str| {
        headers.insert(header, HeaderValue::from_str(value).expect("digits, letters and signs of ASCII"));
    };
    set(header::ETAG, &ranges::entity_tag(&hash_of(content)));
    set(header::ACCEPT_RANGES, "bytes");
    // The name may have another version the next time.
    set(header::CACHE_CONTROL, "no-cache");
    set(header::CONTENT_TYPE, "application/octet-stream");
    set(header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox");
    set(header::CONTENT_DISPOSITION, &disposition(name));
    if let Some(length) = length {
        set(header::CONTENT_LENGTH, &length.to_string());
    }
    if let Some(range) = range {
        set(header::CONTENT_RANGE, &range);
    }
    response
}

/// To be saved under its name, never shown (RFC 6266): in plain letters for old programs, and as it is.
fn disposition(name: &FileName) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_. ".contains(letter);
    let plain: String = name.as_str().chars().map(|letter| if is_plain(letter) { letter } else { '_' }).collect();
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{}", escaped(name))
}

/// Percent-encoded, as a part of a path too.
pub fn escaped(name: &FileName) -> String {
    let escape = |byte: u8| match byte {
        byte if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    name.as_str().bytes().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_header() {
        let name = FileName::parse("<img src=x onerror=\"a\"> é.pdf").unwrap();
        assert_eq!(
            disposition(&name),
            "attachment; filename=\"_img src_x onerror__a__ _.pdf\"; \
             filename*=UTF-8''%3Cimg%20src%3Dx%20onerror%3D%22a%22%3E%20%C3%A9.pdf"
        );
    }
}
