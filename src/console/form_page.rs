//! A page with one form: fields, entered values and faults.
//!
//! One template for all forms, so that labels, hints and faults are tied to their fields in the
//! same way. With the script it opens as a dialog over the page that links to it.

use askama::Template;

use super::assets::PASSKEYS;
use super::page_layout::{PageLayout, page, refused_page};
use super::page_request::{CurrentUser, FormBody, PageRequest, PageResult};
use super::page_urls::BACK;
use super::role_picker::RoleChoice;
use super::texts as w;
use super::timestamps::TimeLabel;
use crate::domain::{Failure, Kind, Version};
use crate::http::Reply;
use crate::services::passkeys::PasskeyPrompt;

/// The kinds of fields: attributes of `input`, by what is asked for.
pub(super) mod kind {
    /// Somebody else's name.
    pub(in crate::console) const TEXT: &str = r#"type="text" autocomplete="off""#;
    /// A short name of an account.
    pub(in crate::console) const ACCOUNT: &str =
        r#"type="text" autocomplete="organization" autocapitalize="none" spellcheck="false""#;
    /// The viewer's own first name.
    pub(in crate::console) const GIVEN: &str = r#"type="text" autocomplete="given-name""#;
    /// The viewer's own last name.
    pub(in crate::console) const FAMILY: &str = r#"type="text" autocomplete="family-name""#;
    /// Somebody else's address.
    pub(in crate::console) const EMAIL: &str = r#"type="email" inputmode="email" autocomplete="off" autocapitalize="none" spellcheck="false""#;
    /// The viewer's own address.
    pub(in crate::console) const OWN_EMAIL: &str = r#"type="email" inputmode="email" autocomplete="username" autocapitalize="none" spellcheck="false""#;
    /// The current password.
    pub(in crate::console) const PASSWORD: &str =
        r#"type="password" autocomplete="current-password" data-show"#;
    /// A new password.
    pub(in crate::console) const NEW_PASSWORD: &str =
        r#"type="password" autocomplete="new-password" data-show data-strength"#;
    /// A code; one field, so that pasting works (WCAG 2.2, 3.3.8).
    pub(in crate::console) const CODE: &str = r#"type="text" inputmode="numeric" autocomplete="one-time-code" autocapitalize="none" spellcheck="false""#;
    /// Text that is pasted, not remembered.
    pub(in crate::console) const PASTED: &str =
        r#"type="text" autocomplete="off" autocapitalize="none" spellcheck="false""#;
    /// A link or a code from a mail; the script fills it in from the URL fragment.
    pub(in crate::console) const SENT: &str =
        r#"type="text" autocomplete="off" autocapitalize="none" spellcheck="false" data-fragment"#;
    /// The same, and the script then submits the form.
    pub(in crate::console) const SENT_AT_ONCE: &str = r#"type="text" autocomplete="off" autocapitalize="none" spellcheck="false" data-fragment data-send"#;
    /// A number.
    pub(in crate::console) const NUMBER: &str =
        r#"type="text" inputmode="numeric" autocomplete="off""#;
}

pub(super) struct Input {
    pub(super) name: &'static str,
    pub(super) label: String,
    pub(super) hint: Option<String>,
    pub(super) attributes: &'static str,
    pub(super) value: String,
    pub(super) wrong: Option<String>,
    pub(super) lines: bool,
    /// Whether it may be empty.
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

    /// The elements that describe the field to assistive technology: its hint and its fault.
    pub(super) fn described_by(&self) -> String {
        let hint = self.hint.as_ref().map(|_| format!("{}-hint", self.name));
        let wrong = self.wrong.as_ref().map(|_| format!("{}-wrong", self.name));
        let all: Vec<String> = hint.into_iter().chain(wrong).collect();
        all.join(" ")
    }
}

pub(super) struct Select {
    pub(super) name: &'static str,
    pub(super) label: String,
    /// Value and name.
    pub(super) options: Vec<(String, String)>,
    /// Empty if there is no default: then nothing is selected.
    pub(super) chosen: String,
    pub(super) wrong: Option<String>,
}

/// The roles that the viewer may give; `chosen` is empty where none is selected.
pub(super) fn role_select(call: &PageRequest<'_>, viewer: &CurrentUser, chosen: &str) -> Select {
    let live = call.app.policies.load();
    let gives = live.roles().iter().filter(|card| viewer.rights.gives.contains(&card.id));
    let none = (String::new(), w::CHOOSE_A_ROLE.to_owned());
    let named = gives.map(|card| (card.id.to_string(), card.title.clone()));
    let options = std::iter::once(none).chain(named).collect();
    Select {
        name: "role",
        label: w::ROLE.to_owned(),
        options,
        chosen: chosen.to_owned(),
        wrong: None,
    }
}

/// A labelled value: text or a time.
pub(super) struct Fact {
    pub(super) name: &'static str,
    pub(super) text: String,
    pub(super) when: Option<TimeLabel>,
}

impl Fact {
    pub(super) fn text(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, text: text.into(), when: None }
    }

    pub(super) const fn when(name: &'static str, when: TimeLabel) -> Self {
        Self { name, text: String::new(), when: Some(when) }
    }
}

pub(super) enum FormPart {
    Input(Input),
    Select(Select),
    /// Role cards, of which one is chosen: field name, label, cards and fault.
    Roles {
        cards: Vec<RoleChoice>,
        wrong: Option<String>,
    },
    /// A list, such as gained and lost permissions.
    List {
        title: String,
        items: Vec<String>,
    },
    /// Facts above the fields.
    Facts(Vec<Fact>),
    /// The current values, of an overtaken form.
    Current(Vec<Fact>),
    /// The user name for a password manager; not shown.
    Username(String),
}

/// A passkey request that the script makes before it submits the form: the response goes into the
/// field `credential`.
pub(super) enum BrowserPrompt {
    /// Creates a passkey: required.
    New(PasskeyPrompt),
    /// Uses a passkey instead of the form's fields. The path below the base path to which the form
    /// is then sent, and the label of the button.
    Shown(PasskeyPrompt, &'static str, &'static str),
}

impl BrowserPrompt {
    /// The request as JSON.
    pub(super) fn options(&self) -> String {
        let (Self::New(asked) | Self::Shown(asked, ..)) = self;
        asked.options.to_string()
    }

    /// The path of the passkey script, below the base path.
    pub(super) fn script(&self) -> &'static str {
        &PASSKEYS.path
    }

    fn challenge(&self) -> &str {
        let (Self::New(asked) | Self::Shown(asked, ..)) = self;
        &asked.challenge
    }

    /// Messages for when the browser returns no response: a key that the script knows, and text.
    pub(super) const fn troubles(&self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::New(_) => &w::NO_PASSKEY_MADE,
            Self::Shown(..) => &w::NO_PASSKEY_SHOWN,
        }
    }
}

#[derive(Template)]
#[template(path = "console/templates/sheet.html", config = ".askama.toml")]
pub(super) struct FormPage<'p> {
    pub(super) shell: PageLayout<'p>,
    /// What it is about; the title of the page if empty.
    pub(super) lines: Vec<String>,
    pub(super) refusal: Option<FormErrors>,
    /// The path below the base path.
    pub(super) action: String,
    pub(super) hidden: Vec<(&'static str, String)>,
    pub(super) parts: Vec<FormPart>,
    pub(super) submit: String,
    /// Shown without JavaScript, if the form needs it.
    pub(super) unscripted: Option<&'static str>,
    pub(super) asks: Option<BrowserPrompt>,
    /// Destructive: the cancel link has the focus.
    pub(super) danger: bool,
    /// The cancel link: a path below the base path, and its label.
    pub(super) out: Option<(String, String)>,
    /// A link to an alternative.
    pub(super) instead: Option<(String, String)>,
}

impl<'p> FormPage<'p> {
    pub(super) fn new(
        shell: PageLayout<'p>,
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
        self.part(FormPart::Input(input))
    }

    /// The names of somebody else.
    pub(super) fn names(self, form: &FormBody) -> Self {
        let input = |name, label| Input::new(name, label, kind::TEXT).value(form.text(name));
        self.input(input("first_name", w::FIRST_NAME))
            .input(input("last_name", w::LAST_NAME).optional())
    }

    pub(super) fn part(mut self, part: FormPart) -> Self {
        self.parts.push(part);
        self
    }

    /// Shows a message without JavaScript.
    pub(super) fn needs_script(self, words: &'static str) -> Self {
        Self { unscripted: Some(words), ..self }
    }

    /// Adds a passkey request.
    pub(super) fn asks(self, asks: BrowserPrompt) -> Self {
        let sheet = self.hidden("challenge", asks.challenge()).hidden("credential", "");
        Self { asks: Some(asks), ..sheet }
    }

    pub(super) fn danger(self) -> Self {
        Self { danger: true, ..self }
    }

    pub(super) fn cancel(self, path: impl Into<String>) -> Self {
        self.out(path, w::CANCEL)
    }

    /// The cancel link, and the form once it was accepted, return to where the form was opened.
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

    /// The same page with the reasons for the refusal, each fault at its field.
    pub(super) fn refused(mut self, failure: &Failure) -> Reply {
        let mut refusal = FormErrors::of(failure);
        for part in &mut self.parts {
            let (name, wrong) = match part {
                FormPart::Input(input) => (input.name, &mut input.wrong),
                FormPart::Roles { wrong, .. } => ("role", wrong),
                FormPart::Select(select) => (select.name, &mut select.wrong),
                _ => continue,
            };
            *wrong = refusal
                .fields
                .iter()
                .find(|field| field.name == name)
                .map(|it| it.sentence.clone());
        }
        // A fault of a field that this form does not have.
        let here = |name: &str| self.parts.iter().any(|part| part.is_named(name));
        refusal.fields.retain(|field| here(&field.name));
        self.refusal = Some(refusal);
        refused_page(&self, failure)
    }
}

/// The data for an overtaken form.
pub(super) struct EditConflict {
    /// Who changed the record first, and when; `None` if the viewer may not see it.
    pub(super) by: Option<(String, String)>,
    pub(super) current: Vec<Fact>,
    /// The current version, on which the form is based from now on.
    pub(super) version: Version,
    /// The link to the form without what was typed; `None` if it only asks for confirmation.
    pub(super) anew: Option<String>,
}

impl FormPage<'_> {
    /// The form again after an edit conflict: with the current values and version. What was typed
    /// is kept, and can be saved over them.
    pub(super) fn overtaken(mut self, failure: &Failure, by: EditConflict) -> Reply {
        for (name, value) in &mut self.hidden {
            if *name == "version" {
                *value = by.version.0.to_string();
            }
        }
        let sentence = match (by.by, &by.anew) {
            (Some((who, when)), Some(_)) => w::overtaken_by(&who, &when),
            (Some((who, when)), None) => w::changed_by(&who, &when),
            (None, Some(_)) => w::OVERTAKEN.to_owned(),
            (None, None) => w::CHANGED_BEFORE.to_owned(),
        };
        self.parts.insert(0, FormPart::Current(by.current));
        let sheet = match by.anew {
            Some(path) => self.instead(path, w::DISCARD),
            None => self,
        };
        sheet.refused(&Failure { public: sentence, code: "overtaken", ..failure.clone() })
    }

    /// The same, except for viewers whose session has ended, who get the page that says so.
    ///
    /// # Errors
    /// `Unauthenticated`, as it came.
    pub(super) fn not_taken(self, failure: Failure) -> PageResult {
        match failure.kind {
            Kind::Unauthenticated => Err(failure),
            _ => Ok(self.refused(&failure)),
        }
    }
}

impl FormPart {
    fn is_named(&self, wanted: &str) -> bool {
        match self {
            Self::Input(input) => input.name == wanted,
            Self::Roles { .. } => wanted == "role",
            Self::Select(select) => select.name == wanted,
            _ => false,
        }
    }
}

/// Why a form was refused.
pub(super) struct FormErrors {
    pub(super) sentence: String,
    pub(super) fields: Vec<FieldError>,
}

pub(super) struct FieldError {
    pub(super) name: String,
    pub(super) sentence: String,
}

impl FormErrors {
    pub(super) fn of(failure: &Failure) -> Self {
        // A fault of the whole message is told at its field in the same words.
        let told = |sentence: &String| {
            if *sentence == failure.public { w::refusal(failure) } else { w::sentence(sentence) }
        };
        let fields = failure
            .fields
            .iter()
            .map(|(name, sentence)| FieldError { name: name.clone(), sentence: told(sentence) });
        Self { sentence: w::refusal_with_wait(failure), fields: fields.collect() }
    }
}
