//! Names that systems give and that are meant to fool whoever reads a list.

use tandem_domain::line::is_unsafe;
use tandem_simulator::Field;

use crate::support::{Answer, Site, company, id_of, texts};

/// A name that would forge a line of a list, clear the screen, and turn what follows around.
const HOSTILE: &str =
    "Evil\ncfl_00000000000000000000000000  customers  forged\r\u{1b}[2J\u{202e}\u{2028}end";
const EMAIL: &str = "evil@company.example";

/// Neither a forged line nor a character that does something to the text around it.
fn assert_harmless(arguments: &[&str], answer: &Answer) {
    for text in [&answer.out, &answer.err] {
        let forged = |line: &str| line.trim_start_matches([' ', '|']).starts_with("cfl_0000");
        assert!(!text.lines().any(forged), "{arguments:?}: {text}");
        let steers = |c: char| is_unsafe(c) && !matches!(c, '\n' | '\t');
        assert!(!text.contains(steers), "{arguments:?}: {text:?}");
    }
}

#[tokio::test]
async fn a_name_from_a_system_forges_no_line_and_turns_none_around_in_any_output() {
    let site = Site::start(3).await;
    let hostile = || company(&[(Field::Name, HOSTILE), (Field::Email, EMAIL)]);
    site.crm.create(hostile()).expect("created");
    site.crm.create(hostile()).expect("created");
    site.books.create(hostile()).expect("created");
    let single = company(&[
        (Field::Name, HOSTILE),
        (Field::Email, "single@company.example"),
    ]);
    let single = site.crm.create(single).expect("created");
    let up = site.up().await;
    let ran = site.tandem(&["sync", "run", "customers", "--wait"]).await;
    assert_harmless(&["sync", "run"], &ran);
    site.until(&["links", "customers"], |list| {
        list["items"]
            .as_array()
            .is_some_and(|links| links.iter().any(|link| link["a"]["id"] == single.as_str()))
    })
    .await;
    let asked = site.json(0, &["conflicts", "list"]).await;
    let question = texts(&asked["items"], "id")[0].to_owned();
    assert_eq!(
        asked["items"][0]["records"][0]["fields"]["name"], HOSTILE,
        "JSON keeps the exact value"
    );
    let links = site.json(0, &["links", "customers"]).await;
    let link = links["items"].as_array().expect("a list").iter();
    let mut link = link.filter(|link| link["a"]["id"] == single.as_str());
    let link = link.next().expect("a link")["id"].as_str().expect("an id");
    let partner = id_of(&site.books, EMAIL);

    let commands: [&[&str]; 14] = [
        &["conflicts", "list"],
        &["conflicts", "list", "--json"],
        &["conflicts", "show", &question],
        &["conflicts", "resolve", &question, "--ignore"],
        &["links", "customers"],
        &["links", "customers", link],
        &["changes"],
        &["explain", "customers", &single],
        &["explain", "customers", HOSTILE],
        &["runs"],
        &["jobs", "list"],
        &["sync", "plan", "customers"],
        &["sync", "verify", "customers"],
        &["links", "link", "customers", &single, &partner],
    ];
    for arguments in commands {
        assert_harmless(arguments, &site.tandem(arguments).await);
    }
    let shown = site.tandem(&["conflicts", "show", &question]).await;
    assert!(shown.out.contains(r"Evil\ncfl_0000"), "{}", shown.out);
    up.stop().await;
}
