//! The schema, line by line: what is here may be added to, and not changed.

use super::*;

fn four() -> Who {
    Who::new(Naming::Numbered, Id::numbered(4))
}

fn manifest(previous: Option<&Manifest>, content: Content) -> Manifest {
    let name = FileName::parse("a \"b\".pdf").unwrap();
    Manifest::after(previous.map(Manifest::holding).as_ref(), name, content, Id::numbered(4))
}

fn version() -> FileVersion {
    FileVersion::new(Naming::Numbered, &manifest(None, Content { hash: [0x9f; 32], len_bytes: 3 }))
}

/// One object of each kind, and of each form that a kind has.
fn examples() -> Vec<Object> {
    let name = || "x".to_owned();
    let key = || "motto".to_owned();
    let plate = Plate {
        name: "4".to_owned(),
        id: four().id,
        addrs: vec!["127.0.0.1:12004".parse().unwrap()],
        mode: Mode::Kademlia,
        naming: NamingMode::NumberedPeers,
        pid: 71,
        socket: "/run/71.sock".into(),
        http: None,
        token: None,
    };
    let answering =
        Plate { http: Some("127.0.0.1:8080".parse().unwrap()), token: Some("/run/71.token".into()), ..plate.clone() };
    vec![
        Object::Copy { holder: four(), file: version(), health: CopyHealth::Here },
        Object::Copy { holder: four(), file: version(), health: CopyHealth::Verified },
        Object::Copy { holder: four(), file: version(), health: CopyHealth::Damaged { bad: 1, chunks: 31 } },
        Object::File { file: version(), holders: vec![four()] },
        Object::Files { files: 2, asked: 3, silent: 1 },
        Object::Stored { file: version(), place: four(), holders: vec![four()], wanted: 3 },
        Object::Removed { file: version(), holders: vec![four()], wanted: 1 },
        Object::Fetched { name: name(), path: "/tmp/x".to_owned(), from: four() },
        Object::Checked { name: name(), good: 2, wanted: 3, asked: 5 },
        Object::Repaired { name: name(), good: 3 },
        Object::Phase(Phase::Searching { name: name() }),
        Object::Phase(Phase::Sending { name: name(), to: four() }),
        Object::Phase(Phase::Receiving { name: name(), from: four() }),
        Object::Phase(Phase::HolderFailed { name: name(), holder: four(), reason: "does not have it".to_owned() }),
        Object::Phase(Phase::Repairing { name: name(), good: 1, wanted: 3 }),
        Object::Phase(Phase::Leaving),
        Object::ValueSet { key: key(), holders: vec![four()] },
        Object::Value { key: key(), value: Some("carry on".to_owned()), value_hex: None },
        Object::Value { key: key(), value: None, value_hex: Some("693565".to_owned()) },
        Object::Status(plate),
        Object::Error(Trouble::new(Code::NotFound, "it is not there").hint("store it")),
        Object::Done { outcome: Outcome::Few },
        Object::Status(answering),
        Object::Hop { name: name(), search: Search::Store, passes: true },
        Object::Hop { name: name(), search: Search::Request, passes: false },
        Object::Progress { file: name(), bytes: 50, total: 100, bytes_per_s: 10, eta_s: Some(5) },
        Object::Progress { file: name(), bytes: 0, total: 100, bytes_per_s: 0, eta_s: None },
        Object::PeerJoined { peer: four(), successors: Vec::new() },
        Object::PeerJoined { peer: four(), successors: vec![four(), four()] },
        Object::PeerDead { peer: four() },
        Object::PeerLeft { peer: four() },
        Object::Successors { successors: vec![four(), four()] },
        Object::Missed { events: 7 },
        Object::Phase(Phase::Asking { name: name(), hop: 3, asked: 7 }),
    ]
    .into_iter()
    .chain(seen().into_iter().map(Object::Seen))
    .chain([Object::PeerSilent { peer: four() }, Object::Phase(Phase::NotTaken { files: 2 })])
    .collect()
}

/// What people look at.
fn seen() -> Vec<Seen> {
    use looking::{SeenReason, SeenRole};
    let addr = "127.0.0.1:12004".parse().unwrap();
    let roles = vec![SeenRole::Successor(1), SeenRole::Predecessor, SeenRole::Finger(3), SeenRole::Bucket(2)];
    let (peer, rtt_us) = (four(), Some(412));
    let contact = Seen::Contact { peer, addr, roles, rtt_us, heard_ms: None, suspect: true, stranger: false };
    let hop = |why| {
        let (peer, by, left) = (four(), four(), four().id);
        Seen::Hop { hop: 1, peer, addr, by, why, left, nearer: 2, rtt_us, total_us: None }
    };
    let found = |owns_from| Seen::Found {
        name: "x".to_owned(),
        place: four(),
        from: four(),
        mode: Mode::Ring,
        computed: false,
        owner: four(),
        owns_from,
        holders: vec![four()],
        met: Vec::new(),
        asked: 3,
    };
    vec![
        contact,
        Seen::Contacts { me: four(), addr, contacts: 6, everybody: true },
        Seen::Pinged { peer: four(), addr, rtt_us: 412, attempts: 1 },
        hop(SeenReason::Successor),
        hop(SeenReason::Finger { index: 3, target: four() }),
        hop(SeenReason::Bucket { index: 7 }),
        hop(SeenReason::Named),
        found(None),
        found(Some(four())),
    ]
}

/// Every kind of object. A new one is added here, and to the examples.
fn kind(object: &Object) -> &'static str {
    match object {
        Object::Phase(_) => "phase",
        Object::Hop { .. } => "hop",
        Object::Progress { .. } => "progress",
        Object::PeerJoined { .. } => "peer.joined",
        Object::PeerSilent { .. } => "peer.silent",
        Object::PeerDead { .. } => "peer.dead",
        Object::PeerLeft { .. } => "peer.left",
        Object::Successors { .. } => "successors",
        Object::Missed { .. } => "missed",
        Object::Copy { .. } => "copy",
        Object::File { .. } => "file",
        Object::Files { .. } => "files",
        Object::Stored { .. } => "file.stored",
        Object::Removed { .. } => "file.removed",
        Object::Fetched { .. } => "file.fetched",
        Object::Checked { .. } => "file.checked",
        Object::Repaired { .. } => "file.repaired",
        Object::ValueSet { .. } => "value.set",
        Object::Value { .. } => "value",
        Object::Status(_) => "status",
        Object::Error(_) => "error",
        Object::Done { .. } => "done",
        Object::Seen(Seen::Contact { .. }) => "contact",
        Object::Seen(Seen::Contacts { .. }) => "contacts",
        Object::Seen(Seen::Pinged { .. }) => "pinged",
        Object::Seen(Seen::Hop { .. }) => "find.hop",
        Object::Seen(Seen::Found { .. }) => "find.end",
    }
}

/// The examples as they were first told: lines are added, and none is changed.
const TOLD: &str = include_str!("told.jsonl");

#[test]
fn every_object_is_told_as_it_always_was_and_read_as_it_was_told() {
    let told: String = examples().iter().map(Object::line).collect();
    assert_eq!(told, TOLD);
    for (object, line) in examples().iter().zip(TOLD.lines()) {
        assert_eq!(serde_json::from_str::<Object>(line).unwrap(), *object);
        assert!(line.starts_with(&format!("{{\"event\":\"{}\"", kind(object))), "{line}");
    }
    let kinds: std::collections::BTreeSet<&str> = examples().iter().map(kind).collect();
    assert_eq!(kinds, KINDS.into(), "each has an example");
}

#[test]
fn in_the_stream_and_in_the_log_an_object_has_its_number_and_its_time() {
    let numbered = Numbered { id: 7, at_unix_ms: 1_795_300_000_000, object: Object::Missed { events: 2 } };
    let text = r#"{"id":7,"at_unix_ms":1795300000000,"event":"missed","events":2}"#;
    assert_eq!(serde_json::to_string(&numbered).unwrap(), text);
    assert_eq!(serde_json::from_str::<Numbered>(text).unwrap(), numbered);
}

#[test]
fn a_version_comes_back_as_it_was_and_proves_what_it_follows() {
    let first = manifest(None, Content { hash: [1; 32], len_bytes: 3 });
    let second = Manifest {
        ttl: Some(Duration::from_secs(60)),
        ..manifest(Some(&first), Content { hash: [2; 32], len_bytes: 0 })
    };
    let removed = manifest(Some(&second), Content::REMOVED);
    for manifest in [&first, &second, &removed] {
        let told = serde_json::to_string(&FileVersion::new(Naming::Hashed, manifest)).unwrap();
        let read: FileVersion = serde_json::from_str(&told).unwrap();
        assert_eq!(read.manifest().as_ref(), Some(manifest));
    }
    assert_eq!(removed.previous, Some(second.link()));
}

#[test]
fn objects_may_grow() {
    let grown = r#"{"event":"done","outcome":"good","seconds":0.1}"#;
    assert_eq!(serde_json::from_str::<Object>(grown).unwrap(), Object::Done { outcome: Outcome::Good });
    for wrong in [r#"{"event":"status","name":"4"}"#, r#"{"event":"dance"}"#, r#"{}"#] {
        assert!(serde_json::from_str::<Object>(wrong).is_err());
    }
    for digits in ["\"zz\"", "\"+f\"", "\"0\"", "\"éa\"", "7"] {
        assert!(serde_json::from_str::<Hex<1>>(digits).is_err(), "{digits}");
    }
}

#[test]
fn a_find_may_name_a_geometry() {
    let wish: looking::FindWish = serde_json::from_str(r#"{"name":"x","as":"kademlia"}"#).unwrap();
    assert_eq!((wish.name.as_str(), wish.mode), ("x", Some(Mode::Kademlia)));
    let wish: looking::FindWish = serde_json::from_str(r#"{"name":"x"}"#).unwrap();
    assert_eq!(wish.mode, None);
}
