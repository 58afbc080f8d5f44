//! The requirements of OWASP ASVS 5.0 that apply to this crate, and the tests that verify them.
//!
//! One row for each id. `it::` is a test of `tests/it`, or a rule of its store suite; the others are
//! tests in `src`. `not:` says why there is no test: the requirement does not apply, is about
//! documentation, or is not met. `tests/it/asvs.rs` checks that no row is missing and that each test
//! exists. Contains no code.
//!
//! | id | requirement | verified by |
//! | --- | --- | --- |
//! | 2.2.1 | inputs are validated | `admin::form::tests::every_fault_of_a_form_is_told_at_once`, `it::admin_api::what_does_not_fit_is_told_with_all_its_faults` |
//! | 2.2.2 | validation is done by the server, whatever the client did | `it::management::what_nobody_knows_is_told_and_not_passed_over` |
//! | 2.3.1 | no step of a flow can be skipped | `it::two_step::where_it_is_enforced_nothing_leads_past_it`, `it::two_step::a_stolen_ticket_opens_nothing` |
//! | 2.3.2 | business limits are enforced | `it::store_suite::invites::one_address_gets_few_invites`, `it::store_suite::sessions::only_so_many_sessions_live` |
//! | 2.3.3 | changes are atomic | `it::crash::a_power_cut_leaves_each_transition_whole_or_undone`, `it::store_suite::an_import_is_one_change_or_none` |
//! | 2.4.1 | callers are rate-limited | `it::joining::failed_tries_slow_down_and_never_lock_the_owner_out`, `it::store_suite::invites::one_inviter_and_one_account_send_so_many` |
//! | 3.2.1 | responses are not rendered as another type | `it::management::every_answer_tells_a_browser_to_keep_and_guess_nothing` |
//! | 3.2.2 | text is escaped on pages | `it::console_pages::markup_in_names_is_text_on_every_page`, `it::pages::bad_input::strange_names_are_text_and_fit` |
//! | 3.3.1 | the cookie is `Secure` | `it::management::the_cookie_is_for_this_host_alone_and_unreadable_for_scripts` |
//! | 3.3.2 | the cookie has `SameSite` | `it::management::the_cookie_is_for_this_host_alone_and_unreadable_for_scripts` |
//! | 3.3.3 | the cookie has the `__Host-` prefix | `it::management::the_cookie_is_for_this_host_alone_and_unreadable_for_scripts` |
//! | 3.3.4 | the cookie is `HttpOnly`, and its value is nowhere else | `it::management::the_cookie_is_for_this_host_alone_and_unreadable_for_scripts` |
//! | 3.4.1 | HSTS for a year if the whole host is the console's; otherwise that is the proxy's to send | `it::management::every_answer_tells_a_browser_to_keep_and_guess_nothing` |
//! | 3.4.2 | no other origin may read responses | `it::management::every_answer_tells_a_browser_to_keep_and_guess_nothing` |
//! | 3.4.3 | a content security policy | `it::management::every_answer_tells_a_browser_to_keep_and_guess_nothing` |
//! | 3.4.4 | no content sniffing | `it::management::every_answer_tells_a_browser_to_keep_and_guess_nothing` |
//! | 3.4.5 | no referrer is sent to other sites | `it::management::every_answer_tells_a_browser_to_keep_and_guess_nothing` |
//! | 3.4.6 | no framing | `it::management::every_answer_tells_a_browser_to_keep_and_guess_nothing` |
//! | 3.4.8 | cross-origin windows are isolated | `it::management::every_answer_tells_a_browser_to_keep_and_guess_nothing` |
//! | 3.5.1 | changes only from pages of the console (CSRF) | `it::management::only_a_page_of_our_own_may_change_anything` |
//! | 3.5.2 | no change by a request without a preflight | `it::management::only_a_page_of_our_own_may_change_anything`, `it::management::what_nobody_knows_is_told_and_not_passed_over` |
//! | 3.5.3 | GET and HEAD change nothing | `it::management::reading_changes_nothing_and_head_says_the_same_as_get` |
//! | 3.5.8 | other sites cannot embed authenticated resources | `it::management::every_answer_tells_a_browser_to_keep_and_guess_nothing` |
//! | 3.7.2 | no open redirects | `console::tests::nobody_is_sent_to_a_place_that_is_no_page`, `it::console_pages::sign_in_leads_on_to_pages_of_our_own_only` |
//! | 4.1.1 | the content type is correct | `it::management::every_answer_tells_a_browser_to_keep_and_guess_nothing` |
//! | 4.1.3 | proxy headers are believed only from trusted proxies | `it::management::a_session_knows_the_address_that_a_trusted_proxy_names`, `browser::client::tests::a_proxy_is_believed_only_where_it_is_trusted` |
//! | 4.1.4 | other methods are refused | `it::management::a_path_that_takes_other_methods_names_them`, `it::authzen_wire::each_path_has_its_method_and_says_so` |
//! | 4.4.2 | a WebSocket is opened by our own origin only | not: there is no WebSocket; events are an answer that goes on |
//! | 6.1.1 | how guessing is slowed down is written down | not: a matter of documents, README "The team" says it |
//! | 6.1.2 | the words that no password may rest on are written down | not: a matter of documents, and the README has no list; the words stand in `password::rules` |
//! | 6.1.3 | all ways to sign in are written down together | not: a matter of documents, README "Two-step verification" says which ways there are and that none goes past the factor |
//! | 6.2.1 | a password has 15 characters, 8 with a second factor | `password::rules::tests::length_is_counted_in_code_points`, `it::two_step::a_shorter_password_is_enough_where_everybody_shows_a_factor` |
//! | 6.2.2 | members can change their password | `it::management::a_new_password_gives_a_new_cookie_and_leaving_takes_it` |
//! | 6.2.3 | a change needs the current password | `it::joining::the_own_password_is_changed_under_a_new_token` |
//! | 6.2.4 | common passwords are refused | `password::rules::tests::a_common_password_is_refused`, `password::common::tests::the_list_is_long_enough_and_in_order` |
//! | 6.2.5 | no composition rules | `password::rules::tests::no_mix_of_characters_is_asked_for` |
//! | 6.2.6 | the field hides what is typed | `it::pages::walk::every_state_is_open_to_everybody` |
//! | 6.2.7 | passwords can be pasted and filled in by a password manager | not: the fields are plain password fields with the names that programs look for, and nothing hinders pasting; no test pastes |
//! | 6.2.8 | a password is neither truncated nor case-folded; equivalent Unicode spellings are equal | `password::tests::the_same_keys_give_the_same_password`, `password::tests::a_password_is_bounded_before_and_after_it_is_normalized` |
//! | 6.2.9 | long passwords are accepted | `password::rules::tests::length_is_counted_in_code_points` |
//! | 6.2.10 | passwords do not expire | `it::joining::a_password_does_not_grow_old` |
//! | 6.2.11 | a password is not based on context words | `password::rules::tests::a_context_word_with_little_around_it_is_refused`, `it::joining::a_refused_password_uses_no_invite_up` |
//! | 6.2.12 | leaked passwords are refused | not: a new password is compared with 49,193 common ones, not with all that were leaked: the sidecar asks nobody outside |
//! | 6.3.1 | guessing and credential stuffing are slowed down | `it::joining::failed_tries_slow_down_and_never_lock_the_owner_out`, `throttle::tests::a_spraying_network_waits_and_whoever_is_known_there_does_not`, `it::two_step::wrong_codes_are_slowed_down_told_and_ended` |
//! | 6.3.2 | no default account | `it::management::the_first_account_is_made_by_a_link_that_opens_once` |
//! | 6.3.3 | a second factor can be required | `it::two_step::where_it_is_enforced_nothing_leads_past_it` |
//! | 6.3.4 | no undocumented way to sign in | `it::management::nobody_calls_without_a_session_but_what_is_open`, `it::two_step::where_it_is_enforced_nothing_leads_past_it` |
//! | 6.3.7 | members are notified of changes to their sign-in | `it::joining::a_reset_ends_every_session_and_opens_once`, `it::joining::an_address_changes_when_both_ends_said_so`, `it::two_step::a_code_signs_in_once` |
//! | 6.3.8 | a failed sign-in does not reveal whether the account exists | `it::joining::each_way_to_fail_a_sign_in_costs_one_hash_run_and_gets_one_answer`, `it::management::a_password_is_asked_for_and_reset_with_one_answer_for_everybody` |
//! | 6.4.1 | an initial-password link works once and expires | `it::joining::the_old_link_of_a_resent_invite_is_dead_and_an_expired_one_blocks_nothing`, `it::joining::a_reset_ends_every_session_and_opens_once` |
//! | 6.4.2 | no password hints or secret questions | not: no call has a field for one, and nothing keeps one |
//! | 6.4.3 | a password reset does not bypass the second factor | `it::two_step::a_stolen_ticket_opens_nothing`, `it::two_step::where_it_is_enforced_nothing_leads_past_it` |
//! | 6.4.4 | resetting a lost factor needs the administrator's own | `it::two_step::an_administrator_resets_anothers_factor_by_the_own_one` |
//! | 6.4.6 | an administrator starts a reset but does not choose the password | `it::management::an_administrator_sends_a_link_and_chooses_nobodys_password` |
//! | 6.5.1 | a code works once | `it::two_step::a_code_signs_in_once`, `it::two_step::recovery_codes_work_once_and_new_ones_end_the_old`, `it::two_step::a_hundred_at_once_with_one_code_are_one_session` |
//! | 6.5.2 | recovery codes are hashed and have enough entropy | `domain::two_step::tests::a_recovery_code_is_120_bits_in_base_32_and_reads_back_however_it_is_typed`, `it::store_suite::two_step::a_code_is_spent_once_and_a_session_needs_one` |
//! | 6.5.3 | codes and secrets come from the operating system's random generator | `it::house::every_dependency_has_a_home_and_stays_there`, `it::two_step::recovery_codes_work_once_and_new_ones_end_the_old` |
//! | 6.5.4 | a recovery code cannot be guessed | `domain::two_step::tests::a_recovery_code_is_120_bits_in_base_32_and_reads_back_however_it_is_typed` |
//! | 6.5.5 | a TOTP code is valid for its step and one beside it | `it::two_step::codes_at_the_edges_of_their_time`, `authenticator::tests::a_code_is_taken_one_step_early_and_one_step_late_and_no_more` |
//! | 6.5.6 | a stolen factor can be revoked | `it::two_step::the_factor_is_replaced_and_switched_off_by_its_owner`, `it::two_step::an_administrator_resets_anothers_factor_by_the_own_one` |
//! | 6.5.8 | codes are checked by the server's clock | `it::two_step::a_clock_that_jumps_back_reopens_nothing_and_a_recovery_code_helps` |
//! | 7.1.1 | session lifetimes are documented | not: a matter of documents, README "The team" says both times |
//! | 7.1.2 | the number of sessions is documented | not: a matter of documents, README "Limits" says how many; that the oldest ends is only in `domain::limits` |
//! | 7.2.1 | session tokens are verified by the server | `it::management::nobody_calls_without_a_session_but_what_is_open` |
//! | 7.2.2 | each session has a new token | `it::management::a_new_sign_in_ends_the_session_that_the_browser_had` |
//! | 7.2.3 | a token is 32 random bytes | `it::management::the_cookie_is_for_this_host_alone_and_unreadable_for_scripts`, `it::house::every_dependency_has_a_home_and_stays_there` |
//! | 7.2.4 | a sign-in creates a new token and ends the previous one | `it::management::a_new_sign_in_ends_the_session_that_the_browser_had`, `it::joining::the_own_password_is_changed_under_a_new_token`, `it::two_step::a_code_signs_in_once` |
//! | 7.3.1 | idle timeout | `it::joining::a_session_ends_when_idle_and_after_its_time` |
//! | 7.3.2 | absolute timeout | `it::joining::a_session_ends_when_idle_and_after_its_time` |
//! | 7.4.1 | an ended session no longer works | `it::management::somebody_is_invited_joins_signs_in_and_signs_out`, `it::management::own_sessions_are_listed_and_ended`, `it::backup::who_could_come_in_then_cannot_now` |
//! | 7.4.2 | removal and suspension end every session | `it::store_suite::guards::a_removal_ends_all_that_a_member_could_act_by`, `it::store_suite::guards::a_suspension_ends_sessions_and_links_and_leaves_invites` |
//! | 7.4.3 | a new password or factor ends the other sessions | `it::joining::the_own_password_is_changed_under_a_new_token`, `it::two_step::a_code_signs_in_once`, `it::store_suite::sessions::a_new_password_ends_every_other_session` |
//! | 7.4.4 | every page has a sign-out | `it::pages::bad_input::nothing_is_left_behind_after_signing_out` |
//! | 7.4.5 | an administrator can end all sessions of a member | `it::management::an_administrator_signs_somebody_out_everywhere`, `it::store_suite::sessions::sessions_end_one_or_all_or_all_others` |
//! | 7.5.1 | sensitive changes re-authenticate | `it::two_step::what_touches_the_sign_in_asks_for_the_factor_again`, `it::store_suite::two_step::what_touches_the_sign_in_asks_for_the_factor` |
//! | 7.5.2 | members can see and end their sessions after re-authentication | not: they are listed and ended, `it::management::own_sessions_are_listed_and_ended`, but ending one asks for nothing again |
//! | 7.5.3 | the most sensitive actions re-authenticate | `it::api_tokens::making_one_asks_again_who_one_is`, `it::two_step::an_api_token_is_made_by_who_shows_the_factor`, `it::two_step::an_administrator_resets_anothers_factor_by_the_own_one` |
//! | 8.1.1 | function-level access rules are documented | `it::management::what_the_document_says_of_callers_holds`, `it::management::nobody_calls_without_a_session_but_what_is_open` |
//! | 8.1.2 | field-level access rules are documented | not: the `OpenAPI` document has the fields of each call, and does not say by role who may change which |
//! | 8.2.1 | function-level authorization | `it::guards::who_may_not_give_a_role_neither_invites_for_it_nor_gives_nor_takes_it`, `it::management::a_role_without_rights_reads_roles_and_itself_and_no_more` |
//! | 8.2.2 | object-level authorization | `it::management::another_accounts_ids_are_nobodys` |
//! | 8.2.3 | field-level authorization | `it::guards::nobody_changes_the_own_role`, `admin::members::tests::an_edit_cannot_touch_what_has_a_call_of_its_own`, `it::management::an_edit_says_which_version_it_was_made_of` |
//! | 8.3.1 | authorization is done by the server | `it::matrix::every_cell_answers_as_the_table_says`, `it::guards::who_may_not_give_a_role_neither_invites_for_it_nor_gives_nor_takes_it` |
//! | 8.3.2 | changes of rights take effect immediately | `it::removal::a_removed_member_is_denied_a_thousand_times_out_of_a_thousand`, `it::removal::suspended_between_two_requests_and_restored`, `it::admin_api::an_answer_waits_until_decisions_see_the_change` |
//! | 8.3.3 | a delegate has no more rights than the delegator | `it::api_tokens::a_maker_who_may_not_give_the_role_is_judged_at_each_call`, `it::api_tokens::a_proxy_asks_about_a_program_and_hears_of_its_own_role` |
//! | 8.4.1 | tenants are isolated | `it::guards::another_account_is_not_there`, `it::management::another_accounts_ids_are_nobodys` |
//! | 11.2.4 | constant-time comparisons | not: nothing measures time; argon2 compares passwords in constant time, and tokens and keys are found by their hashes |
//! | 11.4.2 | passwords use a slow, salted hash | `password::hasher::tests::a_hash_is_argon2id_at_the_parameters_with_a_salt_of_its_own`, `it::joining::a_weak_hash_is_made_anew_at_the_next_sign_in` |
//! | 11.5.1 | unguessable values have 128 random bits or more | `it::management::the_cookie_is_for_this_host_alone_and_unreadable_for_scripts`, `domain::token::tests::a_token_reads_back_and_never_prints`, `it::house::every_dependency_has_a_home_and_stays_there` |
//! | 13.2.3 | no default credentials between services | `it::authzen_wire::where_keys_are_configured_a_caller_brings_one`, `it::config::decisions_beyond_loopback_need_keys` |
//! | 13.3.1 | secrets come from secret storage | `it::config::a_secret_comes_from_a_file_and_never_shows`, `it::two_step::secrets_are_put_under_a_new_key_and_open_as_before` |
//! | 13.4.2 | no debug mode | not: there is no such mode; the log's level is fixed, and a panic tells the caller nothing, `it::http::a_panic_in_a_handler_is_a_500_of_that_request_alone` |
//! | 14.2.1 | no secret in a requested URL | `it::team::the_story_by_api`, `it::management::the_cookie_is_for_this_host_alone_and_unreadable_for_scripts` |
//! | 14.2.6 | responses contain only the necessary data | `it::management::somebody_is_invited_joins_signs_in_and_signs_out`, `it::api_tokens::the_secret_is_told_once_and_the_list_tells_the_last_use`, `it::store_suite::erasure::a_members_data_holds_ids_only_of_everybody_else` |
//! | 14.3.1 | the browser forgets at the end of a session what it kept of it: the cookies end, no cache keeps an answer, and no storage is used; what else the host keeps there stays | `it::management::somebody_is_invited_joins_signs_in_and_signs_out`, `it::management::own_sessions_are_listed_and_ended`, `it::console_pages::signing_out_leaves_what_is_the_products` |
//! | 14.3.2 | responses are not cached | `it::management::every_answer_tells_a_browser_to_keep_and_guess_nothing` |
//! | 14.3.3 | browser storage has no sensitive data | not: the script puts nothing into the browser's storage, which no test looks through; the cookies are the session's and what the next page tells |
//! | 16.2.1 | a log line has time, source, actor and event | `it::guards::who_is_refused_stands_in_the_log_and_no_secret_does` |
//! | 16.2.2 | log times are UTC | `it::guards::who_is_refused_stands_in_the_log_and_no_secret_does` |
//! | 16.2.5 | the log masks addresses and has no secret | `it::guards::who_is_refused_stands_in_the_log_and_no_secret_does`, `domain::email::tests::logs_see_the_first_letter_and_the_domain`, `it::team::the_story_by_api` |
//! | 16.3.1 | sign-ins and failed ones are logged | `it::guards::who_is_refused_stands_in_the_log_and_no_secret_does`, `it::store_suite::sessions::a_session_begins_by_the_password_that_was_checked` |
//! | 16.3.2 | failed authorizations are logged | `it::guards::who_is_refused_stands_in_the_log_and_no_secret_does` |
//! | 16.3.3 | attempts to bypass controls are logged | `it::guards::who_is_refused_stands_in_the_log_and_no_secret_does`, `it::store_suite::sessions::a_slowed_sign_in_is_noted` |
//! | 16.4.1 | no log injection | `it::guards::who_is_refused_stands_in_the_log_and_no_secret_does`, `domain::email::tests::what_nobody_sees_is_refused_anywhere` |
//! | 16.5.1 | internal errors get a generic message | `it::http::a_panic_in_a_handler_is_a_500_of_that_request_alone` |
//! | 16.5.3 | fails closed | `it::running::broken_policies_and_no_good_set_refuse_the_start`, `it::crash::a_disk_that_breaks_and_heals_leaves_file_and_decisions_as_one`, `it::reload::a_broken_file_changes_nothing_and_is_named` |
