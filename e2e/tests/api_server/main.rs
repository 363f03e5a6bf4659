//! The operator against a real kube-apiserver and etcd, with scripted followers and a kubelet of the tests' own.
#![expect(clippy::unwrap_used, reason = "a test ends where it finds what it did not expect")]

mod by_hand;
mod conditions;
mod controller;
mod definition;
mod garbage;
mod gates;
mod kubelet;
mod leader;
mod live;
mod objects;
mod ownership;
mod page;
mod pod_templates;
mod primary;
mod recorder;
mod replacing;
mod sampling;
mod takeover;
mod volumes;
mod world;
