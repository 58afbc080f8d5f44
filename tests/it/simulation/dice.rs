//! The random choices of a run, from one seed; and which features a seed uses.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The one source of chance of a run.
pub struct Dice(StdRng);

impl Dice {
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
pub enum Kind {
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

const USUAL: [(Kind, usize); 44] = [
    (Kind::Invite, 12),
    (Kind::Resend, 4),
    (Kind::Correct, 4),
    (Kind::ShowLink, 3),
    (Kind::Revoke, 2),
    (Kind::Accept, 12),
    (Kind::Want, 3),
    (Kind::SignIn, 12),
    (Kind::SignOut, 2),
    (Kind::MakeToken, 6),
    (Kind::RevokeToken, 2),
    (Kind::EndOwn, 2),
    (Kind::EndOfMember, 2),
    (Kind::Decide, 8),
    (Kind::EditNames, 3),
    (Kind::EditRole, 6),
    (Kind::EditAddress, 2),
    (Kind::Suspend, 4),
    (Kind::Restore, 4),
    (Kind::Remove, 4),
    (Kind::Leave, 3),
    (Kind::Race, 10),
    (Kind::Bulk, 2),
    (Kind::Create, 2),
    (Kind::Import, 2),
    (Kind::ChangePassword, 3),
    (Kind::Reset, 3),
    (Kind::AskReset, 3),
    (Kind::ResetByLink, 5),
    (Kind::ChangeAddress, 4),
    (Kind::ConfirmAddress, 6),
    (Kind::OwnNames, 2),
    (Kind::EditAccount, 1),
    (Kind::SetUpFactor, 6),
    (Kind::SwitchFactorOff, 2),
    (Kind::ResetFactor, 2),
    (Kind::Enforce, 2),
    (Kind::Deliver, 14),
    (Kind::Bounce, 4),
    (Kind::Resume, 3),
    (Kind::Jump, 8),
    (Kind::Crash, 4),
    (Kind::Tend, 3),
    (Kind::Reload, 2),
];

impl Kind {
    pub fn all() -> impl Iterator<Item = Self> {
        USUAL.into_iter().map(|(kind, _)| kind)
    }
}

/// What one seed does, and how it disturbs it.
pub struct Swarm {
    pub weights: Vec<(Kind, usize)>,
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
    pub fn new(dice: &mut Dice) -> Self {
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
    pub fn often(mut self, kind: Kind, weight: usize) -> Self {
        self.weights.retain(|(known, _)| *known != kind);
        self.weights.push((kind, weight));
        self
    }
}
