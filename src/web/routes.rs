//! The routes, and those that take a wish: each replies with lines as they come.

use super::answers::Subject;
use super::control::Control;
use super::events::Readers;
use super::guard::{self, Guard};
use super::replies::{for_own_pages, refuse, refuse_as, reply};
use super::schema::{
    CheckWish, Code, GetWish, NameWish, Object, Outcome, Phase, QuitWish, RequestWish, SetWish, StoreWish, Trouble,
};
use super::wishing::Wished;
use super::{accept, events, files, looking, openapi, watching};
use crate::ground::{FileName, Naming};
use crate::live::Waiting;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use axum::{Extension, Router};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Routes that read and write files of this machine with all our rights: they are at the Unix socket alone. A token lets
/// others change what the network keeps, and no more.
const FOR_OUR_USER: [&str; 2] = ["/v1/store", "/v1/request"];

/// A path, and who answers there.
pub struct Route {
    /// The path.
    pub path: &'static str,
    /// Its methods, as `get`: what the description is compared with.
    #[cfg_attr(not(test), expect(dead_code, reason = "axum does not say which methods a handler has"))]
    pub methods: &'static [&'static str],
    /// Who answers.
    pub handler: MethodRouter<Arc<Control>>,
}

/// What handlers are given.
pub type Shared = State<Arc<Control>>;

/// All routes.
pub fn table() -> Vec<Route> {
    let of_others = [files::routes(), events::routes(), looking::routes(), watching::routes(), openapi::routes()];
    wishes().into_iter().chain(of_others.into_iter().flatten()).collect()
}

/// Answers at all routes of a door; with a guard, whoever that lets through, and not at those for our own user.
pub fn router(control: Arc<Control>, guard: Option<Guard>) -> Router {
    let add = |router: Router<Arc<Control>>, Route { path, handler, .. }: Route| {
        let is_closed = guard.is_some() && FOR_OUR_USER.contains(&path);
        router.route(path, if is_closed { post(not_for_others) } else { handler })
    };
    let router = table()
        .into_iter()
        .fold(Router::new(), add)
        .fallback(nothing)
        .method_not_allowed_fallback(no_method)
        .layer(Extension(Readers::at(accept::most_connections())))
        .layer(middleware::from_fn_with_state(control.clone(), count))
        .with_state(control);
    let router = match guard {
        Some(guard) => router.layer(middleware::from_fn_with_state(Arc::new(guard), guard::check)),
        None => router,
    };
    router.layer(middleware::map_response(async |reply: Response| for_own_pages(reply)))
}

fn wishes() -> Vec<Route> {
    let by_get = |path, handler| Route { path, methods: &["get"], handler };
    let by_post = |path, handler| Route { path, methods: &["post"], handler };
    vec![
        by_get("/v1/status", get(status)),
        by_get("/v1/files", get(list)),
        by_post("/v1/store", post(store)),
        by_post("/v1/request", post(request)),
        by_post("/v1/rm", post(remove)),
        by_post("/v1/check", post(check)),
        by_post("/v1/history", post(history)),
        by_post("/v1/set", post(set)),
        by_post("/v1/get", post(get_value)),
        by_post("/v1/quit", post(quit)),
    ]
}

async fn count(State(control): Shared, request: Request, next: Next) -> Response {
    control.served.fetch_add(1, Ordering::Relaxed);
    next.run(request).await
}

async fn nothing() -> Response {
    reply(StatusCode::NOT_FOUND, Body::from(Object::Error(no_route()).line()))
}

/// What is allowed is said in a header by who calls this.
async fn no_method() -> Response {
    let trouble = Trouble::new(Code::Usage, "this route does not have this method");
    refuse_as(StatusCode::METHOD_NOT_ALLOWED, trouble.hint("the header Allow lists those it has"))
}

async fn not_for_others() -> Response {
    let trouble = Trouble::new(Code::Refused, "over TCP no file of the peer's machine is read or written by its path");
    refuse(trouble.hint("over TCP use PUT and GET of /f/NAME; at the peer's Unix socket this route is there"))
}

fn no_route() -> Trouble {
    Trouble::new(Code::Usage, "there is no such route").hint("GET /v1/openapi.json lists them all")
}

async fn status(State(control): Shared) -> Response {
    let lines = [Object::Status(control.plate.clone()), Object::Done { outcome: Outcome::Good }];
    reply(StatusCode::OK, Body::from(lines.map(|object| object.line()).concat()))
}

async fn list(State(control): Shared) -> Response {
    let begun = control.host.list();
    control.follow(Subject::default(), begun).await
}

async fn store(State(control): Shared, Wished(wish): Wished<StoreWish>) -> Response {
    let path = match absolute(&wish.path) {
        Ok(path) => path,
        Err(trouble) => return refuse(trouble),
    };
    if wish.ttl_s == Some(0) {
        return refuse(Trouble::new(Code::Usage, "ttl_s is a number of seconds, at least 1"));
    }
    let begun = control.host.store_as(&path, &wish.name, wish.ttl_s.map(Duration::from_secs));
    control.follow(about_file(&wish.name), begun).await
}

async fn request(State(control): Shared, Wished(wish): Wished<RequestWish>) -> Response {
    let path = match absolute(&wish.path) {
        Ok(path) => path,
        Err(trouble) => return refuse(trouble),
    };
    let waiting = Waiting::default();
    let begun = control.host.request_to(&wish.name, wish.version, path, waiting.interest());
    control.follow_while(waiting, Subject { path: wish.path, ..about_file(&wish.name) }, begun).await
}

async fn remove(State(control): Shared, Wished(NameWish { name }): Wished<NameWish>) -> Response {
    control.follow(about_file(&name), control.host.remove(&name)).await
}

async fn history(State(control): Shared, Wished(NameWish { name }): Wished<NameWish>) -> Response {
    control.follow(about_file(&name), control.host.inspect(&name, false, false)).await
}

async fn check(State(control): Shared, Wished(CheckWish { name, repair }): Wished<CheckWish>) -> Response {
    let subject = Subject { judged: true, ..about_file(&name) };
    let begun = control.host.inspect(&name, true, repair);
    if repair { control.repair(name, subject, begun).await } else { control.follow(subject, begun).await }
}

async fn set(State(control): Shared, Wished(SetWish { key, value }): Wished<SetWish>) -> Response {
    let begun = control.host.set(&key, value.as_bytes());
    control.follow(Subject { key, ..Subject::default() }, begun).await
}

async fn get_value(State(control): Shared, Wished(GetWish { key }): Wished<GetWish>) -> Response {
    let begun = control.host.get(&key);
    control.follow(Subject { key, ..Subject::default() }, begun).await
}

async fn quit(State(control): Shared, Wished(QuitWish { abrupt }): Wished<QuitWish>) -> Response {
    if abrupt {
        return control.follow(Subject::default(), control.host.vanish()).await;
    }
    let begun = control.host.leave();
    control
        .stream(begun, |_, reply, lines| async move {
            let _ = lines.tell(&Object::Phase(Phase::Leaving)).await;
            lines.answer(Naming::Numbered, &Subject::default(), reply.await).await;
        })
        .await
}

pub fn about_file(name: &str) -> Subject {
    Subject { file: FileName::parse(name).ok(), ..Subject::default() }
}

/// Whoever asks works in another folder than the peer.
fn absolute(path: &str) -> Result<PathBuf, Trouble> {
    let path = Path::new(path);
    let relative = || Trouble::new(Code::Usage, "give the file by its absolute path");
    path.is_absolute().then(|| path.to_owned()).ok_or_else(relative)
}
