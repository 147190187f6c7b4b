//! Filters of system calls: seccomp(2). What is refused fails with `EPERM`, and the program goes on.

use std::{collections::BTreeMap, env::consts::ARCH};

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter, apply_filter_all_threads,
};

use super::calls::{self, ArgumentTest};

const REFUSED: SeccompAction = SeccompAction::Errno(libc::EPERM.cast_unsigned());
/// As if the kernel did not have the call, so that the C library takes the older one.
const UNKNOWN: SeccompAction = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());

/// Why there is no filter.
type Refusal = String;

/// From now on no thread of this process makes other calls than [`calls::always`] and [`calls::sometimes`] have, nor does one that is
/// started later.
pub(super) fn confine_process() -> Result<(), Refusal> {
    let mut rules = unconditional(calls::always());
    add(&mut rules, calls::sometimes())?;
    let allowed = program(rules, REFUSED, SeccompAction::Allow)?;
    let without_clone3 = program(unconditional([libc::SYS_clone3]), SeccompAction::Allow, UNKNOWN)?;
    for filter in [allowed, without_clone3] {
        apply_filter_all_threads(&filter).map_err(|error| words(&error))?;
    }
    Ok(())
}

/// From now on this thread, and each that it starts, opens nothing for writing and changes no file by its path.
pub(super) fn seal_thread() -> Result<(), Refusal> {
    let mut rules = unconditional(calls::changes());
    add(&mut rules, calls::opened_to_write())?;
    apply_filter(&program(rules, SeccompAction::Allow, REFUSED)?).map_err(|error| words(&error))
}

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

/// A call without a rule is meant whatever its arguments.
fn unconditional(calls: impl IntoIterator<Item = c_long>) -> Rules {
    calls.into_iter().map(|call| (call, Vec::new())).collect()
}

fn add(rules: &mut Rules, conditional: Vec<(c_long, Vec<ArgumentTest>)>) -> Result<(), Refusal> {
    for (call, tests) in conditional {
        let conditions: Result<Vec<_>, _> = tests.into_iter().map(condition).collect();
        let rule = conditions.and_then(SeccompRule::new).map_err(|error| words(&error))?;
        rules.entry(call).or_default().push(rule);
    }
    Ok(())
}

fn condition(test: ArgumentTest) -> Result<SeccompCondition, seccompiler::BackendError> {
    let (place, operator, value) = match test {
        ArgumentTest::Is(place, value) => (place, SeccompCmpOp::Eq, value),
        ArgumentTest::IsNot(place, value) => (place, SeccompCmpOp::Ne, value),
        ArgumentTest::Bits { place, mask, value } => (place, SeccompCmpOp::MaskedEq(mask), value),
    };
    // The kernel takes the lower half of these arguments alone.
    SeccompCondition::new(place, SeccompCmpArgLen::Dword, operator, value)
}

fn program(rules: Rules, otherwise: SeccompAction, matching: SeccompAction) -> Result<BpfProgram, Refusal> {
    let arch: TargetArch = ARCH.try_into().map_err(|_| format!("there is no filter for {ARCH}"))?;
    let filter = SeccompFilter::new(rules, otherwise, matching, arch);
    filter.and_then(TryInto::try_into).map_err(|error| words(&error))
}

fn words(error: &impl ToString) -> Refusal {
    error.to_string()
}
