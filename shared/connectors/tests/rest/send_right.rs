//! A write leaves the process only while there is the right to send it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tandem_connectors::{
    Connector, ConnectorError, RestConnector, SendRight, Write, Written, with_send_right,
};

use crate::server::{LIST, Server, WRITES, fields, items, json, manifest};

async fn create(connector: &RestConnector, right: SendRight) -> Result<Written, ConnectorError> {
    let fields = fields(&[("name", "Ada")]);
    let write = Write {
        fields: &fields,
        transaction: "txn_1",
        expected_version: None,
        current: None,
    };
    with_send_right(right, connector.create(&items(), &write)).await
}

async fn server() -> Server {
    Server::start(|_, _| json(200, json!({"id": "1", "name": "Ada"}))).await
}

#[tokio::test]
async fn with_the_right_a_write_is_sent_whole() {
    let server = server().await;
    let connector = server.connector(&manifest("", LIST, WRITES));
    create(&connector, Arc::new(|| true))
        .await
        .expect("it is written");
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    assert!(seen[0].text.contains("Ada"), "{}", seen[0].text);
    let length = seen[0].text.len().to_string();
    assert_eq!(seen[0].header("content-length"), length);
}

#[tokio::test]
async fn without_the_right_nothing_is_sent() {
    let server = server().await;
    let connector = server.connector(&manifest("", LIST, WRITES));
    let error = create(&connector, Arc::new(|| false))
        .await
        .expect_err("it is not written");
    assert!(
        matches!(error, ConnectorError::RightEnded { .. }),
        "{error}"
    );
    assert_eq!(server.seen().len(), 0);
}

/// As when the process is stopped while it connects.
#[tokio::test]
async fn a_right_that_ends_while_connecting_is_noticed_at_the_last_moment() {
    let server = server().await;
    let connector = server.connector(&manifest("", LIST, WRITES));
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let right = Arc::new(move || counted.fetch_add(1, Ordering::SeqCst) == 0);
    let error = create(&connector, right)
        .await
        .expect_err("it is not written");
    assert!(
        matches!(error, ConnectorError::RightEnded { .. }),
        "{error}"
    );
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    assert_eq!(server.seen().len(), 0);
}
