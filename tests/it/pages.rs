//! The console in a browser: Debian's Chromium, driven by mouse and by keys as a person would.
//!
//! [`walk`] goes through every state there is ([`states`]), [`stories`] through what people come for,
//! `bad_input` through what they do by mistake or on purpose, `dialogs` through what dialogs keep and
//! give back, `lists` through the ways back to a list and what fits in it, [`passkeys`] through
//! those, [`figures`] counts.

mod bad_input;
mod browser;
mod dialogs;
mod figures;
mod lists;
mod passkeys;
mod states;
mod stories;
mod walk;
