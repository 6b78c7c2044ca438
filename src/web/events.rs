//! `GET /v1/events`: what the peer tells, as server-sent events. With `Last-Event-ID`, or `?since=NUMBER`, what was told
//! since then comes first.

use super::control::Control;
use super::replies::{refuse, refuse_as};
use super::routes::{Route, Shared};
use super::schema::{Code, Object, Trouble};
use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http_body_util::BodyExt as _;
use http_body_util::channel::{Channel, Sender};
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task;
use tokio::time::timeout;

/// How often something is said where there is nothing to say, so that nobody takes the connection for dead. Guess: less
/// than what proxies wait.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Most events in one write.
const EVENTS_A_WRITE: usize = 64;

/// Most readers at a door, and of how many connections there one may be a reader's: they stay, and others are to be answered
/// too. Guess: more than look at one peer.
const MOST_READERS: usize = 64;
const READERS_SHARE: usize = 2;

/// Where browsers say what they had last.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The route.
pub fn routes() -> Vec<Route> {
    vec![Route { path: "/v1/events", methods: &["get"], handler: get(events) }]
}

/// Room for who reads events at a door.
#[derive(Clone)]
pub struct Readers(Arc<Semaphore>);

impl Readers {
    /// For a door at which so many may be connected.
    pub fn at(most_connections: usize) -> Readers {
        let most = MOST_READERS.min(most_connections / READERS_SHARE).max(1);
        Readers(Arc::new(Semaphore::new(most)))
    }
}

async fn events(
    State(control): Shared,
    Extension(readers): Extension<Readers>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let since = match since(query.as_deref(), &headers) {
        Ok(since) => since.map_or_else(|| control.told.last(), |since| control.told.going_on_at(since)),
        Err(trouble) => return refuse(trouble),
    };
    let Ok(place) = readers.0.try_acquire_owned() else { return too_many() };
    let (sender, body) = Channel::<Bytes, Infallible>::new(1);
    task::spawn(stream(control, since, sender));
    // It goes with the body: who leaves makes room at once, though nothing is to be told for long.
    let body = body.map_frame(move |frame| {
        let _place = &place;
        frame
    });
    ([(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")], Body::new(body))
        .into_response()
}

fn too_many() -> Response {
    let message = "as many as may read the events of this peer at once are reading them: try again later";
    refuse_as(StatusCode::SERVICE_UNAVAILABLE, Trouble::new(Code::Failed, message))
}

fn since(query: Option<&str>, headers: &HeaderMap) -> Result<Option<u64>, Trouble> {
    let header = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()).filter(|id| !id.is_empty());
    let asked = query.filter(|query| !query.is_empty());
    let wrong = || Trouble::new(Code::Usage, "events are counted: since=NUMBER");
    let number = match (header, asked) {
        (Some(id), _) => id,
        (None, Some(query)) => query.strip_prefix("since=").ok_or_else(wrong)?,
        (None, None) => return Ok(None),
    };
    number.parse().map(Some).map_err(|_| wrong())
}

/// Ends when nobody reads any more.
async fn stream(control: Arc<Control>, mut since: u64, mut sender: Sender<Bytes, Infallible>) {
    // The head of the reply leaves with the first bytes.
    let mut text = String::from(": here is what happens\n\n");
    loop {
        if sender.send_data(Bytes::from(text)).await.is_err() {
            return;
        }
        let more = timeout(HEARTBEAT, control.told.more_than(since)).await;
        text = if more.is_ok() { following(&control, &mut since) } else { ":\n\n".to_owned() };
    }
}

fn following(control: &Control, since: &mut u64) -> String {
    let following = control.told.after(*since, EVENTS_A_WRITE);
    let mut text = String::new();
    if following.missed > 0 {
        let missed = Object::Missed { events: following.missed };
        let _ = write!(text, "data: {}\n\n", missed.line().trim_end());
    }
    for line in following.lines {
        let _ = write!(text, "id: {}\ndata: {}\n\n", line.number, line.text);
        *since = line.number;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_leave_half_of_a_small_door_to_others() {
        let most = |connections| Readers::at(connections).0.available_permits();
        assert_eq!([512, 128, 16, 1].map(most), [64, 64, 8, 1]);
    }

    #[test]
    fn what_was_had_last_is_said_in_a_header_or_in_the_address() {
        let header = HeaderMap::from_iter([(LAST_EVENT_ID, "7".parse().unwrap())]);
        assert_eq!(since(None, &HeaderMap::new()), Ok(None));
        assert_eq!(since(Some("since=3"), &HeaderMap::new()), Ok(Some(3)));
        assert_eq!(since(Some("since=3"), &header), Ok(Some(7)), "a browser that comes again keeps the address");
        for wrong in ["since=", "since=x", "since=-1", "from=3"] {
            assert!(since(Some(wrong), &HeaderMap::new()).is_err(), "{wrong}");
        }
    }
}
