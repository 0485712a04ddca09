//! Sessions over a stream in memory, in virtual time.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::activity::{ConnectionActivity, ServerState, Timeouts};
use super::session::{CHECK_INTERVAL, Session};
use super::test_responder::TestResponder;

const TIMEOUTS: Timeouts = Timeouts {
    header: Duration::from_secs(15),
    idle: Duration::from_secs(75),
    write: Duration::from_secs(60),
};
/// Time, of the virtual kind, after which a session that should have ended never will.
const LONGEST: Duration = Duration::from_secs(300);
/// Bytes that the stream holds in each direction, as a socket's buffers do.
const STREAM_BYTES: usize = 64 << 10;
/// A response that neither the stream nor one chunk can hold.
const LARGE: usize = 5 << 20;

/// A session and the client's end of its connection.
struct Connected {
    server: Arc<ServerState>,
    activity: Arc<ConnectionActivity>,
    client: DuplexStream,
    session: JoinHandle<()>,
    opened: Instant,
}

impl Connected {
    fn open() -> Self {
        let opened = Instant::now();
        let server = ServerState::new(TIMEOUTS, opened);
        let activity = ConnectionActivity::new(&server, opened);
        let (client, stream) = tokio::io::duplex(STREAM_BYTES);
        let responder = TestResponder { activity: Arc::clone(&activity) };
        let session = Session::new(Arc::clone(&activity), responder);
        let session = tokio::spawn(async move {
            // How a session ends is seen at the client's end.
            let _ = session.run(stream, None).await;
        });
        Self { server, activity, client, session, opened }
    }

    async fn send(&mut self, text: &str) {
        self.client.write_all(text.as_bytes()).await.unwrap();
    }

    async fn request(&mut self, path: &str) {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")).await;
    }

    /// Reads a head; returns the length of the body that it announces.
    async fn read_head(&mut self) -> usize {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.client.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        length.unwrap().parse().unwrap()
    }

    /// Reads a response; returns the length of its body.
    async fn read_response(&mut self) -> usize {
        let length = self.read_head().await;
        self.client.read_exact(&mut vec![0; length]).await.unwrap();
        length
    }

    /// Reads until the server closes; returns how many bytes came and how long the session lasted.
    async fn read_to_end(mut self) -> (usize, Duration) {
        let mut rest = Vec::new();
        timeout(LONGEST, self.client.read_to_end(&mut rest)).await.expect("it ends").unwrap();
        timeout(LONGEST, self.session).await.expect("it ends").unwrap();
        assert_eq!(self.server.buffered_bytes(), 0);
        (rest.len(), self.opened.elapsed())
    }
}

/// Asserts that something took as long as a timeout, and one look of the session longer at most.
#[track_caller]
fn assert_timed_out(took: Duration, timeout: Duration) {
    assert!((timeout..=timeout + CHECK_INTERVAL).contains(&took), "{took:?}, not {timeout:?}");
}

#[tokio::test(start_paused = true)]
async fn requests_are_answered_in_their_order() {
    let mut connected = Connected::open();
    connected.send("GET /10/500 HTTP/1.1\r\nHost: test\r\n\r\n").await;
    connected.send("GET /20/0 HTTP/1.1\r\nHost: test\r\n\r\n").await;
    assert_eq!(connected.read_response().await, 10);
    assert_eq!(connected.read_response().await, 20);
    assert!(connected.activity.idle_since().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_head_that_takes_too_long_is_not_waited_for() {
    let mut connected = Connected::open();
    for byte in "GET /1/0 HTTP".chars() {
        connected.send(&byte.to_string()).await;
        sleep(Duration::from_secs(1)).await;
    }
    let (bytes, took) = connected.read_to_end().await;
    assert_eq!(bytes, 0);
    assert_timed_out(took, TIMEOUTS.header);
}

#[tokio::test(start_paused = true)]
async fn the_time_for_a_later_head_counts_from_its_first_byte() {
    let mut connected = Connected::open();
    connected.request("/1/0").await;
    connected.read_response().await;
    sleep(Duration::from_secs(70)).await;
    connected.send("GET /1/0 ").await;
    sleep(TIMEOUTS.header - Duration::from_secs(1)).await;
    connected.send("HTTP/1.1\r\nHost: test\r\n\r\n").await;
    assert_eq!(connected.read_response().await, 1);
    connected.send("G").await;
    let began = Instant::now();
    connected.read_to_end().await;
    assert_timed_out(began.elapsed(), TIMEOUTS.header);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_in_time() {
    let mut connected = Connected::open();
    connected.request("/1/0").await;
    connected.read_response().await;
    let (_, took) = connected.read_to_end().await;
    assert_timed_out(took, TIMEOUTS.idle);
}

#[tokio::test(start_paused = true)]
async fn the_server_may_take_its_time() {
    let mut connected = Connected::open();
    connected.request("/1/600000").await;
    assert_eq!(connected.read_response().await, 1);
    assert_timed_out(connected.opened.elapsed(), Duration::from_secs(600));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_holds_one_chunk_and_is_cut() {
    let mut connected = Connected::open();
    connected.request(&format!("/{LARGE}/0")).await;
    sleep(TIMEOUTS.write - Duration::from_secs(1)).await;
    let held = connected.server.buffered_bytes();
    assert!((1 << 19..=1 << 20).contains(&held), "{held} bytes are kept back");
    assert!(connected.activity.idle_since().is_none());
    sleep(Duration::from_secs(1) + CHECK_INTERVAL).await;
    assert!(connected.session.is_finished());
    let (bytes, _) = connected.read_to_end().await;
    assert!(bytes <= STREAM_BYTES, "{bytes} bytes were sent");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_keeps_reading_is_never_cut() {
    let mut connected = Connected::open();
    connected.request(&format!("/{LARGE}/0")).await;
    assert_eq!(connected.read_head().await, LARGE);
    let mut left = LARGE;
    while left > 0 {
        sleep(TIMEOUTS.write - CHECK_INTERVAL * 2).await;
        let part = left.min(STREAM_BYTES);
        connected.client.read_exact(&mut vec![0; part]).await.unwrap();
        left -= part;
    }
    assert!(connected.opened.elapsed() > TIMEOUTS.write * 70);
    assert_eq!(connected.server.buffered_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_too_slowly_is_cut() {
    let mut connected = Connected::open();
    connected.request(&format!("/{LARGE}/0")).await;
    connected.read_head().await;
    let mut taken = 0;
    while !connected.session.is_finished() {
        assert!(connected.opened.elapsed() < LONGEST, "it is never cut");
        sleep(Duration::from_secs(6)).await;
        let read = timeout(LONGEST, connected.client.read(&mut [0; 1024])).await;
        taken += read.expect("it is never cut").unwrap();
    }
    assert!(taken < STREAM_BYTES, "{taken}");
    assert_timed_out(connected.opened.elapsed(), TIMEOUTS.write + Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_sent_all_may_still_read() {
    let mut connected = Connected::open();
    connected.request(&format!("/{LARGE}/2000")).await;
    connected.client.shutdown().await.unwrap();
    let length = connected.read_head().await;
    let (bytes, _) = connected.read_to_end().await;
    assert_eq!(bytes, length);
}

#[tokio::test(start_paused = true)]
async fn a_graceful_close_lets_a_response_finish() {
    let mut connected = Connected::open();
    connected.request(&format!("/{LARGE}/3000")).await;
    sleep(Duration::from_secs(1)).await;
    connected.activity.close_gracefully();
    let length = connected.read_head().await;
    let (bytes, took) = connected.read_to_end().await;
    assert_eq!(bytes, length);
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_graceful_close_ends_an_idle_connection_at_once() {
    let connected = Connected::open();
    connected.activity.close_gracefully();
    let (bytes, took) = connected.read_to_end().await;
    assert_eq!((bytes, took), (0, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn only_an_idle_connection_is_evicted() {
    let mut connected = Connected::open();
    let since = connected.activity.idle_since().unwrap();
    connected.request("/1/1000").await;
    sleep(Duration::from_millis(1)).await;
    assert_eq!(connected.activity.idle_since(), None);
    assert!(!connected.activity.evict(since), "it is being answered");
    assert_eq!(connected.read_response().await, 1);
    sleep(Duration::from_secs(1)).await;
    assert!(!connected.activity.evict(since), "it has been answered since");
    assert!(connected.activity.evict(connected.activity.idle_since().unwrap()));
    let (bytes, took) = connected.read_to_end().await;
    assert_eq!((bytes, took), (0, Duration::from_millis(2000)));
}

/// Over HTTP/2 a client can hold a response up by granting no window, which the socket can't show.
#[tokio::test(start_paused = true)]
async fn a_stalled_http_2_response_is_cut() {
    let opened = Instant::now();
    let server = ServerState::new(TIMEOUTS, opened);
    let activity = ConnectionActivity::new(&server, opened);
    let (client, stream) = tokio::io::duplex(STREAM_BYTES);
    let responder = TestResponder { activity: Arc::clone(&activity) };
    let session = tokio::spawn(Session::new(activity, responder).run_http_2(stream));
    let executor = hyper_util::rt::TokioExecutor::new();
    let client = hyper_util::rt::TokioIo::new(client);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(executor, client).await.unwrap();
    tokio::spawn(connection);
    let request = hyper::Request::get(format!("http://test/{LARGE}/0"));
    let request = request.body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
    // The window that a client grants without reading is smaller than the response.
    let response = sender.send_request(request).await.unwrap();
    timeout(LONGEST, session).await.expect("it ends").unwrap().unwrap();
    assert_timed_out(opened.elapsed(), TIMEOUTS.write);
    assert_eq!(server.buffered_bytes(), 0);
    drop(response);
}
