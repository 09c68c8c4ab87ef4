//! Real processes: kube-apiserver, etcd, kubectl, `postlink run`, `postlink simulate`.
