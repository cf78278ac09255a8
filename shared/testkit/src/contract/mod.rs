//! What every storage must do, as sentences. A storage runs all of them, under these names, with
//! [`crate::contract_suite!`]; each gets an empty storage of its own.
//!
//! No sentence speaks of how a storage does it: what is special to one is in its own tests.

pub mod asked_anew;
pub mod brake;
pub mod claims;
pub mod config;
pub mod confirm;
pub mod conflicts;
pub mod crashes;
pub mod dead_letters;
pub mod events;
pub mod finishing;
pub mod hand;
pub mod healing;
pub mod health;
pub mod inbox;
pub mod index;
pub mod journal;
pub mod leases;
pub mod linking;
pub mod links;
pub mod listings;
pub mod logs;
pub mod looks;
pub mod newer;
pub mod queue;
pub mod runs;
pub mod sending;
pub mod set_back;
pub mod waits;

use std::sync::Arc;

use tandem_domain::JobId;
use tandem_store::{ClaimedJob, JobOutcome, NewJob, Store};

use crate::Make;

/// Makes one test of each sentence. The argument names an async function that gives an empty
/// storage, as `Arc<dyn Store>`, and what must live as long as it.
///
/// A macro, because only so can each sentence be a test with its own name.
#[macro_export]
macro_rules! contract_suite {
    ($make:path) => {
        $crate::contract_suite! { $make;
            events: a_delivery_stores_its_events_and_their_jobs;
            events: a_delivery_whose_events_come_in_parts_is_one_delivery;
            events: a_duplicate_within_a_call_causes_nothing;
            events: a_duplicate_of_an_earlier_call_causes_nothing;
            events: an_event_of_a_known_key_that_may_say_something_else_has_its_record_looked_at_again;
            events: the_same_key_from_another_connection_is_no_duplicate;
            events: the_outcomes_are_in_the_order_of_the_deliveries;
            events: events_of_one_record_coalesce_into_one_job;
            events: an_event_that_cannot_be_understood_is_quarantined_and_causes_no_job;
            events: an_event_without_a_target_is_ignored;
            events: the_raw_body_comes_back_byte_by_byte;
            events: an_empty_body_and_a_large_one_come_back;
            events: a_quiet_period_defers_the_job;
            events: the_time_of_the_edit_becomes_a_hint_of_its_side;
            events: an_event_of_a_linked_record_waits_in_the_lane_of_the_link;
            health: a_change_of_a_connections_state_is_noted_once_with_its_time;
            health: badly_signed_webhooks_are_noted_beside_the_state;
            health: what_holds_a_connection_up_is_noted_until_the_same_process_says_that_it_is_over;
            health: a_doubt_about_a_clock_is_noted_until_the_same_process_says_that_it_is_over;
            health: how_far_a_clock_is_off_is_kept_as_it_was_told_last_whatever_is_doubted;
            health: a_look_at_a_connection_is_noted_also_when_nothing_has_changed;
            inbox: events_are_listed_newest_first_by_page;
            inbox: events_are_filtered_by_connection_state_and_record;
            inbox: a_quarantined_event_is_replayed_after_a_fix;
            inbox: an_accepted_event_is_replayed_and_keeps_its_earlier_jobs;
            inbox: replaying_an_unknown_event_is_refused;
            inbox: only_quarantined_events_are_discarded;
            inbox: pruning_keeps_what_is_quarantined_waiting_running_or_young;
            inbox: pruning_removes_at_most_the_limit;
            queue: a_job_comes_back_as_it_was_enqueued;
            queue: every_kind_of_job_survives_the_storage;
            queue: a_second_job_of_a_lane_merges_into_the_waiting_one;
            queue: jobs_of_one_lane_in_one_call_are_one;
            queue: a_job_does_not_merge_into_a_running_one;
            queue: a_job_of_a_linked_record_waits_in_the_lane_of_the_link;
            queue: both_records_of_a_link_share_one_waiting_job;
            queue: jobs_are_listed_newest_first_by_page;
            queue: jobs_are_filtered_by_state_sync_code_and_record;
            queue: jobs_are_counted_by_state_and_class;
            queue: the_next_due_instant_is_the_earliest_of_waiting_jobs;
            dead_letters: a_replayed_job_starts_again_with_its_attempts_reset;
            dead_letters: a_replayed_job_merges_into_the_waiting_job_of_its_lane;
            dead_letters: a_replayed_job_goes_to_the_lane_of_the_link_made_meanwhile;
            dead_letters: an_edited_replay_gives_its_values_to_the_job_that_does_it;
            dead_letters: an_edited_replay_that_meets_a_waiting_job_hands_its_values_over;
            dead_letters: only_dead_jobs_are_replayed_and_discarded;
            dead_letters: pruning_removes_old_jobs_that_are_done_or_discarded_and_keeps_the_others;
            claims: a_job_that_a_clock_ahead_has_put_off_is_brought_forward;
            claims: no_more_jobs_than_were_asked_for_are_brought_forward_at_once;
            claims: a_claim_leases_due_jobs_and_counts_the_attempt;
            claims: a_job_is_not_claimed_before_its_time;
            claims: a_claim_takes_at_most_one_job_a_token;
            claims: a_claimed_job_is_not_claimed_again;
            claims: urgent_jobs_come_first_then_older_ones;
            claims: shares_leave_room_for_every_class;
            claims: what_a_class_does_not_use_goes_to_the_others;
            claims: jobs_of_blocked_syncs_are_left_alone;
            claims: jobs_of_paused_syncs_are_left_alone;
            claims: a_lane_whose_job_runs_gives_no_second_job;
            claims: sixty_four_claimers_share_the_jobs_without_overlap;
            claims: a_lane_never_runs_twice_under_many_claimers;
            claims: each_claim_has_its_own_token;
            claims: a_renewed_lease_is_not_rescued;
            claims: a_lost_lease_is_not_renewed;
            claims: an_expired_lease_is_claimed_by_another_worker;
            claims: a_rescued_job_merges_into_the_one_that_waits;
            claims: at_most_the_limit_is_rescued;
            claims: all_running_jobs_are_released;
            finishing: a_job_done_well_keeps_its_note;
            finishing: a_retry_waits_for_its_time_and_its_attempt_counts;
            finishing: a_snooze_gives_the_attempt_back;
            finishing: a_snooze_with_a_failure_is_logged;
            finishing: repeated_snoozes_keep_one_entry;
            finishing: a_dead_job_waits_for_an_operator;
            finishing: every_failed_attempt_is_logged_in_order;
            finishing: a_late_finisher_changes_nothing;
            finishing: a_finished_lease_is_not_finished_again;
            finishing: finishing_answers_for_each_lease;
            finishing: a_retry_that_meets_a_waiting_job_merges_into_it;
            finishing: a_merged_job_keeps_the_larger_attempt_and_the_later_hints;
            finishing: a_finished_lane_is_free_again;
            finishing: a_late_and_a_present_finisher_in_one_call_get_their_own_answers;
            healing: a_newer_try_that_dies_updates_the_dead_letter_of_its_record;
            healing: a_dead_letter_older_than_its_link_is_found_from_either_record;
            healing: a_dead_letter_keeps_the_newest_of_many_tries;
            healing: a_dead_letter_closes_by_itself_when_its_record_has_synced_since;
            healing: a_dead_letter_heals_when_the_confirmation_of_its_pair_ends_the_job;
            healing: what_was_held_or_put_off_heals_nothing;
            healing: values_that_an_operator_gave_are_not_healed_away;
            healing: a_discarded_dead_letter_is_not_made_anew_by_a_poll_that_finds_the_record_unchanged;
            healing: what_a_person_discarded_gets_no_job_from_a_listing_that_shows_the_same;
            healing: what_a_person_discarded_is_known_as_let_be_until_the_record_changes;
            healing: a_discarded_dead_letter_holds_for_both_records_of_a_link;
            healing: what_was_refused_gets_no_job_from_a_listing_while_its_dead_letter_waits_and_nothing_has_changed;
            healing: what_was_refused_is_tried_again_once_its_record_was_changed_be_it_back_to_what_it_was;
            healing: what_was_refused_is_tried_again_once_its_dead_letter_waits_no_more;
            healing: a_pair_that_waits_for_an_open_question_gets_no_job_from_a_listing_that_shows_the_same;
            healing: what_failed_for_another_reason_than_a_refusal_is_tried_again_by_listings;
            healing: an_event_about_a_discarded_record_may_make_a_dead_letter_again;
            waits: the_pause_of_a_job_grows_with_each_wait;
            waits: the_second_look_at_a_missing_record_stands_behind_fresh_work;
            waits: a_step_that_was_stored_begins_the_waits_anew;
            waits: a_job_that_waits_in_vain_becomes_a_dead_letter_that_names_what_for;
            waits: time_in_which_nobody_looked_is_not_held_against_a_job;
            waits: a_job_whose_steps_never_end_becomes_a_dead_letter;
            waits: a_move_into_the_lane_of_a_link_is_a_step;
            waits: a_replayed_job_begins_its_waits_anew;
            waits: what_waits_for_something_is_released_when_it_has_come;
            waits: the_end_of_the_first_sync_releases_what_waits_for_it;
            crashes: the_third_process_that_dies_with_a_job_makes_it_a_dead_letter;
            crashes: a_lease_that_ended_counts_as_a_process_that_died;
            crashes: any_end_of_its_own_forgets_the_processes_that_died;
            crashes: jobs_that_ran_beside_each_other_are_told_apart;
            crashes: a_job_whose_run_comes_further_each_time_is_not_what_kills_its_processes;
            brake: no_more_deletes_pass_than_the_limit_until_the_time_is_over;
            brake: records_that_lose_a_field_are_counted_until_the_time_is_over;
            set_back: what_pairs_show_of_a_side_is_counted_once_each;
            set_back: pairs_that_are_set_back_are_listed_until_they_are_forgotten;
            set_back: a_system_that_was_set_back_is_one_question;
            brake: a_delete_that_was_let_pass_may_be_tried_again;
            brake: of_many_deletes_at_once_no_more_pass_than_the_limit;
            leases: a_role_has_one_holder_who_keeps_it_by_asking_again;
            leases: a_role_whose_time_is_over_goes_to_whoever_asks;
            leases: a_role_that_is_held_far_too_long_goes_to_whoever_asks;
            leases: only_its_holder_gives_a_role_up;
            leases: of_many_who_ask_at_once_one_gets_the_role;
            links: a_link_comes_back_as_it_was_inserted;
            links: a_link_whose_record_is_linked_already_is_left_out;
            links: a_link_twice_in_one_call_is_inserted_once;
            links: what_lost_its_partner_is_counted_unless_it_is_gone_left_alone_or_linked_anew;
            links: one_record_may_be_linked_in_two_syncs;
            links: inserting_a_link_moves_waiting_jobs_into_its_lane;
            links: links_are_listed_in_order_by_page;
            links: pairs_are_listed_by_how_they_stand;
            index: of_records_that_a_filter_leaves_out_only_what_is_known_or_linked_is_kept;
            links: a_pair_without_anything_known_is_empty;
            links: a_pair_is_found_from_either_side;
            links: an_active_link_comes_before_a_retired_one;
            links: relane_hands_the_job_back_into_the_lane_of_the_link;
            links: relane_merges_into_the_job_that_waits_there;
            links: relane_without_the_lease_changes_nothing;
            journal: the_first_intent_is_sent_and_the_others_are_planned;
            journal: a_cause_that_came_after_the_reading_stops_a_write;
            journal: a_cause_that_came_after_the_reading_stops_a_record_from_being_made_again;
            journal: an_intent_comes_back_as_it_was_journalled;
            journal: a_worker_that_lost_its_lease_journals_nothing;
            journal: a_plan_for_another_revision_is_superseded;
            journal: a_plan_without_a_link_is_superseded_once_there_is_one;
            journal: two_open_creates_never_share_a_key;
            journal: a_settled_create_frees_its_key;
            journal: the_same_key_on_another_side_or_sync_is_free;
            journal: a_second_open_create_of_one_source_is_superseded;
            journal: journalling_the_same_intent_again_changes_nothing;
            journal: two_workers_racing_for_one_key_give_one_intent;
            sending: an_open_create_of_an_earlier_job_is_seen_by_the_next;
            sending: marking_as_sent_counts_the_send;
            sending: a_worker_that_lost_its_lease_must_not_send;
            sending: a_settled_intent_is_not_sent_again;
            sending: open_creates_are_found_by_key_and_without_key;
            sending: intents_of_a_record_are_found_by_source_target_and_link;
            sending: the_writes_of_a_pair_are_found_by_their_time;
            sending: one_entry_of_the_journal_is_found_by_its_id;
            index: when_a_record_was_last_listed_is_known;
            index: what_only_an_answer_has_shown_is_known_until_it_is_shown;
            sending: creates_that_made_a_record_are_counted_by_source_and_by_key;
            sending: old_open_intents_are_found;
            confirm: confirming_settles_links_logs_and_ends_the_job_at_once;
            confirm: a_confirmation_without_the_lease_changes_nothing;
            confirm: a_confirmation_of_another_revision_changes_nothing;
            confirm: a_link_for_a_record_linked_elsewhere_is_superseded_and_changes_nothing;
            linking: moving_a_link_onto_a_linked_record_is_superseded;
            linking: two_jobs_linking_one_record_at_once_give_one_link;
            linking: a_record_whose_create_is_open_is_not_linked;
            hand: linking_by_hand_links_logs_compares_and_closes_the_question;
            hand: a_record_whose_create_is_open_is_not_linked_by_hand;
            hand: a_pair_taken_apart_by_hand_is_left_alone_until_it_is_linked_again;
            hand: a_pair_with_an_open_write_is_not_taken_apart_by_hand;
            hand: moot_questions_are_closed_and_no_others;
            hand: the_questions_of_a_pair_that_was_retired_are_closed;
            hand: what_is_found_out_about_a_record_ends_its_questions;
            hand: an_answer_can_be_changed_until_it_is_carried_out;
            hand: what_was_left_alone_is_known_and_takes_part_again_with_its_question;
            hand: an_open_question_about_a_field_takes_over_the_values_of_now;
            hand: a_question_about_a_field_of_a_side_names_the_record_whose_value_it_shows;
            asked_anew: an_answer_for_other_values_ends_and_the_same_is_asked_anew;
            asked_anew: a_question_about_a_pair_that_goes_back_and_forth_takes_over_the_values_of_now;
            asked_anew: that_a_field_is_contested_takes_the_place_of_whether_its_value_was_kept;
            linking: linking_a_record_whose_create_is_open_is_superseded;
            linking: a_create_settled_beside_a_link_is_not_in_its_way;
            linking: updating_a_link_replaces_its_base_and_raises_its_revision;
            linking: a_retired_link_frees_its_records;
            confirm: a_step_without_an_outcome_keeps_the_lease;
            linking: inserting_a_link_moves_the_waiting_jobs_of_both_records;
            linking: a_job_goes_on_in_the_lane_of_the_link_that_it_made;
            linking: a_new_record_of_a_link_brings_its_waiting_job;
            confirm: an_unknown_write_stays_open;
            confirm: a_settled_intent_is_not_settled_twice;
            confirm: a_write_that_was_sent_again_meanwhile_is_not_given_up;
            confirm: what_was_seen_is_in_the_index;
            confirm: a_record_that_is_gone_leaves_the_index;
            confirm: a_job_that_retries_after_a_step_logs_its_failure;
            index: a_record_seen_for_the_first_time_is_not_unchanged;
            index: what_is_new_or_changed_is_indexed_together_with_its_job;
            index: an_unlinked_record_is_compared_with_the_index;
            index: a_linked_record_is_compared_with_its_link;
            index: the_answers_are_in_the_order_of_the_records;
            index: records_are_found_by_any_of_their_keys;
            index: keys_that_a_record_has_no_more_do_not_find_it;
            index: linked_records_that_a_listing_did_not_show_are_unseen;
            index: unseen_records_are_paged_in_order_of_id;
            index: confirming_does_not_lower_the_generation;
            index: a_record_confirmed_during_a_run_is_not_unseen_by_it;
            index: a_record_never_indexed_counts_as_seen_when_its_link_was_last_written;
            index: an_ignored_record_is_known_as_such;
            index: a_record_that_is_seen_though_its_link_is_retired_gets_a_job;
            index: a_retired_pair_that_was_looked_at_gets_a_job_once_its_record_shows_something_else;
            index: an_ignored_record_gets_no_job_for_its_retired_link;
            index: a_row_that_shows_a_record_in_part_takes_nothing_away;
            index: a_row_in_part_of_a_linked_record_is_compared_with_when_it_was_read;
            conflicts: a_question_is_opened_once;
            conflicts: a_field_that_vanishes_from_many_records_is_one_question;
            conflicts: a_question_is_closed_only_in_the_state_in_which_it_was_seen;
            conflicts: a_question_keeps_the_records_that_it_is_about;
            conflicts: a_question_without_a_field_is_opened_once_a_record;
            conflicts: an_open_question_shows_in_the_pair;
            conflicts: that_a_pair_goes_back_and_forth_is_asked_beside_other_questions;
            conflicts: that_a_record_was_never_shown_is_asked_beside_other_questions;
            conflicts: that_a_record_was_not_deleted_is_asked_of_a_pair_that_has_ended;
            conflicts: an_answer_enqueues_the_job_that_carries_it_out;
            conflicts: an_answer_becomes_a_ruling_until_it_is_used;
            conflicts: a_closed_question_is_not_answered_again;
            conflicts: ignoring_marks_the_record_and_closes_the_question;
            conflicts: fields_that_agree_close_their_questions;
            conflicts: an_answer_given_meanwhile_is_not_closed_with_its_question;
            conflicts: what_a_linked_record_matches_is_not_asked;
            conflicts: a_closed_question_can_be_asked_again;
            conflicts: questions_are_listed_newest_first_and_filtered;
            conflicts: every_kind_and_answer_survives_the_storage;
            listings: a_listing_goes_on_where_its_last_stored_page_says;
            listings: what_the_pages_held_is_found_by_page_and_by_id;
            listings: a_record_that_comes_twice_is_kept_as_it_came_last;
            listings: what_is_linked_meanwhile_is_not_given_for_matching;
            listings: the_pages_of_a_run_that_has_ended_are_forgotten;
            listings: a_record_that_could_not_be_read_is_not_unseen;
            listings: a_record_that_could_not_be_read_counts_as_changed_when_it_can_be;
            listings: a_run_that_has_stored_pages_is_not_given_up_with_its_process;
            listings: the_form_of_the_stored_keys_is_kept_by_sync;
            listings: unreadable_records_are_kept_with_their_run;
            looks: each_record_asked_about_at_once_gets_its_own_newest_events;
            looks: each_pair_asked_about_at_once_gets_its_own_newest_changes;
            looks: each_subject_asked_about_at_once_gets_its_own_question;
            logs: a_change_comes_back_as_it_was_logged;
            logs: changes_are_found_by_the_record_of_either_side_by_link_and_sync;
            logs: changes_are_listed_newest_first_by_page;
            logs: the_newest_end_of_each_pair_is_found;
            logs: pruning_removes_old_changes_only;
            logs: totals_count_events_merges_and_duplicates;
            logs: totals_count_jobs_echoes_retries_and_dead_letters;
            logs: totals_count_writes_and_conflicts;
            logs: totals_survive_pruning;
            logs: a_refused_confirmation_counts_nothing;
            runs: a_run_begins_and_ends;
            runs: a_run_is_skipped_while_another_of_its_kind_runs;
            runs: runs_of_other_sides_kinds_and_syncs_do_not_wait;
            runs: numbers_rise_by_one_and_are_never_given_twice;
            runs: progress_is_stored;
            runs: a_good_end_moves_the_cursor;
            runs: a_failed_end_leaves_the_cursor;
            runs: a_run_that_begins_fails_those_that_nobody_carries;
            runs: who_has_lost_the_job_begins_no_run_and_ends_none;
            runs: orphaned_runs_are_failed;
            runs: an_orphaned_run_moves_no_cursor;
            runs: runs_are_listed_newest_first_and_filtered;
            runs: pruning_keeps_the_newest_success_and_running_runs;
            config: applying_stores_documents_at_version_one;
            config: the_questions_of_a_removed_sync_are_closed_with_the_reason;
            config: only_a_changed_document_gets_a_new_version;
            config: a_missing_document_is_marked_deleted_and_can_come_back;
            config: unchanged_schedules_keep_their_clocks_and_pauses;
            config: a_schedule_with_other_words_gets_a_new_clock;
            config: missing_schedules_are_removed;
            config: a_due_schedule_is_advanced_once;
            config: two_schedulers_give_one_tick;
            config: a_paused_schedule_is_not_advanced;
            config: a_schedule_is_made_due;
            config: connections_and_syncs_are_paused_and_resumed;
            config: a_connection_with_links_is_paused_while_its_address_is_another;
            config: a_connection_without_links_takes_each_address;
            config: the_pause_of_a_person_and_that_of_an_address_end_one_after_the_other;
            config: a_reset_of_a_connection_is_told_to_all_who_look;
            config: a_notice_of_a_process_is_replaced_and_taken_back;
            config: the_storage_answers;
            config: a_storage_is_closed_also_twice_over;
        }
    };
    ($make:path; $($module:ident: $name:ident;)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                let (store, _guard) = $make().await;
                $crate::contract::$module::$name(store).await;
            }
        )*
    };
}

/// The storage under test.
type Subject = Arc<dyn Store>;

/// Enqueues one job.
async fn enqueue(store: &Subject, make: &Make, job: NewJob) -> JobId {
    enqueue_all(store, make, vec![job]).await[0]
}

async fn enqueue_all(store: &Subject, make: &Make, jobs: Vec<NewJob>) -> Vec<JobId> {
    store.enqueue(jobs, make.now()).await.expect("enqueue")
}

/// Claims up to `count` jobs.
async fn claim(store: &Subject, make: &Make, count: usize) -> Vec<ClaimedJob> {
    store.claim(make.claim(count)).await.expect("claim")
}

/// Enqueues a job for a record on side a, and claims it.
async fn claimed(store: &Subject, make: &Make, record: &str) -> ClaimedJob {
    let id = enqueue(store, make, make.job(record)).await;
    claim_this(store, make, id).await
}

/// Claims all that is due; this job must be among it.
async fn claim_this(store: &Subject, make: &Make, id: JobId) -> ClaimedJob {
    claim(store, make, 64)
        .await
        .into_iter()
        .find(|one| one.job.id == id)
        .expect("the job is due and its lane is free")
}

/// Ends one job. Returns whether the lease was held.
async fn finish(store: &Subject, make: &Make, claimed: &ClaimedJob, outcome: JobOutcome) -> bool {
    store
        .finish(vec![(claimed.lease, outcome)], make.now())
        .await
        .expect("finish")[0]
}

/// A good end.
fn done(note: &str) -> JobOutcome {
    JobOutcome::Done {
        note: note.to_owned(),
    }
}

/// The job, which must be there.
async fn job(store: &Subject, id: JobId) -> tandem_store::Job {
    store.job(id).await.expect("job").expect("the job is there")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// A sentence that is not listed would never be run.
    #[test]
    fn every_sentence_is_in_the_suite() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/contract");
        let suite = std::fs::read_to_string(folder.join("mod.rs")).expect("mod.rs");
        for file in std::fs::read_dir(&folder).expect("the folder") {
            let path = file.expect("an entry").path();
            let module = path
                .file_stem()
                .and_then(|stem| stem.to_str())
                .expect("a name");
            let text = std::fs::read_to_string(&path).expect("a source file");
            // What takes more than a store is called by the tests of the storages themselves.
            let is_sentence = |line: &&str| {
                line.starts_with("pub async fn ") && line.contains("(store: Subject)")
            };
            for line in text.lines().filter(is_sentence) {
                let name = line["pub async fn ".len()..]
                    .split('(')
                    .next()
                    .expect("a name");
                assert!(
                    suite.contains(&format!("{module}: {name};")),
                    "{module}: {name};"
                );
            }
        }
    }
}
