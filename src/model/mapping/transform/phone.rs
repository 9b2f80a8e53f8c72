//! `as = "phone"`: a telephone number, canonically in E.164 (`+18475550100`), over a country code and a number. Punctuation, a leading
//! `+` and codes or numbers stored as int, double or text are understood; a missing code means `default_country`.
//! Written: `stored = "national"` (the default: code and national digits) or `"e164"` (code, and the whole number with `+`).
//! `country_as = "int"` (legacy's default) or `"text"`. Nothing in `number`: no telephone.
//! ```toml
//! [[field]]
//! name = "phone"
//! as = "phone"
//! default_country = "1"
//! legacy = { country = "country_code", number = "phone_number", null_as = "empty" }
//! renaissance = { country = "country_code", number = "phone_number", stored = "national" }
//! ```

use compact_str::{CompactString, format_compact};

use super::{Compound, NullForm, Place, Write, misfit, text};
use crate::model::{
    catalog::ColumnKind,
    problem::{Problem, Reason},
    value::Value,
};

/// A telephone number over two slots, country code and number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phone {
    /// The code where none is stored, digits only.
    pub default_country: String,
    /// Whether `number` is written whole, with `+` and code.
    pub e164: bool,
    /// Whether the code is written as a number.
    pub country_as_int: bool,
}

/// The country codes of two digits (ITU-T E.164 list of assigned codes). One digit: 1 and 7. All others: three.
const TWO_DIGITS: [&str; 44] = [
    "20", "27", "30", "31", "32", "33", "34", "36", "39", "40", "41", "43", "44", "45", "46", "47", "48", "49", "51",
    "52", "53", "54", "55", "56", "57", "58", "60", "61", "62", "63", "64", "65", "66", "81", "82", "84", "86", "90",
    "91", "92", "93", "94", "95", "98",
];

/// Splits the digits of an E.164 number into country code and national number; `None` if one of them would be empty.
fn split(digits: &str) -> Option<(&str, &str)> {
    let length = match digits.get(..2) {
        Some(start) if start.starts_with(['1', '7']) => 1,
        Some(start) if TWO_DIGITS.contains(&start) => 2,
        Some(start) if start.starts_with('0') => return None,
        _ => 3,
    };
    digits.split_at_checked(length).filter(|(_, national)| !national.is_empty())
}

/// The digits of a text that is digits and punctuation only, and whether a `+` opens them.
fn digits(text: &str) -> Option<(CompactString, bool)> {
    let (plain, plus) = text.strip_prefix('+').map_or((text, false), |plain| (plain, true));
    if plain.bytes().all(|letter| letter.is_ascii_digit()) {
        return Some((plain.into(), plus));
    }
    let mut found = CompactString::default();
    let mut plus = false;
    for letter in text.chars() {
        match letter {
            '0'..='9' => found.push(letter),
            '+' if found.is_empty() && !plus => plus = true,
            '+' => return None,
            _ if letter.is_alphanumeric() || letter == '\0' => return None,
            _ => {}
        }
    }
    Some((found, plus))
}

impl Phone {
    /// The digits of the stored country code without leading zeros, if there are any.
    fn country(place: &Place<'_>) -> Result<Option<CompactString>, Problem> {
        let Some(held) = place.value() else { return Ok(None) };
        let wrong = || place.wrong("a country code");
        let (code, _) = text::as_text(held)
            .filter(|text| !text.starts_with('-'))
            .and_then(|text| digits(&text))
            .ok_or_else(wrong)?;
        Ok(Some(CompactString::from(code.trim_start_matches('0'))).filter(|code| !code.is_empty()))
    }

    /// The digits of the stored number in E.164 order, if there are any.
    fn number(&self, places: &[Place<'_>; 2]) -> Result<Option<CompactString>, Problem> {
        let [country, number] = places;
        let wrong = || number.wrong("a telephone number");
        let Some(held) = number.value() else { return Ok(None) };
        let text = text::as_text(held).ok_or_else(wrong)?;
        if text.trim().is_empty() {
            return Ok(None);
        }
        let negative = matches!(held, Value::Int(_) | Value::Float(_)) && text.starts_with('-');
        match digits(&text).filter(|(found, _)| !found.is_empty() && !negative) {
            Some((found, true)) => Ok(Some(found)),
            Some((found, false)) => {
                Ok(Some(Self::country(country)?.unwrap_or_else(|| self.default_country.as_str().into()) + &found))
            }
            None => Err(Problem::new(
                Reason::WrongType,
                format!("{} holds something that is not a telephone number", number.name),
            )),
        }
    }

    /// The code as the side writes it; as text where text is already there.
    fn code(&self, code: &str, held: Option<&Value>) -> Value {
        let as_int = self.country_as_int && held.and_then(Value::as_text).is_none();
        match code.parse() {
            Ok(number) if as_int => Value::Int(number),
            _ => Value::Text(code.into()),
        }
    }
}

impl Compound for Phone {
    fn read(&self, places: &[Place<'_>]) -> Result<Value, Problem> {
        let Some(found) = self.number(&pair(places))? else { return Ok(Value::Null) };
        let problem = || Problem::new(Reason::WrongType, "holds digits that are not an international telephone number");
        split(&found).map(|_| Value::Text(CompactString::const_new("+") + &found)).ok_or_else(problem)
    }

    fn write(&self, value: &Value, places: &[Place<'_>], null: NullForm) -> Result<Vec<Write>, Problem> {
        let [country, number] = pair(places);
        if *value == Value::Null {
            let code =
                if country.held.is_some() { Write::Keep } else { Write::Set(self.code(&self.default_country, None)) };
            return Ok(vec![code, if number.held == Some(&Value::Null) { Write::Keep } else { null.write() }]);
        }
        let canonical = value.as_text().and_then(|text| text.strip_prefix('+'));
        let parts = canonical.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit())).and_then(split);
        let (mut code, mut national) = parts.ok_or_else(|| misfit(value, "a number in E.164"))?;
        // A stored code that fits the number stays: some people's codes are not the ITU's (`1684`).
        let stored = Self::country(&country).ok().flatten();
        let whole = canonical.unwrap_or_default();
        let kept = stored.as_deref().and_then(|stored| whole.strip_prefix(stored)).filter(|rest| !rest.is_empty());
        if let Some(rest) = kept {
            (code, national) = whole.split_at(whole.len() - rest.len());
        }
        let code = if kept.is_some() { Write::Keep } else { Write::Set(self.code(code, country.held)) };
        let written = if self.e164 { format!("+{whole}") } else { national.to_owned() };
        Ok(vec![code, Write::Set(Value::Text(written.into()))])
    }

    fn forms(&self, value: &Value) -> Vec<Vec<(usize, Value)>> {
        let whole = value.as_text().and_then(|text| text.strip_prefix('+'));
        let Some((code, national)) = whole.and_then(split) else { return Vec::new() };
        let mut codes = vec![Value::Text(code.into()), Value::Text(format_compact!("+{code}"))];
        if self.country_as_int {
            codes.extend(code.parse().map(Value::Int));
        }
        if code == self.default_country {
            codes.push(Value::Null);
        }
        let mut numbers = vec![Value::Text(national.into())];
        if self.country_as_int {
            numbers = text::spellings(national);
        }
        let national =
            codes.iter().flat_map(|code| numbers.iter().map(|number| vec![(0, code.clone()), (1, number.clone())]));
        national.chain([vec![(1, value.clone())]]).collect()
    }

    /// Without a `+`, or `00` in its place, the text may be national or may just lack the `+`.
    fn meant(&self, text: &str) -> Vec<Value> {
        // people write `+44 (0)20 …` for a zero that is dialled only without the code
        let Some((found, plus)) = digits(&text.replace("(0)", "")).filter(|(found, _)| !found.is_empty()) else {
            return Vec::new();
        };
        let numbers = match found.strip_prefix("00") {
            _ if plus => vec![found],
            Some(international) => vec![international.into()],
            None => vec![format_compact!("{}{found}", self.default_country), found],
        };
        let known = numbers.into_iter().filter(|number| split(number).is_some());
        known.map(|number| Value::Text(format_compact!("+{number}"))).collect()
    }

    fn fits(&self, place: usize, kind: ColumnKind) -> bool {
        match kind {
            ColumnKind::Text(_) => place == 1 || !self.country_as_int,
            ColumnKind::Int(_) => place == 0 && self.country_as_int,
            _ => false,
        }
    }
}

/// Country code and number; the parser always gives both.
fn pair<'a>(places: &[Place<'a>]) -> [Place<'a>; 2] {
    let at = |index: usize| {
        places.get(index).map_or(Place { name: "", held: None }, |place| Place { name: place.name, held: place.held })
    };
    [at(0), at(1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phone() -> Phone {
        Phone { default_country: "1".into(), e164: false, country_as_int: true }
    }

    fn places<'a>(code: &'a Value, number: &'a Value) -> [Place<'a>; 2] {
        [Place { name: "country_code", held: Some(code) }, Place { name: "phone_number", held: Some(number) }]
    }

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    #[test]
    fn every_spelling_of_a_number_is_one_number() {
        let codes = [
            Value::Int(1),
            Value::Float(1.0),
            text("1"),
            text("+1"),
            text(" 001 "),
            text(""),
            Value::Int(0),
            Value::Null,
        ];
        let numbers = [
            text("8475550100"),
            Value::Int(8_475_550_100),
            Value::Float(8_475_550_100.0),
            text("(847) 555-0100"),
            text(" +1 847.555.0100"),
        ];
        for code in &codes {
            for number in &numbers {
                assert_eq!(phone().read(&places(code, number)), Ok(text("+18475550100")), "{code:?} {number:?}");
            }
        }
    }

    #[test]
    fn people_may_type_a_number_as_they_know_it() {
        let means = |typed: &str| phone().meant(typed).contains(&text("+18475550100"));
        for typed in
            ["+18475550100", "8475550100", "(847) 555-0100", "1 847 555 0100", "001-847-555-0100", " +1 847.555.0100 "]
        {
            assert!(means(typed), "{typed}");
        }
        assert_eq!(phone().meant("+44 (0)20 7946 0018"), [text("+442079460018")]);
        for typed in ["", "+", "ada", "ada@example.com", "847555010O"] {
            assert_eq!(phone().meant(typed), [], "{typed}");
        }
    }

    #[test]
    fn no_number_is_nothing_and_no_digits_is_a_problem() {
        for number in [Value::Null, text(""), text("  ")] {
            assert_eq!(phone().read(&places(&Value::Int(1), &number)), Ok(Value::Null));
        }
        for number in [
            text("call me"),
            text("-"),
            text("+"),
            text("+0123"),
            text("1+2"),
            text("٨٤٧"),
            Value::Int(-5),
            Value::Float(f64::NAN),
            Value::Bool(true),
            Value::List(vec![]),
        ] {
            assert!(phone().read(&places(&Value::Int(1), &number)).is_err(), "{number:?}");
        }
        assert!(phone().read(&places(&text("US"), &text("5550100"))).is_err());
    }

    #[test]
    fn a_number_is_split_where_the_itu_says_unless_the_stored_code_fits() {
        assert_eq!(split("18475550100"), Some(("1", "8475550100")));
        assert_eq!(split("442079460018"), Some(("44", "2079460018")));
        assert_eq!(split("353861234567"), Some(("353", "861234567")));
        assert_eq!(split("1"), None);
        let stored = Value::Int(1684);
        let writes = phone().write(&text("+16845550100"), &places(&stored, &Value::Null), NullForm::Empty);
        assert_eq!(writes, Ok(vec![Write::Keep, Write::Set(text("5550100"))]));
        let writes = phone().write(&text("+442079460018"), &places(&text("1"), &Value::Null), NullForm::Empty);
        assert_eq!(
            writes,
            Ok(vec![Write::Set(text("44")), Write::Set(text("2079460018"))]),
            "a code stored as text stays text"
        );
    }
}
