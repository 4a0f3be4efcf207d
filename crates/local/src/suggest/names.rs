//! What names of columns and files mean, and names of fields.

/// The words of a name, in lower case: `E-Mail` is `e`, `mail`; `createdAt` is `created`, `at`.
pub(super) fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut before: Option<char> = None;
    for c in name.chars() {
        if c.is_alphanumeric() {
            let begins = match before {
                None => true,
                Some(before) => c.is_uppercase() && before.is_lowercase(),
            };
            if begins {
                words.push(String::new());
            }
            if let Some(word) = words.last_mut() {
                word.extend(c.to_lowercase());
            }
        }
        before = c.is_alphanumeric().then_some(c);
    }
    words
}

/// `First Name` is `firstName`.
pub(super) fn camel(name: &str) -> String {
    let mut out = String::new();
    for word in words(name) {
        let mut chars = word.chars();
        match chars.next() {
            Some(first) if !out.is_empty() => out.extend(first.to_uppercase()),
            Some(first) => out.push(first),
            None => {}
        }
        out.push_str(chars.as_str());
    }
    out
}

/// `First Name` is `first_name`.
pub(super) fn snake(name: &str) -> String {
    words(name).join("_")
}

/// Names of traits that Segment reserves, or that its documentation uses, and the names of columns for them.
const TRAITS: [(&str, &[&str]); 15] = [
    ("email", &["email", "emailaddress", "mail", "emailadresse", "customeremail", "useremail"]),
    ("firstName", &["firstname", "vorname", "givenname", "fname"]),
    ("lastName", &["lastname", "nachname", "surname", "familyname", "lname"]),
    ("name", &["name", "fullname", "displayname", "customername", "contactname"]),
    ("phone", &["phone", "phonenumber", "telephone", "telefon", "mobile", "mobilephone", "tel"]),
    ("company.name", &["company", "companyname", "firma", "organisation", "organization"]),
    ("address.street", &["street", "straße", "strasse", "streetaddress", "address", "address1", "adresse"]),
    ("address.city", &["city", "ort", "town", "stadt"]),
    ("address.postalCode", &["zip", "zipcode", "postalcode", "postcode", "plz", "postleitzahl"]),
    ("address.state", &["state", "region", "province", "bundesland", "stateregion"]),
    ("address.country", &["country", "land", "countryregion"]),
    ("birthday", &["birthday", "dateofbirth", "birthdate", "geburtsdatum"]),
    ("createdAt", &["createdat", "createdate", "datecreated", "created", "signupdate", "createddate"]),
    ("title", &["title", "jobtitle", "position"]),
    ("website", &["website", "websiteurl", "homepage"]),
];

/// The trait that a column is known for.
pub(super) fn known_trait(name: &str) -> Option<&'static str> {
    let joined = words(name).concat();
    TRAITS.iter().find(|(_, names)| names.contains(&joined.as_str())).map(|(path, _)| *path)
}

/// Names of columns whose cells name a person, the surest first.
const PERSON_IDS: [&str; 14] = [
    "userid",
    "customerid",
    "customernumber",
    "kundennummer",
    "kundennr",
    "kundenid",
    "contactid",
    "memberid",
    "clientid",
    "accountid",
    "personid",
    "recordid",
    "leid",
    "id",
];

/// How sure it is that a column names a person, 0 being the surest.
pub(super) fn person_id(name: &str) -> Option<usize> {
    let joined = words(name).concat();
    PERSON_IDS.iter().position(|known| *known == joined)
}

/// Whether cells of that name are texts, whatever they look like.
pub(super) fn is_code(name: &str) -> bool {
    const CODES: [&str; 20] = [
        "id",
        "ids",
        "nr",
        "number",
        "no",
        "zip",
        "plz",
        "postal",
        "postcode",
        "postleitzahl",
        "phone",
        "telefon",
        "tel",
        "mobile",
        "fax",
        "code",
        "sku",
        "iban",
        "vat",
        "ip",
    ];
    let words = words(name);
    words.iter().any(|word| CODES.contains(&word.as_str()) || word.ends_with("nummer"))
}

/// Words of file names, by what their rows are.
const EVENTS: [&str; 24] = [
    "order",
    "orders",
    "payment",
    "payments",
    "charge",
    "charges",
    "transaction",
    "transactions",
    "invoice",
    "invoices",
    "event",
    "events",
    "sale",
    "sales",
    "purchase",
    "purchases",
    "booking",
    "bookings",
    "refund",
    "refunds",
    "bestellungen",
    "rechnungen",
    "zahlungen",
    "track",
];
const PEOPLE: [&str; 22] = [
    "contact",
    "contacts",
    "customer",
    "customers",
    "kunde",
    "kunden",
    "user",
    "users",
    "member",
    "members",
    "subscriber",
    "subscribers",
    "subscribed",
    "audience",
    "lead",
    "leads",
    "people",
    "persons",
    "profiles",
    "clients",
    "mitglieder",
    "identify",
];
const AMOUNTS: [&str; 10] =
    ["amount", "total", "price", "revenue", "betrag", "summe", "subtotal", "value", "preis", "gross"];

pub(super) fn is_event_word(word: &str) -> bool {
    EVENTS.contains(&word)
}

/// Beginnings of words for what happened, as they stand before `nummer` or `nr`.
const EVENT_STEMS: [&str; 10] =
    ["bestell", "rechnung", "auftrag", "beleg", "vorgang", "transaktion", "zahlung", "buchung", "receipt", "ticket"];

/// How sure it is that the cells of a column number events, orders or payments, 0 being the surest; `None` if its name
/// does not say so. `Id` alone numbers the rows, which are events if the name of the file says so.
pub(super) fn event_number(name: &str, file_words: &[String]) -> Option<usize> {
    let words = words(name);
    if words.concat() == "id" {
        return file_words.iter().any(|word| is_event_word(word)).then_some(0);
    }
    let is_event = |word: &String| is_event_word(word) || EVENT_STEMS.iter().any(|stem| word.starts_with(stem));
    // Of `Customer Order ID` and `Order Customer ID` the last word before the number says whose it is.
    let last = words.iter().rfind(|word| is_event(word) || is_people_word(word));
    let event = last.filter(|word| is_event(word) && is_code(name) && person_id(name).is_none())?;
    let singular = event.trim_end_matches('s');
    Some(if file_words.iter().any(|word| word.starts_with(singular)) { 1 } else { 2 })
}

pub(super) fn is_people_word(word: &str) -> bool {
    PEOPLE.contains(&word)
}

/// Whether a column is about an item of an order.
pub(super) fn is_item(name: &str) -> bool {
    const ITEMS: [&str; 14] = [
        "item",
        "items",
        "lineitem",
        "product",
        "products",
        "sku",
        "variant",
        "variation",
        "quantity",
        "qty",
        "artikel",
        "menge",
        "position",
        "pos",
    ];
    words(name).iter().any(|word| ITEMS.contains(&word.as_str()))
}

/// Whether a column says how far a row has got: `Order Status`.
pub(super) fn is_status(name: &str) -> bool {
    words(name).last().is_some_and(|word| word == "status")
}

pub(super) fn is_amount(name: &str) -> bool {
    words(name).iter().any(|word| AMOUNTS.contains(&word.as_str()))
}

/// Digits behind a word that are a time or a number of the export.
const STAMP_DIGITS_MIN: usize = 4;

fn is_word(text: &str) -> bool {
    text.chars().count() > 2 && text.chars().all(char::is_alphabetic)
}

/// The parts of a file's name that stay from one export to the next.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FileName {
    /// A glob on the key.
    pub(super) pattern: String,
    /// The words that stay.
    pub(super) words: Vec<String>,
}

/// Reads the name of a file: parts with a digit change with each export.
pub(super) fn file_name(name: &str) -> FileName {
    let (stem, ending) = name.find(".csv").or_else(|| name.rfind('.')).map_or((name, ""), |at| name.split_at(at));
    let mut glob = String::new();
    let mut kept = Vec::new();
    for part in stem.split_inclusive(|c: char| !c.is_alphanumeric()) {
        let word = part.trim_end_matches(|c: char| !c.is_alphanumeric());
        let letters = word.trim_end_matches(|c: char| c.is_ascii_digit());
        let is_stamped = letters.len() + STAMP_DIGITS_MIN <= word.len() && is_word(letters);
        if is_stamped {
            // `report1700000000000`
            glob.push_str(letters);
            glob.push('*');
            kept.extend(words(letters));
        } else if word.chars().any(|c| c.is_ascii_digit()) {
            // The sign before it goes too, so that a name without the part matches.
            glob.truncate(glob.trim_end_matches(|c: char| !c.is_alphanumeric() && c != '*').len());
            if !glob.ends_with('*') {
                glob.push('*');
            }
        } else {
            // A sign that means something in globs is any sign.
            glob.extend(part.chars().map(|c| if "*?[]{}\\!".contains(c) { '?' } else { c }));
            kept.extend(words(word));
        }
    }
    if kept.is_empty() {
        return FileName {
            pattern: format!("**/{}", name.replace(['*', '?', '[', ']', '{', '}', '\\', '!'], "?")),
            words: kept,
        };
    }
    if !glob.ends_with('*') {
        glob.push('*');
    }
    FileName { pattern: format!("**/{glob}{ending}"), words: kept }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_split_into_words_for_fields_and_known_traits() {
        assert_eq!(words("E-Mail"), ["e", "mail"]);
        assert_eq!(words("createdAt"), ["created", "at"]);
        assert_eq!(words("OPTIN_TIME (UTC)"), ["optin", "time", "utc"]);
        assert_eq!([camel("First Name"), snake("Lineitem sku"), camel("§")], ["firstName", "lineitem_sku", ""]);
        assert_eq!(
            [known_trait("E-Mail"), known_trait("Straße"), known_trait("Plan")],
            [Some("email"), Some("address.street"), None]
        );
    }

    #[test]
    fn a_number_of_events_is_known_by_its_name_and_a_persons_is_none() {
        let file = words("stripe payments");
        for (name, rank) in [
            ("id", Some(0)),
            ("Payment ID", Some(1)),
            ("Order Number", Some(2)),
            ("Rechnungsnummer", Some(2)),
            ("Bestell-Nr", Some(2)),
            ("User ID", None),
            ("Customer Order ID", Some(2)),
            ("Order Customer ID", None),
            ("Record ID", None),
            ("Zip Code", None),
            ("Order Total", None),
        ] {
            assert_eq!(event_number(name, &file), rank, "{name}");
        }
        assert_eq!(event_number("id", &words("contacts")), None);
    }

    #[test]
    fn a_pattern_leaves_out_what_changes_from_export_to_export() {
        for (name, pattern) in [
            ("orders_export_1.csv", "**/orders_export*.csv"),
            ("hubspot-crm-exports-all-contacts-2025-12-31.csv", "**/hubspot-crm-exports-all-contacts*.csv"),
            ("2025-12-31_kunden.csv", "**/*kunden*.csv"),
            ("unified_payments.csv", "**/unified_payments*.csv"),
            ("users 2024 final.csv.gz", "**/users*final*.csv.gz"),
            ("[a].csv", "**/?a?*.csv"),
            ("2025.csv", "**/2025.csv"),
            ("report1700000000000.csv", "**/report*.csv"),
            ("eu_orders20251231_b2b.csv", "**/eu_orders*.csv"),
            ("export", "**/export*"),
        ] {
            assert_eq!(file_name(name).pattern, pattern, "{name}");
        }
    }
}
