//! The whole alphabet of what may happen to a pool, and how often it does.

use keypool_pool as pool;
use keypool_pool::{CooldownScope, FaultKind, Suspicion};
use proptest::prelude::*;

/// Numbers of keys, leases and models are taken modulo what there is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Wait {
        millis: u64,
    },
    Request {
        model: u8,
        input: u64,
        output: u64,
        tagged: bool,
        excluded: u8,
    },
    Settle {
        lease: usize,
        verdict: Judged,
        charge: Charged,
    },
    Drop {
        lease: usize,
    },
    Probe {
        key: u64,
        passed: Option<bool>,
    },
    Add {
        key: u64,
    },
    Remove {
        key: u64,
    },
    Enable {
        key: u64,
        enabled: bool,
    },
    Limits {
        key: u64,
        choice: u8,
    },
    Strategy(pool::Strategy),
    Rotate,
    HealthCheck,
    Reload {
        reversed: bool,
        without: u64,
    },
}

/// A verdict whose instants are offsets in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Judged {
    Success,
    ClientError,
    Cancelled,
    Overloaded,
    Fault(FaultKind),
    Suspected(Suspicion),
    RateLimited {
        until: Option<u64>,
        scope: CooldownScope,
    },
    Invalid,
    OutOfCredit {
        until: Option<u64>,
        scope: CooldownScope,
    },
    ModelDenied,
}

/// A charge, as a share of what was reserved.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Charged {
    AsReserved,
    Percent(u64),
    RequestOnly,
    Nothing,
}

fn scope() -> impl Strategy<Value = CooldownScope> {
    prop_oneof![
        4 => Just(CooldownScope::Key),
        2 => Just(CooldownScope::KeyModel),
        2 => Just(CooldownScope::Group),
        1 => Just(CooldownScope::GroupModel),
    ]
}

fn until() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![1 => Just(None), 2 => (0..200_u64).prop_map(Some)]
}

fn verdict() -> impl Strategy<Value = Judged> {
    let fault = prop_oneof![
        Just(FaultKind::ServerError),
        Just(FaultKind::Timeout),
        Just(FaultKind::Unreachable),
        Just(FaultKind::Reset),
        Just(FaultKind::Garbage),
    ];
    prop_oneof![
        12 => Just(Judged::Success),
        2 => Just(Judged::ClientError),
        1 => Just(Judged::Cancelled),
        1 => Just(Judged::Overloaded),
        6 => fault.clone().prop_map(Judged::Fault),
        2 => fault.prop_map(|fault| Judged::Suspected(Suspicion::Fault(fault))),
        2 => Just(Judged::Suspected(Suspicion::Invalid)),
        1 => Just(Judged::Suspected(Suspicion::AccountInvalid)),
        1 => Just(Judged::Suspected(Suspicion::ModelDenied)),
        3 => (until(), scope()).prop_map(|(until, scope)| Judged::RateLimited { until, scope }),
        1 => Just(Judged::Invalid),
        1 => (until(), scope()).prop_map(|(until, scope)| Judged::OutOfCredit { until, scope }),
        1 => Just(Judged::ModelDenied),
    ]
}

fn charge() -> impl Strategy<Value = Charged> {
    prop_oneof![
        2 => Just(Charged::AsReserved),
        4 => (0..300_u64).prop_map(Charged::Percent),
        1 => Just(Charged::RequestOnly),
        1 => Just(Charged::Nothing),
    ]
}

fn request() -> impl Strategy<Value = Step> {
    (
        0..3_u8,
        0..300_u64,
        0..120_u64,
        0..8_u8,
        any::<u8>(),
        0..4_u8,
    )
        .prop_map(
            |(model, input, output, tag, mask, excludes)| Step::Request {
                model,
                // Now and then larger than some limits.
                input: if tag == 1 { input * 8 } else { input },
                output,
                tagged: tag == 0,
                excluded: if excludes == 0 { mask } else { 0 },
            },
        )
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let wait = prop_oneof![
        6 => 0..3_000_u64,
        3 => 0..90_000_u64,
        1 => 0..90_000_000_u64,
    ];
    let key = 0..6_u64;
    prop_oneof![
        20 => wait.prop_map(|millis| Step::Wait { millis }),
        40 => request(),
        25 => (any::<usize>(), verdict(), charge())
            .prop_map(|(lease, verdict, charge)| Step::Settle { lease, verdict, charge }),
        3 => any::<usize>().prop_map(|lease| Step::Drop { lease }),
        2 => (key.clone(), any::<Option<bool>>())
            .prop_map(|(key, passed)| Step::Probe { key, passed }),
        1 => key.clone().prop_map(|key| Step::Add { key }),
        1 => key.clone().prop_map(|key| Step::Remove { key }),
        2 => (key.clone(), any::<bool>())
            .prop_map(|(key, enabled)| Step::Enable { key, enabled }),
        1 => (key.clone(), 0..6_u8).prop_map(|(key, choice)| Step::Limits { key, choice }),
        1 => proptest::sample::select(pool::Strategy::ALL.to_vec()).prop_map(Step::Strategy),
        2 => Just(Step::Rotate),
        1 => Just(Step::HealthCheck),
        1 => (any::<bool>(), key)
            .prop_map(|(reversed, without)| Step::Reload { reversed, without }),
    ]
}
