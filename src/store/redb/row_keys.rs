//! The keys of rows as bytes of our own: they sort as redb sorts the keys, in every version of it.
//!
//! redb's own bytes do not sort by themselves, and have changed between its versions. What is
//! written here must never change: golden bytes below hold it.

use redb::Key;

use crate::domain::Failure;

/// A type of key, or of a part of one.
pub(super) trait RowKey: Key + 'static {
    /// A key that owns its parts.
    type Owned;

    /// Appends the bytes of a key.
    fn put(key: &Self::SelfType<'_>, out: &mut Vec<u8>);

    /// Takes a key off the beginning of bytes; `None`, where there is none.
    fn take(bytes: &mut &[u8]) -> Option<Self::Owned>;

    /// The key itself.
    fn lend(owned: &Self::Owned) -> Self::SelfType<'_>;
}

/// The bytes of a key.
pub(super) fn encode<K: RowKey>(key: &K::SelfType<'_>) -> Box<[u8]> {
    let mut out = Vec::new();
    K::put(key, &mut out);
    out.into_boxed_slice()
}

/// The key of bytes.
pub(super) fn decode<K: RowKey>(mut bytes: &[u8]) -> Result<K::Owned, Failure> {
    let key = K::take(&mut bytes).filter(|_| bytes.is_empty());
    key.ok_or_else(|| Failure::internal("the bytes of a row's key are not those of one"))
}

/// In text: follows a zero byte that is part of it.
const ZERO: u8 = 0xff;
/// In text: follows a zero byte that ends it, so that a beginning sorts before what it begins.
const END: u8 = 0;

impl RowKey for &'static str {
    type Owned = String;

    fn put(key: &&str, out: &mut Vec<u8>) {
        for byte in key.bytes() {
            out.push(byte);
            if byte == 0 {
                out.push(ZERO);
            }
        }
        out.extend([0, END]);
    }

    fn take(bytes: &mut &[u8]) -> Option<String> {
        let mut text = Vec::new();
        loop {
            let byte = *bytes.split_off_first()?;
            if byte == 0 {
                match *bytes.split_off_first()? {
                    END => return String::from_utf8(text).ok(),
                    ZERO => {}
                    _ => return None,
                }
            }
            text.push(byte);
        }
    }

    fn lend(owned: &String) -> &str {
        owned
    }
}

impl RowKey for &'static [u8; 32] {
    type Owned = [u8; 32];

    fn put(key: &&[u8; 32], out: &mut Vec<u8>) {
        out.extend_from_slice(*key);
    }

    fn take(bytes: &mut &[u8]) -> Option<[u8; 32]> {
        bytes.split_off(..32)?.try_into().ok()
    }

    fn lend(owned: &[u8; 32]) -> &[u8; 32] {
        owned
    }
}

/// Numbers are big-endian; `$order` makes a signed one an unsigned one that sorts alike.
macro_rules! number_key {
    ($number:ty, $order:expr, $back:expr) => {
        impl RowKey for $number {
            type Owned = Self;

            fn put(key: &Self, out: &mut Vec<u8>) {
                out.extend($order(*key).to_be_bytes());
            }

            fn take(bytes: &mut &[u8]) -> Option<Self> {
                let taken = bytes.split_off(..size_of::<Self>())?;
                Some($back(taken.try_into().ok()?))
            }

            fn lend(owned: &Self) -> Self {
                *owned
            }
        }
    };
}
number_key!(u8, |key: u8| key, u8::from_be_bytes);
number_key!(u32, |key: u32| key, u32::from_be_bytes);
number_key!(u64, |key: u64| key, u64::from_be_bytes);
number_key!(i64, by_sign, |bytes| by_sign(i64::from_be_bytes(bytes)));

/// The sign bit, flipped: negative numbers sort first.
fn by_sign(number: i64) -> i64 {
    number ^ i64::MIN
}

macro_rules! key_of_parts {
    ($($part:ident $at:tt),*) => {
        impl<$($part: RowKey),*> RowKey for ($($part,)*) {
            type Owned = ($($part::Owned,)*);

            fn put(key: &Self::SelfType<'_>, out: &mut Vec<u8>) {
                $($part::put(&key.$at, out);)*
            }

            fn take(bytes: &mut &[u8]) -> Option<Self::Owned> {
                Some(($($part::take(bytes)?,)*))
            }

            fn lend(owned: &Self::Owned) -> Self::SelfType<'_> {
                ($($part::lend(&owned.$at),)*)
            }
        }
    };
}
key_of_parts!(A 0, B 1);
key_of_parts!(A 0, B 1, C 2);
key_of_parts!(A 0, B 1, C 2, D 3);

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;

    const SEED: u64 = 23;
    const PAIRS: usize = 2_000;
    const TEXTS: [&str; 9] =
        ["", "\0", "a", "a\0", "a\0\0", "a\0b", "a\u{1}", "ab", "\u{10ffff}\u{ff}"];

    /// Keys of a shape by chance, of parts that sort badly where bytes are taken for keys.
    struct Dice(StdRng);

    impl Dice {
        fn one<T: Copy>(&mut self, of: &[T]) -> T {
            of[self.0.random_range(0..of.len())]
        }

        fn text(&mut self) -> String {
            format!("{}{}", self.one(&TEXTS), self.one(&TEXTS))
        }

        fn time(&mut self) -> i64 {
            let any = self.0.random();
            self.one(&[any, any, i64::MIN, -1, 0, 1, i64::MAX])
        }

        fn count(&mut self) -> u64 {
            let any = self.0.random();
            self.one(&[any, any, 0, 1, 256, u64::MAX])
        }

        fn hash(&mut self) -> [u8; 32] {
            let mut hash = [self.one(&[0, 1, 255]); 32];
            hash[31] = self.0.random();
            hash
        }
    }

    /// Each shape of key that a table has, of two tries of the dice.
    fn compare<K: RowKey>(dice: &mut Dice, roll: impl Fn(&mut Dice) -> K::Owned)
    where
        K::Owned: Debug + PartialEq,
    {
        for _ in 0..PAIRS {
            let (one, other) = (roll(dice), roll(dice));
            let [ours, theirs] = [&one, &other].map(|key| encode::<K>(&K::lend(key)));
            let (lent, lent_other) = (K::lend(&one), K::lend(&other));
            let (bytes, bytes_other) = (K::as_bytes(&lent), K::as_bytes(&lent_other));
            let order = K::compare(bytes.as_ref(), bytes_other.as_ref());
            assert_eq!(ours.cmp(&theirs), order, "{one:?} and {other:?}");
            assert_eq!(decode::<K>(&ours).unwrap(), one);
            let cut = &ours[..ours.len() - 1];
            assert!(decode::<K>(cut).is_err(), "{one:?} without its last byte");
            let more = [&ours, &[0][..]].concat();
            assert!(decode::<K>(&more).is_err(), "{one:?} and a byte more");
        }
    }

    #[test]
    fn keys_sort_as_in_redb_and_come_back() {
        type Hash = &'static [u8; 32];
        type Text = &'static str;
        let dice = &mut Dice(StdRng::seed_from_u64(SEED));
        compare::<Text>(dice, Dice::text);
        compare::<u64>(dice, Dice::count);
        compare::<Hash>(dice, Dice::hash);
        compare::<(Text, Text)>(dice, |dice| (dice.text(), dice.text()));
        compare::<(Text, u64)>(dice, |dice| (dice.text(), dice.count()));
        compare::<(Text, u32)>(dice, |dice| (dice.text(), dice.one(&[0, 1, 256, u32::MAX])));
        compare::<(i64, u64)>(dice, |dice| (dice.time(), dice.count()));
        compare::<(Text, i64, u64)>(dice, |dice| (dice.text(), dice.time(), dice.count()));
        compare::<(Text, i64, Text)>(dice, |dice| (dice.text(), dice.time(), dice.text()));
        compare::<(Text, i64, Hash)>(dice, |dice| (dice.text(), dice.time(), dice.hash()));
        compare::<(i64, u8, Text)>(dice, |dice| {
            (dice.time(), dice.one(&[0, b'i', 255]), dice.text())
        });
        compare::<(Text, Text, i64, Text)>(dice, |dice| {
            (dice.text(), dice.text(), dice.time(), dice.text())
        });
    }

    #[test]
    fn the_bytes_of_a_key_stay_what_they_are() {
        let hex =
            |bytes: Box<[u8]>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let hash = &[0xab; 32];
        let keys = [
            hex(encode::<&str>(&"a\0b\u{e9}")),
            hex(encode::<u64>(&258)),
            hex(encode::<&[u8; 32]>(&hash)),
            hex(encode::<(&str, &str)>(&("acme", ""))),
            hex(encode::<(&str, u64)>(&("acme", 258))),
            hex(encode::<(&str, u32)>(&("inv", 7))),
            hex(encode::<(i64, u64)>(&(-2, 1))),
            hex(encode::<(&str, i64, u64)>(&("acme", 1_764_000_000_000, 9))),
            hex(encode::<(&str, i64, &str)>(&("acme", 0, "inv"))),
            hex(encode::<(&str, i64, &[u8; 32])>(&("anna", i64::MAX, hash))),
            hex(encode::<(i64, u8, &str)>(&(i64::MIN, b'i', "inv"))),
            hex(encode::<(&str, &str, i64, &str)>(&("acme", "anna", 1, "tok"))),
        ];
        assert_eq!(keys.join("\n"), include_str!("../../../tests/it/golden/row_keys.txt").trim());
    }
}
