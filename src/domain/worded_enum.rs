//! Enums whose variants have one word each, in the API, the log or a list.

/// Such an enum, from one list of variants and words.
macro_rules! worded {
    ($(#[$meta:meta])* $visible:vis enum $name:ident {
        $($(#[$doc:meta])* $variant:ident = $word:literal,)+
    }) => {
        $(#[$meta])*
        $visible enum $name {
            $($(#[$doc])* $variant,)+
        }

        impl $name {
            /// All of them, in this order.
            pub const ALL: [Self; [$($word),+].len()] = [$(Self::$variant),+];

            /// The word of the variant.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }
    };
}

pub(crate) use worded;
