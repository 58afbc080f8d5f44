//! Live events, as server-sent events.

use serde::Serialize;

use crate::services::member_event_stream::Event;

/// An event's data; details of a removed member are left out.
#[derive(Debug, Serialize)]
struct EventData<'e> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'e str>,
    revision: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'e str>,
}

/// A server-sent event: its name, its revision as the id, its data as JSON. A keep-alive is a
/// comment.
pub(in crate::admin) fn event(event: &Event) -> String {
    let (name, told) = match event {
        Event::Beat => return ": beat\n\n".to_owned(),
        Event::Begins(revision) => {
            ("begins", EventData { id: None, revision: revision.0, role: None, status: None })
        }
        Event::MemberChanged(revision, member) => {
            let told = EventData {
                id: Some(member.id.as_str()),
                revision: revision.0,
                role: Some(member.role.as_str()),
                status: Some(member.status.as_str()),
            };
            ("member_changed", told)
        }
        Event::MemberRemoved(revision, id) => {
            let told =
                EventData { id: Some(id.as_str()), revision: revision.0, role: None, status: None };
            ("member_removed", told)
        }
    };
    // Always one line: JSON escapes line breaks.
    let data = serde_json::to_string(&told).unwrap_or_default();
    format!("event: {name}\nid: {}\ndata: {data}\n\n", told.revision)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{MemberId, Revision};

    #[test]
    fn an_event_is_three_lines_and_an_empty_one() {
        let gone = Event::MemberRemoved(Revision(7), MemberId::parse("a\"1").unwrap());
        let text = "event: member_removed\nid: 7\ndata: {\"id\":\"a\\\"1\",\"revision\":7}\n\n";
        assert_eq!(event(&gone), text);
        assert_eq!(event(&Event::Beat), ": beat\n\n");
        assert!(event(&Event::Begins(Revision(3))).contains("data: {\"revision\":3}"));
    }
}
