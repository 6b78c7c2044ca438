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
    use crate::ground::FileName;
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

    #[test]
    fn what_is_described_as_a_name_is_what_files_are_called() {
        let description: Value = serde_json::from_str(DESCRIPTION).unwrap();
        let schemas = &description["components"]["schemas"];
        let name = &schemas["FileName"];
        assert_eq!((&name["minLength"], &name["maxLength"]), (&1.into(), &FileName::MAX_BYTES.into()));
        let is_name = |length| FileName::parse(&"x".repeat(length)).is_ok();
        assert!(!is_name(0) && is_name(1) && is_name(FileName::MAX_BYTES) && !is_name(FileName::MAX_BYTES + 1));
        for none in name["not"]["enum"].as_array().unwrap() {
            assert!(FileName::parse(none.as_str().unwrap()).is_err(), "{none}");
        }
        let wishes = schemas.as_object().unwrap().values().map(|schema| &schema["properties"]["name"]);
        let of_path = &description["paths"]["/f/{name}"]["parameters"][0]["schema"];
        let names: Vec<&Value> = wishes.chain([of_path]).filter(|name| !name.is_null()).collect();
        assert!(names.iter().all(|name| name["$ref"] == "#/components/schemas/FileName"), "{names:?}");
        assert_eq!(names.len(), 6);
    }
}
