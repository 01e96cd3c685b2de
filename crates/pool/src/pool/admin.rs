//! An operator's commands.

use std::collections::BTreeSet;

use crate::admin::{AdminError, Applied, Command, KeyPatch};
use crate::bounds::{KEYS_MAX, SESSIONS_MAX};
use crate::chooser::{AllBlocked, Wanted};
use crate::config::{AffinityConfig, ConfigError, KeyConfig, PoolConfig, Sequential, check_key};
use crate::group::Group;
use crate::id::KeyId;
use crate::key::Place;
use crate::limits::Limits;
use crate::output::Output;
use crate::slab::Handle;
use crate::strategy::Strategy;
use crate::time::Timestamp;

use super::Pool;
use super::request::Rotation;

impl Pool {
    /// Obeys an operator's command, or changes nothing. Leases in flight stay valid throughout.
    pub fn handle_admin(
        &mut self,
        now: Timestamp,
        command: Command,
    ) -> Result<Applied, AdminError> {
        let told_before = self.outputs.len();
        self.begin(now);
        self.refused = None;
        match command {
            Command::AddKey(config) => self.add_key(config)?,
            Command::RemoveKey(id) => self.remove_key(self.handle_of(id)?),
            Command::UpdateKey(id, patch) => self.update_key(id, patch)?,
            Command::SetStrategy(strategy) => self.set_strategy(strategy),
            Command::SetSequential(sequential) => self.set_sequential(sequential),
            Command::Rotate => return self.rotate(),
            Command::HealthCheck => return Ok(self.health_check(told_before)),
            Command::Reconfigure(config) => self.reconfigure(config)?,
        }
        self.gains.everything();
        Ok(Applied::Done)
    }

    fn set_sequential(&mut self, sequential: Sequential) {
        self.sequential = sequential;
        let handles: Vec<Handle> = self.keys.iter().map(|(handle, _)| handle).collect();
        for handle in handles {
            if let Some(key) = self.keys.get_mut(handle) {
                key.meters.one_at_a_time = sequential == Sequential::Key;
            }
            self.replace(handle);
        }
    }

    fn handle_of(&self, id: KeyId) -> Result<Handle, AdminError> {
        self.by_id
            .get(&id)
            .copied()
            .ok_or(AdminError::UnknownKey(id))
    }

    fn check_key(&self, config: &KeyConfig) -> Result<(), ConfigError> {
        check_key(config, |group| self.groups_by_name.contains_key(group))
    }

    fn add_key(&mut self, config: KeyConfig) -> Result<(), AdminError> {
        if self.by_id.contains_key(&config.id) {
            return Err(AdminError::DuplicateKey(config.id));
        }
        if self.keys.len() >= KEYS_MAX {
            return Err(ConfigError::TooManyKeys(self.keys.len() + 1).into());
        }
        self.check_key(&config)?;
        self.insert_key(config);
        Ok(())
    }

    fn remove_key(&mut self, handle: Handle) {
        self.move_to(handle, Place::Out);
        let Some(key) = self.keys.remove(handle) else {
            return;
        };
        self.selector.leave_class(key.class);
        self.leave_group(handle, key.group);
        self.by_id.remove(&key.id);
        self.order.remove(&key.position);
    }

    fn update_key(&mut self, id: KeyId, patch: KeyPatch) -> Result<(), AdminError> {
        let handle = self.handle_of(id)?;
        let Some(key) = self.keys.get(handle) else {
            return Ok(());
        };
        let restore = patch.enabled == Some(true);
        let config = patch.applied_to(&key.config);
        self.check_key(&config)?;
        self.configure_key(handle, config, restore);
        Ok(())
    }

    /// Gives a key another configuration, which has been checked.
    fn configure_key(&mut self, handle: Handle, config: KeyConfig, restore: bool) {
        self.lift(handle);
        let (now, counting, next_lease) = (self.now, self.counting, self.next_lease);
        let new_group = self
            .group_of(&config)
            .or_else(|| self.learned_group_of(handle, &config));
        let new_class = self.selector.join_class(&config.models);
        let Some(key) = self.keys.get_mut(handle) else {
            return;
        };
        let old_group = std::mem::replace(&mut key.group, new_group);
        let old_class = std::mem::replace(&mut key.class, new_class);
        key.meters
            .reconfigure(now, &config.limits, counting, next_lease);
        key.health.set_expiry(now, config.expires_at);
        if restore {
            key.health.restored_by_operator();
            key.bars.clear();
        }
        *key.config = config;
        self.selector.leave_class(old_class);
        if old_group != new_group {
            self.leave_group(handle, old_group);
            self.join_group(handle, new_group);
        }
        self.refresh(
            handle,
            if restore {
                "returned by an operator"
            } else {
                "reconfigured"
            },
        );
    }

    /// The group that a key was found to be of, as long as its configuration names none.
    fn learned_group_of(&self, handle: Handle, config: &KeyConfig) -> Option<Handle> {
        let group = self.keys.get(handle)?.group?;
        let learned = self.groups.get(group)?.is_learned;
        (learned && config.quota_group.is_none()).then_some(group)
    }

    fn set_strategy(&mut self, strategy: Strategy) {
        let ready: Vec<Handle> = self
            .keys
            .iter()
            .filter(|(_, key)| key.place == Place::Ready)
            .map(|(handle, _)| handle)
            .collect();
        self.selector.set_strategy(strategy);
        for handle in ready {
            if let Some(key) = self.keys.get(handle) {
                self.selector.insert(handle.index(), &key.ranking());
            }
        }
    }

    fn rotate(&mut self) -> Result<Applied, AdminError> {
        self.wake_parked();
        let from = self.last_granted;
        let wanted = Wanted {
            avoided: from,
            ..Wanted::anything(&self.classes)
        };
        let matching = self.selector.matching(wanted.model);
        let picked = self
            .pick(&matching, &wanted, &mut AllBlocked::new())
            .and_then(|index| self.keys.at(index));
        let Some(key) = picked.map(|key| key.id) else {
            return Err(AdminError::NoOtherKey);
        };
        self.rotation = Some(Rotation { from, to: key });
        Ok(Applied::Rotated { key })
    }

    /// What the passing of time changed at the start of this call, and a probe of each suspect.
    fn health_check(&mut self, told_before: usize) -> Applied {
        let told_now = self.outputs.iter().skip(told_before);
        let changed = told_now
            .filter_map(|output| match output {
                Output::StateChanged(change) => Some(change.clone()),
                Output::Probe(_) | Output::Alert(_) | Output::BreakerChanged(_) => None,
            })
            .collect();
        let now = self.now;
        let mut suspects = Vec::new();
        for (handle, key) in self.keys.iter_mut() {
            if key.config.enabled && key.health.probe_now(now) {
                suspects.push((handle, key.id));
            }
        }
        let mut probing = Vec::new();
        for (handle, id) in suspects {
            let key = self.keys.get(handle);
            if key.is_some_and(|key| key.health.is_tried_for_credit()) {
                self.refresh(handle, "a check was asked for");
            } else {
                self.reschedule(handle);
                self.emit(Output::Probe(id));
            }
            probing.push(id);
        }
        Applied::Checked { changed, probing }
    }

    fn reconfigure(&mut self, config: PoolConfig) -> Result<(), ConfigError> {
        config.validate()?;
        self.counting = config.counting();
        self.cache_reads_free = config.cache_reads_free;
        self.correct_limits = config.correct_limits;
        self.set_affinity(config.affinity);
        self.queue
            .set_bounds(config.queue.max_length, config.queue.max_bytes);
        self.set_sequential(config.sequential);
        self.set_strategy(config.strategy);
        self.reconfigure_groups(&config);

        let listed: BTreeSet<KeyId> = config.keys.iter().map(|key| key.id).collect();
        let gone: Vec<Handle> = self
            .by_id
            .iter()
            .filter(|(id, _)| !listed.contains(id))
            .map(|(_, &handle)| handle)
            .collect();
        for handle in gone {
            self.remove_key(handle);
        }
        self.probe_interval = config.probe_interval;
        for &handle in self.by_id.values() {
            if let Some(key) = self.keys.get_mut(handle) {
                key.health.set_probe_interval(self.probe_interval);
            }
        }
        self.reposition(config.keys);
        self.drop_groups_except(&config.quota_groups);
        Ok(())
    }

    fn set_affinity(&mut self, affinity: AffinityConfig) {
        self.pins.set_bounds(SESSIONS_MAX, affinity.ttl);
        self.affinity = affinity;
    }

    /// New groups are added and known ones get their new limits; the rest is dropped when no key
    /// is left in it.
    fn reconfigure_groups(&mut self, config: &PoolConfig) {
        let (now, counting, next_lease) = (self.now, self.counting, self.next_lease);
        for (name, limits) in &config.quota_groups {
            let known = self.groups_by_name.get(name).copied();
            match known.and_then(|handle| self.groups.get_mut(handle)) {
                Some(group) => group.meters.reconfigure(now, limits, counting, next_lease),
                None => self.insert_group(name.clone(), limits),
            }
        }
    }

    fn drop_groups_except(&mut self, kept: &[(String, Limits)]) {
        let kept: BTreeSet<&str> = kept.iter().map(|(name, _)| name.as_str()).collect();
        let groups = &mut self.groups;
        self.groups_by_name.retain(|name, &mut handle| {
            let learned = |group: &Group| group.is_learned && !group.members.is_empty();
            let keep = kept.contains(name.as_str()) || groups.get(handle).is_some_and(learned);
            if !keep {
                groups.remove(handle);
            }
            keep
        });
    }

    /// Puts the keys into their new order and configuration, with new ones in between.
    fn reposition(&mut self, keys: Vec<KeyConfig>) {
        let known: Vec<Handle> = self.by_id.values().copied().collect();
        for handle in known {
            self.lift(handle);
        }
        self.order.clear();
        for config in keys {
            match self.by_id.get(&config.id).copied() {
                None => {
                    self.insert_key(config);
                }
                Some(handle) => {
                    let position = self.next_position;
                    self.next_position += 1;
                    self.order.insert(position, handle);
                    if let Some(key) = self.keys.get_mut(handle) {
                        key.position = position;
                    }
                    self.configure_key(handle, config, false);
                }
            }
        }
        let last_granted = self
            .last_granted
            .and_then(|id| self.by_id.get(&id).copied());
        let cursor = last_granted
            .and_then(|handle| self.keys.get(handle))
            .map(|key| key.position);
        self.selector.set_cursor(cursor);
    }
}
