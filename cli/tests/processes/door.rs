//! Who gets in: the token in the data folder, and a start that would open the API to others.

use std::process::Stdio;
use std::time::Duration;

use crate::common::http::{ANSWER_MAX, client};
use crate::common::pair::Settings;
use crate::common::system::System;
use crate::site::Site;

/// A process that refuses to start has ended within this time.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn the_first_start_leaves_a_token_in_the_data_folder_with_which_the_api_is_used() {
    let site = Site::new(5, 1, &Settings::default());
    let _systems = (
        System::start(&site.pair.crm).await,
        System::start(&site.pair.books).await,
    );
    let _tandem = site.up().await;
    let token = std::fs::read_to_string(site.data().join("api-token")).expect("it is there");
    let status = async |token: &str| {
        let url = format!("{}/api/v1/status", site.base_url());
        let request = client().get(url).timeout(ANSWER_MAX);
        // A proxy had a part in it: without a token nobody would be let in so.
        let request = request.header("via", "1.1 proxy").bearer_auth(token);
        request.send().await.expect("it answers").status().as_u16()
    };
    assert_eq!(status(token.trim()).await, 200);
    assert_eq!(status("0123456789abcdef").await, 401);
}

#[tokio::test]
async fn a_start_that_would_open_the_api_to_others_is_refused_and_says_what_to_set() {
    let site = Site::new(5, 1, &Settings::default());
    for (server, reason) in [
        (
            "server: { listen: \"127.0.0.1:0\", trusted_proxies: 1 }",
            "`server.trusted_proxies` is 1",
        ),
        (
            "server: { listen: \"0.0.0.0:0\" }",
            "it listens on 0.0.0.0:0, which other machines can reach",
        ),
    ] {
        site.replace_server(server);
        let mut command = site.command();
        let command = command
            .arg("up")
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let refused = tokio::time::timeout(PATIENCE, command.output()).await;
        let refused = refused.expect("it ends").expect("it runs");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(3), "{said}");
        assert!(said.contains(reason), "{said}");
        assert!(said.contains("Set TANDEM_API_TOKEN"), "{said}");
    }
}
