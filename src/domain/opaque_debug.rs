//! `Debug` for types whose content must not be printed, or is of no use to a reader.

/// Prints this text for every value of the type.
macro_rules! opaque_debug {
    ($name:ident, $text:literal) => {
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str($text)
            }
        }
    };
}

pub(crate) use opaque_debug;
