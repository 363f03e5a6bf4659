//! The rules of `docs/judging.md`, through the public interface only.
#![expect(clippy::expect_used, reason = "a test that cannot go on must fail")]

mod field;
mod invariants;
mod properties;
mod rule_01_identity;
mod rule_02_freshness;
mod rule_03_trust;
mod rule_04_reference;
mod rule_05_exit_mark;
mod rule_06_admission;
mod rule_07_threshold;
mod rule_08_floor;
mod rule_09_silence;
mod rule_10_stall;
mod rule_11_first_round;
mod rule_12_budget;
mod simulation;
mod words;
mod world;
