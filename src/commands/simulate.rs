//! `postlink simulate FILE…`: serves simulated instances on a port, for trying `run` against a cluster.

use super::{
    outcome::Outcome,
    output::{answer, tell},
};
use crate::{
    local::tree::{Tree, is_simulated},
    manifests,
};
use dataverse_simulator::{SimulatedInstance, Simulator};
use std::{collections::BTreeMap, fs, net::SocketAddr, path::PathBuf};
use tokio::signal::unix::{SignalKind, signal};

/// Serve simulated Dynamics 365 instances over HTTPS, to try `postlink run` without a real one.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints one line HOST=ADDR for each host it serves. For the quickstart:
  globaldisco.crm.dynamics.com=127.0.0.1:40123
  login.microsoftonline.com=127.0.0.1:40123
  northwind.crm.dynamics.com=127.0.0.1:40123

On SIGHUP, it reads the files again.

Examples:
  postlink simulate examples/quickstart/simulated/instance.yaml --ca-out /tmp/ca.pem > /tmp/hosts
  postlink run --ca-file /tmp/ca.pem $(sed 's/^/--connect-to /' /tmp/hosts)")]
pub struct SimulateArgs {
    /// Files or directories with `SimulatedInstance` documents; other documents are ignored.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Address to listen on; port 0 is any free port.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDR")]
    listen: SocketAddr,
    /// File to write the CA certificate to, for `postlink run --ca-file`.
    #[arg(long, value_name = "FILE")]
    ca_out: Option<PathBuf>,
}

pub fn run(args: &SimulateArgs) -> Outcome {
    let instances = match read(&args.files) {
        Ok(instances) => instances,
        Err(outcome) => return outcome,
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tell(format_args!("error: cannot start the async runtime: {error}"));
            return Outcome::Usage;
        }
    };
    match runtime.block_on(serve(args, &instances)) {
        Ok(()) => Outcome::Done,
        Err(error) => {
            tell(format_args!("error: {error}"));
            Outcome::Usage
        }
    }
}

/// Reads the documents, and reports errors in them on stderr.
fn read(files: &[PathBuf]) -> Result<Vec<SimulatedInstance>, Outcome> {
    let (mut documents, mut errors) = (Vec::new(), Vec::new());
    for file in files {
        match manifests::load(file) {
            Ok(loaded) => {
                documents.extend(loaded.documents.into_iter().filter(is_simulated));
                errors.extend(loaded.errors);
            }
            Err(error) => {
                tell(format_args!("error: {error}"));
                return Err(Outcome::Usage);
            }
        }
    }
    let tree = Tree::of(documents, &errors);
    for problem in &tree.problems {
        tell(format_args!("error: {problem}"));
    }
    if !tree.problems.is_empty() {
        return Err(Outcome::No);
    }
    if tree.instances.is_empty() {
        tell(
            "error: there is no SimulatedInstance in these files; examples/quickstart/simulated/instance.yaml shows one",
        );
        return Err(Outcome::No);
    }
    Ok(tree.instances)
}

async fn serve(
    args: &SimulateArgs,
    instances: &[SimulatedInstance],
) -> Result<(), Box<dyn std::error::Error>> {
    let simulator = Simulator::new();
    for warning in simulator.apply(instances)? {
        tell(format_args!("warning: {warning}"));
    }
    let served = simulator.serve_tls(args.listen).await?;
    if let Some(path) = &args.ca_out {
        fs::write(path, served.ca_pem()).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
    }
    let mut announced = BTreeMap::new();
    announce(&served.addresses(), &mut announced)?;

    let mut hang_up = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    loop {
        tokio::select! {
            _ = hang_up.recv() => {
                // After an error in the files, the instances stay as they are.
                if let Ok(instances) = read(&args.files) {
                    match simulator.reload(&instances) {
                        Ok(warnings) => {
                            for warning in warnings {
                                tell(format_args!("warning: {warning}"));
                            }
                            announce(&served.addresses(), &mut announced)?;
                            tell("reloaded");
                        }
                        Err(error) => tell(format_args!("error: {error}")),
                    }
                }
            }
            _ = terminate.recv() => break,
            result = tokio::signal::ctrl_c() => {
                result?;
                break;
            }
        }
    }
    served.shutdown();
    Ok(())
}

/// Prints a line `HOST=ADDR` for `run --connect-to` per host that was not announced before.
fn announce(
    addresses: &BTreeMap<String, SocketAddr>,
    announced: &mut BTreeMap<String, SocketAddr>,
) -> Result<(), &'static str> {
    for (host, address) in addresses {
        if announced.insert(host.clone(), *address).is_none() {
            answer(format_args!("{host}={address}\n"))
                .map_err(|_| "cannot print the addresses of the instances")?;
        }
    }
    Ok(())
}
