//! The instance that most tests of the whole controller need, and the Secret to sign in to it with.

pub const HOST: &str = "contoso.crm.dynamics.com";
pub const ORGANIZATION: &str = "5f0c9a3e-6d2b-4c57-9f0e-0d9d5a1b7c11";

pub const INSTANCE: &str = r"
apiVersion: local.postlink.dev/v1alpha1
kind: SimulatedInstance
metadata: {name: contoso}
spec:
  host: contoso.crm.dynamics.com
  organization: {id: 5f0c9a3e-6d2b-4c57-9f0e-0d9d5a1b7c11, name: Contoso Ltd, uniqueName: contoso}
---
apiVersion: v1
kind: Secret
metadata: {name: contoso}
stringData: {tenantId: 3b7d0c52-1f6e-4a98-bd14-60c2e9a7f813, clientId: d1f4a6b0-7c25-4e39-9a8b-5e03c7d2b614, clientSecret: s}
";
