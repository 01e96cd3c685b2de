//! Secrets in a provider's URL: taken out, since keypool sends a key in a header, and shows URLs.

/// A URL without the secrets that stood in it.
pub(super) struct Cleared {
    pub(super) url: String,
    /// Parameters of its query that were a secret, by name: what they held.
    pub(super) parameters: Vec<(String, String)>,
    /// There was a user's name or password before the host.
    pub(super) had_user: bool,
}

/// Words in the name of a parameter that holds a secret.
const SECRET: [&str; 7] = ["key", "token", "secret", "auth", "password", "sig", "code"];

/// Takes the secrets out of a URL.
pub(super) fn cleared(url: &str) -> Cleared {
    let (location, query) = match url.split_once('?') {
        // Behind a query there may be a fragment, which is sent to nobody.
        Some((location, query)) => (location, query.split('#').next().unwrap_or_default()),
        None => (url, ""),
    };
    let (secret, others): (Vec<&str>, Vec<&str>) = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .partition(|pair| holds_secret(pair));
    let parameters = secret.into_iter().map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name.to_owned(), value.to_owned())
    });
    let (location, had_user) = without_user(location);
    let query = if others.is_empty() {
        String::new()
    } else {
        format!("?{}", others.join("&"))
    };
    Cleared {
        url: location + &query,
        parameters: parameters.collect(),
        had_user,
    }
}

fn holds_secret(pair: &str) -> bool {
    let name = pair.split('=').next().unwrap_or_default().to_lowercase();
    SECRET.iter().any(|word| name.contains(word))
}

fn without_user(location: &str) -> (String, bool) {
    let (scheme, rest) = location.split_once("://").unwrap_or(("", location));
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rsplit_once('@') {
        Some((user, _)) if !scheme.is_empty() => {
            let rest = rest.get(user.len() + 1..).unwrap_or_default();
            (format!("{scheme}://{rest}"), true)
        }
        _ => (location.to_owned(), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_taken_out_and_nothing_else() {
        for (url, left, parameters, had_user) in [
            ("https://a/v1", "https://a/v1", &[][..], false),
            (
                "https://a/v1?api-version=1&beta",
                "https://a/v1?api-version=1&beta",
                &[],
                false,
            ),
            (
                "https://a/models/?key=AIza1",
                "https://a/models/",
                &[("key", "AIza1")],
                false,
            ),
            (
                "https://a/x?a=1&Subscription-Key=k=2&b=3#end",
                "https://a/x?a=1&b=3",
                &[("Subscription-Key", "k=2")],
                false,
            ),
            (
                "https://user:pass@a:8/x?access_token=t&$key=",
                "https://a:8/x",
                &[("access_token", "t"), ("$key", "")],
                true,
            ),
            ("$URL", "$URL", &[], false),
            ("https://a/@x", "https://a/@x", &[], false),
        ] {
            let cleared = cleared(url);
            let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            let expected: Vec<_> = parameters.iter().map(own).collect();
            assert_eq!(cleared.url, left);
            assert_eq!((cleared.parameters, cleared.had_user), (expected, had_user));
        }
    }
}
