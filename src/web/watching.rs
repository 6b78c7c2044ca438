//! `/healthz` and `/metrics`: how the peer is, for programs that watch it.

use super::control::Control;
use super::replies::refuse;
use super::routes::{Route, Shared};
use super::schema::{Code, Trouble};
use crate::live::Look;
use crate::peer::Standing;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What OpenMetrics calls itself.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The routes.
pub fn routes() -> Vec<Route> {
    vec![
        Route { path: "/healthz", methods: &["get"], handler: get(health) },
        Route { path: "/metrics", methods: &["get"], handler: get(metrics) },
    ]
}

/// 200 for a member of the network.
async fn health(State(control): Shared) -> Response {
    let standing = control.host.look().await.map_or(Standing::Gone, |look| look.view.standing);
    let not_yet = |why: &str| refuse(Trouble::new(Code::OutOfReach, format!("peer {} {why}", control.plate.name)));
    match standing {
        Standing::Member => "ok\n".into_response(),
        Standing::Joining => not_yet("is joining"),
        Standing::Leaving => not_yet("is leaving"),
        Standing::Gone => not_yet("has left"),
    }
}

async fn metrics(State(control): Shared) -> Response {
    match control.host.look().await {
        Ok(look) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text(&look, &control)).into_response(),
        Err(error) => refuse(super::answers::unheard(error)),
    }
}

fn text(look: &Look, control: &Arc<Control>) -> String {
    let files: BTreeSet<_> =
        look.view.files.iter().filter(|file| !file.content.is_removed()).map(|file| file.key).collect();
    let meters = look.meters;
    let gauges = [
        ("p2p_contacts", "Peers that it knows.", look.view.contacts.len() as u64),
        ("p2p_files", "Files that it keeps for the network.", files.len() as u64),
        ("p2p_stored_bytes", "Bytes of these, all versions together.", look.used_bytes),
    ];
    let counters = [
        ("p2p_lookups", "Commands that look for a place in the network.", meters.lookups),
        ("p2p_requests", "Commands to bring a file here.", meters.requests),
        ("p2p_transfers", "Files moved for commands of its own.", meters.transfers),
        ("p2p_repairs", "Copies made where one lacked.", meters.repairs),
        ("p2p_datagrams_received", "UDP datagrams that came.", meters.datagrams_in),
        ("p2p_datagrams_sent", "UDP datagrams that left.", meters.datagrams_out),
        ("p2p_http_requests", "HTTP requests.", control.served.load(Ordering::Relaxed)),
    ];
    let mut text = String::new();
    for (name, help, value) in gauges {
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n");
    }
    for (name, help, value) in counters {
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} counter\n{name}_total {value}\n");
    }
    text + "# EOF\n"
}
