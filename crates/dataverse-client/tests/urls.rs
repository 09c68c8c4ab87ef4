//! Which URLs are accepted as those of an instance.

use dataverse_client::{Config, OriginError, Transport};
use rstest::rstest;

use super::server::Server;

#[rstest]
#[case("https://contoso.crm.dynamics.com", "https://contoso.crm.dynamics.com")]
#[case("https://contoso.crm.dynamics.com/", "https://contoso.crm.dynamics.com")]
#[case("HTTPS://Contoso.CRM4.Dynamics.COM:443/", "https://contoso.crm4.dynamics.com")]
#[case("https://agency.crm.microsoftdynamics.us", "https://agency.crm.microsoftdynamics.us")]
#[case("https://agency.crm.appsplatform.us", "https://agency.crm.appsplatform.us")]
#[case("https://agency.crm9.dynamics.com", "https://agency.crm9.dynamics.com")]
#[case("https://org.crm.dynamics.cn", "https://org.crm.dynamics.cn")]
fn urls_of_instances_are_admitted(#[case] url: &str, #[case] origin: &str) {
    let client = Server::new(|_| None).client();
    assert_eq!(client.admit(url).unwrap().to_string(), origin);
}

#[rstest]
// Other schemes.
#[case("http://contoso.crm.dynamics.com", OriginError::NotHttps)]
#[case("ftp://contoso.crm.dynamics.com", OriginError::NotHttps)]
#[case("file:///etc/passwd", OriginError::NotHttps)]
#[case("//contoso.crm.dynamics.com", OriginError::NotHttps)]
#[case("contoso.crm.dynamics.com", OriginError::NotHttps)]
#[case("", OriginError::NotHttps)]
// Suffix tricks.
#[case("https://evil-dynamics.com", OriginError::HostNotAllowed)]
#[case("https://xdynamics.com", OriginError::HostNotAllowed)]
#[case("https://dynamics.com", OriginError::HostNotAllowed)]
#[case("https://dynamics.com.evil.net", OriginError::HostNotAllowed)]
#[case("https://contoso.crm.dynamics.com.evil.net", OriginError::HostNotAllowed)]
#[case("https://example.com", OriginError::HostNotAllowed)]
#[case("https://kubernetes.default.svc", OriginError::HostNotAllowed)]
#[case("https://metadata.google.internal", OriginError::HostNotAllowed)]
// Sign-in and discovery services.
#[case("https://login.microsoftonline.com", OriginError::HostNotAllowed)]
#[case("https://globaldisco.crm.dynamics.com", OriginError::HostNotAllowed)]
#[case("https://globaldisco.crm9.dynamics.com", OriginError::HostNotAllowed)]
#[case("https://globaldisco.crm.appsplatform.us", OriginError::HostNotAllowed)]
// Names of the local network.
#[case("https://localhost", OriginError::NotQualified)]
#[case("https://kubernetes", OriginError::NotQualified)]
// Addresses in every notation.
#[case("https://127.0.0.1", OriginError::IpLiteral)]
#[case("https://2130706433", OriginError::IpLiteral)]
#[case("https://0x7f000001", OriginError::IpLiteral)]
#[case("https://0x7f.1", OriginError::IpLiteral)]
#[case("https://0177.0.0.1", OriginError::IpLiteral)]
#[case("https://017700000001", OriginError::IpLiteral)]
#[case("https://127.1", OriginError::IpLiteral)]
#[case("https://1.2.3.4.5", OriginError::IpLiteral)]
#[case("https://999.999.999.999", OriginError::IpLiteral)]
#[case("https://contoso.dynamics.com.1", OriginError::IpLiteral)]
#[case("https://169.254.169.254/", OriginError::IpLiteral)]
#[case("https://[::1]", OriginError::IpLiteral)]
#[case("https://[::ffff:127.0.0.1]:443/", OriginError::IpLiteral)]
#[case("https://[fe80::1%25eth0]", OriginError::Malformed)]
// User names and passwords.
#[case("https://contoso.crm.dynamics.com@evil.net", OriginError::UserInfo)]
#[case("https://user:pass@contoso.crm.dynamics.com", OriginError::UserInfo)]
#[case("https://@contoso.crm.dynamics.com", OriginError::UserInfo)]
#[case("https://evil.net#@contoso.crm.dynamics.com", OriginError::UserInfo)]
// Look-alikes.
#[case("https://xn--dynamcs-r2a.com", OriginError::Punycode)]
#[case("https://xn--80ak6aa92e.dynamics.com", OriginError::Punycode)]
#[case("https://contoso.crm.dynаmics.com", OriginError::NotAscii)]
#[case("https://contoso。crm。dynamics。com", OriginError::NotAscii)]
#[case("https://contoso.crm.dynamics.com\u{200b}", OriginError::NotAscii)]
// Characters that some parsers drop.
#[case("https://contoso.crm.dyna\tmics.com", OriginError::NotAscii)]
#[case("https://contoso.crm.dynamics.com\r\nHost: evil", OriginError::NotAscii)]
#[case(" https://contoso.crm.dynamics.com", OriginError::NotAscii)]
#[case("https:/\\contoso.crm.dynamics.com", OriginError::NotHttps)]
#[case("https://evil.net\\.crm.dynamics.com", OriginError::Malformed)]
#[case("https://evil%2enet.dynamics.com", OriginError::Malformed)]
// Other spellings of a host.
#[case("https://contoso.crm.dynamics.com.", OriginError::TrailingDot)]
#[case("https://contoso..dynamics.com", OriginError::Malformed)]
#[case("https://.dynamics.com", OriginError::Malformed)]
#[case("https://-a.dynamics.com", OriginError::Malformed)]
#[case("https://a_b.dynamics.com", OriginError::Malformed)]
#[case("https://*.dynamics.com", OriginError::Malformed)]
#[case("https://", OriginError::Malformed)]
// More than an origin.
#[case("https://contoso.crm.dynamics.com/api", OriginError::NotAnOrigin)]
#[case("https://contoso.crm.dynamics.com//", OriginError::NotAnOrigin)]
#[case("https://contoso.crm.dynamics.com?x=1", OriginError::NotAnOrigin)]
#[case("https://contoso.crm.dynamics.com/?", OriginError::NotAnOrigin)]
#[case("https://contoso.crm.dynamics.com#", OriginError::NotAnOrigin)]
// Ports.
#[case("https://contoso.crm.dynamics.com:8443", OriginError::PortNotAllowed)]
#[case("https://contoso.crm.dynamics.com:80", OriginError::PortNotAllowed)]
#[case("https://contoso.crm.dynamics.com:0", OriginError::Malformed)]
#[case("https://contoso.crm.dynamics.com:", OriginError::Malformed)]
#[case("https://contoso.crm.dynamics.com:+443", OriginError::Malformed)]
#[case("https://contoso.crm.dynamics.com:99999", OriginError::Malformed)]
#[case("https://contoso.crm.dynamics.com:443:443", OriginError::Malformed)]
fn hostile_urls_are_refused(#[case] url: &str, #[case] why: OriginError) {
    let client = Server::new(|_| None).client();
    assert_eq!(client.admit(url), Err(why), "{url}");
}

#[test]
fn very_long_url_is_refused() {
    let client = Server::new(|_| None).client();
    assert_eq!(client.admit(&format!("https://{}.dynamics.com", "a".repeat(400))), Err(OriginError::TooLong));
}

#[test]
fn allow_hosts_and_connect_to_decide() {
    let server = Server::new(|_| None);
    let mut config = Config { allow_hosts: vec!["crm.example.org".into()], ..server.config() };
    config.connect_to.insert("crm.example.org".into(), "127.0.0.1:8443".parse().unwrap());
    let client = dataverse_client::Client::new(&config).unwrap();
    assert!(client.admit("https://crm.example.org:8443").is_ok());
    assert_eq!(client.admit("https://a.crm.example.org:8443"), Err(OriginError::PortNotAllowed));
    assert!(client.admit("https://a.crm.example.org").is_ok());
    assert_eq!(client.admit("https://contoso.crm.dynamics.com"), Err(OriginError::HostNotAllowed));
}

#[rstest]
#[case("")]
#[case(".")]
#[case("com")]
#[case("*.dynamics.com")]
#[case("https://dynamics.com")]
fn allow_list_entry_must_be_a_domain(#[case] entry: &str) {
    let config = Config {
        allow_hosts: vec![entry.into()],
        transport: Transport::InMemory(std::sync::Arc::new(|_| Err(std::io::ErrorKind::Other.into()))),
        ..Config::default()
    };
    let error = dataverse_client::Client::new(&config).unwrap_err();
    assert!(error.to_string().contains("in allow_hosts"), "{error}");
}
