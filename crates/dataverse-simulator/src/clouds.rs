//! The hosts beside the instances, cloud by cloud. What the client knows of them is not used: a slip there is to be
//! noticed here.

/// A cloud: suffix of its instances' hosts, host of its sign-in service, host of its discovery service.
pub(super) struct Cloud {
    below: &'static str,
    pub sign_in: &'static str,
    pub discovery: &'static str,
}

const fn cloud(below: &'static str, sign_in: &'static str, discovery: &'static str) -> Cloud {
    Cloud { below, sign_in, discovery }
}

const COMMERCIAL: Cloud = cloud("", "login.microsoftonline.com", "globaldisco.crm.dynamics.com");
const OTHERS: [Cloud; 4] = [
    cloud("crm9.dynamics.com", "login.microsoftonline.com", "globaldisco.crm9.dynamics.com"),
    cloud("crm.microsoftdynamics.us", "login.microsoftonline.us", "globaldisco.crm.microsoftdynamics.us"),
    cloud("crm.appsplatform.us", "login.microsoftonline.us", "globaldisco.crm.appsplatform.us"),
    cloud("crm.dynamics.cn", "login.partner.microsoftonline.cn", "globaldisco.crm.dynamics.cn"),
];

/// What is at a host that is no instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// The token endpoint of a cloud.
    SignIn,
    /// The global discovery service of a cloud.
    Discovery,
}

/// The cloud of an instance, or of a discovery service.
pub(super) fn cloud_of(host: &str) -> &'static Cloud {
    let domain = host.split_once('.').map_or("", |(_, domain)| domain);
    OTHERS.iter().find(|cloud| cloud.below == domain).unwrap_or(&COMMERCIAL)
}

/// Which service a host is, if it is one.
pub fn service_at(host: &str) -> Option<Service> {
    OTHERS.iter().chain([&COMMERCIAL]).find_map(|cloud| match host {
        _ if host == cloud.sign_in => Some(Service::SignIn),
        _ if host == cloud.discovery => Some(Service::Discovery),
        _ => None,
    })
}

/// The services that instances at these hosts need, and those of the commercial cloud.
pub fn services_of<'a>(hosts: impl Iterator<Item = &'a str>) -> impl Iterator<Item = &'static str> {
    hosts.map(cloud_of).chain([&COMMERCIAL]).flat_map(|cloud| [cloud.sign_in, cloud.discovery])
}
