//! What is wished: the bodies of requests.

use serde::{Deserialize, Serialize};

/// `POST /v1/store`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreWish {
    /// The file, by its absolute path.
    pub path: String,
    /// Its name in the network.
    pub name: String,
    /// Seconds that it is kept; none: until it is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<u64>,
}

/// `POST /v1/request`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestWish {
    /// The file's name.
    pub name: String,
    /// Which version; none: the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Where it is put, by an absolute path.
    pub path: String,
}

/// `POST /v1/rm` and `/v1/history`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NameWish {
    /// The file's name.
    pub name: String,
}

/// `POST /v1/check`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckWish {
    /// The file's name.
    pub name: String,
    /// Have made good what lacks, and wait for it.
    #[serde(default)]
    pub repair: bool,
}

/// `POST /v1/set`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetWish {
    /// The key.
    pub key: String,
    /// The value.
    pub value: String,
}

/// `POST /v1/get`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GetWish {
    /// The key.
    pub key: String,
}

/// `POST /v1/quit`; no body is the same as an empty object.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuitWish {
    /// Vanish at once and tell nobody, instead of handing over and saying goodbye.
    #[serde(default)]
    pub abrupt: bool,
}
