//! Mail: letters are sent, mail servers fail and send bounces, and stopped mail is resumed.

use kwic_team::domain::{Delivery, DeliveryState, MailId, MailKind, QueuedMail, Timestamp};
use kwic_team::mail::{FaultClass, MailContent, OutgoingMail, SendFault, SmtpStep};
use kwic_team::services::mail_delivery;
use kwic_team::services::permits::StorePermit;
use kwic_team::store::{Committed, Store};

use super::model::{MINUTE_MS, Reasons};
use super::policies::Right;
use super::{Held, Mail, Sim, holds};

/// Minutes to wait after so many tries, as `people.md` has it; each a fifth longer or shorter.
const WAITS: [i64; 6] = [1, 5, 15, 60, 240, 240];

impl Sim {
    pub(super) async fn deliver(&mut self) -> Held {
        self.beyond_doubt().await;
        let fault = if self.dice.percent(self.swarm.mail_fault_percent) {
            Some(self.dice.below(4))
        } else {
            None
        };
        self.note(format_args!("letters go out, fault {fault:?}"));
        for _ in 0..50 {
            match fault {
                Some(0) => self.world.memory.fail_next(SendFault::without_answer(
                    FaultClass::Temporary,
                    SmtpStep::Connect,
                    "connection refused",
                )),
                Some(1) => self.world.memory.fail_next(SendFault::answered(
                    SmtpStep::Rcpt,
                    550,
                    "5.1.1 no such user",
                )),
                Some(2) => {
                    self.world.memory.fail_next(SendFault::answered(
                        SmtpStep::Auth,
                        535,
                        "5.7.8 wrong",
                    ));
                }
                Some(_) => self.world.memory.lose_next_answer(),
                None => break,
            }
        }
        // The power must not go at one of several that chance has put in order.
        let cut_percent = self.swarm.cut_percent;
        if self.deferred_and_due().await > 1 {
            self.swarm.cut_percent = 0;
        }
        let ended = self.deliver_all().await;
        self.swarm.cut_percent = cut_percent;
        self.world.memory.recover();
        ended
    }

    async fn deferred_and_due(&self) -> usize {
        let page = self.world.store().letters(None, None, 1_000).await.unwrap();
        let is_due = |letter: &&QueuedMail| {
            letter.delivery.state == DeliveryState::Deferred
                && letter.delivery.next_attempt.is_some_and(|at| at.0 <= self.model.now)
        };
        page.items.iter().filter(is_due).count()
    }

    /// Delivers until nothing is due.
    pub(super) async fn deliver_all(&mut self) -> Held {
        let before = self.mailbox.len();
        let ended = self.deliver_each().await;
        // They went out in an order that chance had a say in: who was deferred longer.
        self.mailbox[before..].sort_by_key(|mail| mail.letter);
        ended
    }

    async fn deliver_each(&mut self) -> Held {
        self.letters_move = true;
        for _ in 0..200 {
            let store = self.world.store();
            let due = store.letter_due().await.map_err(|fault| format!("{fault}"))?;
            if due.is_none_or(|due| due.0 > self.model.now) {
                return Ok(());
            }
            let app = self.world.app.clone();
            let call = async {
                let revision = app.store.revision().await?;
                let tried = mail_delivery::deliver_due(&app).await?;
                Ok(Committed { revision, value: tried })
            };
            // What became of them, the letters themselves tell.
            self.change(&Reasons::default(), call, async |_: &Store| Some(0)).await?;
            self.receive().await?;
            if self.crashed {
                return Ok(());
            }
        }
        Err("letters are due again and again".to_owned())
    }

    pub(super) async fn bounce(&mut self) -> Held {
        let paths: Vec<usize> = (0..self.mailbox.len()).collect();
        let Some(at) = self.dice.perhaps(&paths) else { return Ok(()) };
        let mail = self.mailbox[at].clone();
        let forged = self.dice.percent(25);
        let (action, status) = self.dice.one_of(&[
            ("failed", "5.1.1"),
            ("failed", "5.2.2"),
            ("delivered", "2.0.0"),
            ("delayed", "4.4.1"),
        ]);
        let path = mail.return_path.as_str();
        let path = match (forged, path.split_once('.')) {
            (true, Some((letter, _))) => format!("{letter}.0123456789abcdef@bounce.localhost"),
            _ => path.to_owned(),
        };
        self.note(format_args!(
            "{action} comes back about letter {}, forged {forged}",
            mail.letter
        ));
        self.letters_move = true;
        let raw = notice(&path, &mail.to, action, status);
        let (app, before) = (self.world.app.clone(), self.letter(mail.letter).await);
        let call = async {
            let revision = app.store.revision().await?;
            let told =
                mail_delivery::record_bounce(&app, &StorePermit::system(), raw.as_bytes()).await?;
            Ok(Committed { revision, value: Some(told) })
        };
        let look = async |_: &Store| Some(None);
        let told = self.change(&Reasons::default(), call, look).await?.flatten();
        let after = self.letter(mail.letter).await;
        if forged && (told == Some(true) || before != after) {
            return Err(format!("a forged notice about letter {} was believed", mail.letter));
        }
        if told.is_some_and(|told| told != (before != after)) {
            return Err(format!("a notice told {told:?} of {before:?}, now {after:?}"));
        }
        Ok(())
    }

    pub(super) async fn resume(&mut self) -> Held {
        let who = self.who();
        let Some(caller) = self.caller(who)? else { return Ok(()) };
        self.note(format_args!("{who:?} lets mail out again"));
        self.letters_move = true;
        let reasons =
            Reasons::default().when(!self.model.may(who, Right::EditSettings), "not_allowed");
        let stopped = self.is_mail_stopped().await;
        let app = self.world.app.clone();
        let call = mail_delivery::resume(&app, caller);
        let look = async move |store: &Store| {
            let now = store.mail_status(None).await.unwrap().stopped.is_some();
            if stopped && now { None } else { Some(stopped) }
        };
        let Some(was) = self.change(&reasons, call, look).await? else { return Ok(()) };
        if was != stopped || self.is_mail_stopped().await {
            return Err(format!("resumed {was}, stopped before {stopped}"));
        }
        Ok(())
    }

    pub(super) async fn is_mail_stopped(&self) -> bool {
        self.world.store().mail_status(None).await.unwrap().stopped.is_some()
    }

    pub(super) async fn letter(&self, id: MailId) -> Option<Delivery> {
        self.world.store().letter(id).await.unwrap().map(|letter| letter.delivery)
    }

    pub(super) fn last_letter(&self) -> u64 {
        self.letters.last_key_value().map_or(0, |(id, _)| *id)
    }
}

// === what goes out ===

impl Sim {
    /// Lets time go by until chance has no say in which deferred letters are due.
    pub(super) async fn beyond_doubt(&mut self) {
        loop {
            let page = self.world.store().letters(None, None, 1_000).await.unwrap();
            let doubts = page.items.iter().filter_map(|letter| doubt(&letter.delivery));
            let now = self.model.now;
            let Some((_, until)) =
                doubts.into_iter().find(|(from, to)| (*from..=*to).contains(&now))
            else {
                return;
            };
            self.pass(until - now + 1);
        }
    }

    /// Takes the mails that went out: each must carry what opens something now.
    pub(super) async fn receive(&mut self) -> Held {
        for mail in self.world.memory.take_sent() {
            let id = self.letter_of(&mail)?;
            if let Some(post) = self.letters.get_mut(&id.0) {
                post.sent += 1;
            }
            self.mailbox.push(Mail {
                letter: id,
                to: mail.to.as_str().to_owned(),
                return_path: mail.return_path.as_ref().unwrap().as_str().to_owned(),
            });
            self.opens(id, &mail).await.map_err(|why| format!("letter {id} {why}"))?;
        }
        Ok(())
    }

    /// The letter of a mail, by its message id.
    pub(super) fn letter_of(&self, mail: &OutgoingMail) -> Result<MailId, String> {
        let found = self.letters.values().find(|post| post.letter.message_id == mail.message_id);
        let post = found.ok_or_else(|| format!("a mail of no letter: {}", mail.message_id))?;
        let same = post.letter.to == mail.to && post.letter.created == mail.date;
        holds(same, || format!("{mail:?} is not {:?}", post.letter))?;
        Ok(post.letter.id)
    }

    /// Whether the link of a mail opens what the mail says.
    pub(super) async fn opens(&mut self, id: MailId, mail: &OutgoingMail) -> Held {
        let (store, now) = (self.world.store().clone(), Timestamp(self.model.now));
        let kind = self.letters[&id.0].letter.kind.clone();
        match &mail.content {
            MailContent::Invite { link, .. } => {
                let MailKind::Invite { invite, generation } = kind else {
                    return Err(format!("is {kind:?}, and invites"));
                };
                let found = store.invite_by_token(link.code.hash()).await.unwrap();
                let (found, of) = found.ok_or("carries a token that nobody knows")?;
                let alive = found.may_be_accepted(of, now);
                alive.map_err(|fault| format!("carries a dead token: {}", fault.code))?;
                holds((&found.id, of) == (&invite, generation), || "is another invite's".into())?;
                holds(link.expires == found.expires, || "tells another end".into())?;
                let token = link.code.expose().to_owned();
                let known = self.model.invites.iter_mut().find(|known| known.id == invite);
                let before =
                    known.ok_or("is of no known invite")?.tokens.insert(of.0, token.clone());
                holds(before.is_none_or(|before| before == token), || "has two tokens".into())
            }
            MailContent::PasswordReset { link, .. } | MailContent::EmailChange { link, .. } => {
                let (MailKind::PasswordReset { link: of } | MailKind::EmailChange { link: of }) =
                    kind
                else {
                    return Err(format!("is {kind:?}, and carries a link"));
                };
                let found = store.link_by_token(link.code.hash()).await.unwrap();
                let found = found.ok_or("carries a dead link")?;
                holds(found.id == of && now < found.expires, || "carries an old link".into())?;
                let known =
                    self.model.links.iter_mut().find(|known| known.id.as_ref() == Some(&of));
                let known = known.ok_or("carries a link that should not be")?;
                holds(!known.dead, || "carries a link that should be dead".into())?;
                known.token = Some(link.code.expose().to_owned());
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// When a deferred letter may become due, by chance.
fn doubt(delivery: &Delivery) -> Option<(i64, i64)> {
    let (DeliveryState::Deferred, Some(_)) = (delivery.state, delivery.next_attempt) else {
        return None;
    };
    let tries = usize::try_from(delivery.attempts).unwrap().clamp(1, WAITS.len());
    let wait = WAITS[tries - 1] * MINUTE_MS;
    let last = delivery.last_attempt?.0;
    Some((last + wait - wait / 5, last + wait + wait / 5))
}

/// A notice as a mail server sends it (RFC 3464).
fn notice(path: &str, to: &str, action: &str, status: &str) -> String {
    let lines = [
        "From: MAILER-DAEMON@mx.example.org".to_owned(),
        format!("To: {path}"),
        "Subject: what became of your mail".to_owned(),
        "MIME-Version: 1.0".to_owned(),
        "Content-Type: multipart/report; report-type=delivery-status; boundary=\"cut\"".to_owned(),
        String::new(),
        "--cut".to_owned(),
        "Content-Type: text/plain".to_owned(),
        String::new(),
        "This is the mail system.".to_owned(),
        String::new(),
        "--cut".to_owned(),
        "Content-Type: message/delivery-status".to_owned(),
        String::new(),
        "Reporting-MTA: dns; mx.example.org".to_owned(),
        String::new(),
        format!("Final-Recipient: rfc822; {to}"),
        format!("Action: {action}"),
        format!("Status: {status}"),
        format!("Diagnostic-Code: smtp; {status} so it is"),
        String::new(),
        "--cut--".to_owned(),
        String::new(),
    ];
    lines.join("\r\n")
}
