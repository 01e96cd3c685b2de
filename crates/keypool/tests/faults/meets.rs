//! What a key meets at the provider, word for word where the provider's own words matter.

use keypool_sim::{Fault, FaultWindow};
use serde_json::{Value, json};

use crate::ports::Port;

/// What becomes of requests with a key.
#[derive(Debug, Clone)]
pub(crate) struct Meets {
    /// As the page says it.
    pub(crate) words: String,
    pub(crate) what: What,
}

/// How it is brought about.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// The key works.
    Sound,
    /// The simulated provider fails.
    Fault(FaultWindow),
    /// The key's base URL leads to a port that does not serve HTTP.
    Port(Port),
    /// A stream of frames, as AWS sends them.
    Frames(Vec<u8>),
}

/// A key that works.
pub(crate) fn sound() -> Meets {
    Meets {
        words: "works".to_owned(),
        what: What::Sound,
    }
}

/// A fault in the simulator's own words.
pub(crate) fn fault(words: &str, fault: Fault) -> Meets {
    Meets {
        words: words.to_owned(),
        what: What::Fault(fault.into()),
    }
}

/// A port that does not serve HTTP.
pub(crate) fn port(words: &str, port: Port) -> Meets {
    Meets {
        words: words.to_owned(),
        what: What::Port(port),
    }
}

/// A stream of frames, as AWS sends them.
pub(crate) fn frames(words: &str, bytes: Vec<u8>) -> Meets {
    Meets {
        words: words.to_owned(),
        what: What::Frames(bytes),
    }
}

/// Any answer, word for word.
pub(crate) fn verbatim(words: &str, status: u16, content_type: &str, body: &str) -> Meets {
    let headers = vec![("content-type".to_owned(), content_type.to_owned())];
    let body = body.to_owned();
    fault(
        words,
        Fault::Verbatim {
            status,
            headers,
            body,
        },
    )
}

fn error(status: u16, word: &str, body: &Value) -> Meets {
    let words = format!("{status} `{word}`");
    verbatim(&words, status, "application/json", &body.to_string())
}

/// Anthropic's error.
pub(crate) fn anthropic(status: u16, kind: &str, message: &str) -> Meets {
    let inner = json!({ "type": kind, "message": message });
    let body =
        json!({ "type": "error", "error": inner, "request_id": "req_011CSHoEeqs5C35K2UUqR7Fy" });
    error(status, kind, &body)
}

/// Anthropic's error with `details.error_code`.
pub(crate) fn anthropic_code(status: u16, kind: &str, code: &str, message: &str) -> Meets {
    let inner = json!({ "type": kind, "message": message, "details": { "error_code": code } });
    let body =
        json!({ "type": "error", "error": inner, "request_id": "req_011CSHoEeqs5C35K2UUqR7Fy" });
    error(status, code, &body)
}

/// OpenAI's error, and that of those who speak like it.
pub(crate) fn openai(status: u16, kind: &str, code: Option<&str>, message: &str) -> Meets {
    let inner = json!({ "message": message, "type": kind, "param": null, "code": code });
    error(status, code.unwrap_or(kind), &json!({ "error": inner }))
}

/// Gemini's error, told by its status or by the first of its details that names the case.
pub(crate) fn gemini(status: u16, word: &str, message: &str, details: &Value) -> Meets {
    let name = match status {
        400 => "INVALID_ARGUMENT",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        402 | 429 => "RESOURCE_EXHAUSTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        _ => "INTERNAL",
    };
    let name = if word.chars().all(|c| c.is_ascii_uppercase() || c == '_') && details.is_null() {
        word
    } else {
        name
    };
    let mut inner = json!({ "code": status, "message": message, "status": name });
    if !details.is_null() {
        inner["details"] = details.clone();
    }
    error(status, word, &json!({ "error": inner }))
}

/// AWS's error, which is named in a header.
pub(crate) fn bedrock(status: u16, name: &str, message: &str) -> Meets {
    let named = format!("{name}:http://internal.amazon.com/coral/com.amazon.bedrock/");
    let body = json!({ "message": message });
    error(status, name, &body).changed("", |window| {
        if let Fault::Verbatim { headers, .. } = &mut window.fault {
            headers.push(("x-amzn-errortype".to_owned(), named));
        }
    })
}

/// Google's error before a model is asked, told by its status or by the reason in its details.
pub(crate) fn vertex(status: u16, name: &str, reason: Option<&str>, message: &str) -> Meets {
    let mut inner = json!({ "code": status, "message": message, "status": name });
    if let Some(reason) = reason {
        inner["details"] =
            json!([{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason }]);
    }
    error(status, reason.unwrap_or(name), &json!({ "error": inner }))
}

/// OpenRouter's error.
pub(crate) fn openrouter(status: u16, word: &str, message: &str, metadata: &Value) -> Meets {
    let inner = json!({ "code": status, "message": message, "metadata": metadata });
    error(status, word, &json!({ "error": inner }))
}

impl Meets {
    /// Only the first request meets it.
    pub(crate) fn once(self) -> Self {
        self.changed(" once", |window| window.requests = Some(1))
    }

    /// The first so many requests meet it.
    pub(crate) fn times(self, requests: u64) -> Self {
        let words = format!(" {requests} times");
        self.changed(&words, |window| window.requests = Some(requests))
    }

    /// The list of models, by which keys are probed, meets it too.
    pub(crate) fn everywhere(self) -> Self {
        self.changed("", |window| window.everywhere = true)
    }

    /// The answer has another header.
    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        let words = format!(", `{name}: {value}`");
        self.changed(&words, |window| {
            if let Fault::Verbatim { headers, .. } = &mut window.fault {
                headers.push((name.to_owned(), value.to_owned()));
            }
        })
    }

    /// The page quotes these words of the body, by which the case is told from others.
    pub(crate) fn quoting(self, words: &str) -> Self {
        assert!(self.body().is_some_and(|body| body.contains(words)));
        self.changed(&format!(" “{words}”"), |_| {})
    }

    /// The body of the answer, where it is spelled out.
    pub(crate) fn body(&self) -> Option<&str> {
        match &self.what {
            What::Fault(FaultWindow {
                fault: Fault::Verbatim { body, .. },
                ..
            }) => Some(body),
            _ => None,
        }
    }

    /// Whether requests with the key go to another port than the simulated provider's.
    pub(crate) fn is_elsewhere(&self) -> bool {
        matches!(self.what, What::Port(_))
    }

    fn changed(mut self, words: &str, change: impl FnOnce(&mut FaultWindow)) -> Self {
        self.words.push_str(words);
        if let What::Fault(window) = &mut self.what {
            change(window);
        }
        self
    }
}
