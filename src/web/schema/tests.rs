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

/// A peer's number as an id.
const ID: &str = "0400000000000000000000000000000000000000";

/// Compares both ways: what is written, and what is read of it. `WHO` and `FILE` stand for the same everywhere.
fn is(object: &Object, expected: &str) {
    let who = format!(r#"{{"peer":"4","id":"{ID}"}}"#);
    let file = format!(
        r#"{{"name":"a \"b\".pdf","version":1,"bytes":3,"blake3":"{}","previous":null,"stored_by":WHO}}"#,
        "9f".repeat(32)
    );
    let expected = expected.replace("FILE", &file).replace("WHO", &who);
    assert_eq!(object.line(), expected + "\n");
    assert_eq!(serde_json::from_str::<Object>(&object.line()).unwrap(), *object);
}

#[test]
fn what_is_told_of_files_has_its_shape() {
    let name = "x".to_owned();
    is(
        &Object::Copy { holder: four(), file: version(), health: CopyHealth::Verified },
        r#"{"event":"copy","holder":WHO,"file":FILE,"health":{"state":"verified"}}"#,
    );
    is(
        &Object::Copy { holder: four(), file: version(), health: CopyHealth::Damaged { bad: 1, chunks: 31 } },
        r#"{"event":"copy","holder":WHO,"file":FILE,"health":{"state":"damaged","bad":1,"chunks":31}}"#,
    );
    is(&Object::File { file: version(), holders: vec![four()] }, r#"{"event":"file","file":FILE,"holders":[WHO]}"#);
    is(&Object::Files { files: 2, asked: 3, silent: 1 }, r#"{"event":"files","files":2,"asked":3,"silent":1}"#);
    is(
        &Object::Stored { file: version(), place: four(), holders: vec![four()], wanted: 3 },
        r#"{"event":"file.stored","file":FILE,"place":WHO,"holders":[WHO],"wanted":3}"#,
    );
    is(
        &Object::Removed { file: version(), holders: vec![four()], wanted: 1 },
        r#"{"event":"file.removed","file":FILE,"holders":[WHO],"wanted":1}"#,
    );
    is(
        &Object::Fetched { name: name.clone(), path: "/tmp/x".to_owned(), from: four() },
        r#"{"event":"file.fetched","name":"x","path":"/tmp/x","from":WHO}"#,
    );
    is(
        &Object::Checked { name: name.clone(), good: 2, wanted: 3, asked: 5 },
        r#"{"event":"file.checked","name":"x","good":2,"wanted":3,"asked":5}"#,
    );
    is(&Object::Repaired { name, good: 3 }, r#"{"event":"file.repaired","name":"x","good":3}"#);
}

#[test]
fn what_goes_on_has_its_shape() {
    let name = || "x".to_owned();
    let phases = [
        (Phase::Searching { name: name() }, r#"{"event":"phase","phase":"searching","name":"x"}"#),
        (Phase::Sending { name: name(), to: four() }, r#"{"event":"phase","phase":"sending","name":"x","to":WHO}"#),
        (
            Phase::Receiving { name: name(), from: four() },
            r#"{"event":"phase","phase":"receiving","name":"x","from":WHO}"#,
        ),
        (
            Phase::HolderFailed { name: name(), holder: four(), reason: "does not have it".to_owned() },
            r#"{"event":"phase","phase":"holder_failed","name":"x","holder":WHO,"reason":"does not have it"}"#,
        ),
        (
            Phase::Repairing { name: name(), good: 1, wanted: 3 },
            r#"{"event":"phase","phase":"repairing","name":"x","good":1,"wanted":3}"#,
        ),
        (Phase::Leaving, r#"{"event":"phase","phase":"leaving"}"#),
    ];
    for (phase, expected) in phases {
        is(&Object::Phase(phase), expected);
    }
}

#[test]
fn values_peers_and_ends_have_their_shapes() {
    let key = || "motto".to_owned();
    is(
        &Object::ValueSet { key: key(), holders: vec![four()] },
        r#"{"event":"value.set","key":"motto","holders":[WHO]}"#,
    );
    is(
        &Object::Value { key: key(), value: Some("carry on".to_owned()), value_hex: None },
        r#"{"event":"value","key":"motto","value":"carry on"}"#,
    );
    is(
        &Object::Value { key: key(), value: None, value_hex: Some("693565".to_owned()) },
        r#"{"event":"value","key":"motto","value_hex":"693565"}"#,
    );
    let plate = Plate {
        name: "4".to_owned(),
        id: four().id,
        addrs: vec!["127.0.0.1:12004".parse().unwrap()],
        mode: Mode::Kademlia,
        naming: NamingMode::NumberedPeers,
        pid: 71,
        socket: "/run/71.sock".into(),
    };
    let status = format!(
        r#"{{"event":"status","name":"4","id":"{ID}","addrs":["127.0.0.1:12004"],"mode":"kademlia","naming":"numbered_peers","pid":71,"socket":"/run/71.sock"}}"#
    );
    is(&Object::Status(plate), &status);
    is(
        &Object::Error(Trouble::new(Code::NotFound, "it is not there").hint("store it")),
        r#"{"event":"error","code":"not_found","message":"it is not there","cause":[],"hint":"store it"}"#,
    );
    is(&Object::Done { outcome: Outcome::Few }, r#"{"event":"done","outcome":"few"}"#);
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
fn what_is_looked_at_has_its_shape() {
    use super::looking::{FindWish, SeenReason, SeenRole};
    let addr = "127.0.0.1:12004".parse().unwrap();
    let roles = vec![SeenRole::Successor(1), SeenRole::Predecessor, SeenRole::Finger(3), SeenRole::Bucket(2)];
    is(
        &Object::Seen(Seen::Contact {
            peer: four(),
            addr,
            roles,
            rtt_us: Some(412),
            heard_ms: None,
            suspect: true,
            stranger: false,
        }),
        r#"{"event":"contact","peer":WHO,"addr":"127.0.0.1:12004","roles":[{"role":"successor","index":1},{"role":"predecessor"},{"role":"finger","index":3},{"role":"bucket","index":2}],"rtt_us":412,"heard_ms":null,"suspect":true,"stranger":false}"#,
    );
    is(
        &Object::Seen(Seen::Contacts { me: four(), addr, contacts: 6, everybody: true }),
        r#"{"event":"contacts","me":WHO,"addr":"127.0.0.1:12004","contacts":6,"everybody":true}"#,
    );
    is(
        &Object::Seen(Seen::Pinged { peer: four(), addr, rtt_us: 412, attempts: 1 }),
        r#"{"event":"pinged","peer":WHO,"addr":"127.0.0.1:12004","rtt_us":412,"attempts":1}"#,
    );
    let hop = |why| {
        let (rtt_us, total_us) = (Some(412), None);
        Object::Seen(Seen::Hop {
            hop: 1,
            peer: four(),
            addr,
            by: four(),
            why,
            left: four().id,
            nearer: 2,
            rtt_us,
            total_us,
        })
    };
    let told = |why: &str| {
        format!(
            r#"{{"event":"find.hop","hop":1,"peer":WHO,"addr":"127.0.0.1:12004","by":WHO,"why":{why},"left":"{ID}","nearer":2,"rtt_us":412,"total_us":null}}"#
        )
    };
    is(&hop(SeenReason::Successor), &told(r#"{"reason":"successor"}"#));
    is(&hop(SeenReason::Named), &told(r#"{"reason":"named"}"#));
    is(&hop(SeenReason::Bucket { index: 7 }), &told(r#"{"reason":"bucket","index":7}"#));
    is(&hop(SeenReason::Finger { index: 3, target: four() }), &told(r#"{"reason":"finger","index":3,"target":WHO}"#));
    is(
        &Object::Seen(Seen::Found {
            name: "x".to_owned(),
            place: four(),
            from: four(),
            mode: Mode::Ring,
            computed: false,
            owner: four(),
            owns_from: None,
            holders: vec![four()],
            met: Vec::new(),
            asked: 3,
        }),
        r#"{"event":"find.end","name":"x","place":WHO,"from":WHO,"mode":"ring","computed":false,"owner":WHO,"holders":[WHO],"met":[],"asked":3}"#,
    );
    let wish: FindWish = serde_json::from_str(r#"{"name":"x","as":"kademlia"}"#).unwrap();
    assert_eq!((wish.name.as_str(), wish.mode), ("x", Some(Mode::Kademlia)));
}
