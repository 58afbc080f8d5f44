//! The SMTP client (RFC 5321), step by step, so that a fault names its step.
//!
//! Never sends a password or a mail over an unencrypted connection to another machine, and never
//! prints a password.

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use lettre::Message;
use lettre::transport::smtp::commands::{Data, Ehlo, Mail, Quit, Rcpt, Rset, Starttls};
use lettre::transport::smtp::extension::{ClientId, MailParameter, RcptParameter};
use tokio::net::TcpStream;

use super::access_tokens;
use super::sanitize;
use super::send_fault::{AcceptedMail, FaultClass, SendFault, SmtpStep};
use super::smtp_auth::{self, SmtpSecret};
use super::smtp_replies::{SmtpConversation, SmtpError, SmtpReply, Stream};
use super::tls::Tls;
use super::{HandoverFlag, SmtpStepResult};
use crate::config::{self, Login, MailServer, SmtpSecurity, TokenSource};
use crate::domain::{Email, Failure, Kind, limits};

/// The SMTP client of a mail server.
pub(super) struct Smtp {
    place: MailServer,
    /// `None` if the URL does not require TLS.
    tls: Option<Tls>,
    hello: ClientId,
    patience: Duration,
    patience_with_data: Duration,
}

/// An authenticated connection to the mail server.
pub(super) struct SmtpSession {
    talk: SmtpConversation,
    /// Whether delivery notifications are supported (RFC 3461).
    notifies: bool,
}

impl Smtp {
    /// The domain of `from` is the name to greet with if this machine has no full one.
    pub(super) fn new(place: MailServer, from: &Email) -> Result<Self, Failure> {
        let refuse = |fault: String| {
            let sentence = format!("`mail.url` cannot be used with TLS: {fault}");
            Failure::new(Kind::Invalid, "config", sentence)
        };
        let tls = match place.scheme {
            SmtpSecurity::Open => None,
            SmtpSecurity::Implicit | SmtpSecurity::StartTls => Some(Tls::new().map_err(refuse)?),
        };
        Ok(Self {
            place,
            tls,
            hello: hello(from),
            patience: Duration::from_millis(limits::MAIL_STEP_MS_MAX),
            patience_with_data: Duration::from_millis(limits::MAIL_DATA_MS_MAX),
        })
    }

    /// Sets the timeout of each step.
    pub(super) fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
        self.patience_with_data = patience;
    }

    /// Sends one message, on the open connection if it still works, else on a new one; keeps the
    /// connection open.
    pub(super) async fn send(
        &self,
        line: &mut Option<SmtpSession>,
        message: &Message,
        walk: &mut Vec<SmtpStepResult>,
        given: &HandoverFlag,
    ) -> Result<AcceptedMail, SendFault> {
        let mut current = match self.still_open(line.take()).await {
            Some(open) => open,
            None => self.connect(walk).await?,
        };
        let outcome = self.hand_over(&mut current, message, walk, given).await;
        // A connection in an unknown state is not reused.
        if outcome.as_ref().map_or_else(|fault| fault.code.is_some(), |_| true) {
            *line = Some(current);
        }
        outcome
    }

    /// Sends QUIT; the response does not matter.
    pub(super) async fn close(&self, mut line: SmtpSession) {
        let _ = self.ask(SmtpStep::Data, &mut line.talk, Quit).await;
    }

    /// The open connection, if it can carry another mail: also resets an unfinished one.
    async fn still_open(&self, line: Option<SmtpSession>) -> Option<SmtpSession> {
        let mut line = line?;
        let reset = self.ask(SmtpStep::MailFrom, &mut line.talk, Rset).await;
        reset.is_ok().then_some(line)
    }

    async fn connect(&self, walk: &mut Vec<SmtpStepResult>) -> Result<SmtpSession, SendFault> {
        let addresses = self.look_up().await?;
        let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        passed(walk, SmtpStep::Dns, format!("`{}` is {}", self.place.host, shown.join(", ")));
        let mut stream = self.reach(&addresses).await?;
        passed(walk, SmtpStep::Connect, format!("connected to port {}", self.place.port));
        if let (SmtpSecurity::Implicit, Some(tls)) = (self.place.scheme, &self.tls) {
            stream = self.encipher(tls, stream, walk).await?;
        }
        let mut talk = SmtpConversation::over(stream);
        self.within(SmtpStep::Greeting, talk.reply()).await?;
        let mut hello = self.greet(&mut talk).await?;
        let name = hello.lines.first().and_then(|line| line.split(' ').next()).unwrap_or_default();
        passed(walk, SmtpStep::Greeting, format!("`{}` greets", sanitize::answer(name)));
        if let (SmtpSecurity::StartTls, Some(tls)) = (self.place.scheme, &self.tls) {
            talk = self.start_tls(talk, &hello, tls, walk).await?;
            // Extensions announced before TLS could have been modified.
            hello = self.greet(&mut talk).await?;
        }
        if let Some(login) = &self.place.login {
            self.sign_in(&mut talk, &hello, login, walk).await?;
        }
        Ok(SmtpSession { talk, notifies: hello.offers("DSN").is_some() })
    }

    async fn look_up(&self) -> Result<Vec<SocketAddr>, SendFault> {
        let fault =
            |text: &str| SendFault::without_answer(FaultClass::Temporary, SmtpStep::Dns, text);
        let place = (self.place.host.as_str(), self.place.port);
        let found = tokio::time::timeout(self.patience, tokio::net::lookup_host(place))
            .await
            .map_err(|_| fault("the name server did not answer in time"))?
            .map_err(|io| fault(&io.to_string()))?;
        let addresses = usable(self.place.scheme, found);
        if addresses.is_empty() {
            return Err(fault("it has no address that may be used"));
        }
        Ok(addresses)
    }

    async fn reach(&self, addresses: &[SocketAddr]) -> Result<Box<dyn Stream>, SendFault> {
        let unreached =
            |text: &str| SendFault::without_answer(FaultClass::Temporary, SmtpStep::Connect, text);
        let stream = tokio::time::timeout(self.patience, TcpStream::connect(addresses))
            .await
            .map_err(|_| unreached("no answer in time"))?
            .map_err(|io| unreached(&words_of(&io)))?;
        // Small packets are sent immediately; failure only costs time.
        let _ = stream.set_nodelay(true);
        Ok(Box::new(stream))
    }

    async fn encipher(
        &self,
        tls: &Tls,
        stream: Box<dyn Stream>,
        walk: &mut Vec<SmtpStepResult>,
    ) -> Result<Box<dyn Stream>, SendFault> {
        let handshake = async { Ok(tls.handshake(&self.place.host, stream).await?) };
        let stream = self.within(SmtpStep::Tls, handshake).await?;
        passed(walk, SmtpStep::Tls, "the certificate is trusted".to_owned());
        Ok(stream)
    }

    /// Sends EHLO; returns what the server offers.
    async fn greet(&self, talk: &mut SmtpConversation) -> Result<SmtpReply, SendFault> {
        self.ask(SmtpStep::Greeting, talk, Ehlo::new(self.hello.clone())).await
    }

    async fn start_tls(
        &self,
        mut talk: SmtpConversation,
        hello: &SmtpReply,
        tls: &Tls,
        walk: &mut Vec<SmtpStepResult>,
    ) -> Result<SmtpConversation, SendFault> {
        if hello.offers("STARTTLS").is_none() {
            let text = "it does not offer STARTTLS";
            return Err(SendFault::without_answer(
                FaultClass::Configuration,
                SmtpStep::StartTls,
                text,
            ));
        }
        self.ask(SmtpStep::StartTls, &mut talk, Starttls).await?;
        passed(walk, SmtpStep::StartTls, "the connection is encrypted".to_owned());
        Ok(SmtpConversation::over(self.encipher(tls, talk.into_stream(), walk).await?))
    }

    async fn sign_in(
        &self,
        talk: &mut SmtpConversation,
        hello: &SmtpReply,
        login: &Login,
        walk: &mut Vec<SmtpStepResult>,
    ) -> Result<(), SendFault> {
        let token = match &login.proof {
            config::SmtpCredential::Password(_) => None,
            config::SmtpCredential::Token(source) => {
                let patience = self.patience.min(Duration::from_millis(limits::MAIL_TOKEN_MS_MAX));
                Some(
                    access_tokens::token(source, patience)
                        .await
                        .map_err(|why| no_token(source, &why))?,
                )
            }
        };
        let proof = match (&login.proof, &token) {
            (config::SmtpCredential::Password(password), _) => SmtpSecret::Password(password),
            (config::SmtpCredential::Token(_), token) => {
                SmtpSecret::Token(token.as_deref().unwrap_or_default())
            }
        };
        let key = login.proof.key();
        let fault = |fault: SendFault| match fault.class {
            FaultClass::Configuration => SendFault { key, ..fault },
            _ => fault,
        };
        let Some(mechanism) = smtp_auth::chosen(hello, token.is_some()) else {
            let text = smtp_auth::offered(hello, token.is_some());
            let unknown =
                SendFault::without_answer(FaultClass::Configuration, SmtpStep::Auth, &text);
            return Err(fault(unknown));
        };
        talk.hide(smtp_auth::secrets(&login.user, proof));
        let signed_in = smtp_auth::sign_in(talk, mechanism, &login.user, proof);
        self.within(SmtpStep::Auth, signed_in).await.map_err(fault)?;
        passed(walk, SmtpStep::Auth, format!("signed in as `{}`", sanitize::answer(&login.user)));
        Ok(())
    }

    async fn hand_over(
        &self,
        line: &mut SmtpSession,
        message: &Message,
        walk: &mut Vec<SmtpStepResult>,
        given: &HandoverFlag,
    ) -> Result<AcceptedMail, SendFault> {
        let (from, to) = (message.envelope().from(), message.envelope().to());
        let Some(to) = to.first() else {
            return Err(SendFault::without_answer(
                FaultClass::Permanent,
                SmtpStep::Write,
                "no recipient",
            ));
        };
        let talk = &mut line.talk;
        let mail = Mail::new(from.cloned(), return_only_head(line.notifies));
        self.ask(SmtpStep::MailFrom, talk, mail).await?;
        let shown = from.map_or("nobody", AsRef::as_ref);
        passed(walk, SmtpStep::MailFrom, format!("mail from `{shown}` is accepted"));
        let rcpt = Rcpt::new(to.clone(), notify(line.notifies));
        self.ask(SmtpStep::Rcpt, talk, rcpt).await?;
        passed(walk, SmtpStep::Rcpt, format!("mail to `{to}` is accepted"));
        self.ask(SmtpStep::Data, talk, Data).await?;
        given.set(true);
        let mail = on_the_line(&message.formatted());
        let outcome = match tokio::time::timeout(self.patience_with_data, talk.give(&mail)).await {
            Ok(given) => given.map_err(|broken| fault(SmtpStep::Data, &broken)),
            Err(_) => Err(silence(SmtpStep::Data)),
        };
        let reply =
            outcome.map_err(|fault| SendFault { unclear: fault.code.is_none(), ..fault })?;
        let answer = sanitize::answer(&format!("{} {}", reply.code, reply.lines.join(" ")));
        let taken = format!("accepted by your mail server ({answer})");
        passed(walk, SmtpStep::Data, taken.clone());
        Ok(AcceptedMail(taken))
    }

    /// Sends a command and waits for the response, with the step timeout.
    async fn ask(
        &self,
        step: SmtpStep,
        talk: &mut SmtpConversation,
        command: impl Display,
    ) -> Result<SmtpReply, SendFault> {
        self.within(step, talk.command(command)).await
    }

    /// Runs one step with the step timeout.
    async fn within<T>(
        &self,
        step: SmtpStep,
        talk: impl Future<Output = Result<T, SmtpError>>,
    ) -> Result<T, SendFault> {
        match tokio::time::timeout(self.patience, talk).await {
            Ok(outcome) => outcome.map_err(|broken| fault(step, &broken)),
            Err(_) => Err(silence(step)),
        }
    }
}

/// A missing token may be there soon: a temporary fault.
fn no_token(source: &TokenSource, why: &str) -> SendFault {
    let fault = SendFault::without_answer(FaultClass::Temporary, SmtpStep::Auth, why);
    SendFault { key: Some(source.key()), ..fault }
}

fn fault(step: SmtpStep, broken: &SmtpError) -> SendFault {
    match broken {
        SmtpError::Refused(reply) => SendFault::answered(step, reply.code, &reply.text()),
        SmtpError::NotSmtp => {
            SendFault::without_answer(FaultClass::Temporary, step, "its answer is not SMTP")
        }
        SmtpError::Io(io) => SendFault::without_answer(class_of_io(io), step, &words_of(io)),
    }
}

/// A mail with dot-stuffing and its end (RFC 5321 section 4.5.2). In one piece: a second packet
/// would wait for the acknowledgement of the first, which servers delay by 40 ms.
fn on_the_line(mail: &[u8]) -> Vec<u8> {
    let mut line = Vec::with_capacity(mail.len() + 5);
    let mut before = [b'\r', b'\n'];
    for byte in mail {
        if *byte == b'.' && before == *b"\r\n" {
            line.push(b'.');
        }
        line.push(*byte);
        before = [before[1], *byte];
    }
    line.extend_from_slice(b"\r\n.\r\n");
    line
}

/// Without TLS only loopback addresses are used: DNS must not be able to redirect the mail.
fn usable(scheme: SmtpSecurity, found: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    found.filter(|address| scheme != SmtpSecurity::Open || address.ip().is_loopback()).collect()
}

/// The name to greet with: this machine's, if it is a full one (RFC 5321 section 4.1.4).
fn hello(from: &Email) -> ClientId {
    let domain = || from.as_str().rsplit('@').next().unwrap_or_default().to_owned();
    match ClientId::default() {
        ClientId::Domain(name) if name.contains('.') => ClientId::Domain(name),
        _ => ClientId::Domain(domain()),
    }
}

fn passed(walk: &mut Vec<SmtpStepResult>, step: SmtpStep, detail: String) {
    walk.push(SmtpStepResult { step, passed: true, detail });
}

/// Asks that a bounce does not include the mail, and so no link (RFC 3461 section 4.3).
fn return_only_head(notifies: bool) -> Vec<MailParameter> {
    let head = MailParameter::Other { keyword: "RET".to_owned(), value: Some("HDRS".to_owned()) };
    if notifies { vec![head] } else { Vec::new() }
}

/// Asks for delivery notifications (RFC 3461 section 4.1).
fn notify(notifies: bool) -> Vec<RcptParameter> {
    let of_all = RcptParameter::Other {
        keyword: "NOTIFY".to_owned(),
        value: Some("SUCCESS,FAILURE,DELAY".to_owned()),
    };
    if notifies { vec![of_all] } else { Vec::new() }
}

fn silence(step: SmtpStep) -> SendFault {
    SendFault::without_answer(FaultClass::Temporary, step, "no answer in time")
}

/// An untrusted certificate, or a server that does not speak TLS, needs a person to act; an
/// interrupted handshake may succeed next time.
fn class_of_io(io: &io::Error) -> FaultClass {
    let text = io.to_string();
    let lasting = io.kind() == io::ErrorKind::InvalidData
        && (text.contains("certificate") || text.contains("corrupt message"));
    if lasting { FaultClass::Configuration } else { FaultClass::Temporary }
}

/// The system's error in plain words.
fn words_of(io: &io::Error) -> String {
    let text = io.to_string();
    if text.contains("corrupt message") {
        return "this port does not begin with TLS: `smtp://...?tls=required` is for such ports"
            .to_owned();
    }
    match io.kind() {
        io::ErrorKind::InvalidData => text,
        io::ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
        io::ErrorKind::Other => text,
        kind => kind.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[test]
    fn an_open_line_stays_on_this_machine() {
        let found = ["192.0.2.1:25", "127.0.0.1:25", "[2001:db8::1]:25", "[::1]:25"];
        let addresses = |scheme| {
            let all = found.iter().map(|text| text.parse().unwrap());
            usable(scheme, all).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(addresses(SmtpSecurity::Open), ["127.0.0.1:25", "[::1]:25"]);
        assert_eq!(addresses(SmtpSecurity::StartTls), found);
    }

    #[test]
    fn a_mail_ends_where_it_ends_and_not_at_a_dot_of_its_own() {
        for (mail, line) in [
            ("a\r\nb\r\n", "a\r\nb\r\n\r\n.\r\n"),
            (".\r\n", "..\r\n\r\n.\r\n"),
            ("a\r\n.\r\n.\r\n..b.\n.c", "a\r\n..\r\n..\r\n...b.\n.c\r\n.\r\n"),
            ("", "\r\n.\r\n"),
        ] {
            assert_eq!(on_the_line(mail.as_bytes()), line.as_bytes());
        }
    }

    #[tokio::test]
    async fn a_mail_goes_over_the_line_in_one_piece() {
        let (own, mut server) = tokio::io::duplex(1 << 10);
        server.write_all(b"250\r\n").await.unwrap();
        let mut talk = SmtpConversation::over(Box::new(own));
        talk.give(&on_the_line(b"Subject: a\r\n\r\n.b\r\n")).await.unwrap();
        let mut read = [0; 1 << 10];
        let length = server.read(&mut read).await.unwrap();
        assert_eq!(read[..length], *b"Subject: a\r\n\r\n..b\r\n\r\n.\r\n");
    }
}
