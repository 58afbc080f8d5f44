//! The fields of an audit entry: each with its text before and after the change.
//!
//! Pure functions of records; writes nothing.

use crate::domain::{Account, FieldChange, Invite, Member};

/// All of what people can change of a member who was made.
pub(super) fn member_created(member: &Member) -> Vec<FieldChange> {
    member_texts(member).map(|(name, text)| FieldChange::added(name, text)).into()
}

/// All of what people could change of a member who goes.
pub(super) fn member_removed(member: &Member) -> Vec<FieldChange> {
    member_texts(member).map(|(name, text)| FieldChange::removed(name, text)).into()
}

/// The fields of a member that an edit touched.
pub(super) fn member_edited(before: &Member, after: &Member) -> Vec<FieldChange> {
    differing(member_texts(before), member_texts(after))
}

/// What people can change of a member.
fn member_texts(member: &Member) -> [(&'static str, &str); 4] {
    [
        ("first_name", member.first_name.as_str()),
        ("last_name", member.last_name.as_str()),
        ("email", member.email.as_str()),
        ("role", member.role.as_str()),
    ]
}

/// All of what people can change of an invite that was made.
pub(super) fn invite_created(invite: &Invite) -> Vec<FieldChange> {
    invite_texts(invite).map(|(name, text)| FieldChange::added(name, text)).into()
}

/// The fields of an invite that an edit touched.
pub(super) fn invite_edited(before: &Invite, after: &Invite) -> Vec<FieldChange> {
    differing(invite_texts(before), invite_texts(after))
}

/// What people can change of an invite.
fn invite_texts(invite: &Invite) -> [(&'static str, &str); 4] {
    [
        ("first_name", invite.first_name.as_str()),
        ("last_name", invite.last_name.as_str()),
        ("email", invite.email.as_str()),
        ("role", invite.role.as_str()),
    ]
}

/// The fields of an account that an edit touched.
pub(super) fn account_edited(before: &Account, after: &Account) -> Vec<FieldChange> {
    let texts = |account: &Account| {
        let lifetime = account.invite_lifetime.map(|time| format!("{} s", time.as_secs()));
        let enforced = account.two_step_enforced.to_string();
        [
            ("name", Some(account.name.clone())),
            ("invite_lifetime", lifetime),
            ("two_step_enforced", Some(enforced)),
        ]
    };
    let pairs = texts(before).into_iter().zip(texts(after));
    let edited = pairs.filter(|((_, before), (_, after))| before != after);
    let field = |((name, before), (_, after)): ((&str, _), (_, _))| FieldChange {
        field: name.to_owned(),
        before,
        after,
    };
    edited.map(field).collect()
}

fn differing<const N: usize>(
    before: [(&'static str, &str); N],
    after: [(&'static str, &str); N],
) -> Vec<FieldChange> {
    let pairs = before.into_iter().zip(after);
    let differing = pairs.filter(|((_, before), (_, after))| before != after);
    differing
        .map(|((name, before), (_, after))| FieldChange::changed(name, before, after))
        .collect()
}
