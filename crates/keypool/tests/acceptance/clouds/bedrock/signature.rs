//! Signature Version 4 as AWS's documents describe it, worked out from what arrived: a second opinion on what the
//! gateway's library signs.

use std::fmt::Write as _;

use ring::digest::{SHA256, digest};
use ring::hmac::{HMAC_SHA256, Key, sign};

use super::Received;

/// Whether a request carries the right signature.
pub(super) fn check(request: &Received, secret: &str) -> Result<(), String> {
    let authorization = request.header("authorization");
    let rest = authorization
        .strip_prefix("AWS4-HMAC-SHA256 ")
        .ok_or("no signature")?;
    let part = |name: &str| {
        let mut parts = rest.split(',').map(str::trim);
        parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
    };
    let (credential, signed, claimed) = part("Credential")
        .zip(part("SignedHeaders"))
        .zip(part("Signature"))
        .map(|((one, two), three)| (one, two, three))
        .ok_or("a part is missing")?;
    let scope: Vec<&str> = credential.split('/').skip(1).collect();
    let [day, region, service, "aws4_request"] = scope.as_slice() else {
        return Err(format!("scope {scope:?}"));
    };
    for needed in ["host", "x-amz-date"] {
        if !signed.split(';').any(|name| name == needed) {
            return Err(format!("{needed} is not signed"));
        }
    }
    let mut headers = String::new();
    for name in signed.split(';') {
        writeln!(headers, "{name}:{}", request.header(name)).unwrap();
    }
    let (path, query) = request
        .target
        .split_once('?')
        .unwrap_or((&request.target, ""));
    let canonical = format!(
        "{}\n{}\n{query}\n{headers}\n{signed}\n{}",
        request.method,
        // All services but S3 encode the path once more.
        path.replace('%', "%25"),
        hex(digest(&SHA256, &request.body).as_ref()),
    );
    let date = request.header("x-amz-date");
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{date}\n{day}/{region}/{service}/aws4_request\n{}",
        hex(digest(&SHA256, canonical.as_bytes()).as_ref()),
    );
    let keyed = |key: &[u8], text: &str| sign(&Key::new(HMAC_SHA256, key), text.as_bytes());
    let mut key = keyed(format!("AWS4{secret}").as_bytes(), day);
    for step in [region, service, "aws4_request"] {
        key = keyed(key.as_ref(), step);
    }
    let right = hex(keyed(key.as_ref(), &to_sign).as_ref());
    if claimed == right && date.starts_with(day) && *service == "bedrock" {
        Ok(())
    } else {
        Err(format!("the signature is not of {canonical}"))
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}
