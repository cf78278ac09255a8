//! `conflicts`: questions that only a person can answer.

use tandem_simulator::Field;

use crate::support::{Site, company, id_of, texts};

const EMAIL: &str = "twin@company.example";

/// Two companies in the CRM that could both be the one in finance. Gives their ids.
async fn twins(site: &Site) -> [String; 2] {
    let twin = |name: &str| company(&[(Field::Name, name), (Field::Email, EMAIL)]);
    let first = site.crm.create(twin("Twin")).expect("created");
    let second = site.crm.create(twin("Twin Too")).expect("created");
    site.books.create(twin("Twin")).expect("created");
    [first, second]
}

#[tokio::test]
async fn an_unclear_match_is_asked_about_and_answered() {
    let site = Site::start(5).await;
    let [first, second] = twins(&site).await;
    let up = site.up().await;
    let ran = site.sync(1).await;
    assert_eq!(
        texts(&ran["questions"], "kind"),
        ["ambiguous", "ambiguous"],
        "{ran}"
    );
    let asked = site
        .json(0, &["conflicts", "list", "--sync", "customers"])
        .await;
    assert_eq!(asked["items"].as_array().map(Vec::len), Some(2), "{asked}");
    let question_about = |record: &str| {
        let items = asked["items"].as_array().expect("a list");
        let item = items
            .iter()
            .find(|item| item["record"] == record)
            .expect("a question");
        item["id"].as_str().expect("an id").to_owned()
    };
    let (about_first, about_second) = (question_about(&first), question_about(&second));

    let shown = site
        .tandem(&["conflicts", "show", &about_first])
        .await
        .expect(0)
        .out;
    assert!(
        shown.contains(&format!(
            "tandem conflicts resolve {about_first} --link {}",
            id_of(&site.books, EMAIL)
        )),
        "{shown}"
    );
    for part in [
        "\"Twin\"",
        "\"Twin Too\"",
        EMAIL,
        "candidate  b",
        "rival      a",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let listed = site.tandem(&["conflicts", "list"]).await.expect(0).out;
    assert!(listed.contains("could be the same as \"Twin\""), "{listed}");
    let wrong = site
        .tandem(&["conflicts", "resolve", &about_first, "--take", "a"])
        .await
        .expect(3);
    assert!(
        wrong
            .err
            .contains("does not answer a question of kind `ambiguous`"),
        "{wrong:?}"
    );

    let partner = id_of(&site.books, EMAIL);
    let linked = site
        .json(
            0,
            &["conflicts", "resolve", &about_first, "--link", &partner],
        )
        .await;
    assert_eq!(linked["resolution"]["answer"], "link_to");
    let ignore = ["conflicts", "resolve", &about_second, "--ignore"];
    let unasked = site.tandem(&ignore).await.expect(3);
    assert!(
        unasked.err.contains("Twin")
            && unasked
                .err
                .contains("the answer would leave the record alone from now on"),
        "{unasked:?}"
    );
    let ignore = ["conflicts", "resolve", &about_second, "--ignore", "--yes"];
    let ignored = site.tandem(&ignore).await.expect(0);
    let back = format!("`tandem conflicts reopen {about_second}` takes it back");
    assert!(ignored.out.contains(&back), "{ignored:?}");
    site.until(&["conflicts", "list", "--state", "closed"], |list| {
        texts(&list["items"], "id").len() == 2
    })
    .await;
    let open = site.tandem(&["conflicts", "list"]).await.expect(0);
    assert_eq!(open.out.trim(), "there are no open questions");
    let one_kind = ["conflicts", "list", "--state", "closed", "--kind", "field"];
    let none = site.tandem(&one_kind).await.expect(0);
    assert_eq!(
        none.out.trim(),
        "no closed questions with --kind field; there are others, which `tandem conflicts list --state closed` lists \
         without these filters"
    );
    assert_eq!(
        texts(
            &site.json(0, &["conflicts", "list", "--all"]).await["items"],
            "id"
        )
        .len(),
        2
    );

    let again = site
        .tandem(&["conflicts", "resolve", &about_second, "--ignore"])
        .await
        .expect(3);
    assert!(again.err.contains("closed already"), "{again:?}");
    let agreed = site.json(0, &["sync", "verify", "customers"]).await;
    assert_eq!(agreed["left_alone"], 1, "{agreed}");

    let told = site.tandem(&["explain", "customers", &second]).await;
    assert!(told.out.contains("conflicts reopen"), "{told:?}");
    let reopened = site.json(0, &["conflicts", "reopen", &about_second]).await;
    assert_eq!(
        (&reopened["state"], &reopened["resolution"]),
        (&"open".into(), &serde_json::Value::Null)
    );
    let again = ["conflicts", "reopen", &about_second];
    let refused = site.tandem(&again).await.expect(3);
    assert!(refused.err.contains("was not answered"), "{refused:?}");
    up.stop().await;
}

#[tokio::test]
async fn an_answer_to_many_is_given_only_to_the_kinds_that_it_fits() {
    let site = Site::start(3).await;
    twins(&site).await;
    let up = site.up().await;
    site.sync(1).await;
    let refused = site
        .tandem(&["conflicts", "resolve", "--all", "--take", "a", "--yes"])
        .await
        .expect(3);
    assert!(
        refused
            .err
            .contains("`take` answers none of the questions that match: 2 (2 ambiguous)"),
        "{refused:?}"
    );
    let open = site.json(0, &["conflicts", "list"]).await;
    assert_eq!(texts(&open["items"], "id").len(), 2, "{open}");
    up.stop().await;
}

#[tokio::test]
async fn a_pair_that_is_left_alone_says_so_and_is_held_again_when_it_is_linked_by_hand() {
    let site = Site::start(3).await;
    let name = |name: &str| company(&[(Field::Name, name), (Field::Email, EMAIL)]);
    let a = site.crm.create(name("One")).expect("created");
    let b = site.books.create(name("One")).expect("created");
    let asking = site
        .configuration()
        .replace("name: {}", "name: { conflict: manual }");
    site.write_config(&asking);
    let up = site.up().await;
    site.sync(0).await;
    site.crm.edit(&a, Field::Name, "Two").expect("edited");
    site.books.edit(&b, Field::Name, "Three").expect("edited");
    site.tandem(&["sync", "run", "customers", "--wait"]).await;
    let asked = site
        .json(0, &["conflicts", "list", "--kind", "field"])
        .await;
    let question = texts(&asked["items"], "id")[0].to_owned();
    let mixed = ["conflicts", "resolve", "--all", "--ignore"];
    let unasked = site.tandem(&mixed).await.expect(3);
    assert!(
        unasked.err.contains("leave both records of the pair alone"),
        "{unasked:?}"
    );
    site.tandem(&["conflicts", "resolve", &question, "--ignore", "--yes"])
        .await
        .expect(0);

    let links = site.tandem(&["links", "customers"]).await.expect(0).out;
    assert!(links.contains("left alone"), "{links}");
    let told = site
        .tandem(&["explain", "customers", &a])
        .await
        .expect(0)
        .out;
    let back = format!("tandem links link customers {a} {b}");
    assert!(
        told.contains("left alone") && told.contains(&back),
        "{told}"
    );
    let status = site.json(0, &["sync", "status", "customers"]).await;
    assert_eq!(status["left_alone"], 2, "{status}");
    for command in [&["sync", "status", "customers"][..], &["status"]] {
        let told = site.tandem(command).await.expect(0).out;
        for part in [
            "left alone 2 records",
            "`tandem links customers`",
            "`tandem links link customers A B`",
            "`tandem conflicts reopen ID`",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }

    let link = ["links", "link", "customers", &a, &b, "--yes"];
    site.tandem(&link).await.expect(0);
    let links = site.json(0, &["links", "customers"]).await;
    let alone = links["items"].as_array().expect("a list").iter();
    assert!(
        alone.into_iter().all(|link| link["left_alone"] == false),
        "{links}"
    );
    let told = site.tandem(&["status"]).await.expect(0).out;
    assert!(!told.contains("left alone"), "{told}");
    // The same is asked again, because both still differ.
    site.until(&["conflicts", "list", "--kind", "field"], |list| {
        list["items"]
            .as_array()
            .is_some_and(|items| items.len() == 1)
    })
    .await;
    up.stop().await;
}

#[tokio::test]
async fn a_partner_that_does_not_exist_is_refused_and_many_are_answered_at_once() {
    let site = Site::start(3).await;
    let [first, second] = twins(&site).await;
    let up = site.up().await;
    site.sync(1).await;
    let asked = site
        .json(0, &["conflicts", "list", "--kind", "ambiguous"])
        .await;
    let ids = texts(&asked["items"], "id");
    let typo = site
        .tandem(&["conflicts", "resolve", ids[0], "--link", "oops-typo"])
        .await
        .expect(3);
    let partner = id_of(&site.books, EMAIL);
    assert!(
        typo.err.contains("books has no record `oops-typo` now") && typo.err.contains(&partner),
        "{typo:?}"
    );
    let unasked = site
        .tandem(&["conflicts", "resolve", "--all", "--ignore"])
        .await
        .expect(3);
    assert!(
        unasked
            .err
            .contains("open questions to be answered alike: 2 (2 ambiguous)")
            && unasked.err.contains("--yes"),
        "{unasked:?}"
    );
    for named in [&first, &second]
        .into_iter()
        .chain([&ids[0].to_owned(), &"Twin".to_owned()])
    {
        assert!(unasked.err.contains(named), "{named}: {unasked:?}");
    }
    let none = [
        "conflicts",
        "resolve",
        "--all",
        "--kind",
        "field",
        "--take",
        "a",
        "--yes",
    ];
    assert_eq!(
        site.tandem(&none).await.expect(0).out.trim(),
        "no open question matches"
    );
    let all = [
        "conflicts",
        "resolve",
        "--all",
        "--sync",
        "customers",
        "--ignore",
        "--yes",
    ];
    let answered = site.json(0, &all).await;
    assert_eq!(
        answered["resolved"].as_array().map(Vec::len),
        Some(2),
        "{answered}"
    );

    // What was left alone can be linked by hand after all.
    let unasked = site
        .tandem(&["links", "link", "customers", &first, &partner])
        .await
        .expect(3);
    assert!(
        unasked.err.contains("Twin") && unasked.err.contains("--yes"),
        "{unasked:?}"
    );
    let link = ["links", "link", "customers", &first, &partner, "--yes"];
    let made = site.json(0, &link).await;
    for yes in [&["--yes"][..], &[]] {
        let link = [&["links", "link", "customers", &second, &partner][..], yes].concat();
        let taken = site.tandem(&link).await.expect(3);
        assert!(
            taken.err.contains("is linked with") && !taken.err.contains("--yes"),
            "nobody is asked: {taken:?}"
        );
    }
    let id = made["id"].as_str().expect("an id");
    site.until(&["links", "customers", id], |link| {
        link["base"]["name"].is_object()
    })
    .await;
    let unlinked = site.json(0, &["links", "unlink", id, "--yes"]).await;
    assert_eq!(unlinked["state"], "retired", "{unlinked}");
    let log = site.json(0, &["changes", "--link", id]).await;
    let operations = texts(&log["items"], "operation");
    assert!(
        operations.contains(&"link") && operations.contains(&"unlink"),
        "{log}"
    );
    up.stop().await;
}
