use super::*;

const MINUTE: Duration = Duration::from_mins(1);
const DETAIL: DetailSpec = DetailSpec {
    mode: DetailMode::Auto,
    source: DetailSource::Debug2,
    max_frames: 10_000,
    min_interval: Duration::from_mins(10),
};
const LEAK: LeakSpec = LeakSpec {
    max_goroutines: 20_000,
    min_interval: Duration::from_mins(10),
};

const BOTH: [Expensive; 2] = [Expensive::Detail, Expensive::Leak];

/// A moment at which everything fits.
fn at(now: Instant, size: u64) -> Moment {
    Moment {
        size: Some(size),
        at_locks: 0,
        now,
        left: Duration::from_secs(9),
        body_limit: 64 << 20,
    }
}

fn cost(size: u64, millis: u64, bytes: u64) -> Cost {
    Cost {
        size,
        duration: Duration::from_millis(millis),
        bytes,
    }
}

/// Asks as a probe does, and comes to this cost; without one it fails.
fn ask(ledger: &mut Ledger, what: Expensive, now: Instant, cost: Option<Cost>) {
    ledger.claim(what, now);
    if let Some(cost) = cost {
        ledger.settle(what, cost);
    }
    ledger.release();
}

#[test]
fn no_mode_asks_above_the_limit() {
    let now = Instant::now();
    let ledger = Ledger::default();
    for mode in [DetailMode::Auto, DetailMode::Always] {
        let spec = DetailSpec { mode, ..DETAIL };
        assert_eq!(ledger.detail(&spec, &at(now, 9_999)), Ok(()));
        for size in [10_000, 10_001, u64::MAX] {
            assert_eq!(ledger.detail(&spec, &at(now, size)), Err(Skip::Budget));
        }
        let unknown = Moment {
            size: None,
            ..at(now, 0)
        };
        assert_eq!(ledger.detail(&spec, &unknown), Err(Skip::Budget));
        assert_eq!(ledger.leak(&LEAK, &unknown), Err(Skip::Budget));
    }
    let off = DetailSpec {
        mode: DetailMode::Off,
        ..DETAIL
    };
    assert_eq!(ledger.detail(&off, &at(now, 1)), Err(Skip::Off));
    assert_eq!(ledger.leak(&LEAK, &at(now, 20_000)), Ok(()));
    assert_eq!(ledger.leak(&LEAK, &at(now, 20_001)), Err(Skip::Budget));
}

#[test]
fn leaks_are_not_proven_of_those_who_wait_for_a_lock() {
    let now = Instant::now();
    let ledger = Ledger::default();
    let locked = |at_locks| Moment {
        at_locks,
        ..at(now, 20_000)
    };
    assert_eq!(ledger.leak(&LEAK, &locked(MAX_AT_LOCKS)), Ok(()));
    assert_eq!(
        ledger.leak(&LEAK, &locked(MAX_AT_LOCKS + 1)),
        Err(Skip::Budget)
    );
    // A dump costs the same whatever they wait for.
    let few_frames = Moment {
        at_locks: MAX_AT_LOCKS + 1,
        ..at(now, 5_000)
    };
    assert_eq!(ledger.detail(&DETAIL, &few_frames), Ok(()));
}

#[test]
fn once_in_an_interval_whatever_it_came_to() {
    let now = Instant::now();
    let cheap = cost(5_000, 20, 300_000);
    for what in [Expensive::Detail, Expensive::Leak] {
        let mut ledger = Ledger::default();
        let allowed = |ledger: &Ledger, after: Duration| {
            if what == Expensive::Detail {
                ledger.detail(&DETAIL, &at(now + after, 5_000))
            } else {
                ledger.leak(&LEAK, &at(now + after, 5_000))
            }
        };
        assert_eq!(allowed(&ledger, Duration::ZERO), Ok(()));
        ask(&mut ledger, what, now, Some(cheap));
        let just_before = (MINUTE * 10).checked_sub(Duration::from_nanos(1)).unwrap();
        assert_eq!(allowed(&ledger, just_before), Err(Skip::Interval));
        assert_eq!(allowed(&ledger, MINUTE * 10), Ok(()));
    }
    // A mode that asks always does, but not beside another.
    let always = DetailSpec {
        mode: DetailMode::Always,
        ..DETAIL
    };
    let mut ledger = Ledger::default();
    ask(&mut ledger, Expensive::Detail, now, Some(cheap));
    assert_eq!(ledger.detail(&always, &at(now, 5_000)), Ok(()));
    ledger.claim(Expensive::Leak, now);
    assert_eq!(ledger.detail(&always, &at(now, 5_000)), Err(Skip::Budget));
    ledger.release();
    assert_eq!(ledger.detail(&always, &at(now, 5_000)), Ok(()));
}

#[test]
fn what_costs_too_much_or_fails_backs_off() {
    let now = Instant::now();
    let interval = |ledger: &Ledger| ledger.interval(Expensive::Detail, DETAIL.min_interval);
    let mut ledger = Ledger::default();
    let slow = cost(5_000, 351, 300_000);
    let large = cost(5_000, 20, (64 << 10) + 5_000 * 256 + 1);
    ask(&mut ledger, Expensive::Detail, now, Some(slow));
    assert_eq!(interval(&ledger), MINUTE * 20);
    ask(&mut ledger, Expensive::Detail, now, Some(large));
    assert_eq!(interval(&ledger), MINUTE * 40);
    ask(&mut ledger, Expensive::Detail, now, None);
    assert_eq!(interval(&ledger), MINUTE * 80);
    for _ in 0..9 {
        ask(&mut ledger, Expensive::Detail, now, None);
    }
    assert_eq!(interval(&ledger), MINUTE * 160);
    assert_eq!(
        ledger.detail(&DETAIL, &at(now + MINUTE * 159, 5_000)),
        Err(Skip::Interval)
    );
    // Exactly what was expected is not too much.
    let just = cost(5_000, 350, (64 << 10) + 5_000 * 256);
    ask(&mut ledger, Expensive::Detail, now, Some(just));
    assert_eq!(interval(&ledger), MINUTE * 10);
    // The other kind has its own account.
    assert_eq!(
        ledger.interval(Expensive::Leak, LEAK.min_interval),
        MINUTE * 10
    );
}

#[test]
fn twice_the_expectation_fits_in_what_is_left() {
    let now = Instant::now();
    let left = |millis: u64, size: u64| Moment {
        left: Duration::from_millis(millis),
        ..at(now, size)
    };
    let ledger = Ledger::default();
    assert_eq!(ledger.detail(&DETAIL, &left(900, 9_999)), Ok(()));
    assert_eq!(ledger.detail(&DETAIL, &left(899, 9_999)), Err(Skip::Budget));
    assert_eq!(ledger.leak(&LEAK, &left(2_500, 20_000)), Ok(()));
    assert_eq!(ledger.leak(&LEAK, &left(2_499, 20_000)), Err(Skip::Budget));
    let small = Moment {
        body_limit: 1 << 20,
        ..at(now, 9_999)
    };
    assert_eq!(ledger.detail(&DETAIL, &small), Err(Skip::Budget));

    // What was observed counts, in proportion to how the target has grown, and is forgotten in the end.
    let mut ledger = Ledger::default();
    ask(
        &mut ledger,
        Expensive::Detail,
        now,
        Some(cost(4_000, 2_000, 4 << 20)),
    );
    let later = |minutes: u32, millis: u64, size: u64| Moment {
        now: now + MINUTE * minutes,
        ..left(millis, size)
    };
    assert_eq!(ledger.detail(&DETAIL, &later(20, 4_000, 4_000)), Ok(()));
    assert_eq!(
        ledger.detail(&DETAIL, &later(20, 3_999, 4_000)),
        Err(Skip::Budget)
    );
    assert_eq!(ledger.detail(&DETAIL, &later(20, 8_000, 8_000)), Ok(()));
    assert_eq!(
        ledger.detail(&DETAIL, &later(20, 7_999, 8_000)),
        Err(Skip::Budget)
    );
    assert_eq!(
        ledger.detail(&DETAIL, &later(159, 3_999, 100)),
        Err(Skip::Budget)
    );
    assert_eq!(ledger.detail(&DETAIL, &later(160, 3_999, 100)), Ok(()));
}

#[test]
fn a_missing_leak_profile_is_asked_for_now_and_then_and_after_a_restart() {
    let now = Instant::now();
    let mut ledger = Ledger::default();
    ledger.claim(Expensive::Leak, now);
    ledger.missing(now);
    ledger.release();
    assert!(ledger.is_missing());
    assert_eq!(
        ledger.leak(&LEAK, &at(now + MINUTE * 59, 9)),
        Err(Skip::Interval)
    );
    assert_eq!(ledger.leak(&LEAK, &at(now + MINUTE * 60, 9)), Ok(()));
    ledger.restarted();
    assert!(!ledger.is_missing());
    assert_eq!(
        ledger.leak(&LEAK, &at(now + MINUTE * 9, 9)),
        Err(Skip::Interval)
    );
    assert_eq!(ledger.leak(&LEAK, &at(now + MINUTE * 10, 9)), Ok(()));
    // There it is.
    ask(
        &mut ledger,
        Expensive::Leak,
        now + MINUTE * 10,
        Some(cost(9, 1, 1)),
    );
    assert!(!ledger.is_missing());
}

#[test]
fn who_waited_longer_comes_first() {
    let now = Instant::now();
    let mut ledger = Ledger::default();
    assert_eq!(ledger.first(&BOTH), Some(Expensive::Detail));
    ask(&mut ledger, Expensive::Detail, now, None);
    assert_eq!(ledger.first(&BOTH), Some(Expensive::Leak));
    ask(&mut ledger, Expensive::Leak, now + MINUTE, None);
    assert_eq!(ledger.first(&BOTH), Some(Expensive::Detail));
    ask(&mut ledger, Expensive::Detail, now + MINUTE * 2, None);
    assert_eq!(ledger.first(&BOTH), Some(Expensive::Leak));
}

#[test]
fn who_may_have_been_asked_a_moment_ago_waits_an_interval() {
    let now = Instant::now();
    let ledger = Ledger::wary(now);
    let soon = at(now + MINUTE * 9, 9);
    assert_eq!(ledger.detail(&DETAIL, &soon), Err(Skip::Interval));
    assert_eq!(ledger.leak(&LEAK, &soon), Err(Skip::Interval));
    let later = at(now + MINUTE * 10, 9);
    assert_eq!(ledger.detail(&DETAIL, &later), Ok(()));
    assert_eq!(ledger.leak(&LEAK, &later), Ok(()));
}
