//! What the command line says when it is used in a wrong way, or before there is anything.

use crate::support::{Site, tandem};

#[tokio::test]
async fn the_help_says_what_the_exit_codes_mean() {
    let help = tandem(&["--help"]).await.expect(0);
    assert!(help.out.contains("Exit codes:"), "{}", help.out);
    assert!(help.out.contains("1  the answer is no"), "{}", help.out);
}

#[tokio::test]
async fn a_command_line_that_is_not_understood_ends_with_2() {
    tandem(&["sink"]).await.expect(2);
    tandem(&["sync", "plan"]).await.expect(2);
    tandem(&["sync", "plan", "customers"]).await.expect(2);
    let unnamed = tandem(&["dlq", "replay"]).await.expect(2);
    for part in ["nothing was done", "`tandem dlq list`", "--all"] {
        assert!(unnamed.err.contains(part), "{part}: {unnamed:?}");
    }
    tandem(&["dlq", "list", "--code", "odd"]).await.expect(2);
    tandem(&["dlq", "show", "cfl_00000000000000000000000000"])
        .await
        .expect(2);
}

#[tokio::test]
async fn a_verb_of_syncs_that_is_looked_for_at_the_top_is_named_where_it_is() {
    for verb in ["plan", "run", "verify"] {
        let answer = tandem(&[verb, "customers"]).await.expect(2);
        let hint = format!("`tandem sync {verb}` does that");
        assert!(answer.err.contains(&hint), "{answer:?}");
    }
    let other = tandem(&["sync", "replay"]).await.expect(2);
    assert!(other.err.contains("unrecognized"), "{other:?}");
}

#[tokio::test]
async fn a_number_out_of_its_range_is_refused_with_the_range() {
    let cases: [(&[&str], &str); 10] = [
        (&["demo", "--faults", "7"], "0 to 1"),
        (&["demo", "--faults", "nan"], "0 to 1"),
        (&["demo", "--records", "0"], "1 to 100000"),
        (&["simulate", "crm", "--faults", "7"], "0 to 1"),
        (&["simulate", "crm", "--records=-1"], "0 to 1000000"),
        (&["simulate", "crm", "--edits=-3"], "0 to 1000"),
        (&["simulate", "crm", "--latency", "soon"], "0 to 600000"),
        (&["simulate", "crm", "--hang=-1"], "0 to 3600"),
        (&["dlq", "list", "--limit", "0"], "1..=1000"),
        (&["db", "rollback", "--to=-1"], "0.."),
    ];
    for (arguments, range) in cases {
        let answer = tandem(arguments).await.expect(2);
        assert!(answer.err.contains(range), "{arguments:?}: {answer:?}");
    }
}

#[tokio::test]
async fn what_is_no_address_and_no_time_is_refused_in_plain_words() {
    let cases: [(&[&str], &str); 4] = [
        (&["up", "--listen", "bla"], "127.0.0.1:8080"),
        (&["up", "--listen", "8080"], "127.0.0.1:8080"),
        (&["changes", "--since", "bla"], "2h, 3 days"),
        (&["changes", "--until", "2026-13-01"], "2h, 3 days"),
    ];
    for (arguments, example) in cases {
        let answer = tandem(arguments).await.expect(2);
        let typed = format!("`{}` is n", arguments.last().expect("a word"));
        for part in [example, &typed] {
            assert!(answer.err.contains(part), "{arguments:?}: {answer:?}");
        }
        for word in ["socket", "syntax", "parse"] {
            assert!(!answer.err.contains(word), "{arguments:?}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn exactly_one_answer_resolves_a_question() {
    let id = "cfl_00000000000000000000000000";
    tandem(&["conflicts", "resolve", id]).await.expect(2);
    tandem(&["conflicts", "resolve", id, "--create", "--ignore"])
        .await
        .expect(2);
    tandem(&["conflicts", "resolve", id, "--take", "c"])
        .await
        .expect(2);
}

#[tokio::test]
async fn a_missing_database_is_named_with_its_folder_and_the_option() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("none").display().to_string();
    let commands: [&[&str]; 8] = [
        &["sync", "status"],
        &["runs"],
        &["dlq", "list"],
        &["conflicts", "list"],
        &["events", "list"],
        &["links", "customers"],
        &["explain", "customers", "1"],
        &["export"],
    ];
    for command in commands {
        let arguments: Vec<&str> = command.iter().copied().chain(["--data", &data]).collect();
        let answer = tandem(&arguments).await.expect(3);
        assert!(
            answer.err.contains(&data) && answer.err.contains("--data"),
            "{answer:?}"
        );
        assert_eq!(answer.out, "");
    }
    assert!(
        !folder.path().join("none").exists(),
        "looking makes nothing"
    );
}

#[tokio::test]
async fn an_unknown_sync_is_answered_with_those_that_there_are() {
    let site = Site::start(5).await;
    for command in [["sync", "plan"], ["sync", "verify"]] {
        let answer = site
            .tandem(&[command[0], command[1], "clients"])
            .await
            .expect(3);
        assert!(
            answer
                .err
                .contains("there is no sync `clients`; there is `customers`"),
            "{answer:?}"
        );
    }
    site.tandem(&["apply"]).await.expect(0);
    let commands: [&[&str]; 6] = [
        &["sync", "status", "clients"],
        &["sync", "run", "clients"],
        &["sync", "pause", "clients"],
        &["links", "clients"],
        &["explain", "clients", "1"],
        &["schedules", "trigger", "clients", "full"],
    ];
    for command in commands {
        let answer = site.tandem(command).await.expect(3);
        assert!(
            answer
                .err
                .contains("there is no sync `clients`; there is `customers`"),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn completions_are_printed_for_a_shell() {
    let script = tandem(&["completions", "bash"]).await.expect(0);
    assert!(script.out.contains("_tandem()"), "{}", script.out);
}
