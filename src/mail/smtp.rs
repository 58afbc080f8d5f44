//! SMTP (RFC 5321), step by step, so that a fault names the step where it happened.
//!
//! Never sends a password or a mail over an open line beyond this machine, and never prints a
//! password.

use std::error::Error as _;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use lettre::Message;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Ehlo, Mail, Quit, Rcpt, Rset};
use lettre::transport::smtp::extension::{ClientId, MailParameter, RcptParameter};
use lettre::transport::smtp::response::Response;
use tokio::net::TcpStream;

use super::fault::{Class, SendFault, Step, Taken};
use super::place::{Login, Place, Scheme};
use super::shown;
use super::{Given, Walked};
use crate::domain::{Email, Failure, Kind, limits};

/// A mail server, and how to talk to it.
pub(super) struct Smtp {
    place: Place,
    security: Security,
    hello: ClientId,
    patience: Duration,
    patience_with_data: Duration,
}

enum Security {
    Open,
    Implicit(TlsParameters),
    StartTls(TlsParameters),
}

/// An open connection to the mail server, signed in.
pub(super) struct Line {
    connection: AsyncSmtpConnection,
    /// Whether notices of delivery can be asked for (RFC 3461).
    notifies: bool,
}

impl Smtp {
    /// Reads the address; `from` gives the name to greet with where this machine has no full one.
    pub(super) fn new(url: &str, from: &Email) -> Result<Self, Failure> {
        let refuse =
            |why: String| Failure::new(Kind::Invalid, "config", format!("`mail.url` {why}"));
        let place = Place::parse(url).map_err(refuse)?;
        let tls = || {
            TlsParameters::new(place.host.clone())
                .map_err(|fault| refuse(format!("cannot be used with TLS: {fault}")))
        };
        let security = match place.scheme {
            Scheme::Open => Security::Open,
            Scheme::Implicit => Security::Implicit(tls()?),
            Scheme::StartTls => Security::StartTls(tls()?),
        };
        Ok(Self {
            place,
            security,
            hello: hello(from),
            patience: Duration::from_millis(limits::MAIL_STEP_MS_MAX),
            patience_with_data: Duration::from_millis(limits::MAIL_DATA_MS_MAX),
        })
    }

    /// Waits no longer than this for any step.
    pub(super) fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
        self.patience_with_data = patience;
    }

    /// Hands one message over, on the open line where it still stands, else on a new one; leaves
    /// the line open for the next.
    pub(super) async fn send(
        &self,
        line: &mut Option<Line>,
        message: &Message,
        walk: &mut Vec<Walked>,
        given: &Given,
    ) -> Result<Taken, SendFault> {
        let mut current = match self.still_open(line.take()).await {
            Some(open) => open,
            None => self.connect(walk).await?,
        };
        let outcome = self.hand_over(&mut current, message, walk, given).await;
        // A line on which something was left unsaid is not used again.
        if outcome.as_ref().map_or_else(|fault| fault.code.is_some(), |_| true) {
            *line = Some(current);
        }
        outcome
    }

    /// Says goodbye; whether it is heard does not matter.
    pub(super) async fn close(&self, mut line: Line) {
        let _ = self.within(Step::Data, line.connection.command(Quit)).await;
    }

    /// A line that can carry another mail: also ends what the last one left unfinished.
    async fn still_open(&self, line: Option<Line>) -> Option<Line> {
        let mut line = line?;
        let reset = self.within(Step::MailFrom, line.connection.command(Rset)).await;
        reset.is_ok().then_some(line)
    }

    async fn connect(&self, walk: &mut Vec<Walked>) -> Result<Line, SendFault> {
        let addresses = self.look_up().await?;
        let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        passed(walk, Step::Dns, format!("`{}` is {}", self.place.host, shown.join(", ")));
        let mut connection = match &self.security {
            Security::Implicit(tls) => self.connect_over_tls(&addresses, tls, walk).await?,
            Security::Open | Security::StartTls(_) => self.connect_openly(&addresses, walk).await?,
        };
        if let Security::StartTls(tls) = &self.security {
            self.start_tls(&mut connection, tls, walk).await?;
        }
        if let Some(login) = &self.place.login {
            self.sign_in(&mut connection, login, walk).await?;
        }
        let hello = connection.command(Ehlo::new(self.hello.clone()));
        let response = self.within(Step::Greeting, hello).await?;
        let notifies = response.message().any(|line| line.eq_ignore_ascii_case("DSN"));
        Ok(Line { connection, notifies })
    }

    async fn look_up(&self) -> Result<Vec<SocketAddr>, SendFault> {
        let fault = |text: &str| SendFault::without_answer(Class::Temporary, Step::Dns, text);
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

    async fn connect_openly(
        &self,
        addresses: &[SocketAddr],
        walk: &mut Vec<Walked>,
    ) -> Result<AsyncSmtpConnection, SendFault> {
        let unreached =
            |text: &str| SendFault::without_answer(Class::Temporary, Step::Connect, text);
        let stream = tokio::time::timeout(self.patience, TcpStream::connect(addresses))
            .await
            .map_err(|_| unreached("no answer in time"))?
            .map_err(|io| unreached(&words_of(&io)))?;
        // What is small goes out at once; without it, it only takes longer.
        let _ = stream.set_nodelay(true);
        passed(walk, Step::Connect, format!("connected to port {}", self.place.port));
        let greeted = AsyncSmtpConnection::connect_with_transport(Box::new(stream), &self.hello);
        let connection = self.within(Step::Greeting, greeted).await?;
        passed(walk, Step::Greeting, greeting(&connection));
        Ok(connection)
    }

    /// TCP, TLS and the greeting are one call here; the kind of a fault tells them apart.
    async fn connect_over_tls(
        &self,
        addresses: &[SocketAddr],
        tls: &TlsParameters,
        walk: &mut Vec<Walked>,
    ) -> Result<AsyncSmtpConnection, SendFault> {
        let all = AsyncSmtpConnection::connect_tokio1(
            addresses,
            Some(self.patience),
            &self.hello,
            Some(tls.clone()),
            None,
        );
        let connection = match tokio::time::timeout(self.patience * 2, all).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => {
                let step = match io_source(&error).map(io::Error::kind) {
                    None => Step::Greeting,
                    Some(kind) if is_before_tls(kind) => Step::Connect,
                    Some(_) => Step::Tls,
                };
                return Err(self.fault(step, &error));
            }
            Err(_) => return Err(silence(Step::Tls)),
        };
        passed(walk, Step::Connect, format!("connected to port {}", self.place.port));
        passed(walk, Step::Tls, "the certificate is trusted".to_owned());
        passed(walk, Step::Greeting, greeting(&connection));
        Ok(connection)
    }

    async fn start_tls(
        &self,
        connection: &mut AsyncSmtpConnection,
        tls: &TlsParameters,
        walk: &mut Vec<Walked>,
    ) -> Result<(), SendFault> {
        if !connection.can_starttls() {
            let text = "it does not offer STARTTLS";
            return Err(SendFault::without_answer(Class::Configuration, Step::StartTls, text));
        }
        let upgraded = connection.starttls(tls.clone(), &self.hello);
        match tokio::time::timeout(self.patience, upgraded).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let answered = error.status().is_some();
                return Err(self.fault(if answered { Step::StartTls } else { Step::Tls }, &error));
            }
            Err(_) => return Err(silence(Step::Tls)),
        }
        passed(walk, Step::StartTls, "the connection is enciphered".to_owned());
        passed(walk, Step::Tls, "the certificate is trusted".to_owned());
        Ok(())
    }

    async fn sign_in(
        &self,
        connection: &mut AsyncSmtpConnection,
        login: &Login,
        walk: &mut Vec<Walked>,
    ) -> Result<(), SendFault> {
        let credentials = Credentials::new(login.user.clone(), login.password.clone());
        self.within(Step::Auth, connection.auth(DEFAULT_MECHANISMS, &credentials)).await?;
        passed(walk, Step::Auth, format!("signed in as `{}`", shown::answer(&login.user)));
        Ok(())
    }

    async fn hand_over(
        &self,
        line: &mut Line,
        message: &Message,
        walk: &mut Vec<Walked>,
        given: &Given,
    ) -> Result<Taken, SendFault> {
        let (from, to) = (message.envelope().from(), message.envelope().to());
        let Some(to) = to.first() else {
            return Err(SendFault::without_answer(Class::Permanent, Step::Write, "no recipient"));
        };
        let connection = &mut line.connection;
        let mail = Mail::new(from.cloned(), return_only_head(line.notifies));
        self.within(Step::MailFrom, connection.command(mail)).await?;
        let shown = from.map_or("nobody", AsRef::as_ref);
        passed(walk, Step::MailFrom, format!("mail from `{shown}` is taken"));
        let rcpt = Rcpt::new(to.clone(), notify(line.notifies));
        self.within(Step::Rcpt, connection.command(rcpt)).await?;
        passed(walk, Step::Rcpt, format!("mail to `{to}` is taken"));
        given.set(true);
        self.within(Step::Data, connection.command(Data)).await?;
        let given = give(connection, message.formatted());
        let response = match tokio::time::timeout(self.patience_with_data, given).await {
            Ok(given) => given.map_err(|error| self.fault(Step::Data, &error))?,
            Err(_) => return Err(silence(Step::Data)),
        };
        let taken = format!("handed to your mail server ({})", self.answer(&response));
        passed(walk, Step::Data, taken.clone());
        Ok(Taken(taken))
    }

    /// Waits for one step, no longer than patience lasts.
    async fn within<T>(
        &self,
        step: Step,
        talk: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, SendFault> {
        match tokio::time::timeout(self.patience, talk).await {
            Ok(outcome) => outcome.map_err(|error| self.fault(step, &error)),
            Err(_) => Err(silence(step)),
        }
    }

    fn fault(&self, step: Step, error: &Error) -> SendFault {
        let words = error.source().map(ToString::to_string).unwrap_or_default();
        if let Some(code) = error.status() {
            return SendFault::answered(step, code.into(), &self.without_password(&words));
        }
        let (class, text) = match io_source(error) {
            Some(io) => (class_of_io(io), words_of(io)),
            None if error.is_client() => (Class::Configuration, words),
            None if words.contains("incomplete") => (Class::Temporary, "it hung up".to_owned()),
            None => (Class::Temporary, "its answer is not SMTP".to_owned()),
        };
        SendFault::without_answer(class, step, &self.without_password(&text))
    }

    /// A mail server's whole answer, for people.
    fn answer(&self, response: &Response) -> String {
        let words: Vec<&str> = response.message().collect();
        shown::answer(&self.without_password(&format!("{} {}", response.code(), words.join(" "))))
    }

    /// A mail server may repeat what it was told.
    fn without_password(&self, text: &str) -> String {
        let secrets = self.place.login.iter().flat_map(|login| &login.secrets);
        secrets.fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }
}

/// Gives a mail with its end in one piece: the second of two would wait until the first is
/// acknowledged, which servers put off by 40 ms.
async fn give(connection: &mut AsyncSmtpConnection, mail: Vec<u8>) -> Result<Response, Error> {
    match String::from_utf8(mail) {
        Ok(mail) => connection.command(on_the_line(&mail)).await,
        Err(bytes) => connection.message(bytes.as_bytes()).await,
    }
}

/// A mail as it goes over the line, with its end: a dot at the begin of a line is doubled (RFC 5321
/// section 4.5.2).
fn on_the_line(mail: &str) -> String {
    let begin = if mail.starts_with('.') { "." } else { "" };
    format!("{begin}{}\r\n.\r\n", mail.replace("\r\n.", "\r\n.."))
}

/// On an open line only addresses of this machine count: no name server shall be able to lead the
/// mail away.
fn usable(scheme: Scheme, found: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    found.filter(|address| scheme != Scheme::Open || address.ip().is_loopback()).collect()
}

/// The name to greet with: this machine's, where it is a full one (RFC 5321 section 4.1.4).
fn hello(from: &Email) -> ClientId {
    let domain = || from.as_str().rsplit('@').next().unwrap_or_default().to_owned();
    match ClientId::default() {
        ClientId::Domain(name) if name.contains('.') => ClientId::Domain(name),
        _ => ClientId::Domain(domain()),
    }
}

fn passed(walk: &mut Vec<Walked>, step: Step, detail: String) {
    walk.push(Walked { step, passed: true, detail });
}

fn greeting(connection: &AsyncSmtpConnection) -> String {
    format!("`{}` greets", shown::answer(connection.server_info().name()))
}

/// A notice that comes back shall not carry the mail, and so no link (RFC 3461 section 4.3).
fn return_only_head(notifies: bool) -> Vec<MailParameter> {
    let head = MailParameter::Other { keyword: "RET".to_owned(), value: Some("HDRS".to_owned()) };
    if notifies { vec![head] } else { Vec::new() }
}

/// Asks to be told also of what arrived (RFC 3461 section 4.1).
fn notify(notifies: bool) -> Vec<RcptParameter> {
    let of_all = RcptParameter::Other {
        keyword: "NOTIFY".to_owned(),
        value: Some("SUCCESS,FAILURE,DELAY".to_owned()),
    };
    if notifies { vec![of_all] } else { Vec::new() }
}

fn silence(step: Step) -> SendFault {
    SendFault::without_answer(Class::Temporary, step, "no answer in time")
}

/// The fault of the system under a fault of the talk, however deep.
fn io_source(error: &Error) -> Option<&io::Error> {
    let mut fault: &dyn std::error::Error = error;
    while let Some(source) = fault.source() {
        if let Some(io) = source.downcast_ref() {
            return Some(io);
        }
        fault = source;
    }
    None
}

/// Whether a fault of this kind comes before the first byte of TLS.
fn is_before_tls(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::TimedOut
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::AddrNotAvailable
    )
}

/// A certificate that is not trusted stays so until somebody acts, and so does a server that
/// answers a handshake with something else; a handshake that broke off may do better next time.
fn class_of_io(io: &io::Error) -> Class {
    let text = io.to_string();
    let lasting = io.kind() == io::ErrorKind::InvalidData
        && (text.contains("certificate") || text.contains("corrupt message"));
    if lasting { Class::Configuration } else { Class::Temporary }
}

/// What the system says, in words that need no manual.
fn words_of(io: &io::Error) -> String {
    let text = io.to_string();
    if text.contains("corrupt message") {
        return "it does not speak TLS on this port: `smtp://...?tls=required` is for ports that begin without".to_owned();
    }
    match io.kind() {
        io::ErrorKind::InvalidData => text,
        io::ErrorKind::UnexpectedEof => "it hung up".to_owned(),
        io::ErrorKind::Other => text,
        kind => kind.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::{Arc, Mutex};
    use std::task::{Context, Poll};

    use lettre::transport::smtp::client::AsyncTokioStream;
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    use super::*;

    #[test]
    fn an_open_line_stays_on_this_machine() {
        let found = ["192.0.2.1:25", "127.0.0.1:25", "[2001:db8::1]:25", "[::1]:25"];
        let addresses = |scheme| {
            let all = found.iter().map(|text| text.parse().unwrap());
            usable(scheme, all).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(addresses(Scheme::Open), ["127.0.0.1:25", "[::1]:25"]);
        assert_eq!(addresses(Scheme::StartTls), found);
    }

    #[test]
    fn a_mail_ends_where_it_ends_and_not_at_a_dot_of_its_own() {
        for (mail, line) in [
            ("a\r\nb\r\n", "a\r\nb\r\n\r\n.\r\n"),
            (".\r\n", "..\r\n\r\n.\r\n"),
            ("a\r\n.\r\n.\r\n..b.\n.c", "a\r\n..\r\n..\r\n...b.\n.c\r\n.\r\n"),
            ("", "\r\n.\r\n"),
        ] {
            assert_eq!(on_the_line(mail), line);
        }
    }

    #[test]
    fn a_refusal_shows_no_password() {
        let from = Email::parse("a@example.org").unwrap();
        for url in ["smtp://u:hunter2@mail.example.org", "smtps://u:hunter2%@h", "x://u:hunter2@h"]
        {
            let failure = Smtp::new(url, &from).err().unwrap();
            assert!(!failure.to_string().contains("hunter2"), "{failure}");
        }
    }

    /// A line to a server that has answered already, and keeps what each write brings.
    #[derive(Debug)]
    struct Kept {
        answers: io::Cursor<&'static [u8]>,
        writes: Arc<Mutex<Vec<String>>>,
    }

    impl AsyncTokioStream for Kept {
        fn peer_addr(&self) -> io::Result<SocketAddr> {
            Ok(SocketAddr::from(([127, 0, 0, 1], 25)))
        }
    }

    impl AsyncRead for Kept {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            into: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.answers).poll_read(context, into)
        }
    }

    impl AsyncWrite for Kept {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.writes.lock().unwrap().push(String::from_utf8_lossy(bytes).into_owned());
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_mail_goes_over_the_line_in_one_piece() {
        let writes = Arc::new(Mutex::new(Vec::new()));
        let answers = io::Cursor::new(b"220 here\r\n250 here\r\n250 taken\r\n".as_slice());
        let line = Box::new(Kept { answers, writes: Arc::clone(&writes) });
        let hello = ClientId::Domain("here".to_owned());
        let mut connection =
            AsyncSmtpConnection::connect_with_transport(line, &hello).await.unwrap();
        give(&mut connection, b"Subject: a\r\n\r\n.b\r\n".to_vec()).await.unwrap();
        let wanted = ["EHLO here\r\n", "Subject: a\r\n\r\n..b\r\n\r\n.\r\n"];
        assert_eq!(*writes.lock().unwrap(), wanted);
    }
}
