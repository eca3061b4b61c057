//! One TCP connection to the components: plain, or TLS with the certificate of the pod that is named.

use std::{sync::Arc, time::Duration};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use rustls::ServerConfig;
use tidepool_api::certificates::{CA, CERTIFICATE, PRIVATE_KEY};
use tidepool_pd::tls::{self, Pem};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::LazyConfigAcceptor;

use super::{Channel, Gateway};
use crate::data::network::Key;

/// First byte of a TLS connection: a handshake record.
const TLS_HANDSHAKE: u8 = 22;
/// How long a refused TLS client may take to read why.
const LINGER: Duration = Duration::from_secs(2);

/// Serves a connection until either side ends it.
pub(super) async fn serve(gateway: Gateway, stream: TcpStream) {
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(1) if first[0] == TLS_HANDSHAKE => serve_tls(gateway, stream).await,
        Ok(_) => serve_stream(gateway, stream).await,
        Err(error) => tracing::debug!(%error, "a connection to a component broke"),
    }
}

/// Serves a connection that begins with TLS.
pub(super) async fn serve_tls<S>(gateway: Gateway, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let acceptor = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream);
    let Ok(start) = acceptor.await else { return };
    let Some(host) = start.client_hello().server_name().map(ToOwned::to_owned) else { return };
    let (pod, config) = match certificate(&gateway, &host).await {
        Ok(found) => found,
        Err(reason) => {
            tracing::debug!(%host, %reason, "no certificate for a component");
            return;
        }
    };
    match start.into_stream(config).into_fallible().await {
        Ok(stream) => serve_stream(gateway.over(Channel::Secured { host, pod }), stream).await,
        Err((error, mut stream)) => {
            tracing::debug!(%host, %error, "a TLS client was refused");
            // Closing with unread input would reset the connection and lose the alert.
            let _ = stream.shutdown().await;
            let mut rest = [0; 1024];
            let drain = async { while matches!(stream.read(&mut rest).await, Ok(1..)) {} };
            let _ = tokio::time::timeout(LINGER, drain).await;
        }
    }
}

async fn serve_stream<S>(gateway: Gateway, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let builder = auto::Builder::new(TokioExecutor::new());
    let served = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(gateway)).await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to a component ended badly");
    }
}

/// The pod behind `host` and its TLS server, from its Secret as it is now, so that a rotation needs no restart.
async fn certificate(gateway: &Gateway, host: &str) -> Result<(Key, Arc<ServerConfig>), String> {
    let (pod, secret) = {
        let world = gateway.shared.world();
        let pod = world.network.pod_named(host).ok_or("no such host")?;
        let process = world.processes.get(&pod).ok_or("connection refused")?;
        (pod, process.launch.tls_secret.clone().ok_or("the component does not speak TLS")?)
    };
    let secrets: Api<Secret> = Api::namespaced(gateway.shared.client.clone(), &pod.0);
    let data = secrets.get(&secret).await.map_err(|error| error.to_string())?.data.unwrap_or_default();
    let bytes = |key: &str| data.get(key).map(|bytes| bytes.0.as_slice()).unwrap_or_default();
    let pem = Pem { ca: bytes(CA), certificate: bytes(CERTIFICATE), key: bytes(PRIVATE_KEY) };
    let clock = gateway.shared.clock;
    let config = tls::server(&pem, Arc::new(move || clock.now_ms())).map_err(|error| error.to_string())?;
    Ok((pod, config))
}
