//! What was asked and answered while a fleet was disturbed, and what must be true of it in the end.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value as Json;

/// What holds, or how it does not.
pub(super) type Held = Result<(), String>;

fn holds(holds: bool, what: impl FnOnce() -> String) -> Held {
    if holds { Ok(()) } else { Err(what()) }
}

/// A change, as it is asked for, and as the audit log has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    Create {
        id: String,
    },
    Invite {
        email: String,
    },
    Accept {
        invite: String,
    },
    Revoke {
        invite: String,
    },
    /// No two have the same name.
    Rename {
        id: String,
        to: String,
    },
    Suspend {
        id: String,
    },
    Restore {
        id: String,
    },
    Remove {
        id: String,
    },
}

/// What the caller was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// By this revision; none where the node could not apply it yet.
    Made(Option<u64>),
    NotMade,
    Unknown,
}

#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) node: usize,
    pub(super) what: What,
    pub(super) came: Came,
    /// When the answer was there; from the beginning, as all times here.
    pub(super) ended: Duration,
    /// Whether the answer said that every node has seen it.
    pub(super) seen_by_all: bool,
}

/// Somebody was allowed something.
#[derive(Clone, Debug)]
pub(super) struct Allowed {
    pub(super) node: usize,
    pub(super) id: String,
    /// When the question was sent.
    pub(super) began: Duration,
    /// The revision that was asked for.
    pub(super) at_least: Option<u64>,
    /// The revision that the answer is based on.
    pub(super) revision: u64,
    /// Whether the answer says that the node is stale.
    pub(super) is_stale: bool,
}

/// An entry of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AuditRow {
    pub(super) sequence: u64,
    pub(super) revision: u64,
    /// Of the chain up to here.
    pub(super) hash: String,
    /// None for what no caller asks for.
    pub(super) what: Option<What>,
    /// The member that an invite became, or the first name of a new member.
    pub(super) made: Option<String>,
}

impl AuditRow {
    pub(super) fn of(row: &Json) -> Self {
        let target = row["target"].as_str().unwrap().to_owned();
        let after = |name: &str| {
            let fields = row["detail"].as_array()?;
            let field = fields.iter().find(|field| field["field"] == name)?;
            field["after"].as_str().map(str::to_owned)
        };
        let mut made = None;
        let what = match row["event"].as_str().unwrap() {
            "user_created" => Some(match row["actor"].as_str().unwrap().strip_prefix("invite:") {
                Some(invite) => {
                    made = Some(target);
                    What::Accept { invite: invite.to_owned() }
                }
                None => {
                    made = after("first_name");
                    What::Create { id: target }
                }
            }),
            "invite_created" => after("email").map(|email| What::Invite { email }),
            "invite_revoked" => Some(What::Revoke { invite: target }),
            "user_updated" => after("first_name").map(|to| What::Rename { id: target, to }),
            "user_suspended" => Some(What::Suspend { id: target }),
            "user_restored" => Some(What::Restore { id: target }),
            "user_deleted" => Some(What::Remove { id: target }),
            _ => None,
        };
        let number = |key: &str| row[key].as_u64().unwrap();
        let hash = row["hash"].as_str().unwrap().to_owned();
        Self { sequence: number("sequence"), revision: number("revision"), hash, what, made }
    }
}

/// First name of each member, and whether it is active.
pub(super) type Members = BTreeMap<String, (String, bool)>;

/// What a node has in the end.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) audit: Vec<AuditRow>,
    pub(super) members: Members,
}

/// What was recorded.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    pub(super) asked: Vec<Asked>,
    pub(super) allowed: Vec<Allowed>,
    /// What was read of the audit log of a node meanwhile.
    pub(super) read: Vec<(usize, AuditRow)>,
    /// How many questions were answered with a deny, and how many not at all.
    pub(super) denied: usize,
    pub(super) unanswered: usize,
    /// How many were asked of a revision, and answered.
    pub(super) at_least: usize,
    /// How many people were erased, of another account.
    pub(super) erased: usize,
}

impl History {
    pub(super) fn add(&mut self, other: Self) {
        self.asked.extend(other.asked);
        self.allowed.extend(other.allowed);
        self.read.extend(other.read);
        self.denied += other.denied;
        self.unanswered += other.unanswered;
        self.at_least += other.at_least;
        self.erased += other.erased;
    }

    /// What was made, and what was not.
    pub(super) fn tally(&self) -> String {
        let count = |is: fn(&Asked) -> bool| self.asked.iter().filter(|asked| is(asked)).count();
        format!(
            "{} changes made, {} of them removals, {} seen by all, {} refused, {} unknown; {} allowed, {} denied, {} unanswered, {} of a revision; {} entries read, {} people erased",
            count(|asked| matches!(asked.came, Came::Made(_))),
            count(|asked| matches!(
                (&asked.came, &asked.what),
                (Came::Made(_), What::Remove { .. })
            )),
            count(|asked| asked.seen_by_all),
            count(|asked| asked.came == Came::NotMade),
            count(|asked| asked.came == Came::Unknown),
            self.allowed.len(),
            self.denied,
            self.unanswered,
            self.at_least,
            self.read.len(),
            self.erased
        )
    }

    /// Enough has happened for the rest to mean something; a busy machine does a third of what a quiet one does.
    pub(super) fn is_worth_something(&self) {
        let made = self.asked.iter().filter(|asked| matches!(asked.came, Came::Made(_)));
        let removals = made.clone().filter(|asked| matches!(asked.what, What::Remove { .. }));
        let enough = [
            ("changes", made.count(), 15),
            ("removals", removals.count(), 2),
            ("allows", self.allowed.len(), 60),
            ("denies", self.denied, 15),
            ("answers of a revision", self.at_least, 6),
            ("entries read", self.read.len(), 30),
            ("erasures", self.erased, 1),
        ];
        for (what, count, least) in enough {
            assert!(count >= least, "only {count} {what}");
        }
    }

    /// Checks all of it against what the nodes have in the end; `max_staleness` is that of each.
    pub(super) fn check(&self, found: &[Found], max_staleness: Duration) -> Held {
        self.is_one_order(found)?;
        let audit = &found[0].audit;
        self.is_what_was_answered(audit)?;
        for (node, found) in found.iter().enumerate() {
            let members = repeated(&found.audit)?;
            holds(members == found.members, || {
                format!("node {node} has {:?}, and its audit log makes {members:?}", found.members)
            })?;
        }
        self.nobody_is_allowed_after_a_removal(audit, max_staleness)
    }

    /// All nodes have the same audit log, and had it at any time.
    fn is_one_order(&self, found: &[Found]) -> Held {
        let first = &found[0].audit;
        for (row, sequence) in first.iter().zip(1..) {
            holds(row.sequence == sequence, || format!("entry {sequence} is missing at {row:?}"))?;
        }
        for (node, other) in found.iter().enumerate() {
            let differs = first.iter().zip(&other.audit).find(|(one, other)| one != other);
            holds(differs.is_none(), || format!("nodes 0 and {node} have {differs:?}"))?;
            let lengths = (first.len(), other.audit.len());
            holds(lengths.0 == lengths.1, || {
                format!("nodes 0 and {node} have {lengths:?} entries")
            })?;
        }
        for (node, row) in &self.read {
            let at = usize::try_from(row.sequence).unwrap() - 1;
            holds(first.get(at) == Some(row), || {
                format!("node {node} had {row:?}, and in the end there is {:?}", first.get(at))
            })?;
        }
        Ok(())
    }

    /// Each change is in the audit log as often as it was made, and where it was made.
    fn is_what_was_answered(&self, audit: &[AuditRow]) -> Held {
        let mut counts = BTreeMap::<&What, (usize, usize, usize)>::new();
        for asked in &self.asked {
            let (made, unknown, _) = counts.entry(&asked.what).or_default();
            match asked.came {
                Came::Made(_) => *made += 1,
                Came::Unknown => *unknown += 1,
                Came::NotMade => {}
            }
            let Came::Made(Some(revision)) = asked.came else { continue };
            let is_there = |row: &&AuditRow| row.revision == revision;
            let is_it = |row: &&AuditRow| row.what.as_ref() == Some(&asked.what);
            holds(audit.iter().filter(is_there).any(|row| is_it(&row)), || {
                let elsewhere: Vec<_> = audit.iter().filter(is_it).collect();
                let instead: Vec<_> = audit.iter().filter(is_there).collect();
                format!(
                    "{asked:?} is in the audit log at {elsewhere:?}, and at its revision is {instead:?}"
                )
            })?;
        }
        for what in audit.iter().filter_map(|row| row.what.as_ref()) {
            counts.entry(what).or_default().2 += 1;
        }
        for (what, (made, unknown, there)) in counts {
            holds((made..=made + unknown).contains(&there), || {
                format!(
                    "{what:?}: {made} were acknowledged, of {unknown} it is not known, and {there} are in the audit log"
                )
            })?;
        }
        Ok(())
    }

    fn nobody_is_allowed_after_a_removal(&self, audit: &[AuditRow], max: Duration) -> Held {
        let mut removals = BTreeMap::<&str, Removal<'_>>::new();
        for row in audit {
            if let Some(What::Remove { id }) = &row.what {
                removals.insert(id, Removal { revision: row.revision, told: None });
            }
        }
        for asked in &self.asked {
            if let (What::Remove { id }, Came::Made(Some(_))) = (&asked.what, &asked.came)
                && let Some(removal) = removals.get_mut(id.as_str())
            {
                removal.told = Some(asked);
            }
        }
        for allowed in &self.allowed {
            holds(!allowed.is_stale, || format!("{allowed:?}: the node is stale"))?;
            let Some(removal) = removals.get(allowed.id.as_str()) else { continue };
            let fault = removal.forbids(allowed, max);
            holds(fault.is_none(), || format!("{allowed:?}, {}: {removal:?}", fault.unwrap()))?;
        }
        Ok(())
    }
}

/// A removal, and the answer to who asked for it.
#[derive(Debug)]
struct Removal<'h> {
    revision: u64,
    told: Option<&'h Asked>,
}

impl Removal<'_> {
    /// Why somebody must not be allowed anything.
    fn forbids(&self, allowed: &Allowed, max_staleness: Duration) -> Option<&'static str> {
        if allowed.at_least.is_some_and(|revision| revision >= self.revision) {
            return Some("the revision of the removal was asked for");
        }
        if allowed.revision >= self.revision {
            return Some("the answer is based on the removal");
        }
        let told = self.told?;
        if allowed.began <= told.ended {
            None
        } else if allowed.node == told.node {
            Some("the node had acknowledged the removal")
        } else if told.seen_by_all {
            Some("every node had seen the removal")
        } else if allowed.began > told.ended + max_staleness {
            Some("the node must have been stale")
        } else {
            None
        }
    }
}

/// The members that an audit log makes.
fn repeated(audit: &[AuditRow]) -> Result<Members, String> {
    let (mut members, mut revision) = (Members::new(), 0);
    for row in audit {
        holds(row.revision >= revision, || format!("{row:?} comes after revision {revision}"))?;
        revision = row.revision;
        let Some(what) = &row.what else { continue };
        let is_allowed = match what {
            What::Create { id } => {
                let name = row.made.clone().unwrap_or_default();
                members.insert(id.clone(), (name, true)).is_none()
            }
            What::Accept { .. } => {
                let id = row.made.clone().unwrap_or_default();
                members.insert(id, (INVITED.to_owned(), true)).is_none()
            }
            What::Invite { .. } | What::Revoke { .. } => true,
            What::Rename { id, to } => members.get_mut(id).is_some_and(|(name, _)| {
                to.clone_into(name);
                true
            }),
            What::Suspend { id } => members
                .get_mut(id)
                .is_some_and(|(_, is_active)| std::mem::replace(is_active, false)),
            What::Restore { id } => members
                .get_mut(id)
                .is_some_and(|(_, is_active)| !std::mem::replace(is_active, true)),
            What::Remove { id } => members.remove(id).is_some(),
        };
        holds(is_allowed, || format!("{row:?} was made of {members:?}"))?;
    }
    Ok(members)
}

/// The first name of everybody who is invited.
pub(super) const INVITED: &str = "Invited";

mod tests {
    use super::*;

    fn second(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn row(sequence: u64, what: What) -> AuditRow {
        let made = matches!(what, What::Create { .. }).then(|| "Made".to_owned());
        let hash = format!("hash {sequence}");
        AuditRow { sequence, revision: 10 + sequence, hash, what: Some(what), made }
    }

    fn asked(revision: u64, what: What) -> Asked {
        let came = Came::Made(Some(revision));
        Asked { node: 0, what, came, ended: second(10), seen_by_all: false }
    }

    fn allowed(node: usize, began: u64) -> Allowed {
        let (id, began) = ("ann".to_owned(), second(began));
        Allowed { node, id, began, at_least: None, revision: 11, is_stale: false }
    }

    /// Ann is made, another name is given to her, and she is removed: on two nodes.
    fn sound() -> (History, Vec<Found>) {
        let id = "ann".to_owned();
        let all = [
            What::Create { id: id.clone() },
            What::Rename { id: id.clone(), to: "N1".to_owned() },
            What::Remove { id },
        ];
        let audit: Vec<AuditRow> =
            (1..).zip(&all).map(|(number, what)| row(number, what.clone())).collect();
        let history = History {
            asked: (11..).zip(all).map(|(revision, what)| asked(revision, what)).collect(),
            allowed: vec![allowed(1, 9), allowed(1, 13), allowed(0, 10)],
            read: audit.iter().map(|row| (1, row.clone())).collect(),
            ..History::default()
        };
        let found = Found { audit, members: Members::new() };
        (history, vec![found.clone(), found])
    }

    /// Makes one thing of a history different.
    type Spoil = fn(&mut History, &mut Vec<Found>);

    /// What the checker says of a history in which one thing is different.
    fn fault(spoil: Spoil) -> String {
        let (mut history, mut found) = sound();
        spoil(&mut history, &mut found);
        history.check(&found, second(4)).unwrap_err()
    }

    #[test]
    fn a_sound_history_passes() {
        let (history, found) = sound();
        assert_eq!(history.check(&found, second(4)), Ok(()));
    }

    #[test]
    fn every_kind_of_fault_is_found() {
        let faults: [(&str, Spoil); 14] = [
            ("in the end there is", |_, found| {
                found.iter_mut().for_each(|node| drop(node.audit.pop()));
            }),
            ("have", |_, found| drop(found[1].audit.pop())),
            ("have", |_, found| found[1].audit[2].hash.push('x')),
            ("and at its revision is", |history, _| {
                history.asked[1].came = Came::Made(Some(11));
            }),
            ("1 are in the audit log", |history, _| history.asked[1].came = Came::NotMade),
            ("0 are in the audit log", |history, _| {
                let what = What::Suspend { id: "ann".to_owned() };
                history.asked.push(Asked { came: Came::Made(None), ..asked(0, what) });
            }),
            ("its audit log makes", |_, found| {
                found[1].members.insert("leo".to_owned(), ("Leo".to_owned(), true));
            }),
            ("was made of", |history, found| {
                history.read.clear();
                history.asked.remove(0);
                for node in found {
                    node.audit.remove(0);
                    node.audit.iter_mut().for_each(|row| row.sequence -= 1);
                }
            }),
            ("the revision of the removal was asked for", |history, _| {
                history.allowed[1].at_least = Some(13);
            }),
            ("the answer is based on the removal", |history, _| history.allowed[1].revision = 13),
            ("the node had acknowledged the removal", |history, _| history.allowed[1].node = 0),
            ("every node had seen the removal", |history, _| history.asked[2].seen_by_all = true),
            ("the node must have been stale", |history, _| history.allowed[1].began = second(15)),
            ("the node is stale", |history, _| history.allowed[0].is_stale = true),
        ];
        for (words, spoil) in faults {
            let said = fault(spoil);
            assert!(said.contains(words), "{words}: {said}");
        }
    }
}
