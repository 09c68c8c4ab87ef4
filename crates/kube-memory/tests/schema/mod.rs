//! Tests of `kube_memory::schema`.

mod cel;
mod fixture;
mod lint;
mod policies;
mod table;
mod validation;
