//! The operator against a real kube-apiserver and etcd, with scripted followers and a kubelet of the tests' own.
#![expect(clippy::unwrap_used, reason = "a test ends where it finds what it did not expect")]

mod applied;
mod boundaries;
mod by_hand;
mod caught_up;
mod chart;
mod charts;
mod clients;
mod conditions;
mod controller;
mod definition;
mod field;
mod garbage;
mod gates;
mod health;
mod kubelet;
mod leader;
mod limited;
mod limits;
mod live;
mod objects;
mod orders;
mod ownership;
mod page;
mod permissions;
mod pod_templates;
mod primary;
mod recorder;
mod replacing;
mod rule_5;
mod sampling;
mod takeover;
mod volumes;
mod witness;
mod world;
