//! The console in a browser: Debian's Chromium without its windows, driven by mouse and by keys as a person would.
//!
//! [`state_checks`] goes through every state there is ([`state_list`]), [`user_journeys`] through what people come for,
//! `bad_input` through what they do by mistake or on purpose, `dialogs` through what dialogs keep and
//! give back, `list_pages` through the ways back to a list and what fits in it, [`passkeys`] through
//! those, [`page_weight`] counts.

mod bad_input;
mod browser;
mod dialogs;
mod list_pages;
mod page_weight;
mod passkeys;
mod state_checks;
mod state_list;
mod user_journeys;
