//! Quota headers that are wrong, as they are seen in the field: Azure has sent `-1` as a remainder and as
//! a limit, and proxies drop headers. A gateway that takes `-1` for a number shuts a good key out.
//!
//! Worked example: of `limit-requests: 50`, `remaining-requests: 49`, one answer in four keeps only the
//! limit, or shows `remaining-requests: -1`, or `limit-requests: -1`.

use fastrand::Rng;

use super::quota_headers::Header;

/// One answer in so many is odd.
const ONE_IN: u32 = 4;

/// Makes the headers of some answers odd.
pub(crate) fn distort(headers: &mut Vec<Header>, rng: &mut Rng) {
    if rng.u32(..ONE_IN) != 0 {
        return;
    }
    let oddity = rng.u32(..3);
    let word = if oddity == 2 { "-limit" } else { "-remaining" };
    let struck: Vec<usize> = headers
        .iter()
        .enumerate()
        .filter(|(_, (name, _))| name.contains(word))
        .map(|(position, _)| position)
        .collect();
    let Some(&position) = rng.choice(&struck) else {
        return;
    };
    match oddity {
        0 => {
            headers.remove(position);
        }
        1 => set(headers, position, format!("-{}", rng.u32(1..5000))),
        _ => set(headers, position, "-1".to_owned()),
    }
}

fn set(headers: &mut [Header], position: usize, value: String) {
    if let Some(header) = headers.get_mut(position) {
        header.1 = value;
    }
}
