//! One process alone loses its way to Redis: the others leave it its share.

use std::net::SocketAddr;
use std::time::Duration;

use tandem_testkit::servers::RedisServer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::crowd::{Starts, a_second, crowd, process};

/// A way to a server that can be closed and opened.
struct Way {
    address: SocketAddr,
    open: watch::Sender<bool>,
}

impl Way {
    async fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let open = watch::Sender::new(true);
        let seen = open.subscribe();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                if *seen.borrow() {
                    tokio::spawn(carry(near, server.clone(), seen.clone()));
                }
            }
        });
        Self { address, open }
    }
}

async fn carry(mut near: TcpStream, server: String, mut open: watch::Receiver<bool>) {
    let Ok(mut far) = TcpStream::connect(server).await else {
        return;
    };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
        _ = open.wait_for(|open| !open) => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_cut_off_from_redis_and_the_others_stay_under_the_limit() {
    let redis = RedisServer::start().await;
    let url = redis.url();
    let server = url.trim_start_matches("redis://").trim_end_matches('/');
    let way = Way::to(server.to_owned()).await;
    let near = process(&url, "near", 1);
    let far = process(&format!("redis://{}/", way.address), "far", 1);
    let limits = a_second(20);
    let (together, of_far) = (Starts::new(), Starts::new());
    let _near = crowd(&near, "crm", &limits, &together);
    let _far = crowd(&far, "crm", &limits, &together);
    together.more(25).await;
    way.open.send_replace(false);
    together.more(50).await;
    let _counted = crowd(&far, "other", &limits, &of_far);
    of_far.more(5).await;
    way.open.send_replace(true);
    together.more(40).await;
    let most = together.most_in(Duration::from_secs(1));
    assert!(most <= 20, "{most} in a second");
}
