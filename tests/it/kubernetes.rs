//! Longhaul and its Kubernetes provider against real servers: etcd, kube-apiserver, and where pods are made for it,
//! kube-controller-manager with kwok in the place of a kubelet.
//!
//! An EndpointSlice may not hold a loopback address, so each test has a network of its own, in which 10.77.0.0/16 is
//! local, and in it a cluster of its own, which it may freeze, kill and compact. `tests/servers/build-kubernetes` finds
//! or builds the servers.
//!
//! Where to look: [`network`] (that network), [`cluster`] (the servers, and what is asked of them), `provider`, `access`
//! (what a source sees and is allowed to), `rollout` (sessions while pods come and go), `zones` (which pods are near), `manifests` (k8s/), `scale`,
//! `figures` (for `make bench`).

mod access;
mod cluster;
mod figures;
mod follow;
mod manifests;
mod network;
mod provider;
mod rollout;
mod scale;
mod server;
mod zones;
