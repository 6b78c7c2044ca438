//! `p2p sim` as people run it: tables and stories, with the real binary.

use std::process::{Command, Output};

fn sim(words: &str) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_p2p")).arg("sim").args(words.split(' ')).output();
    output.expect("the program that is tested can be run")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("it prints text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("it prints text")
}

#[test]
fn a_table_is_the_papers_numbers_beside_ours_and_the_same_each_time() {
    let words = "mass-failure --effort 0.02 --csv --seed 3";
    let once = sim(words);
    assert_eq!(once.status.code(), Some(0), "{}", stderr(&once));
    let text = stdout(&once);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        "dead,paper hops,Chord's hops,of paper's,paper timeouts,Chord's timeouts,Chord's failed,our hops,our timeouts,our \
         failed,of lookups"
    );
    assert_eq!(lines.len(), 7);
    assert!(lines[1].starts_with("0.0,3.84,"), "{}", lines[1]);
    assert!(lines[6].starts_with("0.5,5.09,") && lines[6].ends_with(",0,200"), "{}", lines[6]);
    assert_eq!(stderr(&once), "");
    assert_eq!(stdout(&sim(words)), text);
}

#[test]
fn a_table_for_people_ends_with_what_was_aimed_at() {
    let table = sim("mass-failure --effort 0.01");
    let text = stdout(&table);
    assert!(text.contains("Chord, ToN 2003, Table II"), "{text}");
    assert!(text.contains("reached  no failed lookup with 0.5 dead"), "{text}");
    assert_eq!(table.status.code(), Some(0));
}

#[test]
fn as_json_each_line_is_an_object_and_the_last_says_that_it_is_done() {
    let table = sim("load-balance --effort 0.01 --json");
    let text = stdout(&table);
    let objects: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let events: Vec<&str> = objects.iter().map(|object| object["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["table", "line", "line", "line", "done"]);
    assert_eq!(objects[1]["cells"]["paper 99 %"], 4.8);
}

#[test]
fn a_story_with_a_cut_deaths_and_a_crowd_is_told_and_loses_nothing_it_need_not() {
    let story = sim("--peers 30 --minutes 8 --seed 2 --delay internet --cut 1-3 --crowd 5 --uplink 5 --csv --files 20");
    let text = stdout(&story);
    assert_eq!(story.status.code(), Some(0), "{text}{}", stderr(&story));
    assert!(text.starts_with("time_s,members,joined,gone,closed,stores,"), "{text}");
    assert_eq!(text.lines().count(), 9, "{text}");
    let deadly = sim("--peers 30 --minutes 3 --die 1@1");
    assert_eq!(deadly.status.code(), Some(1), "who kills all peers but one loses files: {}", stdout(&deadly));
    assert!(stdout(&deadly).contains("30 peers joined, 29 left"), "{}", stdout(&deadly));
}

#[test]
fn sessions_of_any_kind_are_lived() {
    for churn in ["sessions:exp:10m", "sessions:weibull:0.5:10m", "poisson:0.05"] {
        let story = sim(&format!("--peers 20 --minutes 3 --overlay kademlia --churn {churn} --leave --json"));
        let text = stdout(&story);
        let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!((&last["event"], &last["lost"]), (&"done".into(), &0.into()), "{churn}: {last}");
        assert!(last["report"]["gone"].as_u64().unwrap() > 0, "{churn}: {last}");
    }
}

#[test]
fn what_cannot_be_simulated_is_refused_with_what_can() {
    for (words, told) in [
        ("--churn weekly", "sessions:exp:1h"),
        ("--delay fast", "internet"),
        ("--cut 7-2", "FROM-TO"),
        ("--die 2@3", "between 0 and 1"),
        ("--crash --leave", "cannot be used with"),
        ("churn --effort 0", "above 0"),
        ("churn --json --csv", "cannot be used with"),
        ("path-lenght", "path-length"),
    ] {
        let refused = sim(words);
        assert_eq!((refused.status.code(), stdout(&refused).as_str()), (Some(2), ""), "{words}");
        assert!(stderr(&refused).contains(told), "{words}: {}", stderr(&refused));
    }
}
