"""What `--without-repeats` leaves out: where servers run for the second time, under valgrind, which sees what AddressSanitizer has not
(bytes that nobody has set, and the program as it is optimised). A start and a stop take two seconds of a processor there, so that
a way through the server is taken once: by the test that takes it with the fewest servers and the least load; but for a dozen
branches that would cost minutes.

By reason: files, functions of them, or single cases. One that is not there any more is an error, or it would be left out unseen.
"""

import pathlib

import pytest

REPEATS = {
    "no server is started": ["fault_proxy", "install"],
    "load, or a disk that hangs, is waited for: seconds become minutes": ["chaos", "stopped", "places_hang"],
    "megabytes take longer than a provider may, which is a minute at most": ["places_room"],
    "a tool is tested, on servers that do what they do elsewhere": ["herdctl", "after::herdctl_whatsat_after", "herd_bench", "bench_run"],
    "minutes, for a dozen branches that nothing else takes": [
        "disk::a_stop_does_not_wait_for_a_disk_that_hangs",
        "durable::a_kill_in_the_midst_of_snapshots_loses_nothing",
        "durable::all_five_stopped_and_started_know_everything",
        "places_reload::another_limit_of_memory",
        "places_trouble::every_answer_comes_whatever_the_provider_does",
    ],
    "the same again and again, or by a crowd": [
        "after::what_was_told_hill_is_known_wherever_it_is_asked",  # asked_before_it_was_told
        "durable::told_to_stop_in_the_midst_of_a_snapshot_it_ends_as_asked",
        "herd::a_neighbour_gets_in_while_a_crowd_dials_again_and_again",  # a_neighbour_gets_in_where_clients_have_all_places
        "herd::ten_thousand_connections_are_held_and_served",
        "mixed::hundreds_of_updates_at_once",
        "places_trouble::an_outage",  # places_decisions: the circuit
        "places_trouble::the_limits_of_an_answer[body_max_kib = 16384-big-OK]",  # many:1000
    ],
    "the same by five or sixteen servers, or at one more of their starts": [
        "durable::one_that_returns_is_sent_only_what_it_missed",  # one_killed_is_sent_only_the_last_seconds
        "herd::any_two_killed_the_rest_goes_on_and_they_return_knowing_all",
        "herd::an_update_half_a_second_after_a_restart_reaches_all",
        "herd::equal_times_at_several_servers_end_the_same_everywhere",  # an_update_at_any_is_answered_identically_by_all
        "herd::from_exec_to_listening",
        "prune::small_herds_do_not_prune_unless_told",
        "prune::sixteen_servers_send_little_more_than_a_tree",  # way_that_is_lost_is_replaced
    ],
    "part of what another case does": [
        "disk::a_start_that_was_held_up_goes_on[False]",  # True
        "mixed::an_update_anywhere_reaches_all[three plain]",  # one of each, and so the others
        "mixed::an_update_anywhere_reaches_all[two plain]",
        "mixed::an_update_anywhere_reaches_all[one line a connection]",
        "mixed::an_update_anywhere_reaches_all[closes on HELLO]",
        "mixed::an_update_anywhere_reaches_all[silent on HELLO]",
    ],
    "another value for the same way, which differs in the core alone, or outside of the server": [
        "disk::a_read_only_disk_is_read_and_served[stopped]",  # restored
        "disk::a_read_only_disk_is_read_and_served[killed]",
        "disk::a_start_with_a_full_disk_serves_from_memory[interval]",  # commit
        "disk::what_a_damaged_log_has_lost_is_said[graph0-flipped]",  # cut and exchanged in a pair, deleted alone
        "disk::what_a_damaged_log_has_lost_is_said[graph0-cut]",
        "disk::what_a_damaged_log_has_lost_is_said[graph0-exchanged]",
        "disk::what_a_damaged_log_has_lost_is_said[graph1-flipped]",
        "disk::what_a_damaged_log_has_lost_is_said[graph1-deleted]",
        "durable::a_file_removed_under_a_server_is_said_and_missed_by_nobody[interval]",  # commit
        "durable::a_full_disk_does_not_stop_the_service[interval]",
        "durable::a_second_process_on_a_folder_is_refused[none]",  # interval
        "mixed::a_plain_server_that_returns_gets_all[lines]",  # silent
        "mixed::a_plain_server_that_returns_gets_all[closes]",
        "mixed::a_plain_server_that_returns_gets_all[one_line]",
        "places_reload::kept_answers[language]",  # base_url: another provider, too
        "places_reload::who_joins_a_call_that_is_under_way[language]",
        "places_reload::who_joins_a_call_that_is_under_way[price_class]",
        "places_reload::who_joins_a_call_that_is_under_way[field_mask]",
    ],
    "no branch is taken that others do not take, too (gcov, of all cases that are left)": [
        "after::a_link_that_does_not_heal_in_time_is_told",
        "after::what_nobody_tells_is_refused_when_the_time_is_up",
        "disk::a_disk_that_fails_is_said_once",
        "disk::a_full_disk_that_stays_full_is_said_at_the_stop",
        "disk::a_lock_that_is_removed_lets_one_process_write",
        "disk::a_log_that_is_removed_promises_nothing_more",
        "disk::a_stop_does_not_wait_for_a_start_that_hangs",
        "disk::a_stop_does_not_wait_for_what_cannot_become_safe[herd]",
        "disk::commit_on_a_disk_that_hangs_promises_nothing",
        "durable::a_damaged_file_is_said_at_the_start[cut short]",
        "durable::a_damaged_file_is_said_at_the_start[not ours]",
        "durable::commit_outlives_a_kill_at_once",
        "durable::herd_answers_only_what_a_neighbour_holds_too",
        "durable::interval_loses_at_most_the_last_batches",
        "durable::stopped_with_a_full_disk_it_ends_all_the_same",
        "google::a_google_that_takes_too_long_does_not_fail_the_answer",
        "google::a_hanging_google_holds_up_nobody_else",
        "google::whatsat_has_the_places_of_google",
        "import::a_large_file_in_bounded_memory",
        "import::a_server_takes_up_a_new_file",
        "import::who_is_credited_for_what",
        "names::a_stop_does_not_wait_for_a_name",
        "places_decisions::it_is_counted_and_told[a call]",
        "places_decisions::it_is_counted_and_told[a pause]",
        "places_decisions::it_is_counted_and_told[kept]",
        "places_decisions::it_is_counted_and_told[made again]",
        "places_decisions::it_is_counted_and_told[not made again]",
        "places_decisions::it_is_counted_and_told[the client]",
        "places_decisions::it_is_counted_and_told[the key]",
        "places_decisions::it_is_counted_and_told[what does not cost]",
        "places_decisions::names_of_neighbours_that_are_not_resolved",
        "places_decisions::too_little_time",
        "places_key::a_new_key_is_taken_at_a_reload",
        "places_reload::a_refused_key_is_tried_again",
        "places_reload::failures_in_a_row",
        "places_reload::who_joins_a_call_that_is_under_way[a limit]",
        "places_reload::who_joins_a_call_that_is_under_way[nothing]",
        "places_trouble::a_stop_answers_what_was_received[none-UNKNOWN_ERROR]",
        "places_trouble::a_thousand_askers_of_one_place_are_one_call",
        "places_trouble::a_wrong_certificate",
        "places_trouble::answers_of_google_are_not_kept",
        "places_trouble::askers_of_different_counts_share_a_call",
        "places_trouble::slow_and_missing_dns_hold_up_nobody[False-False-OK-60000]",
        "places_trouble::slow_and_missing_dns_hold_up_nobody[True-False-UNKNOWN_ERROR-1000]",
        "places_trouble::slow_and_missing_dns_hold_up_nobody[True-True-UNKNOWN_ERROR-1000]",
        "places_trouble::the_limits_of_an_answer[json_depth_max = 31-depth_32-UNKNOWN_ERROR]",
        "places_trouble::the_limits_of_an_answer[json_depth_max = 33-depth_33-OK]",
        "stop::all_that_was_sent_before_the_end_is_answered",
        "wire::a_bad_line_costs_nothing_else",
        "wire::http_words_now_and_then_do_not_close",
    ],
}


def prefix_of(entry):
    file, _, function = entry.partition("::")
    return f"test_{file}.py" + (f"::test_{function}" if function else "")


def names_it(entry, item):
    """Whether an entry of the table names a test: as a file, a function, or a case."""
    name = f"{item.path.name}::{item.name}"
    prefix = prefix_of(entry)
    return name == prefix or name.startswith((prefix + "::", prefix + "["))


def leave_out(config, items):
    """Takes them out of `items`."""
    entries = [entry for group in REPEATS.values() for entry in group]
    left_out = [item for item in items if any(names_it(entry, item) for entry in entries)]
    unknown = [entry for entry in entries if not any(names_it(entry, item) for item in left_out)]
    if unknown and all(pathlib.Path(arg).is_dir() for arg in config.args):  # else they need not all be there
        raise pytest.UsageError(f"no such tests in repeats.py: {', '.join(unknown)}")
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
