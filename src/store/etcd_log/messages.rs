//! The messages of etcd's JSON gateway: those parts of `etcdserverpb` that the log uses.
//!
//! Keys and values are base64; 64-bit numbers are strings; what has its default value is left out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Bytes as base64.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Base64(pub(super) Vec<u8>);

impl Base64 {
    pub(super) fn of(bytes: impl AsRef<[u8]>) -> Self {
        Self(bytes.as_ref().to_vec())
    }
}

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(de::Error::custom)
    }
}

/// `TxnRequest`.
#[derive(Default, Serialize)]
pub(super) struct Transaction {
    pub(super) compare: Vec<Compare>,
    pub(super) success: Vec<Operation>,
    pub(super) failure: Vec<Operation>,
}

/// `Compare`, for equality.
#[derive(Serialize)]
pub(super) struct Compare {
    key: Base64,
    #[serde(skip_serializing_if = "Option::is_none")]
    range_end: Option<Base64>,
    result: &'static str,
    #[serde(flatten)]
    target: Target,
}

#[derive(Serialize)]
#[serde(tag = "target", rename_all = "UPPERCASE")]
enum Target {
    Value { value: Base64 },
    Version { version: &'static str },
    Create { create_revision: String },
}

impl Compare {
    /// The key has a value.
    pub(super) fn has_value(key: &[u8], value: &[u8]) -> Self {
        Self::equal(key, None, Target::Value { value: Base64::of(value) })
    }

    /// No key is in a range.
    pub(super) fn has_nothing(Range { key, end }: &Range) -> Self {
        Self::equal(key, Some(Base64::of(end)), Target::Version { version: "0" })
    }

    /// The key was created at a revision, and is there since.
    pub(super) fn was_created_at(key: &[u8], revision: &str) -> Self {
        Self::equal(key, None, Target::Create { create_revision: revision.to_owned() })
    }

    fn equal(key: &[u8], range_end: Option<Base64>, target: Target) -> Self {
        Self { key: Base64::of(key), range_end, result: "EQUAL", target }
    }
}

/// Keys from one up to another, without that one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) key: Vec<u8>,
    pub(super) end: Vec<u8>,
}

/// `RequestOp`.
#[derive(Serialize)]
pub(super) enum Operation {
    #[serde(rename = "request_put")]
    Put { key: Base64, value: Base64 },
    #[serde(rename = "request_range")]
    Read(RangeRequest),
    #[serde(rename = "request_delete_range")]
    Delete { key: Base64, range_end: Base64 },
}

/// `RangeRequest`, in the order of keys. Linearizable, as etcd's default is, unless `serializable`.
#[derive(Serialize)]
pub(super) struct RangeRequest {
    key: Base64,
    #[serde(skip_serializing_if = "Option::is_none")]
    range_end: Option<Base64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<String>,
    keys_only: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    serializable: bool,
}

impl Operation {
    pub(super) fn put(key: &[u8], value: &[u8]) -> Self {
        Self::Put { key: Base64::of(key), value: Base64::of(value) }
    }

    /// Reads a key.
    pub(super) fn read(key: &[u8]) -> Self {
        let key = Base64::of(key);
        Self::Read(RangeRequest {
            key,
            range_end: None,
            limit: None,
            keys_only: false,
            serializable: false,
        })
    }

    /// Reads the first keys of a range.
    pub(super) fn read_range(Range { key, end }: &Range, limit: usize, keys_only: bool) -> Self {
        let (key, range_end) = (Base64::of(key), Some(Base64::of(end)));
        let limit = Some(limit.to_string());
        Self::Read(RangeRequest { key, range_end, limit, keys_only, serializable: false })
    }

    /// Reads what the member has that is asked.
    pub(super) const fn take_what_the_member_has(&mut self) {
        if let Self::Read(request) = self {
            request.serializable = true;
        }
    }

    pub(super) fn delete(Range { key, end }: &Range) -> Self {
        Self::Delete { key: Base64::of(key), range_end: Base64::of(end) }
    }
}

/// `ResponseHeader`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Header {
    #[serde(default)]
    revision: String,
}

impl Header {
    /// The revision of the member that answers; `None`, where it names none.
    pub(super) fn revision(&self) -> Option<u64> {
        self.revision.parse().ok()
    }
}

/// `TxnResponse`.
#[derive(Debug, Deserialize)]
pub(super) struct TransactionAnswer {
    #[serde(default)]
    pub(super) header: Header,
    #[serde(default)]
    pub(super) succeeded: bool,
    #[serde(default)]
    responses: Vec<OperationAnswer>,
}

#[derive(Debug, Default, Deserialize)]
struct OperationAnswer {
    #[serde(default)]
    response_range: RangeAnswer,
    #[serde(default)]
    response_delete_range: DeleteAnswer,
}

/// `RangeResponse`.
#[derive(Debug, Default, Deserialize)]
struct RangeAnswer {
    #[serde(default)]
    kvs: Vec<KeyValue>,
}

#[derive(Debug, Default, Deserialize)]
struct DeleteAnswer {
    #[serde(default)]
    deleted: Option<String>,
}

/// `KeyValue`.
#[derive(Debug, Deserialize)]
pub(super) struct KeyValue {
    pub(super) key: Base64,
    #[serde(default)]
    pub(super) value: Base64,
    #[serde(default)]
    pub(super) create_revision: String,
}

impl TransactionAnswer {
    /// What the operations of the branch read, in their order; nothing for others.
    pub(super) fn read(self) -> impl Iterator<Item = Vec<KeyValue>> {
        self.responses.into_iter().map(|response| response.response_range.kvs)
    }

    /// How many keys the operations of the branch deleted.
    pub(super) fn deleted(&self) -> u64 {
        let counts = self.responses.iter();
        let counts = counts.filter_map(|response| response.response_delete_range.deleted.as_ref());
        counts.filter_map(|count| count.parse::<u64>().ok()).sum()
    }
}

/// `AuthenticateRequest`.
#[derive(Serialize)]
pub(super) struct Authenticate<'a> {
    pub(super) name: &'a str,
    pub(super) password: &'a str,
}

/// `AuthenticateResponse`.
#[derive(Deserialize)]
pub(super) struct Authenticated {
    pub(super) token: String,
}

/// `WatchRequest`, of one key.
#[derive(Serialize)]
pub(super) struct Watch {
    create_request: WatchCreate,
}

#[derive(Serialize)]
struct WatchCreate {
    key: Base64,
}

impl Watch {
    pub(super) fn key(key: &[u8]) -> Self {
        Self { create_request: WatchCreate { key: Base64::of(key) } }
    }
}

/// One line of the answer to a watch.
#[derive(Deserialize)]
pub(super) struct WatchLine {
    pub(super) result: Option<WatchAnswer>,
}

/// `WatchResponse`.
#[derive(Deserialize)]
pub(super) struct WatchAnswer {
    #[serde(default)]
    pub(super) header: Header,
    #[serde(default)]
    pub(super) canceled: bool,
    #[serde(default)]
    pub(super) cancel_reason: String,
}

/// What the gateway says instead of an answer.
#[derive(Debug, Deserialize)]
pub(super) struct Fault {
    /// A status code of gRPC.
    pub(super) code: i32,
    pub(super) message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_written_as_the_gateway_reads_it() {
        let range = Range { key: b"a".to_vec(), end: b"b".to_vec() };
        let mut nearby = Operation::read_range(&range, 2, true);
        nearby.take_what_the_member_has();
        let all = Transaction {
            compare: vec![
                Compare::has_value(b"a", b"1"),
                Compare::has_nothing(&range),
                Compare::was_created_at(b"a", "7"),
            ],
            success: vec![Operation::put(b"a", b"1"), Operation::delete(&range)],
            failure: vec![Operation::read(b"a"), nearby],
        };
        let expected = r#"{"compare":[{"key":"YQ==","result":"EQUAL","target":"VALUE","value":"MQ=="},{"key":"YQ==","range_end":"Yg==","result":"EQUAL","target":"VERSION","version":"0"},{"key":"YQ==","result":"EQUAL","target":"CREATE","create_revision":"7"}],"success":[{"request_put":{"key":"YQ==","value":"MQ=="}},{"request_delete_range":{"key":"YQ==","range_end":"Yg=="}}],"failure":[{"request_range":{"key":"YQ==","keys_only":false}},{"request_range":{"key":"YQ==","range_end":"Yg==","limit":"2","keys_only":true,"serializable":true}}]}"#;
        assert_eq!(serde_json::to_string(&all).unwrap(), expected);
    }

    #[test]
    fn an_answer_is_read_without_what_has_its_default_value() {
        let text = r#"{"header":{"revision":"2"},"responses":[{"response_range":{"header":{},"kvs":[{"key":"YQ==","create_revision":"2","value":"MQ=="}],"count":"1"}},{"response_delete_range":{"deleted":"3"}},{"response_put":{}}]}"#;
        let answer: TransactionAnswer = serde_json::from_str(text).unwrap();
        assert!(!answer.succeeded);
        assert_eq!(answer.deleted(), 3);
        let read: Vec<_> = answer.read().collect();
        assert_eq!(read.len(), 3);
        assert_eq!(
            (read[0][0].value.0.as_slice(), read[0][0].create_revision.as_str()),
            (&b"1"[..], "2")
        );
        assert!(
            serde_json::from_str::<TransactionAnswer>(
                r#"{"responses":[{"response_range":{"kvs":[{"key":"?"}]}}]}"#
            )
            .is_err()
        );
    }
}
