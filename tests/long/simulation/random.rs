//! The random choices of a run, from one seed; and which features a seed uses.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The one source of chance of a run.
pub struct Random(StdRng);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// One of so many, from 0.
    pub fn below(&mut self, count: usize) -> usize {
        self.0.random_range(0..count)
    }

    pub fn number(&mut self) -> u64 {
        self.0.random_range(0..=u64::MAX)
    }

    /// True so often of a hundred times.
    pub fn percent(&mut self, often: usize) -> bool {
        self.below(100) < often
    }

    pub fn one_of<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// `None` where there is nothing to take from.
    pub fn perhaps<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        if from.is_empty() { None } else { Some(self.one_of(from)) }
    }

    /// By weight.
    pub fn weighted<T: Copy>(&mut self, from: &[(T, usize)]) -> T {
        let total = from.iter().map(|(_, weight)| weight).sum();
        let mut at = self.below(total);
        for (one, weight) in from {
            if at < *weight {
                return *one;
            }
            at -= weight;
        }
        unreachable!("the weights add up")
    }
}

/// What can be done, with how often it is done where a seed does it at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ActionKind {
    Invite,
    Resend,
    Correct,
    ShowLink,
    Revoke,
    Accept,
    Want,
    SignIn,
    SignOut,
    MakeToken,
    RevokeToken,
    EndOwn,
    EndOfMember,
    Decide,
    EditNames,
    EditRole,
    EditAddress,
    Suspend,
    Restore,
    Remove,
    Leave,
    Race,
    Bulk,
    Create,
    Import,
    ChangePassword,
    Reset,
    AskReset,
    ResetByLink,
    ChangeAddress,
    ConfirmAddress,
    OwnNames,
    EditAccount,
    SetUpFactor,
    SwitchFactorOff,
    ResetFactor,
    Enforce,
    Deliver,
    Bounce,
    Resume,
    Jump,
    Crash,
    Tend,
    Reload,
}

const USUAL: [(ActionKind, usize); 44] = [
    (ActionKind::Invite, 12),
    (ActionKind::Resend, 4),
    (ActionKind::Correct, 4),
    (ActionKind::ShowLink, 3),
    (ActionKind::Revoke, 2),
    (ActionKind::Accept, 12),
    (ActionKind::Want, 3),
    (ActionKind::SignIn, 12),
    (ActionKind::SignOut, 2),
    (ActionKind::MakeToken, 6),
    (ActionKind::RevokeToken, 2),
    (ActionKind::EndOwn, 2),
    (ActionKind::EndOfMember, 2),
    (ActionKind::Decide, 8),
    (ActionKind::EditNames, 3),
    (ActionKind::EditRole, 6),
    (ActionKind::EditAddress, 2),
    (ActionKind::Suspend, 4),
    (ActionKind::Restore, 4),
    (ActionKind::Remove, 4),
    (ActionKind::Leave, 3),
    (ActionKind::Race, 10),
    (ActionKind::Bulk, 2),
    (ActionKind::Create, 2),
    (ActionKind::Import, 2),
    (ActionKind::ChangePassword, 3),
    (ActionKind::Reset, 3),
    (ActionKind::AskReset, 3),
    (ActionKind::ResetByLink, 5),
    (ActionKind::ChangeAddress, 4),
    (ActionKind::ConfirmAddress, 6),
    (ActionKind::OwnNames, 2),
    (ActionKind::EditAccount, 1),
    (ActionKind::SetUpFactor, 6),
    (ActionKind::SwitchFactorOff, 2),
    (ActionKind::ResetFactor, 2),
    (ActionKind::Enforce, 2),
    (ActionKind::Deliver, 14),
    (ActionKind::Bounce, 4),
    (ActionKind::Resume, 3),
    (ActionKind::Jump, 8),
    (ActionKind::Crash, 4),
    (ActionKind::Tend, 3),
    (ActionKind::Reload, 2),
];

impl ActionKind {
    pub fn all() -> impl Iterator<Item = Self> {
        USUAL.into_iter().map(|(kind, _)| kind)
    }
}

/// What one seed does, and how it disturbs it.
pub struct Swarm {
    pub weights: Vec<(ActionKind, usize)>,
    /// How many changes of a hundred lose power or their caller.
    pub cut_percent: usize,
    /// How many deliveries of a hundred meet a fault.
    pub mail_fault_percent: usize,
    /// Whether a reload takes the folder through the gate.
    pub real_reloads: bool,
    /// Whether time may go by long enough to forget what is over.
    pub long_jumps: bool,
}

impl Swarm {
    /// Each kind with chances of its own; a quarter of them not at all.
    pub fn new(dice: &mut Random) -> Self {
        let mut weights = Vec::new();
        for (kind, usual) in USUAL {
            let often = dice.one_of(&[0, 1, 2, 4]);
            if often > 0 {
                weights.push((kind, usual * often));
            }
        }
        Self {
            weights,
            cut_percent: dice.one_of(&[0, 5, 15, 40]),
            mail_fault_percent: dice.one_of(&[0, 30, 70]),
            real_reloads: dice.percent(10),
            long_jumps: dice.percent(25),
        }
    }

    /// One that does a kind often.
    pub fn often(mut self, kind: ActionKind, weight: usize) -> Self {
        self.weights.retain(|(known, _)| *known != kind);
        self.weights.push((kind, weight));
        self
    }
}
