//! The routes by which people look: whom the peer knows, how fast somebody answers, which way a lookup takes.

use super::answers::Subject;
use super::routes::{Route, Shared, about_file};
use super::schema::looking::{FindWish, PingWish};
use super::wishing::Wished;
use crate::peer::{Ruler, Whom};
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};

/// These routes.
pub fn routes() -> Vec<Route> {
    vec![
        Route { path: "/v1/contacts", methods: &["get"], handler: get(contacts) },
        Route { path: "/v1/ping", methods: &["post"], handler: post(ping) },
        Route { path: "/v1/find", methods: &["post"], handler: post(find) },
    ]
}

async fn contacts(State(control): Shared) -> Response {
    control.follow(Subject::default(), control.host.contacts()).await
}

async fn ping(State(control): Shared, Wished(PingWish { peer }): Wished<PingWish>) -> Response {
    control.follow(Subject::default(), control.host.ping(whom(&peer))).await
}

async fn find(State(control): Shared, Wished(FindWish { name, mode }): Wished<FindWish>) -> Response {
    control.follow(about_file(&name), control.host.trace(&name, mode.map(Ruler::from))).await
}

/// Whom somebody means: an address with its port, or else a peer by what people call it.
pub fn whom(text: &str) -> Whom {
    text.parse().map_or_else(|_| Whom::Called(text.to_owned()), Whom::At)
}
