//! `GET /v1/openapi.json`: all routes, described.

use super::routes::Route;
use axum::http::header;
use axum::routing::get;

/// The description.
const DESCRIPTION: &str = include_str!("openapi.json");

/// The route.
pub fn routes() -> Vec<Route> {
    let handler = get(async || ([(header::CONTENT_TYPE, "application/json")], DESCRIPTION));
    vec![Route { path: "/v1/openapi.json", methods: &["get"], handler }]
}

#[cfg(test)]
mod tests {
    use super::super::routes::table;
    use super::*;
    use serde_json::Value;
    use std::collections::BTreeSet;

    #[test]
    fn what_is_described_is_served_and_what_is_served_is_described() {
        let description: Value = serde_json::from_str(DESCRIPTION).unwrap();
        let paths = description["paths"].as_object().unwrap();
        let described: BTreeSet<(String, String)> = paths
            .iter()
            .flat_map(|(path, methods)| {
                let methods = methods.as_object().unwrap().keys().filter(|method| *method != "parameters");
                methods.map(|method| (path.clone(), method.clone()))
            })
            .collect();
        let pairs =
            |route: Route| route.methods.iter().map(move |method| (route.path.to_owned(), (*method).to_owned()));
        let served: BTreeSet<(String, String)> = table().into_iter().flat_map(pairs).collect();
        assert_eq!(described, served);
    }
}
