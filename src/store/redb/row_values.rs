//! The values of rows as bytes of our own, the same in every version of the database.
//!
//! Read with care: what the shared log brings may be damaged, and the database panics over bytes that
//! are not a value of the table.

use redb::Value;

use crate::domain::Failure;

/// A type of value.
pub(super) trait RowValue: Value + 'static {
    /// The bytes of a value.
    fn put(value: &Self::SelfType<'_>) -> Vec<u8>;

    /// The value of bytes; `None`, where they are of none.
    fn take(bytes: &[u8]) -> Option<Self::SelfType<'_>>;
}

/// Our bytes of a value in the bytes of redb, which come from its file.
pub(super) fn encode<V: RowValue>(value: &[u8]) -> Box<[u8]> {
    V::put(&V::from_bytes(value)).into_boxed_slice()
}

/// The bytes of redb of a value in our bytes.
pub(super) fn decode<V: RowValue>(bytes: &[u8]) -> Result<Box<[u8]>, Failure> {
    let value = V::take(bytes);
    let value = value
        .ok_or_else(|| Failure::internal("the bytes of a row's value are not those of one"))?;
    Ok(V::as_bytes(&value).as_ref().into())
}

impl RowValue for &'static [u8] {
    fn put(value: &&[u8]) -> Vec<u8> {
        value.to_vec()
    }

    fn take(bytes: &[u8]) -> Option<&[u8]> {
        Some(bytes)
    }
}

impl RowValue for &'static str {
    fn put(value: &&str) -> Vec<u8> {
        value.as_bytes().to_vec()
    }

    fn take(bytes: &[u8]) -> Option<&str> {
        std::str::from_utf8(bytes).ok()
    }
}

impl RowValue for &'static [u8; 32] {
    fn put(value: &&[u8; 32]) -> Vec<u8> {
        value.to_vec()
    }

    fn take(bytes: &[u8]) -> Option<&[u8; 32]> {
        bytes.try_into().ok()
    }
}

impl RowValue for () {
    fn put((): &()) -> Vec<u8> {
        Vec::new()
    }

    fn take(bytes: &[u8]) -> Option<()> {
        bytes.is_empty().then_some(())
    }
}

/// Numbers are little-endian.
macro_rules! number_value {
    ($($number:ty),*) => {
        $(impl RowValue for $number {
            fn put(value: &Self) -> Vec<u8> {
                value.to_le_bytes().to_vec()
            }

            fn take(bytes: &[u8]) -> Option<Self> {
                Some(Self::from_le_bytes(bytes.try_into().ok()?))
            }
        })*
    };
}
number_value!(i64, u64);

impl RowValue for (i64, u64) {
    fn put((first, second): &(i64, u64)) -> Vec<u8> {
        [first.to_le_bytes(), second.to_le_bytes()].concat()
    }

    fn take(bytes: &[u8]) -> Option<(i64, u64)> {
        let (first, second) = bytes.split_first_chunk()?;
        Some((i64::from_le_bytes(*first), u64::take(second)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of a value, which comes back from them, and from no other length of bytes.
    fn bytes<V: RowValue>(value: &V::SelfType<'_>, has_one_length: bool) -> Vec<u8> {
        let of_redb = V::as_bytes(value).as_ref().to_vec();
        let ours = encode::<V>(&of_redb);
        assert_eq!(&*decode::<V>(&ours).unwrap(), of_redb, "{value:?}");
        let more = [&ours, &[0][..]].concat();
        assert_eq!(decode::<V>(&more).is_err(), has_one_length, "{value:?} and a byte more");
        ours.into()
    }

    #[test]
    fn the_bytes_of_a_value_stay_what_they_are() {
        assert_eq!(bytes::<&[u8]>(&&[1, 0][..], false), [1, 0]);
        assert_eq!(bytes::<&str>(&"a\u{e9}", false), [0x61, 0xc3, 0xa9]);
        assert_eq!(bytes::<&[u8; 32]>(&&[7; 32], true), [7; 32]);
        assert_eq!(bytes::<()>(&(), true), [0_u8; 0]);
        assert_eq!(bytes::<u64>(&258, true), [2, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes::<i64>(&-2, true), [0xfe, 255, 255, 255, 255, 255, 255, 255]);
        let pair = [&[0xff; 8][..], &[1, 0, 0, 0, 0, 0, 0, 0]].concat();
        assert_eq!(bytes::<(i64, u64)>(&(-1, 1), true), pair);
    }

    #[test]
    fn what_is_no_value_is_refused() {
        assert!(decode::<&str>(&[0xff]).is_err());
        assert!(decode::<&[u8; 32]>(&[0; 31]).is_err());
        assert!(decode::<u64>(&[0; 7]).is_err());
        assert!(decode::<(i64, u64)>(&[0; 8]).is_err());
    }
}
