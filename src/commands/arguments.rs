//! Parses addresses and namespaces on the command line.

use std::net::SocketAddr;

/// `HOST=ADDRESS:PORT`.
pub fn host_and_address(text: &str) -> Result<(String, SocketAddr), String> {
    let (host, address) =
        text.split_once('=').ok_or("expected HOST=ADDR, such as contoso.crm.dynamics.com=127.0.0.1:8443")?;
    let address =
        address.parse().map_err(|e| format!("{address:?} is not an IP address with a port: {e}"))?;
    Ok((host.to_owned(), address))
}

/// `ADDRESS:PORT`. On an IPv6 cluster, `$(POD_IP):8080` in a manifest is `fd00::7:8080`, without brackets; the port is
/// what follows the last colon.
pub fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let without_brackets = || {
        let (address, port) = text.rsplit_once(':')?;
        Some(SocketAddr::new(address.parse().ok()?, port.parse().ok()?))
    };
    text.parse()
        .ok()
        .or_else(without_brackets)
        .ok_or_else(|| "expected ADDRESS:PORT, such as 127.0.0.1:8080".to_owned())
}

/// A namespace, or nothing: an environment variable can be set to an empty value.
pub fn namespace(text: &str) -> Result<String, String> {
    let name = text.trim();
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let valid =
        name.len() <= 63 && name.chars().all(allowed) && !name.starts_with('-') && !name.ends_with('-');
    if valid {
        Ok(name.to_owned())
    } else {
        Err("expected the name of a namespace, such as social".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_are_names_or_nothing() {
        assert_eq!(
            ["social", " b", "", "a-1"].map(|text| namespace(text).unwrap()),
            ["social", "b", "", "a-1"]
        );
        for wrong in ["A", "a/b", "-a", "a b", &"a".repeat(64)] {
            assert!(namespace(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn listen_address_needs_no_brackets() {
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
