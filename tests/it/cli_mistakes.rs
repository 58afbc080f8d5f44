//! What an administrator mistypes or misunderstands, and what the command line answers: nothing false,
//! and what to do instead. The real sidecar, with the shipped policies.

use std::fs;

use serde_json::{Value as Json, json};

use crate::console::Console;
use crate::made_up::{Ran, run};
use crate::reload::without_tests;
use crate::support::{Sidecar, Start, shipped_policies};

/// One with the account `acme`, an administrator `ann` and an operator `bo`.
fn sidecar() -> Sidecar {
    let sidecar = Sidecar::start_with(&Start { unwatched: true, ..Start::default() });
    sidecar.account("acme");
    sidecar.members("acme", &[("ann", "administrator"), ("bo", "operator")]);
    sidecar
}

fn ran(sidecar: &Sidecar, arguments: &[&str]) -> Ran {
    sidecar.run(arguments).into()
}

/// What a command complains, which must end with this code.
#[track_caller]
fn refused(sidecar: &Sidecar, code: i32, arguments: &[&str]) -> String {
    let ran = ran(sidecar, arguments);
    assert_eq!(ran.code, code, "{arguments:?}\nout: {}\nerr: {}", ran.out, ran.err);
    ran.err
}

#[track_caller]
fn holds(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no `{part}` in: {text}");
    }
}

fn invite(sidecar: &Sidecar, account: &str, email: &str, role: &str) {
    let who = ["--account", account, "--email", email, "--first-name", "Ro", "--role", role];
    sidecar.ok(&[&["invite", "send"][..], &who].concat());
}

#[test]
fn an_account_is_not_made_for_somebody_who_cannot_administer_it() {
    let sidecar = sidecar();
    let create = ["account", "create", "--slug", "gamma", "--name", "Gamma"];
    let first = ["--email", "g@example.org", "--first-name", "Gi", "--role"];
    let told = refused(&sidecar, 64, &[&create[..], &first, &["operator"]].concat());
    holds(&told, &["`operator` does not administer the account: use `administrator`"]);
    assert!(!sidecar.ok(&["account", "list"]).contains("gamma"), "nothing was made");
    let made = sidecar.ok(&[&create[..], &first, &["administrator"]].concat());
    holds(&made, &["account gamma is there"]);
}

#[test]
fn an_account_that_nobody_can_administer_is_a_fault() {
    let sidecar = sidecar();
    sidecar.account("beta");
    // Nobody has joined yet: that is told already.
    assert!(!sidecar.ok(&["doctor"]).contains("nobody can administer"));
    sidecar.members("beta", &[("cy", "operator")]);
    let doctor = ran(&sidecar, &["doctor"]);
    holds(&doctor.out, &["fail: `beta`: nobody can administer the account"]);
    doctor.ends(1);
    let review = sidecar.ok(&["member", "review", "--account", "beta"]);
    holds(&review, &["warning\tnobody can administer the account"]);
    let review = sidecar.ok(&["member", "review", "--account", "acme"]);
    assert!(!review.contains("nobody can administer"), "{review}");
}
