//! `SETTINGS`: settings that have no environment variable of their own, in one text. A template has one parameter for
//! all of them.

use std::collections::BTreeMap;

use crate::settings::{ALL, EXPORTER, INGESTER, READING, RECEIVER};

/// Reads `NAME=value; NAME=value`. Line breaks separate too. The faults quote names of settings and nothing else.
pub(crate) fn read(text: &str) -> (BTreeMap<&'static str, String>, Vec<String>) {
    let (mut values, mut faults) = (BTreeMap::new(), Vec::new());
    for part in text.split([';', '\n']).map(str::trim).filter(|part| !part.is_empty()) {
        let Some((name, value)) = part.split_once('=') else {
            faults.push("has a part without `=`; write NAME=value; NAME=value".to_owned());
            continue;
        };
        match declared(name.trim()) {
            None => faults.push(format!("has {}, which is no setting; README.md lists them", shown(name.trim()))),
            Some(name) => {
                if values.insert(name, value.to_owned()).is_some() {
                    faults.push(format!("has {name} twice; keep one of them"));
                }
            }
        }
    }
    (values, faults)
}

/// The declared name, in any case.
fn declared(name: &str) -> Option<&'static str> {
    let groups = [ALL, INGESTER, EXPORTER, RECEIVER, READING];
    groups.into_iter().flatten().map(|setting| setting.name).find(|declared| declared.eq_ignore_ascii_case(name))
}

/// The name, unless it may be a secret in the wrong place.
fn shown(name: &str) -> &str {
    let is_name = name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    if is_name { name } else { "a name" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Reader;
    use crate::settings::{CONCURRENCY, PROFILE, REJECT_LIMIT_ROWS};

    #[test]
    fn each_setting_can_stand_in_the_one_text() {
        for setting in [ALL, INGESTER, EXPORTER, RECEIVER, READING].concat() {
            let text = format!("{} = a=b ;", setting.name);
            let get = |name: &str| (name == "SETTINGS").then(|| text.clone());
            let reader = Reader::new(&get);
            if setting.name != "SETTINGS" {
                assert_eq!(reader.optional(setting).as_deref(), Some("a=b"), "{}", setting.name);
            }
        }
    }

    #[test]
    fn a_text_that_would_change_nothing_is_refused() {
        let faults_of = |text: &'static str| {
            let get = move |name: &str| match name {
                "SETTINGS" => Some(text.to_owned()),
                "CONCURRENCY" => Some("2".to_owned()),
                _ => None,
            };
            let mut reader = Reader::new(&get);
            let read = (reader.flag(&PROFILE), reader.parsed_if_set(&REJECT_LIMIT_ROWS, "a number"));
            let concurrency: u32 = reader.parsed(&CONCURRENCY, "a number");
            assert_eq!(concurrency, 2);
            reader.finish(read).map_err(|faults| faults.0)
        };
        assert_eq!(faults_of("PROFILE=false\nreject_limit_rows = 10"), Ok((false, Some(10_u64))));
        for (text, words) in [
            ("PROFILE", "SETTINGS has a part without `=`"),
            ("PROFIL=false", "SETTINGS has PROFIL, which is no setting"),
            ("k3y==", "SETTINGS has a name, which is no setting"),
            ("PROFILE=false;PROFILE=true", "SETTINGS has PROFILE twice"),
            ("CONCURRENCY=3", "SETTINGS has CONCURRENCY, which is set already"),
            ("REJECT_LIMIT_ROWS=x", "REJECT_LIMIT_ROWS is \"x\""),
        ] {
            let faults = faults_of(text).unwrap_err();
            assert!(faults.len() == 1 && faults[0].contains(words), "{text}: {faults:?}");
        }
    }
}
