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
//! | 1 | one heading, where one is, help in the same place | `it::pages::walk::every_state_is_open_to_everybody` |
//! | 2 | invite first, the rest in a menu | `it::pages::stories::from_set_up_to_removal_by_mouse` |
//! | 3 | tabs with counts, named by the address | `it::pages::walk::every_state_is_open_to_everybody` |
//! | 4 | one banner a matter | `it::pages::walk::every_state_is_open_to_everybody` |
//! | 5 | who may not manage sees no buttons | `it::console_insight::whoever_may_not_see_a_page_is_told_whom_to_ask` |
//! | 6 | who may not see a page reads whom to ask | `it::console_insight::whoever_may_not_see_a_page_is_told_whom_to_ask`, `it::pages::stories::from_set_up_to_removal_by_mouse` |
//! | 7 | a real table with the member's state, locked ones too | `it::pages::walk::every_state_is_open_to_everybody`, `it::console_pages::whoever_wrong_tries_keep_out_is_shown_to_who_may_see_the_team` |
//! | 8 | ordered by a press on a column | `it::store_suite::roster::every_order_is_paged_forth_and_back` |
//! | 9 | found while one types, whatever case and accents | `it::store_suite::roster::members_are_found_whatever_the_case_and_the_accents` |
//! | 10 | filters in the address | `it::pages::walk::every_state_is_open_to_everybody` |
//! | 11 | pages by keys, one request each | `it::pages::figures::a_page_asks_for_no_row_and_is_light` |
//! | 12 | a menu of what can be done, or why not | `it::pages::walk::every_state_is_open_to_everybody` |
//! | 13 | several at once, each answered for | `it::pages::stories::several_are_changed_at_once_and_each_is_answered_for` |
//! | 14 | changes by others appear, a stale edit is told | `it::pages::bad_input::a_removed_member_s_open_page_goes_within_seconds`, `it::pages::bad_input::a_page_that_is_old_is_told_so_and_loses_nothing` |
//! | 15 | a dialog that keeps focus, and asks before it loses what was typed | `it::pages::bad_input::what_was_typed_is_not_thrown_away_unasked` |
//! | 16 | four fields, all labelled, no password | `it::pages::walk::every_state_is_open_to_everybody` |
//! | 17 | roles as cards with what they can do | `it::pages::walk::every_state_is_open_to_everybody` |
//! | 18 | the comparison is made from the live policies | `it::console_insight::the_comparison_is_the_one_of_the_api` |
//! | 19 | faults at their fields, with what to do instead | `it::pages::walk::every_state_is_open_to_everybody` |
//! | 20 | several from pasted lines, checked first | `it::pages::walk::every_state_is_open_to_everybody` |
//! | 21 | a second press makes no second invitation, and nothing is called sent before it is | `it::pages::bad_input::two_presses_of_send_are_one_invitation` |
//! | 22 | the link where no mail carries it | `it::management::an_administrator_sends_a_link_and_chooses_nobodys_password` |
//! | 23 | how far each invitation got | `it::pages::stories::from_set_up_to_removal_by_mouse` |
//! | 24 | sent again, corrected, taken back, copied | `it::pages::stories::an_invitation_is_sent_again_corrected_copied_and_taken_back` |
//! | 25 | when it may be sent again | `it::store_suite::invites::one_address_gets_few_invites` |
//! | 26 | what was accepted leaves the list | `it::pages::stories::who_has_joined_leaves_the_list_and_stays_in_the_history` |
//! | 27 | what is gained and lost before a role changes | `it::pages::walk::every_state_is_open_to_everybody` |
//! | 28 | obeyed at the next click | `it::pages::stories::a_role_that_changes_here_holds_there_at_the_next_click` |
//! | 29 | the last administrator stays | `it::pages::stories::of_two_administrators_who_demote_each_other_one_wins` |
//! | 30 | removal asked with its consequences | `it::pages::stories::from_set_up_to_removal_by_keys_alone` |
//! | 31 | suspend instead | `it::pages::walk::every_state_is_open_to_everybody` |
//! | 32 | what was done is told truly | `it::pages::stories::from_set_up_to_removal_by_mouse` |
//! | 33 | a removed person's open page is emptied | `it::pages::bad_input::a_removed_member_s_open_page_goes_within_seconds` |
//! | 34 | loading without jumps | `it::pages::bad_input::while_rows_are_fetched_the_old_ones_stay_and_nothing_jumps` |
//! | 35 | empty states that say what to do | `it::pages::walk::every_state_is_open_to_everybody` |
//! | 36 | offline and stale are told, and lose nothing | `it::pages::bad_input::a_moment_without_network_loses_nothing`, `it::pages::bad_input::a_page_that_is_old_is_told_so_and_loses_nothing` |
//! | 37 | toasts that can be read and dismissed | `it::pages::stories::from_set_up_to_removal_by_keys_alone` |
//! | 38 | joining: who asks, what one can do, a password, two-step | `it::console_pages::somebody_joins_by_pasting_the_code_or_the_whole_link`, `it::console_pages::where_two_step_is_enforced_joining_leads_through_its_set_up` |
//! | 39 | links that open no more, and somebody else who is signed in | `it::console_pages::each_link_that_opens_no_more_says_why_and_what_to_do`, `it::console_pages::who_is_signed_in_as_somebody_else_decides_before_joining` |
//! | 40 | own password, two-step, passkeys, devices, sign-ins | `it::pages::passkeys::a_passkey_is_added_signs_in_and_is_removed_on_pages`, `it::pages::passkeys::a_browser_without_passkeys_is_told_so_and_codes_go_on_working`, `it::console_pages::devices_are_signed_out_one_by_one_or_all_others`, `it::console_pages::two_step_verification_is_turned_on_renewed_and_turned_off` |
//! | 41 | one field for a code | `it::pages::stories::from_set_up_to_removal_by_mouse` |
//! | 42 | WCAG 2.2, A and AA | `it::pages::walk::every_state_is_open_to_everybody` |
//! | 43 | never by colour alone | `it::pages::walk::every_state_is_open_to_everybody` |
//! | 44 | menus by keys | `it::pages::stories::from_set_up_to_removal_by_keys_alone` |
//! | 45 | the whole job by keys | `it::pages::stories::from_set_up_to_removal_by_keys_alone` |
//! | 46 | cards on a phone, long and strange names | `it::pages::bad_input::strange_names_are_text_and_fit`, `it::pages::walk::every_state_is_open_to_everybody` |
//! | 47 | moments in the reader's zone | `console::when::tests::distances_are_told_in_the_largest_unit` |
//! | 48 | axe, reduced motion, forced colours, dark, no inline style or script | `it::pages::walk::every_state_is_open_to_everybody` |
//! | 49 | every button is a call and a command too | `it::team::the_story_by_command_line`, `it::cli_people::a_password_is_reset_by_the_link_that_is_printed_or_by_mail` |
//! | 50 | whoever is locked out is let in on the host | `it::cli_people::an_administrator_who_is_locked_out_gets_a_link` |
//! | 51 | the live policies, the refused reload, who gained, the folder checked, a decision to try | `it::console_insight::the_policies_page_shows_what_is_live_what_was_refused_and_what_changed`, `it::console_insight::a_tried_decision_is_the_one_of_the_decision_listener` |
