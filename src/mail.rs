//! Mail: builds messages, submits them to a mail server, and parses bounces.
//!
//! Independent of the store and of services: receives every fact that a mail states, and returns the
//! result of the delivery. Never retries by itself, never reads the clock, and never logs a link or
//! a password.

mod access_tokens;
pub mod bounce;
mod bounce_maildir;
mod eml_folder;
mod in_memory_server;
mod mail_texts;
mod message;
mod refusal_tracker;
mod retry_schedule;
mod sanitize;
mod send_fault;
mod smtp;
mod smtp_auth;
mod smtp_replies;
mod tls;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::config::{self, MailServer};
use crate::domain::{Email, Failure, Kind, MailId, Mailbox, Timestamp};

pub use bounce::BounceReport;
pub use bounce_maildir::Maildir;
pub use eml_folder::WRITTEN;
pub use in_memory_server::InMemoryServer;
pub use mail_texts::{ActionLink, MailContent};
pub use message::OutgoingMail;
pub use refusal_tracker::RefusalTracker;
pub use retry_schedule::next_try;
pub use send_fault::{AcceptedMail, FaultClass, SendFault, SmtpStep};

/// Sends mail, by one of several backends.
pub struct Mailer {
    from: Mailbox,
    bounce_domain: Option<String>,
    way: Transport,
}

/// The mail backends.
enum Transport {
    Smtp(Box<smtp::Smtp>),
    Folder(eml_folder::EmlFolder),
    Links,
    Memory(InMemoryServer),
}

/// One step of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmtpStepResult {
    /// The step.
    pub step: SmtpStep,
    /// Whether it passed.
    pub passed: bool,
    /// What happened, in plain words.
    pub detail: String,
}

/// The steps of a test mail; only the last one can have failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestReport {
    /// In order.
    pub steps: Vec<SmtpStepResult>,
}

impl TestReport {
    /// Whether the mail was accepted.
    #[must_use]
    pub fn passed(&self) -> bool {
        !self.steps.is_empty() && self.steps.iter().all(|step| step.passed)
    }
}

impl Mailer {
    /// The backend of section `mail` of the configuration; `folder` writes below `data`.
    ///
    /// # Errors
    /// As [`Mailer::checked`]; `Internal`, when the folder cannot be made.
    pub fn from_config(mail: &config::Mail, data: &Path) -> Result<Self, Failure> {
        let mut mailer = Self::checked(mail)?;
        if mail.kind.as_deref() == Some("folder") {
            mailer.way = Transport::Folder(eml_folder::EmlFolder::open(data.join("outbox"))?);
        }
        Ok(mailer)
    }

    /// The same without writing anything, for `serve --check`.
    ///
    /// # Errors
    /// `Invalid`, when an address cannot be used.
    pub fn checked(mail: &config::Mail) -> Result<Self, Failure> {
        let from = match &mail.from {
            Some(text) => Mailbox::parse(text)
                .map_err(|why| refuse(format!("`mail.from` cannot send: {why}")))?,
            None => nobody()?,
        };
        let bounce_domain = mail.bounce_domain.clone();
        if let Some(domain) = &bounce_domain
            && bounce::return_path(domain, MailId(u64::MAX), &"f".repeat(16)).is_none()
        {
            return Err(refuse(
                "`mail.bounce_domain` is not a domain: write it as `example.org`".to_owned(),
            ));
        }
        let way = match mail.kind.as_deref() {
            None | Some("links" | "folder") => Transport::Links,
            Some("smtp") => {
                let server =
                    MailServer::of(mail).map_err(|(key, why)| refuse(format!("`{key}` {why}")))?;
                Transport::Smtp(Box::new(smtp::Smtp::new(server, &from.email)?))
            }
            Some(_) => {
                return Err(refuse("`mail.kind` must be `smtp`, `folder` or `links`".to_owned()));
            }
        };
        Ok(Self { from, bounce_domain, way })
    }

    /// The in-memory backend, for simulations.
    ///
    /// # Errors
    /// Never: the address is a constant.
    pub fn memory(memory: &InMemoryServer) -> Result<Self, Failure> {
        let from = nobody()?;
        let bounce_domain = Some("bounce.localhost".to_owned());
        Ok(Self { from, bounce_domain, way: Transport::Memory(memory.clone()) })
    }

    /// Sets the timeout of each step of an SMTP session, for tests.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        if let Transport::Smtp(smtp) = &mut self.way {
            smtp.set_patience(patience);
        }
        self
    }

    /// The name of the backend in the configuration.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self.way {
            Transport::Smtp(_) => "smtp",
            Transport::Folder(_) => "folder",
            Transport::Links => "links",
            Transport::Memory(_) => "memory",
        }
    }

    /// Whether mail is sent at all; otherwise links are shown instead.
    #[must_use]
    pub const fn sends(&self) -> bool {
        !matches!(self.way, Transport::Links)
    }

    /// The domain of the sender's address, for the ids of messages.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.from.email.as_str().rsplit('@').next().unwrap_or_default()
    }

    /// The bounce address of a letter; `None` if no domain is configured.
    #[must_use]
    pub fn return_path(&self, letter: MailId, mark: &str) -> Option<Email> {
        bounce::return_path(self.bounce_domain.as_deref()?, letter, mark)
    }

    /// Sends one mail.
    ///
    /// # Errors
    /// A [`SendFault`] with its class: retry, give up, or stop until it is fixed.
    pub async fn send(&self, outgoing: &OutgoingMail) -> Result<AcceptedMail, SendFault> {
        let mut batch = self.batch();
        let outcome = batch.send(outgoing).await;
        batch.close().await;
        outcome
    }

    /// Sends several mails, one after the other, over one connection if possible.
    #[must_use]
    pub fn batch(&self) -> MailBatch<'_> {
        MailBatch { mailer: self, line: None, given: HandoverFlag::default() }
    }

    /// Sends a test mail on its own connection, and reports each step.
    pub async fn test(&self, to: &Email, message_id: &str, date: Timestamp) -> TestReport {
        let outgoing = OutgoingMail {
            to: to.clone(),
            to_name: String::new(),
            message_id: message_id.to_owned(),
            return_path: None,
            date,
            content: MailContent::Test,
        };
        let mut steps = Vec::new();
        let mut batch = self.batch();
        match batch.walk(&outgoing, &mut steps).await {
            // For SMTP the last step reports it already.
            Ok(_) if !steps.is_empty() => {}
            Ok(AcceptedMail(detail)) => {
                steps.push(SmtpStepResult { step: SmtpStep::Write, passed: true, detail })
            }
            Err(fault) => {
                let detail = match fault.class {
                    FaultClass::Temporary => format!(
                        "{}; a test mail is not tried again: send another one later",
                        fault.happened()
                    ),
                    _ => fault.sentence(),
                };
                steps.push(SmtpStepResult { step: fault.step, passed: false, detail });
            }
        }
        batch.close().await;
        TestReport { steps }
    }
}

/// The part of a mailer that services use beside sending.
impl Mailer {
    /// A mailer that sends nothing.
    ///
    /// # Errors
    /// Never: the address is a constant.
    pub fn links() -> Result<Self, Failure> {
        let from = nobody()?;
        Ok(Self { from, bounce_domain: None, way: Transport::Links })
    }
}

/// The URL of a mail server contains a password: it is never printed.
impl std::fmt::Debug for Mailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mailer({})", self.kind())
    }
}

/// Whether the mail server may have accepted the current mail; clones share the state.
#[derive(Clone, Debug, Default)]
pub struct HandoverFlag(Arc<AtomicBool>);

impl HandoverFlag {
    /// Whether it may have. Until then, sending can be dropped, and the mail is not sent.
    #[must_use]
    pub fn is_so(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn set(&self, given: bool) {
        self.0.store(given, Ordering::Release);
    }
}

/// Mails that share a connection. Dropped without [`MailBatch::close`], the connection is cut.
pub struct MailBatch<'a> {
    mailer: &'a Mailer,
    line: Option<smtp::SmtpSession>,
    given: HandoverFlag,
}

impl MailBatch<'_> {
    /// Whether the current mail may have been accepted.
    #[must_use]
    pub fn given(&self) -> HandoverFlag {
        self.given.clone()
    }

    /// Sends one mail.
    ///
    /// # Errors
    /// As [`Mailer::send`].
    pub async fn send(&mut self, outgoing: &OutgoingMail) -> Result<AcceptedMail, SendFault> {
        self.walk(outgoing, &mut Vec::new()).await
    }

    /// Sends one mail, and records the steps that succeeded.
    async fn walk(
        &mut self,
        outgoing: &OutgoingMail,
        steps: &mut Vec<SmtpStepResult>,
    ) -> Result<AcceptedMail, SendFault> {
        let unwritten = |class, text: &str| SendFault::without_answer(class, SmtpStep::Write, text);
        let message = message::write(outgoing, &self.mailer.from)
            .map_err(|text| unwritten(FaultClass::Permanent, &text))?;
        // Only SMTP has earlier steps.
        self.given.set(!matches!(self.mailer.way, Transport::Smtp(_)));
        match &self.mailer.way {
            Transport::Smtp(smtp) => smtp.send(&mut self.line, &message, steps, &self.given).await,
            Transport::Folder(folder) => {
                folder.send(&outgoing.message_id, message.formatted()).await
            }
            Transport::Memory(memory) => memory.send(outgoing),
            Transport::Links => {
                Err(unwritten(FaultClass::Configuration, "links are shown instead"))
            }
        }
    }

    /// Closes the connection with QUIT.
    pub async fn close(self) {
        if let (Transport::Smtp(smtp), Some(line)) = (&self.mailer.way, self.line) {
            smtp.close(line).await;
        }
    }
}

/// The sender if none is configured.
fn nobody() -> Result<Mailbox, Failure> {
    Ok(Mailbox { name: String::new(), email: Email::parse("kwic-team@localhost")? })
}

fn refuse(sentence: String) -> Failure {
    Failure::new(Kind::Invalid, "config", sentence)
}
