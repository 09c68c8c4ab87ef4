//! `postlink simulate FILE…`: serves simulated instances on a port, for trying `run` against a cluster.

use super::{
    Outcome,
    output::{answer, tell},
};
use crate::{
    local::tree::{Tree, is_of_the_simulated_world},
    manifests,
};
use dataverse_simulator::{SimulatedInstance, Simulator};
use std::{collections::BTreeMap, fs, net::SocketAddr, path::PathBuf};
use tokio::signal::unix::{SignalKind, signal};

/// Serves simulated Dynamics 365 instances over HTTPS on loopback, until it is interrupted.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints one line HOST=ADDR for each host it serves, for example for the quickstart:
  globaldisco.crm.dynamics.com=127.0.0.1:40123
  login.microsoftonline.com=127.0.0.1:40123
  northwind.crm.dynamics.com=127.0.0.1:40123

Examples:
  postlink simulate examples/quickstart/simulated/instance.yaml --ca-out /tmp/ca.pem > /tmp/hosts
  postlink run --ca-file /tmp/ca.pem $(sed 's/^/--connect-to /' /tmp/hosts)")]
pub struct Args {
    /// Files or folders with `SimulatedInstance` documents; other documents in them are passed over.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The address to listen on; port 0 = any free one.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDR")]
    listen: SocketAddr,
    /// Where to write the certificate to trust (`run --ca-file`).
    #[arg(long, value_name = "FILE")]
    ca_out: Option<PathBuf>,
}

/// Runs it.
pub fn run(args: &Args) -> Outcome {
    let instances = match read(&args.files) {
        Ok(instances) => instances,
        Err(outcome) => return outcome,
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tell(format_args!("error: the runtime cannot be started: {error}"));
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

/// Reads the documents; what is wrong with them is told on stderr.
fn read(files: &[PathBuf]) -> Result<Vec<SimulatedInstance>, Outcome> {
    let (mut documents, mut errors) = (Vec::new(), Vec::new());
    for file in files {
        match manifests::load(file) {
            Ok(loaded) => {
                documents.extend(loaded.documents.into_iter().filter(is_of_the_simulated_world));
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
        tell("error: no SimulatedInstance stands in any of these files");
        return Err(Outcome::No);
    }
    Ok(tree.instances)
}

async fn serve(args: &Args, instances: &[SimulatedInstance]) -> Result<(), Box<dyn std::error::Error>> {
    let simulator = Simulator::new();
    for warning in simulator.apply(instances)? {
        tell(format_args!("warning: {warning}"));
    }
    let served = simulator.serve_tls(args.listen).await?;
    if let Some(path) = &args.ca_out {
        fs::write(path, served.ca_pem()).map_err(|e| format!("{} cannot be written: {e}", path.display()))?;
    }
    let mut told = BTreeMap::new();
    announce(&served.addresses(), &mut told)?;

    let mut hang_up = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    loop {
        tokio::select! {
            _ = hang_up.recv() => {
                // A file that cannot be read changes nothing: the world stays as it is.
                if let Ok(instances) = read(&args.files) {
                    match simulator.reload(&instances) {
                        Ok(warnings) => warnings.iter().for_each(|w| tell(format_args!("warning: {w}"))),
                        Err(error) => tell(format_args!("error: {error}")),
                    }
                    announce(&served.addresses(), &mut told)?;
                    tell("reloaded");
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

/// One line `HOST=ADDR` per host, as `run --connect-to` takes it; hosts already told are not told again.
fn announce(
    addresses: &BTreeMap<String, SocketAddr>,
    told: &mut BTreeMap<String, SocketAddr>,
) -> Result<(), &'static str> {
    for (host, address) in addresses {
        if told.insert(host.clone(), *address).is_none() {
            answer(format_args!("{host}={address}\n"))
                .map_err(|_| "nobody learns where the instances are")?;
        }
    }
    Ok(())
}
