//! The hosts of each cloud beside the instances. Written down independently of any client, so that a mistake there
//! shows here.

/// A cloud: the domain of its instances, and the hosts of its services.
pub(crate) struct Cloud {
    domain: &'static str,
    pub sign_in: &'static str,
    pub discovery: &'static str,
}

const fn cloud(domain: &'static str, sign_in: &'static str, discovery: &'static str) -> Cloud {
    Cloud { domain, sign_in, discovery }
}

const COMMERCIAL: Cloud = cloud("", "login.microsoftonline.com", "globaldisco.crm.dynamics.com");
const OTHERS: [Cloud; 4] = [
    cloud("crm9.dynamics.com", "login.microsoftonline.com", "globaldisco.crm9.dynamics.com"),
    cloud("crm.microsoftdynamics.us", "login.microsoftonline.us", "globaldisco.crm.microsoftdynamics.us"),
    cloud("crm.appsplatform.us", "login.microsoftonline.us", "globaldisco.crm.appsplatform.us"),
    cloud("crm.dynamics.cn", "login.partner.microsoftonline.cn", "globaldisco.crm.dynamics.cn"),
];

/// A service that all instances of a cloud share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloudService {
    /// The token endpoint.
    SignIn,
    /// The global discovery service.
    Discovery,
}

/// The cloud of an instance or of a discovery service.
pub(crate) fn cloud_of(host: &str) -> &'static Cloud {
    let domain = host.split_once('.').map_or("", |(_, domain)| domain);
    OTHERS.iter().find(|cloud| cloud.domain == domain).unwrap_or(&COMMERCIAL)
}

/// The service at a host; `None` if the host can be that of an instance.
pub fn service_at(host: &str) -> Option<CloudService> {
    OTHERS.iter().chain([&COMMERCIAL]).find_map(|cloud| match host {
        _ if host == cloud.sign_in => Some(CloudService::SignIn),
        _ if host == cloud.discovery => Some(CloudService::Discovery),
        _ => None,
    })
}

/// The hosts of the services that instances at these hosts need, and those of the commercial cloud.
pub fn services_of<'a>(hosts: impl Iterator<Item = &'a str>) -> impl Iterator<Item = &'static str> {
    hosts.map(cloud_of).chain([&COMMERCIAL]).flat_map(|cloud| [cloud.sign_in, cloud.discovery])
}
