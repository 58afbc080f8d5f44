//! The requirements of the console's specification, and the tests that verify them.
//!
//! One row for each number of the specification; 51 is the policies page, which is not in it. `it::`
//! is a test of `tests/it`, the others are tests in `src`; `not:` says what is missing.
//! `tests/it/asvs.rs` checks that no row is missing and that each test exists. Contains no code.
//!
//! Two features are left out of 51 on purpose. There is no rollback: policies come from the folder,
//! so a rollback would last until the next reload. And only the configured folder is checked, not
//! another one or pasted files: `kwic-team policy matrix --before` compares those.
//!
//! | point | requirement | verified by |
//! | --- | --- | --- |
//! | 1 | one heading, current section, help in a fixed place | `it::pages::walk::every_state_is_open_to_everybody` |
//! | 2 | a primary action for inviting, others in a menu | `it::pages::stories::from_set_up_to_removal_by_mouse` |
//! | 3 | tabs with counts and URLs | `it::pages::walk::every_state_is_open_to_everybody` |
//! | 4 | at most one banner per topic | `it::pages::walk::every_state_is_open_to_everybody` |
//! | 5 | no management buttons without the right | `it::console_insight::whoever_may_not_see_a_page_is_told_whom_to_ask` |
//! | 6 | a page without the right says whom to ask | `it::console_insight::whoever_may_not_see_a_page_is_told_whom_to_ask`, `it::pages::stories::from_set_up_to_removal_by_mouse` |
//! | 7 | a real table with the member's state, including locked ones | `it::pages::walk::every_state_is_open_to_everybody`, `it::console_pages::whoever_wrong_tries_keep_out_is_shown_to_who_may_see_the_team` |
//! | 8 | columns are sortable | `it::store_suite::roster::every_order_is_paged_forth_and_back` |
//! | 9 | incremental search, ignoring case and accents | `it::store_suite::roster::members_are_found_whatever_the_case_and_the_accents` |
//! | 10 | filters are in the URL | `it::pages::walk::every_state_is_open_to_everybody` |
//! | 11 | keyset pagination, one request per page | `it::pages::figures::a_page_asks_for_no_row_and_is_light` |
//! | 12 | a menu of actions, with reasons for disabled ones | `it::pages::walk::every_state_is_open_to_everybody` |
//! | 13 | bulk changes with a result for each member | `it::pages::stories::several_are_changed_at_once_and_each_is_answered_for` |
//! | 14 | changes of others appear; edit conflicts are reported | `it::pages::bad_input::a_removed_member_s_open_page_goes_within_seconds`, `it::pages::bad_input::a_page_that_is_old_is_told_so_and_loses_nothing` |
//! | 15 | a modal dialog that traps focus and confirms before losing input | `it::pages::bad_input::what_was_typed_is_not_thrown_away_unasked` |
//! | 16 | four labelled fields, no password | `it::pages::walk::every_state_is_open_to_everybody` |
//! | 17 | roles as cards with their permissions | `it::pages::walk::every_state_is_open_to_everybody` |
//! | 18 | the comparison is computed from the live policies | `it::console_insight::the_comparison_is_the_one_of_the_api` |
//! | 19 | faults at their fields, with a remedy | `it::pages::walk::every_state_is_open_to_everybody` |
//! | 20 | several invitations from pasted lines, checked first | `it::pages::walk::every_state_is_open_to_everybody` |
//! | 21 | a double click makes one invitation, and nothing is called sent before it is | `it::pages::bad_input::two_presses_of_send_are_one_invitation` |
//! | 22 | the link is shown if no mail is sent | `it::management::an_administrator_sends_a_link_and_chooses_nobodys_password` |
//! | 23 | the delivery status of each invitation | `it::pages::stories::from_set_up_to_removal_by_mouse` |
//! | 24 | resend, edit, revoke, copy | `it::pages::stories::an_invitation_is_sent_again_corrected_copied_and_taken_back` |
//! | 25 | when an invitation can be resent | `it::store_suite::invites::one_address_gets_few_invites` |
//! | 26 | accepted invitations leave the list | `it::pages::stories::who_has_joined_leaves_the_list_and_stays_in_the_history` |
//! | 27 | gains and losses before a role is changed | `it::pages::walk::every_state_is_open_to_everybody` |
//! | 28 | a change takes effect at the next click | `it::pages::stories::a_role_that_changes_here_holds_there_at_the_next_click` |
//! | 29 | the last administrator stays | `it::pages::stories::of_two_administrators_who_demote_each_other_one_wins` |
//! | 30 | removal is confirmed, with its consequences | `it::pages::stories::from_set_up_to_removal_by_keys_alone` |
//! | 31 | suspending as an alternative | `it::pages::walk::every_state_is_open_to_everybody` |
//! | 32 | the result is reported accurately | `it::pages::stories::from_set_up_to_removal_by_mouse` |
//! | 33 | a removed person's open page is cleared | `it::pages::bad_input::a_removed_member_s_open_page_goes_within_seconds` |
//! | 34 | no layout shift while loading | `it::pages::bad_input::while_rows_are_fetched_the_old_ones_stay_and_nothing_jumps` |
//! | 35 | empty states that say what to do | `it::pages::walk::every_state_is_open_to_everybody` |
//! | 36 | offline and stale pages are reported, and lose nothing | `it::pages::bad_input::a_moment_without_network_loses_nothing`, `it::pages::bad_input::a_page_that_is_old_is_told_so_and_loses_nothing` |
//! | 37 | toasts that can be read and dismissed | `it::pages::stories::from_set_up_to_removal_by_keys_alone` |
//! | 38 | joining: inviter, permissions, a password, two-step | `it::console_pages::somebody_joins_by_pasting_the_code_or_the_whole_link`, `it::console_pages::where_two_step_is_enforced_joining_leads_through_its_set_up` |
//! | 39 | dead links, and joining while signed in as somebody else | `it::console_pages::each_link_that_opens_no_more_says_why_and_what_to_do`, `it::console_pages::who_is_signed_in_as_somebody_else_decides_before_joining` |
//! | 40 | own password, two-step, passkeys, devices, sign-ins | `it::pages::passkeys::a_passkey_is_added_signs_in_and_is_removed_on_pages`, `it::pages::passkeys::a_browser_without_passkeys_is_told_so_and_codes_go_on_working`, `it::console_pages::devices_are_signed_out_one_by_one_or_all_others`, `it::console_pages::two_step_verification_is_turned_on_renewed_and_turned_off` |
//! | 41 | one field for a code | `it::pages::stories::from_set_up_to_removal_by_mouse` |
//! | 42 | WCAG 2.2, A and AA | `it::pages::walk::every_state_is_open_to_everybody` |
//! | 43 | never by colour alone | `it::pages::walk::every_state_is_open_to_everybody` |
//! | 44 | menus by keyboard | `it::pages::stories::from_set_up_to_removal_by_keys_alone` |
//! | 45 | every task by keyboard | `it::pages::stories::from_set_up_to_removal_by_keys_alone` |
//! | 46 | cards on a phone, long and strange names | `it::pages::bad_input::strange_names_are_text_and_fit`, `it::pages::walk::every_state_is_open_to_everybody` |
//! | 47 | times in the reader's time zone | `console::when::tests::distances_are_told_in_the_largest_unit` |
//! | 48 | axe, reduced motion, forced colours, dark mode, no inline style or script | `it::pages::walk::every_state_is_open_to_everybody` |
//! | 49 | every button is also an API call and a command | `it::team::the_story_by_command_line`, `it::cli_people::a_password_is_reset_by_the_link_that_is_printed_or_by_mail` |
//! | 50 | account recovery on the host | `it::cli_people::an_administrator_who_is_locked_out_gets_a_link` |
//! | 51 | the live policies, the refused reload, access changes, the checked folder, a decision to try | `it::console_insight::the_policies_page_shows_what_is_live_what_was_refused_and_what_changed`, `it::console_insight::a_tried_decision_is_the_one_of_the_decision_listener` |
