//! End-to-end tests on a real cluster, one after the other: two cores carry one story at a time.
//!
//! On a cluster whose nodes are out of reach, the tests that need them are named as not run.

mod bad_input;
mod chaos;
mod cut;
mod drain;
mod gitops;
mod helm;
mod leaving;
mod observed;
mod pods;
mod restored;
mod rights;
mod rollout;
mod runner;
mod takeover;
mod tutorial;
mod unwanted;
mod volumes;

use runner::{Story, long, needs_nodes, shared, story};

fn main() {
    let stories: Vec<Story> = vec![
        needs_nodes("every_query_of_the_dashboard_answers_during_the_demo", observed::by_prometheus),
        shared(needs_nodes(
            "a_leader_that_changes_while_a_follower_lags_keeps_every_gate",
            cut::leader_changes_during_lag,
        )),
        shared(needs_nodes(
            "a_lag_that_begins_while_the_operator_is_down_is_judged_after_it",
            cut::lag_begins_without_operator,
        )),
        shared(needs_nodes("a_primary_that_goes_away_takes_nobody_out", cut::primary_gone)),
        shared(story("the_commands_of_every_runbook_work", observed::by_hand)),
        shared(needs_nodes("a_container_restarted_in_its_pod_starts_over", pods::container_restarted)),
        shared(story("nonsense_is_refused_by_the_api_server", bad_input::nonsense_refused)),
        shared(story("a_follower_pod_deleted_is_replaced_and_returns", pods::pod_deleted)),
        shared(story("what_a_fleet_wants_no_longer_is_deleted", unwanted::deleted)),
        shared(story("a_fleet_scales_up_and_down_to_nothing_and_back", pods::scaled)),
        needs_nodes("a_node_with_a_lagging_follower_is_drained", drain::with_a_lagging_pod),
        story("a_deleted_fleet_leaves_nothing_but_its_volumes", pods::fleet_deleted),
        needs_nodes("a_new_template_rolls_out_around_a_follower_that_lags", rollout::during_lag),
        story("a_new_template_cures_a_fleet_that_cannot_run", rollout::of_a_broken_fleet),
        story("a_template_that_never_syncs_costs_one_replica", rollout::of_a_bad_template),
        story("a_replica_is_rebuilt_on_an_empty_volume", rollout::rebuilt),
        story("a_primary_that_lost_its_volume_is_restored_from_its_fleet", restored::from_its_fleet),
        story("volumes_grow_and_no_pod_is_touched", volumes::grown),
        story("an_operator_of_another_version_takes_over_and_scales_a_fleet", takeover::by_another_version),
        long(story("a_fleet_leaves_tidemark_and_serves_all_the_way", leaving::serving_all_the_way)),
        long(story("a_fleet_outlives_every_change_of_its_operators_release", helm::all_that_it_does)),
        long(needs_nodes("the_tutorial_is_true", tutorial::as_it_stands)),
        long(needs_nodes(
            "flux_drives_operator_and_fleet_from_commit_to_prune",
            gitops::from_commit_to_prune,
        )),
        story("an_unreachable_primary_is_named", bad_input::unreachable_primary),
        story("a_wrong_genesis_is_named", bad_input::wrong_genesis),
        story("an_image_that_never_starts_is_named_and_can_be_mended", bad_input::image_never_starts),
        needs_nodes("chaos_an_operator_that_is_killed_again_and_again", chaos::operator),
        needs_nodes("chaos_an_api_server_that_is_killed_again_and_again", chaos::api_server),
        needs_nodes("chaos_a_kubelet_that_is_killed_again_and_again", chaos::kubelet),
        needs_nodes("no_right_was_wanting_in_any_story_nor_granted_for_nothing", rights::none_was_wanting),
    ];
    runner::run(stories)
}
