//! Conditions as text.

use super::{Ask, Comparison, Condition, Literal, Mistake, Place, Spelled, Test, Tree};

/// Parentheses and `not`s within each other; more than anybody writes.
const DEEPEST: usize = 50;
const VALUE: &str = "a value is expected here: 'text', a number, true or false";
const QUESTION: &str = "a question is expected here: =, !=, <, <=, >, >=, in ('a', 'b'), starts with 'a', is missing";

impl Condition {
    /// Reads a condition. Which fields there are is not looked at, see [`Condition::bind`].
    pub fn parse(text: &str) -> Result<Self, Mistake> {
        let text: Vec<char> = text.chars().collect();
        let tokens = tokens(&text)?;
        let mut parser = Parser { tokens: &tokens, end: text.len() };
        let tree = parser.any(0)?;
        match parser.tokens.first() {
            None => Ok(Self { tree, text }),
            Some((_, place)) => Err(Mistake::new(*place, "`and`, `or` or the end is expected here")),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Number(String),
    Sign(&'static str),
}

/// Longer ones first.
const SIGNS: [&str; 9] = ["!=", "<=", ">=", "=", "<", ">", "(", ")", ","];

fn tokens(text: &[char]) -> Result<Vec<(Token, Place)>, Mistake> {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(letter) = text.get(at) {
        if letter.is_whitespace() {
            at += 1;
            continue;
        }
        let rest = text.get(at..).unwrap_or_default();
        let (token, length) = token(rest).map_err(|(length, what)| Mistake::new(Place { at, length }, what))?;
        found.push((token, Place { at, length }));
        at += length;
    }
    Ok(found)
}

/// The first token of a text that does not begin with a blank, and its length; or the length of what is wrong, and what.
fn token(rest: &[char]) -> Result<(Token, usize), (usize, &'static str)> {
    let run = |belongs: fn(&char) -> bool| rest.iter().take_while(|letter| belongs(letter)).count();
    let some = |length: usize| rest.iter().take(length).collect::<String>();
    let sign = SIGNS.into_iter().find(|sign| sign.chars().eq(rest.iter().take(sign.len()).copied()));
    match rest.first() {
        Some('\'' | '"') => quoted(rest).ok_or((rest.len(), "this text does not end: the closing quote is missing")),
        Some(letter) if letter.is_alphabetic() || *letter == '_' => {
            let length = run(|letter| letter.is_alphanumeric() || *letter == '_');
            Ok((Token::Word(some(length)), length))
        }
        Some('0'..='9' | '-' | '+') => {
            let length = run(|letter| matches!(letter, '0'..='9' | '-' | '+' | '.' | ':') || letter.is_alphanumeric());
            let (spelled, digits) = (some(length), |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()));
            let (whole, part) = spelled.split_once('.').unwrap_or((&spelled, "0"));
            let whole = whole.strip_prefix('-').unwrap_or(whole);
            if !whole.is_empty() && !part.is_empty() && digits(whole) && digits(part) {
                Ok((Token::Number(spelled), length))
            } else {
                Err((length, "this is no number; dates, telephones and other texts stand in quotes"))
            }
        }
        _ => sign.map(|sign| (Token::Sign(sign), sign.len())).ok_or((1, "this means nothing here")),
    }
}

/// A text in quotes; a quote inside is doubled.
fn quoted(rest: &[char]) -> Option<(Token, usize)> {
    let quote = rest.first()?;
    let (mut text, mut at) = (String::new(), 1);
    loop {
        let letter = rest.get(at)?;
        if letter == quote {
            if rest.get(at + 1) != Some(quote) {
                return Some((Token::Text(text), at + 1));
            }
            at += 1;
        }
        text.push(*letter);
        at += 1;
    }
}

struct Parser<'t> {
    tokens: &'t [(Token, Place)],
    end: usize,
}

impl Parser<'_> {
    fn any(&mut self, depth: usize) -> Result<Tree<Test>, Mistake> {
        let mut parts = vec![self.all(depth)?];
        while self.takes_word("or") {
            parts.push(self.all(depth)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Tree::Any(parts) })
    }

    fn all(&mut self, depth: usize) -> Result<Tree<Test>, Mistake> {
        let mut parts = vec![self.one(depth)?];
        while self.takes_word("and") {
            parts.push(self.one(depth)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Tree::All(parts) })
    }

    fn one(&mut self, depth: usize) -> Result<Tree<Test>, Mistake> {
        if depth > DEEPEST {
            return Err(self.expected("this is nested too deeply"));
        }
        if self.takes_word("not") {
            return Ok(Tree::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.takes_sign("(") {
            let tree = self.any(depth + 1)?;
            self.closed()?;
            return Ok(tree);
        }
        let Some((Token::Word(field), place)) = self.tokens.first() else {
            return Err(self.expected("the name of a field is expected here"));
        };
        self.pass();
        self.question(field, *place)
    }

    /// What is asked of a field; what is denied is asked and then denied.
    fn question(&mut self, field: &str, place: Place) -> Result<Tree<Test>, Mistake> {
        let leaf = |ask: Ask| Tree::Leaf(Test { field: field.to_owned(), place, ask });
        let denied = |denied: bool, tree: Tree<Test>| if denied { Tree::Not(Box::new(tree)) } else { tree };
        let order =
            [("<", Comparison::Less), ("<=", Comparison::AtMost), (">", Comparison::More), (">=", Comparison::AtLeast)];
        if self.takes_word("is") {
            let not = self.takes_word("not");
            return match self.takes_word("missing") {
                true => Ok(denied(not, leaf(Ask::Missing))),
                false => Err(self.expected("`missing` is expected here")),
            };
        }
        for sign in ["=", "!="] {
            if self.takes_sign(sign) {
                return Ok(denied(sign == "!=", leaf(Ask::Among(vec![self.value()?]))));
            }
        }
        for (sign, comparison) in order {
            if self.takes_sign(sign) {
                return Ok(leaf(Ask::Order(comparison, self.value()?)));
            }
        }
        if self.takes_word("starts") {
            return match self.takes_word("with") {
                true => Ok(leaf(Ask::StartsWith(self.value()?))),
                false => Err(self.expected("`with` is expected here")),
            };
        }
        let not = self.takes_word("not");
        if self.takes_word("in") {
            return Ok(denied(not, leaf(Ask::Among(self.values()?))));
        }
        Err(self.expected(if not { "`in` is expected here" } else { QUESTION }))
    }

    fn values(&mut self) -> Result<Vec<Literal>, Mistake> {
        if !self.takes_sign("(") {
            return Err(self.expected("`(` is expected here: in ('a', 'b')"));
        }
        let mut values = vec![self.value()?];
        while self.takes_sign(",") {
            values.push(self.value()?);
        }
        self.closed()?;
        Ok(values)
    }

    fn value(&mut self) -> Result<Literal, Mistake> {
        let Some((token, place)) = self.tokens.first() else { return Err(self.expected(VALUE)) };
        let spelled = match token {
            Token::Text(text) => Spelled::Text(text.clone()),
            Token::Number(number) => Spelled::Number(number.clone()),
            Token::Word(word) if word.eq_ignore_ascii_case("true") => Spelled::Bool(true),
            Token::Word(word) if word.eq_ignore_ascii_case("false") => Spelled::Bool(false),
            Token::Word(word) if word.eq_ignore_ascii_case("null") => {
                return Err(Mistake {
                    hint: Some("`is missing` asks for what is not there".into()),
                    ..self.expected(VALUE)
                });
            }
            Token::Word(word) => {
                return Err(Mistake { hint: Some(format!("texts stand in quotes: '{word}'")), ..self.expected(VALUE) });
            }
            Token::Sign(_) => return Err(self.expected(VALUE)),
        };
        self.pass();
        Ok(Literal { place: *place, spelled })
    }

    fn closed(&mut self) -> Result<(), Mistake> {
        if self.takes_sign(")") { Ok(()) } else { Err(self.expected("`)` is expected here")) }
    }

    fn takes_word(&mut self, wanted: &str) -> bool {
        let found = matches!(self.tokens.first(), Some((Token::Word(word), _)) if word.eq_ignore_ascii_case(wanted));
        if found {
            self.pass();
        }
        found
    }

    fn takes_sign(&mut self, wanted: &str) -> bool {
        let found = matches!(self.tokens.first(), Some((Token::Sign(sign), _)) if *sign == wanted);
        if found {
            self.pass();
        }
        found
    }

    fn pass(&mut self) {
        self.tokens = self.tokens.get(1..).unwrap_or_default();
    }

    /// A mistake about the next token, or about the end.
    fn expected(&self, what: &str) -> Mistake {
        Mistake::new(self.tokens.first().map_or(Place { at: self.end, length: 1 }, |(_, place)| *place), what)
    }
}
