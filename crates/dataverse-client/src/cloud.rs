//! Microsoft's clouds, with the sign-in and discovery hosts of each.

use crate::origin::Origin;

/// One of Microsoft's clouds. Application registrations, secrets and tokens are valid in one cloud only.
#[derive(Debug, PartialEq, Eq)]
pub struct Cloud {
    /// The suffix of its instances' hosts.
    suffix: &'static str,
    /// The host of its sign-in service, the only one a credential for its instances is sent to.
    pub sign_in: &'static str,
    /// The host of its Global Discovery Service.
    pub discovery: &'static str,
}

/// The first match counts: the government's `crm9` is below the commercial suffix.
const CLOUDS: [Cloud; 5] = [
    Cloud {
        suffix: ".crm9.dynamics.com",
        sign_in: "login.microsoftonline.com",
        discovery: "globaldisco.crm9.dynamics.com",
    },
    Cloud {
        suffix: ".microsoftdynamics.us",
        sign_in: "login.microsoftonline.us",
        discovery: "globaldisco.crm.microsoftdynamics.us",
    },
    Cloud {
        suffix: ".appsplatform.us",
        sign_in: "login.microsoftonline.us",
        discovery: "globaldisco.crm.appsplatform.us",
    },
    Cloud {
        suffix: ".dynamics.cn",
        sign_in: "login.partner.microsoftonline.cn",
        discovery: "globaldisco.crm.dynamics.cn",
    },
    // Last, since it matches every other host that `allow_hosts` admits.
    Cloud { suffix: "", sign_in: "login.microsoftonline.com", discovery: "globaldisco.crm.dynamics.com" },
];

impl Cloud {
    /// The cloud of the instance at this host.
    pub(crate) fn of(host: &str) -> &'static Self {
        let found = CLOUDS.iter().find(|cloud| host.ends_with(cloud.suffix));
        found.expect("the last suffix is empty and matches every host")
    }

    /// The hosts of the discovery services of all clouds.
    pub fn discovery_hosts() -> impl Iterator<Item = &'static str> {
        CLOUDS.iter().map(|cloud| cloud.discovery)
    }

    pub(crate) fn sign_in_origin(&self) -> Origin {
        Self::origin(self.sign_in)
    }

    pub(crate) fn discovery_origin(&self) -> Origin {
        Self::origin(self.discovery)
    }

    fn origin(host: &str) -> Origin {
        Origin::parse(&format!("https://{host}")).expect("the hosts in CLOUDS are host names")
    }
}

/// Whether a host is the sign-in or discovery service of a cloud.
pub(crate) fn is_cloud_service(host: &str) -> bool {
    CLOUDS.iter().any(|cloud| host == cloud.sign_in || host == cloud.discovery)
}
