//! A planted key: wherever it is put, no part of it that tells anything may come out again.

use memchr::memmem;

/// Where an input has this, the planted key is put.
const PLACE: &str = "@KEY@";

/// How the key begins, which is no secret.
const PREFIX: &str = "sk-proj-";

/// The rest, of which nothing may be seen but the last four characters of a mask.
const SEALED: &str = "Qx7Zr2Vw9Tn4Ym6Kc8Jb3Hd5Lf1Gs0Pq";

/// Characters of the secret part that may not be seen in a row.
const TELLING: usize = 6;

/// The planted key.
pub(crate) fn planted() -> String {
    format!("{PREFIX}{SEALED}")
}

/// The bytes with the key at each place that they hold for one. `None` if they have a part of the key
/// elsewhere, as inputs come to have from watching comparisons.
pub(crate) fn plant(bytes: &[u8]) -> Option<Vec<u8>> {
    plant_where(bytes, |_| true)
}

/// As [`plant`], but only at places of which `wanted` approves, given what stands before them.
pub(crate) fn plant_where(bytes: &[u8], wanted: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    let mut parts = SEALED.as_bytes().windows(TELLING);
    if parts.any(|part| memmem::find(bytes, part).is_some()) {
        return None;
    }
    let key = planted();
    let mut out = Vec::with_capacity(bytes.len());
    let mut done = 0;
    for at in memmem::find_iter(bytes, PLACE.as_bytes()) {
        if wanted(bytes.get(..at)?) {
            out.extend_from_slice(bytes.get(done..at)?);
            out.extend_from_slice(key.as_bytes());
            done = at + PLACE.len();
        }
    }
    out.extend_from_slice(bytes.get(done..)?);
    Some(out)
}

/// Panics if the text shows of the key what a mask does not.
pub(crate) fn assert_hidden(text: &str, where_: &str) {
    let windows = SEALED.as_bytes().windows(TELLING);
    for window in windows.filter_map(|window| str::from_utf8(window).ok()) {
        assert!(!text.contains(window), "{where_} shows a key: {text}");
    }
}
