//! Addresses as people and manifests write them on the command line.

use std::net::SocketAddr;

/// `HOST=ADDRESS:PORT`.
pub fn host_and_address(text: &str) -> Result<(String, SocketAddr), String> {
    let (host, address) =
        text.split_once('=').ok_or("it is HOST=ADDR, such as contoso.crm.dynamics.com=127.0.0.1:8443")?;
    let address = address.parse().map_err(|e| format!("{address:?} is no address with a port: {e}"))?;
    Ok((host.to_owned(), address))
}

/// An address with a port. A pod's own address comes without brackets, so that `$(POD_IP):8080` of a manifest is
/// `fd00::7:8080` on an IPv6 cluster: the port is what follows the last colon.
pub fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let apart = || {
        let (address, port) = text.rsplit_once(':')?;
        Some(SocketAddr::new(address.parse().ok()?, port.parse().ok()?))
    };
    text.parse().ok().or_else(apart).ok_or_else(|| "it is ADDRESS:PORT, such as 127.0.0.1:8080".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_pod_needs_no_brackets() {
        for (text, address) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("[fd00::7]:8080", "[fd00::7]:8080"),
            ("fd00::7:8080", "[fd00::7]:8080"),
        ] {
            assert_eq!(listen_address(text).unwrap().to_string(), address);
        }
        for wrong in ["8080", "localhost:8080", "127.0.0.1", "127.0.0.1:http", ""] {
            assert!(listen_address(wrong).is_err(), "{wrong}");
        }
    }
}
