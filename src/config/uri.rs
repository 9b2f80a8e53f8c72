//! What can be said about a connection string without a driver: is it one, and how to show it.

/// A connection string fit for logs: user, password and secret options are replaced by `***`.
///
/// Everything up to the last `@` goes, because an unescaped password may itself hold `@` or `/`.
pub fn redacted_uri(uri: &str) -> String {
    let Some((scheme, rest)) = uri.split_once("://") else {
        return "***".to_owned();
    };
    if !scheme.chars().all(|c| c.is_ascii_alphanumeric() || c == '+') {
        return "***".to_owned();
    }
    let (credentials, rest) = match rest.rsplit_once('@') {
        Some((_, rest)) => ("***@", rest),
        None => ("", rest),
    };
    let (address, query) = match rest.split_once('?') {
        Some((address, query)) => (address, Some(query)),
        None => (rest, None),
    };
    let query = query.map(|query| format!("?{}", query.split('&').map(option).collect::<Vec<_>>().join("&")));
    format!("{scheme}://{credentials}{address}{}", query.unwrap_or_default())
}

fn option(pair: &str) -> String {
    const SECRET: [&str; 4] = ["password", "secret", "token", "properties"];
    match pair.split_once('=') {
        Some((name, _)) if SECRET.iter().any(|word| name.to_ascii_lowercase().contains(word)) => format!("{name}=***"),
        Some(_) | None => pair.to_owned(),
    }
}

/// What is wrong with a legacy connection string, as (what, fix).
pub(super) fn legacy_problem(uri: &str) -> Option<(String, &'static str)> {
    const FORM: &str = "write mongodb://USER:PASSWORD@HOST/BioGraphDemo (or mongodb+srv://…)";
    let rest = uri.strip_prefix("mongodb://").or_else(|| uri.strip_prefix("mongodb+srv://"));
    let Some(rest) = rest else {
        return Some(("is not a MongoDB connection string".to_owned(), FORM));
    };
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let path = rest.split_once('?').map_or(rest, |(path, _)| path);
    match path.split_once('/') {
        Some(("", _)) => Some(("names no host".to_owned(), FORM)),
        Some((_, database)) if !database.is_empty() => None,
        Some(_) | None => Some(("names no database after the host".to_owned(), FORM)),
    }
}

/// What is wrong with a renaissance connection string, as (what, fix).
pub(super) fn renaissance_problem(url: &str) -> Option<(String, &'static str)> {
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return None;
    }
    Some(("is not a Postgres connection string".to_owned(), "write postgres://USER:PASSWORD@HOST/DATABASE"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_replaced_wherever_they_stand() {
        for (uri, shown) in [
            ("mongodb://ada:pw@h1:27017,h2/db?replicaSet=rs0", "mongodb://***@h1:27017,h2/db?replicaSet=rs0"),
            ("mongodb://ada:p@ss/w?rd@h/db", "mongodb://***@h/db"),
            ("postgres://h/db?password=x&sslmode=require", "postgres://h/db?password=***&sslmode=require"),
            (
                "mongodb+srv://h/db?authMechanismProperties=AWS_SESSION_TOKEN:x",
                "mongodb+srv://h/db?authMechanismProperties=***",
            ),
            ("postgres://localhost/db", "postgres://localhost/db"),
            ("host=h password=x", "***"),
            ("user:pw", "***"),
        ] {
            assert_eq!(redacted_uri(uri), shown);
        }
    }

    #[test]
    fn a_legacy_uri_must_name_host_and_database() {
        assert_eq!(legacy_problem("mongodb://a:b@h1,h2:27017/BioGraphDemo?x=y"), None);
        assert_eq!(legacy_problem("mongodb+srv://cluster.example/BioGraphDemo"), None);
        for uri in ["postgres://h/db", "mongodb://h", "mongodb://h/", "mongodb://h/?x=y", "mongodb:///db", "h/db"] {
            assert!(legacy_problem(uri).is_some(), "{uri}");
        }
    }
}
