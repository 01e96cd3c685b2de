//! Changes: on disk first, then in the running pool, one at a time.
//!
//! A change that is answered with success is in force and survives a restart; one that is answered
//! with an error has changed nothing.

use std::sync::Arc;

use keypool_pool::{AdminError, Applied, Command};

use super::envelope::ApiError;
use crate::core::Core;
use crate::provider::Provider;
use crate::state::{ProviderState, State};

/// Runs a change where it may block on the disk, with no other change beside it. It runs to its end
/// even when the client leaves.
pub(super) async fn exclusively<T: Send + 'static>(
    core: Arc<Core>,
    change: impl FnOnce(&Core) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let task = tokio::task::spawn_blocking(move || core.exclusively(|| change(&core)));
    match task.await {
        Ok(changed) => changed,
        Err(error) => {
            tracing::error!("a change through the admin API failed: {error}");
            Err(ApiError::internal())
        }
    }
}

/// Records a change of one provider, then applies it; takes the record back when that is refused.
pub(super) fn commit<T>(
    core: &Core,
    provider: &Provider,
    record: impl FnOnce(&mut ProviderState),
    apply: impl FnOnce() -> Result<T, AdminError>,
) -> Result<T, ApiError> {
    let mut before = State::default();
    core.state.update(|state| {
        before = state.clone();
        record(state.provider(&provider.name));
    })?;
    apply().map_err(|error| {
        if let Err(error) = core.state.update(|state| *state = before) {
            tracing::error!(
                "a refused change stays recorded, and may take effect at the next start: {error}"
            );
        }
        error.into()
    })
}

/// Gives a command to a provider's pool.
pub(super) fn command(provider: &Provider, command: Command) -> Result<Applied, AdminError> {
    provider
        .pool
        .with(|pool, now| pool.handle_admin(now, command))
}
