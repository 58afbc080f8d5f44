//! The policy sets of a run, and what the model knows of them: who may do what.
//!
//! The table of rights is typed from the requirements and from the sets here, never read from the
//! engine.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use kwic_team::domain::PolicyFiles;
use kwic_team::engine::Snapshot;
use kwic_team::policy_folder;
use tempfile::TempDir;

use crate::support::sidecar::{copy_folder, shipped_policies};

/// A policy set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Set {
    /// As shipped.
    Shipped,
    /// One more role, `deputy`: it may invite, and give the roles of operators and deputies.
    Deputies,
    /// The same, and a deputy may not invite any more.
    Muted,
    /// One more role that administers, `owner`, beside deputies.
    Owners,
    /// Owners keep their role, and can do nothing by it.
    Retired,
    /// A file that is no Cedar.
    Broken,
}

/// What can be asked for in this house's own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right<'r> {
    Invite,
    Edit,
    Remove,
    Assign(&'r str),
    EditSettings,
}

/// What a product asks: a few actions that tell roles apart.
pub const FEATURES: [(&str, &str, &[&str]); 4] = [
    ("chats:respond", "chat", &["administrator", "operator", "chat_manager"]),
    (
        "templates:view",
        "template",
        &["administrator", "template_manager", "broadcast_manager", "automation_manager"],
    ),
    ("contacts:add", "contact", &["administrator", "contact_manager"]),
    ("team:edit", "account", &["administrator"]),
];

const SHIPPED_ROLES: [&str; 7] = [
    "administrator",
    "template_manager",
    "broadcast_manager",
    "contact_manager",
    "operator",
    "chat_manager",
    "automation_manager",
];

impl Set {
    pub const ALL: [Self; 6] =
        [Self::Shipped, Self::Deputies, Self::Muted, Self::Owners, Self::Retired, Self::Broken];

    /// The roles that there are.
    pub fn roles(self) -> Vec<&'static str> {
        let more: &[&str] = match self {
            Self::Shipped | Self::Broken => &[],
            Self::Deputies | Self::Muted => &["deputy"],
            Self::Owners | Self::Retired => &["deputy", "owner"],
        };
        SHIPPED_ROLES.iter().chain(more).copied().collect()
    }

    pub fn has_role(self, role: &str) -> bool {
        self.roles().contains(&role)
    }

    /// Whether active members with the role administer their account.
    pub fn administers(self, role: &str) -> bool {
        role == "administrator" || role == "owner" && self == Self::Owners
    }

    /// Whether an active member with the role has a right on the own account.
    pub fn may(self, role: &str, right: Right<'_>) -> bool {
        if self.administers(role) {
            return true;
        }
        let deputy = role == "deputy" && self.has_role(role);
        deputy
            && match right {
                Right::Invite => self != Self::Muted,
                Right::Assign(given) => ["operator", "deputy"].contains(&given),
                _ => false,
            }
    }

    /// Whether an active member with the role gets an allow for one of [`FEATURES`].
    pub fn allows(self, role: &str, (_, _, roles): (&str, &str, &[&str])) -> bool {
        roles.contains(&role) || role == "owner" && self == Self::Owners
    }

    /// The folder that this set is read from.
    pub fn folder(self) -> PathBuf {
        folders().path().join(format!("{self:?}"))
    }

    /// The set, loaded once for all runs; `None` where it does not load.
    pub fn loaded(self) -> Option<&'static (PolicyFiles, Arc<Snapshot>)> {
        type Pair = (PolicyFiles, Arc<Snapshot>);
        static LOADED: OnceLock<Vec<(Set, Pair)>> = OnceLock::new();
        let loaded = LOADED.get_or_init(|| {
            let good = Self::ALL.into_iter().filter(|set| *set != Self::Broken);
            good.map(|set| {
                let files = policy_folder::read(&set.folder()).unwrap();
                let loaded = Snapshot::load(&files, &[]).unwrap_or_else(|faults| {
                    panic!("{set:?}: {}", kwic_team::engine::render(&faults))
                });
                (set, (files, Arc::new(loaded)))
            })
            .collect()
        });
        loaded.iter().find(|(set, _)| *set == self).map(|(_, pair)| pair)
    }
}

/// A set that is quickly loaded, for a start; the one that is wanted is put in its place.
pub fn smallest() -> Snapshot {
    let files = policy_folder::read(&folders().path().join("smallest")).unwrap();
    Snapshot::load(&files, &[]).unwrap()
}

/// Every set's folder, written once for all runs.
fn folders() -> &'static TempDir {
    static FOLDERS: OnceLock<TempDir> = OnceLock::new();
    FOLDERS.get_or_init(|| {
        let home = tempfile::tempdir().unwrap();
        for set in Set::ALL {
            write(set, &home.path().join(format!("{set:?}")));
        }
        let smallest = home.path().join("smallest");
        fs::create_dir_all(smallest.join("roles")).unwrap();
        fs::write(
            smallest.join("schema.cedarschema"),
            "entity User in [Role, Account]; entity Role; entity Account; action look appliesTo { principal: [User], resource: [Account] };",
        )
        .unwrap();
        fs::write(
            smallest.join("roles/guest.cedar"),
            "@id(\"guest\") @role(\"guest\") @title(\"Guest\") @summary(\"Looks.\") @best_for(\"Nobody.\") permit (principal in Role::\"guest\", action == Action::\"look\", resource);",
        )
        .unwrap();
        home
    })
}

fn write(set: Set, folder: &Path) {
    copy_folder(&shipped_policies(), folder);
    // They hold the shipped table, and cost each load a second.
    fs::remove_dir_all(folder.join("tests")).unwrap();
    if set == Set::Shipped {
        return;
    }
    // It says that only administrators manage, which is what the other sets change.
    fs::remove_file(folder.join("guards/administrators_manage.cedar")).unwrap();
    let role = |name: &str, text: &str| {
        fs::write(folder.join(format!("roles/{name}.cedar")), text).unwrap();
    };
    match set {
        Set::Broken => role("operator", "permit (principal, action"),
        _ => role("deputy", &deputy(set != Set::Muted)),
    }
    match set {
        Set::Owners => role("owner", &owner()),
        Set::Retired => role("owner", &role_head("owner", "KWIC::Action::\"billing:view\"")),
        _ => {}
    }
}

fn role_head(name: &str, actions: &str) -> String {
    format!(
        "@id(\"{name}\") @role(\"{name}\") @title(\"{name}\") @summary(\"A role of a simulation.\") @best_for(\"Nobody.\")\npermit (principal in KWIC::Role::\"{name}\", action in [{actions}], resource);\n"
    )
}

fn deputy(may_invite: bool) -> String {
    let invite = if may_invite { ", KWIC::Action::\"team:invite\"" } else { "" };
    let head = role_head("deputy", &format!("KWIC::Action::\"team:view\"{invite}"));
    format!(
        "{head}@id(\"deputy_gives\")\npermit (principal in KWIC::Role::\"deputy\", action == KWIC::Action::\"roles:assign\", resource)\nwhen {{ context has role && [KWIC::Role::\"operator\", KWIC::Role::\"deputy\"].contains(context.role) }};\n"
    )
}

/// What an administrator may do, for another role.
fn owner() -> String {
    let text = fs::read_to_string(shipped_policies().join("roles/administrator.cedar")).unwrap();
    text.replace("\"administrator\"", "\"owner\"")
}
