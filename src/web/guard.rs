//! Who may ask over TCP: browsers reach it too, with pages of anybody in them.
//!
//! A page of somebody else's can give its own name our address (DNS rebinding), so the name a request is for must be one
//! of ours. It can send what it cannot read the answer of, and even an image that it wants to show could have this peer fetch
//! a file: so nothing that browsers say to come from another origin is answered, but where somebody follows a link. What
//! changes something has to show the token.

use super::replies::refuse_as;
use super::schema::{Code, Trouble};
use super::token::Token;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Where browsers say whose page asks, and what for: <https://www.w3.org/TR/fetch-metadata/>.
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// What requests are measured by.
pub struct Guard {
    /// Where we listen.
    addr: IpAddr,
    /// Other names of ours.
    names: Vec<String>,
    token: Token,
}

impl Guard {
    /// For who listens there, under these names too.
    pub fn new(addr: SocketAddr, names: Vec<String>, token: Token) -> Guard {
        Guard { addr: addr.ip(), names, token }
    }

    /// Whether this is one of our names. Where all addresses are listened at, any of them is: no page has an address for
    /// its name that is not its own.
    fn is_ours(&self, name: &str) -> bool {
        let name = without_dot(name);
        let literal = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name).parse::<IpAddr>();
        match literal {
            Ok(ip) => ip.is_loopback() || ip == self.addr || self.addr.is_unspecified(),
            Err(_) => {
                let mut own = self.names.iter().map(String::as_str).chain(["localhost"]);
                own.any(|own| name.eq_ignore_ascii_case(without_dot(own)))
            }
        }
    }

    fn refusal(&self, request: &Request) -> Option<Response> {
        let headers = request.headers();
        let mut hosts = headers.get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next().and_then(|host| host.to_str().ok()), hosts.next()) else {
            return no(StatusCode::BAD_REQUEST, "a request says in one Host header whom it is for", None);
        };
        let absolute = request.uri().authority().map_or(host, |authority| authority.as_str());
        let (Some(name), Some(absolute)) = (host_name(host), host_name(absolute)) else {
            return no(StatusCode::BAD_REQUEST, "a host is a name or an address, and perhaps a port", None);
        };
        if !self.is_ours(name) || !self.is_ours(absolute) {
            let hint = "ask for localhost, or start the peer with --http-host NAME";
            return no(
                StatusCode::MISDIRECTED_REQUEST,
                "this peer does not have the name in the Host header",
                Some(hint),
            );
        }
        if headers.get_all(header::ORIGIN).iter().any(|origin| !is_same_origin(origin, host)) || is_of_a_page(headers) {
            let hint = "open its address yourself, or follow a link to it";
            return no(StatusCode::FORBIDDEN, "a page of another origin may ask nothing here", Some(hint));
        }
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            return None;
        }
        if !shown_token(headers).is_some_and(|shown| self.token.is(shown)) {
            let hint = "it is in the file that p2p status names; send it as Authorization: Bearer TOKEN";
            let mut response =
                no(StatusCode::UNAUTHORIZED, "whoever changes something has to show the token", Some(hint))?;
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return Some(response);
        }
        None
    }
}

/// Lets through what may ask.
pub async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    match guard.refusal(&request) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    }
}

fn no(status: StatusCode, message: &str, hint: Option<&str>) -> Option<Response> {
    let trouble = Trouble::new(Code::Refused, message);
    Some(refuse_as(status, hint.map_or(trouble.clone(), |hint| trouble.hint(hint))))
}

/// Without its port; none, where it is no host: it has a port that is no number, or somebody's name before an @.
fn host_name(host: &str) -> Option<&str> {
    let end = match host.starts_with('[') {
        true => host.find(']')? + 1,
        false => host.find(':').unwrap_or(host.len()),
    };
    let (name, port) = host.split_at(end);
    // The port may be left out, and its digits too (RFC 3986 §3.2.3).
    let is_port = match port.strip_prefix(':') {
        Some(digits) => {
            digits.is_empty() || digits.bytes().all(|digit| digit.is_ascii_digit()) && digits.parse::<u16>().is_ok()
        }
        None => port.is_empty(),
    };
    (is_port && !name.contains('@')).then_some(name)
}

/// A dot at its end says that a name is whole; it is the same without.
fn without_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

fn is_same_origin(origin: &HeaderValue, host: &str) -> bool {
    let origin = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://"));
    origin.is_some_and(|origin| origin.eq_ignore_ascii_case(host))
}

/// Whether a page of another site or origin wants this for itself, as far as browsers say so (Fetch Metadata); not where
/// somebody goes from there to us.
fn is_of_a_page(headers: &HeaderMap) -> bool {
    let says = |name: HeaderName, value: &str| headers.get_all(name).iter().any(|said| said == value);
    let is_foreign = says(SITE, "cross-site") || says(SITE, "same-site");
    is_foreign && !(says(MODE, "navigate") && says(DEST, "document"))
}

fn shown_token(headers: &HeaderMap) -> Option<&str> {
    let shown = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = shown.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn guard(addr: &str) -> (Guard, String) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let token = Token::leave(&path).unwrap();
        let text = std::fs::read_to_string(path).unwrap().trim_end().to_owned();
        (Guard::new(addr.parse().unwrap(), vec!["files.example".to_owned()], token), text)
    }

    fn status(guard: &Guard, method: Method, headers: &[(&str, &str)]) -> u16 {
        let mut request = Request::builder().method(method).uri("/f/a");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        guard.refusal(&request.body(Body::empty()).unwrap()).map_or(200, |refusal| refusal.status().as_u16())
    }

    #[test]
    fn only_our_own_names_are_answered_to() {
        let (guard, _) = guard("192.0.2.7:80");
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "localhost.",
            "localhost.:8080",
            "localhost:",
            "127.0.0.1",
            "127.3.2.1:1",
            "[::1]:80",
            "[::1]",
            "192.0.2.7:80",
            "files.example:80",
            "files.example.",
        ] {
            assert_eq!(status(&guard, Method::GET, &[("host", host)]), 200, "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "192.0.2.8",
            "127.0.0.1.evil.example",
            "",
            "[::2]",
            "files.example.evil",
            "localhost..",
            ".localhost",
        ] {
            assert_eq!(status(&guard, Method::GET, &[("host", host)]), 421, "{host}");
        }
        assert_eq!(status(&guard, Method::GET, &[]), 400);
    }

    #[test]
    fn what_is_no_host_or_several_is_refused() {
        let (guard, _) = guard("127.0.0.1:80");
        for host in [
            "me@localhost",
            "evil.example@localhost:80",
            "localhost:80@evil.example",
            "localhost:http",
            "localhost:+80",
            "localhost:-1",
            "localhost:80:80",
            "localhost:65536",
            "::1",
            "[::1]80",
            "[::1",
            "[::1]:x",
        ] {
            assert_eq!(status(&guard, Method::GET, &[("host", host)]), 400, "{host}");
        }
        assert_eq!(status(&guard, Method::GET, &[("host", "localhost"), ("host", "localhost")]), 400);
        let absolute = |uri: &str| {
            let request = Request::builder().uri(uri).header("host", "localhost").body(Body::empty()).unwrap();
            guard.refusal(&request).map_or(200, |refusal| refusal.status().as_u16())
        };
        assert_eq!(absolute("http://localhost:80/f/a"), 200);
        assert_eq!(absolute("http://evil.example/f/a"), 421);
        assert_eq!(absolute("http://me@localhost/f/a"), 400);
    }

    #[test]
    fn who_listens_at_all_addresses_is_each_of_them_and_no_other_name() {
        let (guard, _) = guard("0.0.0.0:80");
        assert_eq!(status(&guard, Method::GET, &[("host", "192.0.2.8:80")]), 200);
        assert_eq!(status(&guard, Method::GET, &[("host", "evil.example")]), 421);
    }

    #[test]
    fn what_changes_something_needs_the_token_and_no_other_origin() {
        let (guard, token) = guard("127.0.0.1:80");
        let bearer = format!("Bearer {token}");
        let with = |method: Method, more: &[(&str, &str)]| {
            status(&guard, method, &[&[("host", "localhost:80"), ("authorization", &bearer)], more].concat())
        };
        for method in [Method::PUT, Method::POST, Method::DELETE, Method::PATCH, Method::OPTIONS] {
            assert_eq!(status(&guard, method.clone(), &[("host", "localhost:80")]), 401);
            assert_eq!(with(method.clone(), &[]), 200);
            assert_eq!(with(method.clone(), &[("origin", "http://localhost:80")]), 200);
            for origin in
                ["http://evil.example", "null", "https://localhost:80", "http://localhost:81", "http://localhost"]
            {
                assert_eq!(with(method.clone(), &[("origin", origin)]), 403, "{origin}");
            }
        }
        let wrong = format!("Bearer {}0", &token[1..]);
        assert_eq!(status(&guard, Method::PUT, &[("host", "localhost"), ("authorization", &wrong)]), 401);
    }

    #[test]
    fn a_page_of_another_origin_has_nothing_fetched_and_a_link_leads_here() {
        let (guard, token) = guard("127.0.0.1:80");
        let bearer = format!("Bearer {token}");
        let asked = |headers: &[(&str, &str)]| {
            let all = [&[("host", "localhost:80"), ("authorization", &bearer)], headers].concat();
            let [first, others @ ..] =
                [Method::GET, Method::HEAD, Method::PUT].map(|method| status(&guard, method, &all));
            assert!(others.iter().all(|other| *other == first), "{headers:?}");
            first
        };
        assert_eq!(asked(&[]), 200, "no browser");
        for own in ["same-origin", "none"] {
            assert_eq!(asked(&[("sec-fetch-site", own), ("sec-fetch-mode", "cors")]), 200, "{own}");
        }
        for foreign in ["cross-site", "same-site"] {
            let from =
                |mode, dest| asked(&[("sec-fetch-site", foreign), ("sec-fetch-mode", mode), ("sec-fetch-dest", dest)]);
            assert_eq!(from("navigate", "document"), 200, "{foreign}");
            for (mode, dest) in
                [("no-cors", "image"), ("navigate", "iframe"), ("no-cors", "document"), ("cors", "empty")]
            {
                assert_eq!(from(mode, dest), 403, "{foreign} {mode} {dest}");
            }
            assert_eq!(asked(&[("sec-fetch-site", foreign)]), 403, "{foreign}");
        }
        assert_eq!(asked(&[("origin", "http://evil.example")]), 403);
        assert_eq!(asked(&[("origin", "http://localhost:80"), ("origin", "null")]), 403);
        assert_eq!(asked(&[("origin", "http://localhost:80")]), 200);
    }
}
