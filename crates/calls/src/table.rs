//! An enum and the table of its variants, declared in one place.

/// Declares an enum whose variants each have an entry of a table: `Kind::ALL` lists the variants, `kind.entry()` is
/// the entry. A variant without an entry, or an entry without one of its fields, does not compile.
macro_rules! table {
    (
        $(#[$meta:meta])* $name:ident of $entry:ident {
            $($(#[$doc:meta])* $variant:ident { $($field:ident: $value:expr,)* })*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// Every variant, in the order of the table.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            const TABLE: &'static [$entry] = &[$($entry { $($field: $value,)* },)*];

            /// What the table declares of it.
            pub const fn entry(self) -> &'static $entry {
                &Self::TABLE[self as usize]
            }
        }
    };
}

pub(crate) use table;
