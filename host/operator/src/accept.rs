//! Takes the connections of a server of ours, so many at a time.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};

/// After a failure to accept: it mostly is one of the whole process, as when it has too many files open, and would come
/// again at once.
const PAUSE_MS: u64 = 100;

/// Hands each connection to `serve`, at most `at_once` at a time, until the future is dropped.
pub(crate) async fn each<F, R>(listener: TcpListener, at_once: usize, serve: F)
where
    F: Fn(TcpStream) -> R,
    R: Future<Output = ()> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(at_once));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection");
                tokio::time::sleep(Duration::from_millis(PAUSE_MS)).await;
                continue;
            }
        };
        let served = serve(stream);
        connections.spawn(async move {
            served.await;
            drop(permit);
        });
    }
}
