//! Records of letters, and of why mail is stopped.
//!
//! Contain no link: a letter has the input from which its link is derived.

use super::{Reader, Writer, as_damage};
use crate::domain::{
    AccountSlug, Delivery, DeliveryState, Email, Failure, Generation, InviteId, Letter, LetterId,
    LetterKind, LinkId, MailStop, MemberId, Timestamp, TwoStepNews,
};

const KIND: &str = "letter";

/// A stored letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterRecord {
    /// The letter.
    pub letter: Letter,
    /// The target in the audit log: the id of an invite or of a member.
    pub subject: String,
}

impl LetterRecord {
    /// The record; the id is its key.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let letter = &self.letter;
        let writer = Writer::new()
            .text(letter.account.as_str())
            .text(&self.subject)
            .text(letter.to.as_str())
            .text(&letter.to_name)
            .text(&letter.message_id)
            .time(letter.created)
            .time(letter.expires);
        let delivery = &letter.delivery;
        write_kind(writer, &letter.kind)
            .byte(state_byte(delivery.state))
            .text(&delivery.detail)
            .long(delivery.attempts.into())
            .perhaps(delivery.last_attempt, Writer::time)
            .perhaps(delivery.next_attempt, Writer::time)
            .perhaps(letter.leased_until, Writer::time)
            .0
    }

    /// Reads a record.
    ///
    /// # Errors
    /// `Internal`, when it is damaged or of a newer version.
    pub fn decode(id: LetterId, bytes: &[u8]) -> Result<Self, Failure> {
        let mut reader = Reader::new(KIND, bytes)?;
        let account = as_damage(KIND, AccountSlug::parse(reader.text()?))?;
        let subject = reader.text()?.to_owned();
        let letter = Letter {
            id,
            account,
            to: as_damage(KIND, Email::parse(reader.text()?))?,
            to_name: reader.text()?.to_owned(),
            message_id: reader.text()?.to_owned(),
            created: reader.time()?,
            expires: reader.time()?,
            kind: read_kind(&mut reader)?,
            delivery: delivery(&mut reader)?,
            leased_until: reader.perhaps(Reader::time)?,
        };
        reader.end(Self { letter, subject })
    }
}

fn delivery(reader: &mut Reader<'_>) -> Result<Delivery, Failure> {
    let state = reader.byte()?;
    let state = DeliveryState::ALL.into_iter().find(|known| state_byte(*known) == state);
    Ok(Delivery {
        state: state.ok_or_else(|| reader.damaged())?,
        detail: reader.text()?.to_owned(),
        attempts: reader.short()?,
        last_attempt: reader.perhaps(Reader::time)?,
        next_attempt: reader.perhaps(Reader::time)?,
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

fn write_kind(writer: Writer, kind: &LetterKind) -> Writer {
    match kind {
        LetterKind::Invite { invite, generation } => {
            writer.byte(0).text(invite.as_str()).long(generation.0.into())
        }
        LetterKind::InviteWanted { invite } => writer.byte(1).text(invite.as_str()),
        LetterKind::PasswordReset { link } => writer.byte(2).text(link.as_str()),
        LetterKind::PasswordChanged { member } => writer.byte(3).text(member.as_str()),
        LetterKind::EmailChange { link } => writer.byte(4).text(link.as_str()),
        LetterKind::EmailChanged { member } => writer.byte(5).text(member.as_str()),
        LetterKind::TwoStep { member, news } => {
            writer.byte(6).text(member.as_str()).byte(news_byte(*news))
        }
    }
}

fn read_kind(reader: &mut Reader<'_>) -> Result<LetterKind, Failure> {
    let (kind, id) = (reader.byte()?, reader.text()?);
    let invite = || InviteId::parse(id).ok_or_else(|| super::damaged(KIND));
    let link = || LinkId::parse(id).ok_or_else(|| super::damaged(KIND));
    let member = || as_damage(KIND, MemberId::parse(id));
    match kind {
        0 => Ok(LetterKind::Invite { invite: invite()?, generation: Generation(reader.short()?) }),
        1 => Ok(LetterKind::InviteWanted { invite: invite()? }),
        2 => Ok(LetterKind::PasswordReset { link: link()? }),
        3 => Ok(LetterKind::PasswordChanged { member: member()? }),
        4 => Ok(LetterKind::EmailChange { link: link()? }),
        5 => Ok(LetterKind::EmailChanged { member: member()? }),
        6 => Ok(LetterKind::TwoStep { member: member()?, news: read_news(reader)? }),
        _ => Err(reader.damaged()),
    }
}

const fn news_byte(news: TwoStepNews) -> u8 {
    match news {
        TwoStepNews::On => 0,
        TwoStepNews::Off => 1,
        TwoStepNews::Reset => 2,
        TwoStepNews::NewCodes => 3,
        TwoStepNews::CodeUsed => 4,
        TwoStepNews::Guessed => 5,
        TwoStepNews::PasskeyAdded => 6,
        TwoStepNews::PasskeyRemoved => 7,
        TwoStepNews::PasskeyCopied => 8,
    }
}

fn read_news(reader: &mut Reader<'_>) -> Result<TwoStepNews, Failure> {
    Ok(match reader.byte()? {
        0 => TwoStepNews::On,
        1 => TwoStepNews::Off,
        2 => TwoStepNews::Reset,
        3 => TwoStepNews::NewCodes,
        4 => TwoStepNews::CodeUsed,
        5 => TwoStepNews::Guessed,
        6 => TwoStepNews::PasskeyAdded,
        7 => TwoStepNews::PasskeyRemoved,
        8 => TwoStepNews::PasskeyCopied,
        _ => return Err(reader.damaged()),
    })
}

/// The record of a mail stop.
#[must_use]
pub fn encode_mail_stop(stop: &MailStop) -> Vec<u8> {
    Writer::new().time(stop.since).text(&stop.cause).0
}

/// Reads the record of a mail stop.
///
/// # Errors
/// `Internal`, when it is damaged or of a newer version.
pub fn decode_mail_stop(bytes: &[u8]) -> Result<MailStop, Failure> {
    let mut reader = Reader::new("stop of mail", bytes)?;
    let since: Timestamp = reader.time()?;
    let cause = reader.text()?.to_owned();
    reader.end(MailStop { cause, since })
}

/// The record of a timestamp.
#[must_use]
pub fn encode_moment(at: Timestamp) -> Vec<u8> {
    Writer::new().time(at).0
}

/// Reads the record of a timestamp.
///
/// # Errors
/// `Internal`, when it is damaged or of a newer version.
pub fn decode_moment(bytes: &[u8]) -> Result<Timestamp, Failure> {
    let mut reader = Reader::new("moment of mail", bytes)?;
    let at = reader.time()?;
    reader.end(at)
}
