//! The rows, by kinds of trouble. What providers really send is told in their own words; where a row speaks
//! of several APIs it is a row for each.

mod client;
mod clouds;
mod failing;
mod garbage;
mod gemini;
mod limits;
mod money;
mod network;
mod odd;
mod outage;
mod recovery;
mod refused;
mod streams;

use crate::row::Row;

/// All rows, in the order of the page.
pub(crate) fn rows() -> impl Iterator<Item = Row> {
    [
        refused::rows(),
        money::rows(),
        limits::rows(),
        failing::rows(),
        network::rows(),
        garbage::rows(),
        streams::rows(),
        odd::rows(),
        client::rows(),
        outage::rows(),
        recovery::rows(),
        gemini::rows(),
        clouds::rows(),
    ]
    .into_iter()
    .flatten()
}
