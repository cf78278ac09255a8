//! The address that is kept with a connection, by which it is noticed that it leads to another account.

use tandem_domain::ConnectionName;

use super::{CONNECTIONS, build_with, environment};

/// The address that is kept of `books`, when these stand in the place of its own `base_url` and `variables`.
fn address_of_books(base_url: &str, variables: &str) -> String {
    let text = CONNECTIONS
        .replace("http://127.0.0.1:9000", base_url)
        .replace("{ tenant: acme }", variables);
    let environment = |name: &str| match name {
        "URL" | "SAME_URL" => Some("http://127.0.0.1:9000".to_owned()),
        "OTHER_URL" => Some("http://127.0.0.1:9001".to_owned()),
        other => environment(other),
    };
    let built = build_with(&text, &environment).unwrap_or_else(|error| panic!("{error}"));
    let books: ConnectionName = "books".parse().expect("a name");
    built.connections[&books].address.clone()
}

#[test]
fn the_address_that_is_kept_of_a_connection_is_the_same_for_the_same_account() {
    let address = address_of_books("http://Books.Example:80/api/", "{ tenant: acme }");
    assert_eq!(address, "books at http://books.example/api, tenant acme");
    for (base_url, variables) in [
        ("http://books.example/api", "{ tenant: acme }"),
        ("http://books.example/api/", "{ tenant: acme, region: eu }"),
        ("http://:secret@books.example/api", "{ tenant: acme }"),
    ] {
        assert_eq!(address_of_books(base_url, variables), address, "{base_url}");
    }
    for (base_url, variables) in [
        ("http://books.example/other", "{ tenant: acme }"),
        ("https://books.example/api", "{ tenant: acme }"),
        ("http://books.example/api", "{ tenant: other }"),
        ("http://books.example/api", "{ tenant: acme, region: us }"),
    ] {
        assert_ne!(address_of_books(base_url, variables), address, "{base_url}");
    }
}

#[test]
fn of_what_stands_elsewhere_an_address_has_a_fingerprint_alone() {
    let own = address_of_books("{ env: URL }", "{ tenant: { env: CRM_TOKEN } }");
    assert!(
        own.starts_with("books at kept elsewhere (fingerprint ")
            && own.contains("tenant kept elsewhere (fingerprint "),
        "{own}"
    );
    assert!(
        !own.contains("127.0.0.1") && !own.contains("value of"),
        "{own}"
    );
    let renamed = address_of_books("{ env: SAME_URL }", "{ tenant: { env: CRM_TOKEN } }");
    assert_eq!(renamed, own, "it is the value that counts");
    for (base_url, variables) in [
        ("{ env: OTHER_URL }", "{ tenant: { env: CRM_TOKEN } }"),
        ("{ env: URL }", "{ tenant: { env: CRM_HOOK } }"),
    ] {
        assert_ne!(address_of_books(base_url, variables), own);
    }
}

#[test]
fn the_usual_address_of_a_system_is_no_address_of_its_own() {
    let crm: ConnectionName = "crm".parse().expect("a name");
    let address = |text: &str| {
        let built = build_with(text, &environment).unwrap_or_else(|error| panic!("{error}"));
        built.connections[&crm].address.clone()
    };
    let connector = "connector: tests/manifests/crm.yaml\n";
    let written =
        |url: &str| CONNECTIONS.replace(connector, &format!("{connector}    base_url: {url}\n"));
    assert_eq!(address(CONNECTIONS), "crm at its usual address");
    assert_eq!(
        address(&written("https://crm.example/")),
        "crm at its usual address"
    );
    assert_eq!(
        address(&written("https://sandbox.crm.example")),
        "crm at https://sandbox.crm.example"
    );
}
