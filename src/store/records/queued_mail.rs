//! Records of letters, and of why mail is stopped.
//!
//! Contain no link: a letter has the input from which its link is derived.

use super::{RecordReader, RecordWriter, VERSION, as_damage};
use crate::domain::{
    AccountSlug, Delivery, DeliveryState, Email, Failure, Generation, InviteId, LinkId, MailId,
    MailKind, MailStop, MemberId, QueuedMail, Timestamp, TwoStepEvent,
};
use crate::store::shared_log::NodeId;

const KIND: &str = "letter";
/// The second version has the node that leased the letter; without one, the first is written.
const LEASED_VERSION: u8 = 2;

/// A stored letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedMailRecord {
    /// The letter.
    pub letter: QueuedMail,
    /// The target in the audit log: the id of an invite or of a member.
    pub subject: String,
    /// The node of a fleet that the lease is of.
    pub leased_by: Option<NodeId>,
}

impl QueuedMailRecord {
    /// The record; the id is its key.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let letter = &self.letter;
        let version = if self.leased_by.is_some() { LEASED_VERSION } else { VERSION };
        let writer = RecordWriter::of_version(version)
            .text(letter.account.as_str())
            .text(&self.subject)
            .text(letter.to.as_str())
            .text(&letter.to_name)
            .text(&letter.message_id)
            .time(letter.created)
            .time(letter.expires);
        let delivery = &letter.delivery;
        let mut record = write_kind(writer, &letter.kind)
            .byte(state_byte(delivery.state))
            .text(&delivery.detail)
            .long(delivery.attempts.into())
            .perhaps(delivery.last_attempt, RecordWriter::time)
            .perhaps(delivery.next_attempt, RecordWriter::time)
            .perhaps(letter.leased_until, RecordWriter::time);
        if let Some(node) = &self.leased_by {
            record = record.raw(&node.0);
        }
        record.0
    }

    /// Reads a record.
    ///
    /// # Errors
    /// `Internal`, when it is damaged or of a newer version.
    pub fn decode(id: MailId, bytes: &[u8]) -> Result<Self, Failure> {
        let (version, mut reader) = RecordReader::up_to(LEASED_VERSION, KIND, bytes)?;
        let account = as_damage(KIND, AccountSlug::parse(reader.text()?))?;
        let subject = reader.text()?.to_owned();
        let letter = QueuedMail {
            id,
            account,
            to: as_damage(KIND, Email::parse(reader.text()?))?,
            to_name: reader.text()?.to_owned(),
            message_id: reader.text()?.to_owned(),
            created: reader.time()?,
            expires: reader.time()?,
            kind: read_kind(&mut reader)?,
            delivery: delivery(&mut reader)?,
            leased_until: reader.perhaps(RecordReader::time)?,
        };
        let is_leased = version == LEASED_VERSION;
        let leased_by = if is_leased { Some(NodeId(reader.array()?)) } else { None };
        reader.end(Self { letter, subject, leased_by })
    }
}

fn delivery(reader: &mut RecordReader<'_>) -> Result<Delivery, Failure> {
    let state = reader.byte()?;
    let state = DeliveryState::ALL.into_iter().find(|known| state_byte(*known) == state);
    Ok(Delivery {
        state: state.ok_or_else(|| reader.damaged())?,
        detail: reader.text()?.to_owned(),
        attempts: reader.short()?,
        last_attempt: reader.perhaps(RecordReader::time)?,
        next_attempt: reader.perhaps(RecordReader::time)?,
    })
}

const fn state_byte(state: DeliveryState) -> u8 {
    match state {
        DeliveryState::None => 0,
        DeliveryState::Queued => 1,
        DeliveryState::Sending => 2,
        DeliveryState::HandedOver => 3,
        DeliveryState::Delivered => 4,
        DeliveryState::Deferred => 5,
        DeliveryState::Bounced => 6,
        DeliveryState::Failed => 7,
    }
}

fn write_kind(writer: RecordWriter, kind: &MailKind) -> RecordWriter {
    match kind {
        MailKind::Invite { invite, generation } => {
            writer.byte(0).text(invite.as_str()).long(generation.0.into())
        }
        MailKind::InviteWanted { invite } => writer.byte(1).text(invite.as_str()),
        MailKind::PasswordReset { link } => writer.byte(2).text(link.as_str()),
        MailKind::PasswordChanged { member } => writer.byte(3).text(member.as_str()),
        MailKind::EmailChange { link } => writer.byte(4).text(link.as_str()),
        MailKind::EmailChanged { member } => writer.byte(5).text(member.as_str()),
        MailKind::TwoStep { member, news } => {
            writer.byte(6).text(member.as_str()).byte(news_byte(*news))
        }
    }
}

fn read_kind(reader: &mut RecordReader<'_>) -> Result<MailKind, Failure> {
    let (kind, id) = (reader.byte()?, reader.text()?);
    let invite = || InviteId::parse(id).ok_or_else(|| super::damaged(KIND));
    let link = || LinkId::parse(id).ok_or_else(|| super::damaged(KIND));
    let member = || as_damage(KIND, MemberId::parse(id));
    match kind {
        0 => Ok(MailKind::Invite { invite: invite()?, generation: Generation(reader.short()?) }),
        1 => Ok(MailKind::InviteWanted { invite: invite()? }),
        2 => Ok(MailKind::PasswordReset { link: link()? }),
        3 => Ok(MailKind::PasswordChanged { member: member()? }),
        4 => Ok(MailKind::EmailChange { link: link()? }),
        5 => Ok(MailKind::EmailChanged { member: member()? }),
        6 => Ok(MailKind::TwoStep { member: member()?, news: read_news(reader)? }),
        _ => Err(reader.damaged()),
    }
}

const fn news_byte(news: TwoStepEvent) -> u8 {
    match news {
        TwoStepEvent::On => 0,
        TwoStepEvent::Off => 1,
        TwoStepEvent::Reset => 2,
        TwoStepEvent::NewCodes => 3,
        TwoStepEvent::CodeUsed => 4,
        TwoStepEvent::Guessed => 5,
        TwoStepEvent::PasskeyAdded => 6,
        TwoStepEvent::PasskeyRemoved => 7,
        TwoStepEvent::PasskeyCopied => 8,
    }
}

fn read_news(reader: &mut RecordReader<'_>) -> Result<TwoStepEvent, Failure> {
    Ok(match reader.byte()? {
        0 => TwoStepEvent::On,
        1 => TwoStepEvent::Off,
        2 => TwoStepEvent::Reset,
        3 => TwoStepEvent::NewCodes,
        4 => TwoStepEvent::CodeUsed,
        5 => TwoStepEvent::Guessed,
        6 => TwoStepEvent::PasskeyAdded,
        7 => TwoStepEvent::PasskeyRemoved,
        8 => TwoStepEvent::PasskeyCopied,
        _ => return Err(reader.damaged()),
    })
}

/// The record of a mail stop.
#[must_use]
pub fn encode_mail_stop(stop: &MailStop) -> Vec<u8> {
    RecordWriter::new().time(stop.since).text(&stop.cause).0
}

/// Reads the record of a mail stop.
///
/// # Errors
/// `Internal`, when it is damaged or of a newer version.
pub fn decode_mail_stop(bytes: &[u8]) -> Result<MailStop, Failure> {
    let mut reader = RecordReader::new("stop of mail", bytes)?;
    let since: Timestamp = reader.time()?;
    let cause = reader.text()?.to_owned();
    reader.end(MailStop { cause, since })
}

/// The record of a timestamp.
#[must_use]
pub fn encode_moment(at: Timestamp) -> Vec<u8> {
    RecordWriter::new().time(at).0
}

/// Reads the record of a timestamp.
///
/// # Errors
/// `Internal`, when it is damaged or of a newer version.
pub fn decode_moment(bytes: &[u8]) -> Result<Timestamp, Failure> {
    let mut reader = RecordReader::new("moment of mail", bytes)?;
    let at = reader.time()?;
    reader.end(at)
}
