use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS,
        ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_HEADERS,
        HOST, ORIGIN, VARY,
    },
};

use crate::Origins;

/// What the `Origin` of a request says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Allowed,
    Forbidden,
    /// It is not even text, or there are two.
    Malformed,
}

impl Origins {
    /// Decides on a request. One without an `Origin` does not come from a web page.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Verdict {
        if !headers.contains_key(ORIGIN) {
            return Verdict::Allowed;
        }
        let Some(origin) = sole(headers, &ORIGIN) else {
            return Verdict::Malformed;
        };
        if self.lists(origin) || is_own(origin, headers) {
            Verdict::Allowed
        } else {
            Verdict::Forbidden
        }
    }

    /// Whether other origins may connect at all.
    pub(crate) fn is_cors(&self) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(origins) => !origins.is_empty(),
        }
    }

    /// Tells the browser what it may show to its page.
    pub(crate) fn allow(&self, request: &HeaderMap, answer: &mut HeaderMap) {
        match self {
            Self::Any => {
                answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            }
            Self::Listed(_) if !self.is_cors() => {}
            Self::Listed(_) => {
                answer.append(VARY, HeaderValue::from_static("Origin"));
                if let Some(origin) = sole(request, &ORIGIN)
                    && self.lists(origin)
                    && let Ok(origin) = HeaderValue::from_str(origin)
                {
                    answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
                    answer.insert(
                        ACCESS_CONTROL_ALLOW_CREDENTIALS,
                        HeaderValue::from_static("true"),
                    );
                }
            }
        }
    }

    fn lists(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(origins) => origins.iter().any(|listed| matches(listed, origin)),
        }
    }
}

/// Whether `origin` is the one that is listed, or one of its host's if that ends in `:*`.
fn matches(listed: &str, origin: &str) -> bool {
    let Some(host) = listed.strip_suffix(":*") else {
        return listed == origin;
    };
    match origin.strip_prefix(host) {
        Some("") => true,
        Some(rest) => rest
            .strip_prefix(':')
            .is_some_and(|port| port.parse::<u16>().is_ok()),
        None => false,
    }
}

/// Tells a preflight what the request may be like.
pub(crate) fn allow_preflight(request: &HeaderMap, answer: &mut HeaderMap) {
    answer.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET,HEAD,PUT,PATCH,POST,DELETE"),
    );
    if let Some(headers) = request.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, headers.clone());
        answer.append(
            VARY,
            HeaderValue::from_static("Access-Control-Request-Headers"),
        );
    }
}

/// Whether `origin` is the host that the request went to. The scheme cannot be compared: TLS may
/// end at a proxy.
fn is_own(origin: &str, headers: &HeaderMap) -> bool {
    let Some(host) = sole(headers, &HOST) else {
        return false;
    };
    let (authority, port) = if let Some(authority) = origin.strip_prefix("https://") {
        (authority, ":443")
    } else if let Some(authority) = origin.strip_prefix("http://") {
        (authority, ":80")
    } else {
        return false;
    };
    !authority.is_empty()
        && (authority.eq_ignore_ascii_case(host)
            || host
                .strip_suffix(port)
                .is_some_and(|host| authority.eq_ignore_ascii_case(host)))
}

/// The value of a header that is there once and is text. Of two, somebody else may have looked at
/// the other one.
fn sole<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_origins_and_the_own_host_may_connect() {
        let origins = Origins::Listed(vec!["https://crm.example.com".to_owned()]);
        for (origin, verdict) in [
            ("https://crm.example.com", Verdict::Allowed),
            ("http://localhost:5000", Verdict::Allowed),
            ("https://localhost:5000", Verdict::Allowed),
            ("http://crm.example.com", Verdict::Forbidden),
            ("https://crm.example.com:8443", Verdict::Forbidden),
            ("https://crm.example.com.evil.example", Verdict::Forbidden),
            (
                "https://evil.example/https://crm.example.com",
                Verdict::Forbidden,
            ),
            ("https://crm.example.com`", Verdict::Forbidden),
            ("https://crm.example.com$", Verdict::Forbidden),
            ("http://localhost", Verdict::Forbidden),
            ("localhost:5000", Verdict::Forbidden),
            ("null", Verdict::Forbidden),
            ("", Verdict::Forbidden),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("localhost:5000"));
            headers.insert(ORIGIN, HeaderValue::from_str(origin).unwrap());

            assert_eq!(origins.check(&headers), verdict, "{origin}");
        }
    }

    #[test]
    fn a_star_stands_for_any_port_and_nothing_else() {
        let origins = Origins::Listed(vec!["http://localhost:*".to_owned()]);
        for (origin, listed) in [
            ("http://localhost", true),
            ("http://localhost:3000", true),
            ("https://localhost:3000", false),
            ("http://localhost.evil.example", false),
            ("http://localhost:3000.evil.example", false),
            ("http://localhost:", false),
            ("http://localhost:99999", false),
            ("http://localhost:*", false),
        ] {
            assert_eq!(origins.lists(origin), listed, "{origin}");
        }
    }

    #[test]
    fn the_default_port_of_a_host_may_be_left_out() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("crm.example.com:443"));
        headers.insert(ORIGIN, HeaderValue::from_static("https://crm.example.com"));

        assert_eq!(
            Origins::Listed(Vec::new()).check(&headers),
            Verdict::Allowed
        );
    }

    #[test]
    fn a_request_without_an_origin_is_no_page() {
        assert_eq!(
            Origins::Listed(Vec::new()).check(&HeaderMap::new()),
            Verdict::Allowed
        );
    }

    #[test]
    fn an_origin_that_is_not_text_is_malformed() {
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, HeaderValue::from_bytes(b"http://\xff").unwrap());

        assert_eq!(Origins::Any.check(&headers), Verdict::Malformed);
    }
}
