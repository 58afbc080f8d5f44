//! A real Postfix: what it refuses, what it bounces, and its delivery reports.
//!
//! A private instance on loopback, in its own folder, which is stopped with its handle.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kwic_team::config;
use kwic_team::domain::{DeliveryState, Email, MailId, Timestamp, Token};
use kwic_team::mail::bounce::{self, BounceReport};
use kwic_team::mail::{
    AcceptedMail, ActionLink, FaultClass, MailContent, Maildir, Mailer, OutgoingMail, SmtpStep,
};
use serde_json::json;
use tempfile::TempDir;

use crate::support::scripted_smtp_server::SmtpServer;
use crate::support::sidecar::{eventually, is_installed, is_there};

const MASTER: &str = "\
127.0.0.1:PORT inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n - 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
showq unix n - n - - showq
postlog unix-dgram n - n - 1 postlogd
";

/// Retries are quick, and a mail that waits for a second is late.
const MAIN: &str = "\
compatibility_level = 3.6
queue_directory = HOME/queue
data_directory = HOME/data
maillog_file = HOME/log
maillog_file_prefixes = HOME
myhostname = mx.example.org
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
mydestination =
alias_maps =
alias_database =
recipient_delimiter = +
virtual_mailbox_domains = example.net, bounces.example.org
virtual_mailbox_base = HOME/mail
virtual_mailbox_maps = inline:{bo@example.net=bo/, bounce@bounces.example.org=bounces/}
virtual_uid_maps = static:OWNER
virtual_gid_maps = static:OWNER
transport_maps = inline:{{other.example = smtp:[127.0.0.1]:OTHER}}
disable_dns_lookups = yes
smtpd_peername_lookup = no
smtpd_relay_restrictions = permit_mynetworks, reject
notify_classes =
delay_warning_time = 1s
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 1s
";

/// A running Postfix with mailboxes for `bo@example.net` and for return paths at
/// `bounces.example.org`; mail to `other.example` goes to another mail server.
pub struct Postfix {
    home: TempDir,
    pub port: u16,
}

impl Postfix {
    /// Starts one; `None` where it is not installed, or nobody may start it.
    pub fn start(other: u16) -> Option<Self> {
        let may = is_installed("postfix")
            && is_there("root", Command::new("sh").args(["-c", "test $(id -u) = 0"]));
        if !may {
            return None;
        }
        let home = tempfile::tempdir().unwrap();
        let owner = user_id("nobody");
        // Its programs run as users of their own, who must be able to pass.
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for (folder, owner) in
            [("etc", 0), ("queue", 0), ("data", user_id("postfix")), ("mail", owner)]
        {
            fs::create_dir(home.path().join(folder)).unwrap();
            chown(home.path().join(folder), Some(owner), None).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let main = MAIN
            .replace("HOME", &home.path().display().to_string())
            .replace("OWNER", &owner.to_string())
            .replace("OTHER", &other.to_string());
        fs::write(home.path().join("etc/main.cf"), main).unwrap();
        let master = MASTER.replace("PORT", &port.to_string());
        fs::write(home.path().join("etc/master.cf"), master).unwrap();
        let postfix = Self { home, port };
        let output = postfix.run("start");
        assert!(output.status.success(), "{output:?} {}", postfix.log());
        eventually("Postfix listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(postfix)
    }

    fn run(&self, what: &str) -> Output {
        Command::new("postfix").arg("-c").arg(self.path("etc")).arg(what).output().unwrap()
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.home.path().join(inside)
    }

    /// A Maildir: `bo` or `bounces`.
    pub fn mailbox(&self, name: &str) -> PathBuf {
        self.path("mail").join(name)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        self.run("abort");
    }
}

fn user_id(name: &str) -> u32 {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.starts_with(&format!("{name}:"))).unwrap();
    line.split(':').nth(2).unwrap().parse().unwrap()
}

const MARK: &str = "0123456789abcdef";

/// A sidecar's part: hands mail over, and reads what comes back.
struct Sender<'a> {
    mailer: Mailer,
    postfix: &'a Postfix,
    returned: Maildir,
}

impl<'a> Sender<'a> {
    fn to(postfix: &'a Postfix) -> Self {
        let mail = config::Mail {
            kind: Some("smtp".to_owned()),
            url: Some(format!("smtp://127.0.0.1:{}", postfix.port)),
            from: Some("no-reply@example.org".to_owned()),
            bounce_domain: Some("bounces.example.org".to_owned()),
            ..config::Mail::default()
        };
        Self {
            mailer: Mailer::from_config(&mail, Path::new("/nonexistent")).unwrap(),
            postfix,
            returned: Maildir::new(postfix.mailbox("bounces")),
        }
    }

    async fn send(
        &self,
        letter: u64,
        to: &str,
    ) -> Result<AcceptedMail, kwic_team::mail::SendFault> {
        let code = Token::from_bytes([7; 32]);
        let link = ActionLink {
            url: format!("https://team.example.org/reset#{}", code.expose()),
            code,
            expires: Timestamp(1_795_525_200_000),
        };
        let outgoing = OutgoingMail {
            to: Email::parse(to).unwrap(),
            to_name: "Bo Lee".to_owned(),
            message_id: format!("reset-{letter}@example.org"),
            return_path: self.mailer.return_path(MailId(letter), MARK),
            date: Timestamp(1_795_521_600_000),
            content: MailContent::PasswordReset { account_name: "Acme".to_owned(), link },
        };
        self.mailer.send(&outgoing).await
    }

    /// Waits for the next notice, reads it, and marks it as seen.
    async fn notice(&self) -> BounceReport {
        let new = self.postfix.mailbox("bounces").join("new");
        eventually(&format!("a notice comes back: {}", self.postfix.log()), || {
            fs::read_dir(&new).is_ok_and(|mut entries| entries.next().is_some())
        });
        let path = self.returned.list().await.unwrap().remove(0);
        let mail = self.returned.read(&path).await.unwrap();
        let text = String::from_utf8_lossy(&mail);
        let code = Token::from_bytes([7; 32]);
        assert!(!text.contains(code.expose()), "a notice carries a link: {text}");
        self.returned.take(&path).await.unwrap();
        bounce::parse(&mail).unwrap_or_else(|| panic!("no notice: {text}"))
    }
}

#[tokio::test]
async fn postfix_takes_returns_delays_and_delivers() {
    let Some(mut other) = SmtpServer::start(&json!({})) else { return };
    let Some(postfix) = Postfix::start(other.port) else { return };
    let sender = Sender::to(&postfix);
    let check = |report: BounceReport, letter, state, detail: &str| {
        let expected = (MailId(letter), MARK.to_owned(), state, detail.to_owned());
        assert_eq!((report.letter, report.mark, report.state, report.detail), expected);
    };

    let taken = sender.send(1, "bo@example.net").await.unwrap().sentence();
    assert!(taken.starts_with("accepted by your mail server (250 2.0.0 Ok: queued as "), "{taken}");
    let arrived = "the recipient's mail server says it arrived";
    check(sender.notice().await, 1, DeliveryState::Delivered, arrived);
    assert_eq!(Maildir::new(postfix.mailbox("bo")).list().await.unwrap().len(), 1);

    let fault = sender.send(2, "nobody@example.net").await.unwrap_err();
    assert_eq!(
        (fault.class, fault.step, fault.code),
        (FaultClass::Permanent, SmtpStep::Rcpt, Some(550))
    );
    let said = fault.sentence();
    let unknown = "the recipient's mail server says this mailbox does not exist (550 5.1.1 <";
    assert!(said.starts_with(unknown), "{said}");

    other.answer(&json!({"RCPT": "550 5.1.1 <x@other.example>: unknown"}));
    sender.send(3, "x@other.example").await.unwrap();
    let detail = format!("{unknown}x@other.example>: unknown)");
    check(sender.notice().await, 3, DeliveryState::Bounced, &detail);

    other.answer(&json!({"RCPT": "450 4.2.0 greylisted"}));
    sender.send(4, "y@other.example").await.unwrap();
    let detail = "not delivered yet: the mail server asks to try again later (450 4.2.0 greylisted); your mail server goes on trying";
    check(sender.notice().await, 4, DeliveryState::Deferred, detail);
    other.answer(&json!({}));
    let detail = "the recipient's mail server accepted it, and does not report whether it arrived";
    check(sender.notice().await, 4, DeliveryState::HandedOver, detail);
    assert_eq!(sender.returned.list().await.unwrap(), Vec::<PathBuf>::new());
}
