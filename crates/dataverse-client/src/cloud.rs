//! The clouds Microsoft runs Dynamics 365 in: where each of them signs in, and where it lists its instances.

use super::origin::Origin;

/// One cloud. Its application registrations, secrets and tokens are good in no other.
#[derive(Debug, PartialEq, Eq)]
pub struct Cloud {
    /// What the hosts of its instances end in.
    suffix: &'static str,
    /// The host of its sign-in service: the only one that ever sees a credential for one of its instances.
    pub sign_in: &'static str,
    /// The host of its Global Discovery Service.
    pub discovery: &'static str,
}

/// Of two that fit, the first counts: the government's `crm9` stands below the commercial suffix.
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
    // Last, because every other host belongs to it: one that an operator allows besides.
    Cloud { suffix: "", sign_in: "login.microsoftonline.com", discovery: "globaldisco.crm.dynamics.com" },
];

/// What a host is to a [`Cloud`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    /// Gives tokens for credentials.
    SignIn,
    /// Lists instances.
    Discovery,
}

impl Cloud {
    /// The cloud whose instances have hosts such as this.
    pub(super) fn of(host: &str) -> &'static Self {
        let found = CLOUDS.iter().find(|cloud| host.ends_with(cloud.suffix));
        found.expect("the last suffix is empty, and every text ends in it")
    }

    /// The hosts of all discovery services.
    pub fn discoveries() -> impl Iterator<Item = &'static str> {
        CLOUDS.iter().map(|cloud| cloud.discovery)
    }

    pub(super) fn sign_in_origin(&self) -> Origin {
        Self::origin(self.sign_in)
    }

    pub(super) fn discovery_origin(&self) -> Origin {
        Self::origin(self.discovery)
    }

    fn origin(host: &str) -> Origin {
        Origin::parse(&format!("https://{host}")).expect("the hosts of the table are host names")
    }
}

impl Service {
    /// Which service a host is, if it is one and no instance.
    pub fn at(host: &str) -> Option<Self> {
        CLOUDS.iter().find_map(|cloud| match host {
            _ if host == cloud.sign_in => Some(Self::SignIn),
            _ if host == cloud.discovery => Some(Self::Discovery),
            _ => None,
        })
    }
}
