//! A page with one form: fields, entered values and faults.
//!
//! One template for all forms, so that labels, hints and faults are tied to their fields in the
//! same way. With the script it opens as a dialog over the page that links to it.

use askama::Template;

use super::assets::PASSKEYS;
use super::call::Answer;
use super::cards::Card;
use super::place::BACK;
use super::shell::{Shell, page};
use super::when::When;
use super::words as w;
use crate::domain::{Failure, Kind, Version};
use crate::flows::passkeys::Asked;
use crate::http::{Reply, status};

/// How a field is typed into: attributes of `input`, fixed by what is asked.
pub(super) mod kind {
    /// A name of somebody else.
    pub(in crate::console) const TEXT: &str = r#"type="text" autocomplete="off""#;
    /// A short name of an account.
    pub(in crate::console) const ACCOUNT: &str =
        r#"type="text" autocomplete="organization" autocapitalize="none" spellcheck="false""#;
    /// One's own given name.
    pub(in crate::console) const GIVEN: &str = r#"type="text" autocomplete="given-name""#;
    /// One's own family name.
    pub(in crate::console) const FAMILY: &str = r#"type="text" autocomplete="family-name""#;
    /// The address of somebody else.
    pub(in crate::console) const EMAIL: &str = r#"type="email" inputmode="email" autocomplete="off" autocapitalize="none" spellcheck="false""#;
    /// One's own address.
    pub(in crate::console) const OWN_EMAIL: &str = r#"type="email" inputmode="email" autocomplete="username" autocapitalize="none" spellcheck="false""#;
    /// The password so far.
    pub(in crate::console) const PASSWORD: &str =
        r#"type="password" autocomplete="current-password" data-show"#;
    /// A password to be.
    pub(in crate::console) const NEW_PASSWORD: &str =
        r#"type="password" autocomplete="new-password" data-show data-strength"#;
    /// A code; one field, so that pasting works (WCAG 2.2, 3.3.8).
    pub(in crate::console) const CODE: &str = r#"type="text" inputmode="numeric" autocomplete="one-time-code" autocapitalize="none" spellcheck="false""#;
    /// Something that is copied, not known by heart.
    pub(in crate::console) const PASTED: &str =
        r#"type="text" autocomplete="off" autocapitalize="none" spellcheck="false""#;
    /// A link or a code from a mail; the script fills it in from the fragment of the address.
    pub(in crate::console) const SENT: &str =
        r#"type="text" autocomplete="off" autocapitalize="none" spellcheck="false" data-fragment"#;
    /// The same, and the script sends the form once it is filled in.
    pub(in crate::console) const SENT_AT_ONCE: &str = r#"type="text" autocomplete="off" autocapitalize="none" spellcheck="false" data-fragment data-send"#;
    /// A number.
    pub(in crate::console) const NUMBER: &str =
        r#"type="text" inputmode="numeric" autocomplete="off""#;
}

/// One field.
pub(super) struct Input {
    pub(super) name: &'static str,
    pub(super) label: String,
    pub(super) hint: Option<String>,
    pub(super) attributes: &'static str,
    pub(super) value: String,
    pub(super) wrong: Option<String>,
    pub(super) lines: bool,
    /// Whether it may stay empty.
    pub(super) optional: bool,
}

impl Input {
    pub(super) fn new(
        name: &'static str,
        label: impl Into<String>,
        attributes: &'static str,
    ) -> Self {
        Self {
            name,
            label: label.into(),
            hint: None,
            attributes,
            value: String::new(),
            wrong: None,
            lines: false,
            optional: false,
        }
    }

    pub(super) fn value(self, value: impl Into<String>) -> Self {
        Self { value: value.into(), ..self }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// A field of several lines.
    pub(super) fn lines(self) -> Self {
        Self { lines: true, ..self }
    }

    /// A field that may stay empty.
    pub(super) fn optional(self) -> Self {
        Self { optional: true, ..self }
    }

    /// What describes the field to whoever cannot see it beside: its hint and its fault.
    pub(super) fn described_by(&self) -> String {
        let hint = self.hint.as_ref().map(|_| format!("{}-hint", self.name));
        let wrong = self.wrong.as_ref().map(|_| format!("{}-wrong", self.name));
        let all: Vec<String> = hint.into_iter().chain(wrong).collect();
        all.join(" ")
    }
}

/// One of several, from a list.
pub(super) struct Select {
    pub(super) name: &'static str,
    pub(super) label: String,
    /// Value and name.
    pub(super) options: Vec<(String, String)>,
    /// Empty where there is nothing yet: then nothing is chosen before somebody chooses.
    pub(super) chosen: String,
    pub(super) wrong: Option<String>,
}

/// Something to know, by its name: a text of whoever, or a moment.
pub(super) struct Fact {
    pub(super) name: &'static str,
    pub(super) text: String,
    pub(super) when: Option<When>,
}

impl Fact {
    pub(super) fn text(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, text: text.into(), when: None }
    }

    pub(super) const fn when(name: &'static str, when: When) -> Self {
        Self { name, text: String::new(), when: Some(when) }
    }
}

/// What a form is made of.
pub(super) enum Part {
    Input(Input),
    Select(Select),
    /// One role of several; name of the field, label, cards, and what was wrong.
    Roles {
        cards: Vec<Card>,
        wrong: Option<String>,
    },
    /// What somebody gains and loses.
    List {
        title: String,
        items: Vec<String>,
    },
    /// What there is to know beforehand.
    Facts(Vec<Fact>),
    /// What somebody else saved meanwhile.
    Current(Vec<Fact>),
    /// Whose the password is, for a password manager; shown to nobody.
    Username(String),
}

/// What the browser is asked before a form is sent, by the script alone: its answer goes into the
/// field `credential`.
pub(super) enum Asks {
    /// To make a passkey: nothing is sent without.
    New(Asked),
    /// To show one, in the place of what the form asks for. The path below the console's own that
    /// the form is sent to then, and the name of the button.
    Shown(Asked, &'static str, &'static str),
}

impl Asks {
    /// The question as JSON.
    pub(super) fn options(&self) -> String {
        let (Self::New(asked) | Self::Shown(asked, ..)) = self;
        asked.options.to_string()
    }

    /// The path of what asks, below the console's own.
    pub(super) fn script(&self) -> &'static str {
        &PASSKEYS.path
    }

    fn challenge(&self) -> &str {
        let (Self::New(asked) | Self::Shown(asked, ..)) = self;
        &asked.challenge
    }

    /// What is told where the browser gives no answer: a key that the script knows, and words.
    pub(super) const fn troubles(&self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::New(_) => &w::NO_PASSKEY_MADE,
            Self::Shown(..) => &w::NO_PASSKEY_SHOWN,
        }
    }
}

/// A page of one form.
#[derive(Template)]
#[template(path = "console/templates/sheet.html", config = ".askama.toml")]
pub(super) struct Sheet<'p> {
    pub(super) shell: Shell<'p>,
    /// What it is about; the title of the page where it is not said.
    pub(super) lines: Vec<String>,
    pub(super) refusal: Option<Refusal>,
    /// Below the console's own path.
    pub(super) action: String,
    pub(super) hidden: Vec<(&'static str, String)>,
    pub(super) parts: Vec<Part>,
    pub(super) submit: String,
    /// Told to whoever has no script, without which it leads nowhere.
    pub(super) unscripted: Option<&'static str>,
    pub(super) asks: Option<Asks>,
    /// Takes something away: the way out has the focus.
    pub(super) danger: bool,
    /// The way out: a path below the console's own, and its name.
    pub(super) out: Option<(String, String)>,
    /// Another way to what is wanted.
    pub(super) instead: Option<(String, String)>,
}

impl<'p> Sheet<'p> {
    pub(super) fn new(
        shell: Shell<'p>,
        action: impl Into<String>,
        submit: impl Into<String>,
    ) -> Self {
        Self {
            shell: shell.narrow(),
            lines: Vec::new(),
            refusal: None,
            action: action.into(),
            hidden: Vec::new(),
            parts: Vec::new(),
            submit: submit.into(),
            unscripted: None,
            asks: None,
            danger: false,
            out: None,
            instead: None,
        }
    }

    pub(super) fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    pub(super) fn hidden(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.hidden.push((name, value.into()));
        self
    }

    pub(super) fn input(self, input: Input) -> Self {
        self.part(Part::Input(input))
    }

    pub(super) fn part(mut self, part: Part) -> Self {
        self.parts.push(part);
        self
    }

    /// Says that nothing comes of it without the script.
    pub(super) fn needs_script(self, words: &'static str) -> Self {
        Self { unscripted: Some(words), ..self }
    }

    /// Has the browser asked for a passkey.
    pub(super) fn asks(self, asks: Asks) -> Self {
        let sheet = self.hidden("challenge", asks.challenge()).hidden("credential", "");
        Self { asks: Some(asks), ..sheet }
    }

    pub(super) fn danger(self) -> Self {
        Self { danger: true, ..self }
    }

    pub(super) fn cancel(self, path: impl Into<String>) -> Self {
        self.out(path, w::CANCEL)
    }

    /// The way out leads back to where the form was opened, and so does the form once it was taken.
    pub(super) fn leads_back(self, path: impl Into<String>) -> Self {
        let path = path.into();
        self.hidden(BACK, path.clone()).cancel(path)
    }

    pub(super) fn out(self, path: impl Into<String>, name: &str) -> Self {
        Self { out: Some((path.into(), name.to_owned())), ..self }
    }

    pub(super) fn instead(self, path: impl Into<String>, name: impl Into<String>) -> Self {
        Self { instead: Some((path.into(), name.into())), ..self }
    }

    pub(super) fn page(&self) -> Reply {
        page(self)
    }

    /// The same page with why it was not taken, each fault at its field.
    pub(super) fn refused(mut self, failure: &Failure) -> Reply {
        let mut refusal = Refusal::of(failure);
        for part in &mut self.parts {
            let (name, wrong) = match part {
                Part::Input(input) => (input.name, &mut input.wrong),
                Part::Roles { wrong, .. } => ("role", wrong),
                Part::Select(select) => (select.name, &mut select.wrong),
                _ => continue,
            };
            *wrong = refusal
                .fields
                .iter()
                .find(|field| field.name == name)
                .map(|it| it.sentence.clone());
        }
        // A fault of what is not asked here has no field to lead to.
        let here = |name: &str| self.parts.iter().any(|part| part.is_named(name));
        refusal.fields.retain(|field| here(&field.name));
        self.refusal = Some(refusal);
        let reply = page(&self).status(status(failure.kind));
        match failure.retry_after {
            Some(seconds) => reply.header("retry-after", seconds.to_string()),
            None => reply,
        }
    }
}

/// What a form that came too late is shown with.
pub(super) struct Overtaken {
    /// Who was faster, and when.
    pub(super) sentence: String,
    /// The current values.
    pub(super) current: Vec<Fact>,
    /// The version to go on from.
    pub(super) version: Version,
    /// Where the form begins anew, without what was typed.
    pub(super) anew: Option<String>,
}

impl Sheet<'_> {
    /// The same form once more where somebody else was faster: with the current values and version.
    /// What was typed is kept, and can be saved over it.
    pub(super) fn overtaken(mut self, failure: &Failure, by: Overtaken) -> Reply {
        for (name, value) in &mut self.hidden {
            if *name == "version" {
                *value = by.version.0.to_string();
            }
        }
        self.parts.insert(0, Part::Current(by.current));
        let sheet = match by.anew {
            Some(path) => self.instead(path, w::DISCARD),
            None => self,
        };
        sheet.refused(&Failure { public: by.sentence, code: "overtaken", ..failure.clone() })
    }

    /// The same, but for whoever is no longer signed in, who gets the page that says so.
    ///
    /// # Errors
    /// `Unauthenticated`, as it came.
    pub(super) fn not_taken(self, failure: Failure) -> Answer {
        match failure.kind {
            Kind::Unauthenticated => Err(failure),
            _ => Ok(self.refused(&failure)),
        }
    }
}

impl Part {
    fn is_named(&self, wanted: &str) -> bool {
        match self {
            Self::Input(input) => input.name == wanted,
            Self::Roles { .. } => wanted == "role",
            Self::Select(select) => select.name == wanted,
            _ => false,
        }
    }
}

/// Why a form was not taken.
pub(super) struct Refusal {
    pub(super) sentence: String,
    pub(super) fields: Vec<Field>,
}

/// What is wrong with one field.
pub(super) struct Field {
    pub(super) name: String,
    pub(super) sentence: String,
}

impl Refusal {
    pub(super) fn of(failure: &Failure) -> Self {
        let fields = failure
            .fields
            .iter()
            .map(|(name, sentence)| Field { name: name.clone(), sentence: w::sentence(sentence) });
        let wait = failure.retry_after.filter(|_| failure.code != "too_many_invites");
        let wait = wait.map(|seconds| format!(" {}", w::try_again(seconds)));
        let sentence = w::refusal(failure) + &wait.unwrap_or_default();
        Self { sentence, fields: fields.collect() }
    }
}
