//! Serves a bare control plane: `serve_bare ADDRESS KUBECONFIG [DATA_DIR]`.

use tidepool_sim::{
    clock::{Clock, Seed},
    control::{ControlPlane, Options, kubeconfig},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:0".into());
    let file = args.next().unwrap_or_else(|| "kubeconfig".into());
    let mut options = Options::new(Clock::system(), Seed(1));
    // Short, so that what a forgotten history does can be tried.
    options.history_age = std::time::Duration::from_secs(30);
    options.data_dir = args.next().map(Into::into);
    let control = ControlPlane::new(options)?;
    let listener = tokio::net::TcpListener::bind(address).await?;
    std::fs::write(&file, kubeconfig(listener.local_addr()?))?;
    let _controllers = control.start_controllers();
    control.serve(listener).await?;
    Ok(())
}
