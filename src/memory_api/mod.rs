//! A Kubernetes-shaped API in memory, handed to `kube::Client` as a tower service.
