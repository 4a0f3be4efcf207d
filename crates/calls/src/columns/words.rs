//! What the words of a column's name say of its cells.

use super::snake;

/// Words for codes, wherever they stand in a name: `phone_number`, `zip_plus_4`.
const CODES: [&str; 29] = [
    "zip",
    "zipcode",
    "postal",
    "postcode",
    "plz",
    "phone",
    "telephone",
    "tel",
    "mobile",
    "fax",
    "msisdn",
    "imei",
    "imsi",
    "iccid",
    "sku",
    "ean",
    "gtin",
    "upc",
    "isbn",
    "barcode",
    "iban",
    "bic",
    "ssn",
    "vat",
    "siret",
    "fips",
    "uuid",
    "guid",
    "account",
];

/// Words for ids, names and codes at the end of a name.
const LAST: [&str; 8] = ["id", "name", "code", "version", "build", "serial", "last4", "pin"];

/// Words that make a code of a number behind them: `order_number`, `houseNo`.
const NUMBERED: [&str; 17] = [
    "order",
    "invoice",
    "customer",
    "member",
    "employee",
    "house",
    "tax",
    "contract",
    "policy",
    "ticket",
    "flight",
    "card",
    "part",
    "serial",
    "tracking",
    "reference",
    "license",
];

/// Words at the end of a name that say that its values are measured or counted: `phone_calls`, `account_balance`.
const MEASURES: [&str; 17] = [
    "count", "calls", "total", "sum", "amount", "balance", "value", "price", "length", "size", "time", "duration",
    "seconds", "minutes", "hours", "days", "age",
];

/// Whether the last part of a name says that its values are ids, names or codes, which stay strings when types are
/// inferred: `productId`, `order_id`, `firstName`, `zip`, `homePhone`, `phone_number`.
pub(super) fn is_id_or_name(last: &str) -> bool {
    let name = snake::snake_case(last);
    let has = |list: &[&str]| name.split('_').any(|word| list.contains(&word));
    let end = name.rsplit('_').next().unwrap_or_default();
    LAST.iter().any(|word| ends_with_word(last, word))
        || (has(&CODES) && !MEASURES.contains(&end))
        || (has(&NUMBERED) && matches!(end, "number" | "no" | "nr" | "num"))
}

/// Whether a name is that of an email address: `user_email`, `emailAddress`, `e-mail`.
pub(super) fn is_email(last: &str) -> bool {
    let name = snake::snake_case(last);
    let mut words = name.split('_').peekable();
    std::iter::from_fn(|| words.next().map(|word| (word, words.peek().copied())))
        .any(|(word, next)| word == "email" || (word == "e" && next == Some("mail")))
}

/// Whether a name ends with a word of its own: `order_id` and `orderId` end with `id`, `paid` does not.
fn ends_with_word(name: &str, word: &str) -> bool {
    let Some(at) = name.len().checked_sub(word.len()) else { return false };
    let Some((before, end)) = name.split_at_checked(at) else { return false };
    end.eq_ignore_ascii_case(word)
        && (before.is_empty()
            || before.ends_with(|c: char| !c.is_alphanumeric())
            || end.starts_with(|c: char| c.is_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_names_and_codes_are_recognised_by_their_words() {
        for name in [
            "id",
            "ID",
            "productId",
            "product_id",
            "orderID",
            "first_name",
            "firstName",
            "name",
            "zip",
            "homePhone",
            "sku",
            "country_code",
            "phone_number",
            "phoneNumber",
            "work_phone_2",
            "tel",
            "msisdn",
            "IMEI",
            "postal",
            "zip_plus_4",
            "account_number",
            "order_number",
            "houseNo",
            "barcode",
            "app_version",
            "build",
        ] {
            assert!(is_id_or_name(name), "{name}");
        }
        for name in [
            "zipped",
            "encode",
            "paid",
            "price",
            "filename",
            "valid",
            "",
            "d",
            "größe",
            "page_number",
            "number",
            "order",
            "phone_calls",
            "build_time",
            "id_count",
            "hotel",
        ] {
            assert!(!is_id_or_name(name), "{name}");
        }
    }

    #[test]
    fn email_addresses_are_recognised_by_a_word_of_the_name() {
        for name in ["email", "Email", "user_email", "emailAddress", "email_address", "workEmail", "e-mail"] {
            assert!(is_email(name), "{name}");
        }
        for name in ["mail", "emails", "demail", "e", ""] {
            assert!(!is_email(name), "{name}");
        }
    }
}
