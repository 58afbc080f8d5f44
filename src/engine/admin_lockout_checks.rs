//! Whether management's own queries conform to the schema of a policy set.
//!
//! The console, the API and sign-in query the policies with what the store supplies and nothing
//! else. A required attribute that the store does not supply would deny every such query and lock
//! all administrators out: such a set is refused.

use super::attribute_types::Attribute;
use super::entity_builder::{can_hold_attribute, is_supplied};
use super::folder_files::SCHEMA;
use super::policy_fault::PolicyFault;
use super::{Cell, Snapshot};

/// A role that may do both on its own account administers it.
pub(super) const ADMINISTERING: [&str; 2] = ["team:edit", "roles:assign"];

/// Management's queries about people; without a value, or with the role for `roles:assign`.
const PEOPLE: [&str; 5] = ["team:view", "team:invite", "team:edit", "team:remove", "roles:assign"];

/// Management's queries about the account's settings.
const SETTINGS: [&str; 2] = ["settings:view", "settings:edit"];

/// The number of cells named in a note.
const NAMED: usize = 10;

impl Snapshot {
    /// What prevents management's queries about people, as faults, or limits them, as notes.
    pub(super) fn unaskable(&self) -> (Vec<PolicyFault>, Vec<String>) {
        let (mut faults, mut notes) = (Vec::<String>::new(), Vec::new());
        if !PEOPLE.iter().any(|action| self.members_ask(action)) {
            return (Vec::new(), notes);
        }
        faults.extend(self.lacking(self.names.user, "User", is_supplied));
        if let Some(invite) = self.names.type_index("invite")
            && self.applies("team:invite", invite)
        {
            faults.extend(self.lacking(invite, "Invite", |name| name == "account"));
        }
        let account = self.lacking(self.names.account, "Account", |_| false);
        // The accounts of `entities.json` have the attribute.
        notes.extend(account.map(|sentence| {
            format!("{sentence}; of an account that is not in `entities.json` everything is denied")
        }));
        for action in PEOPLE.into_iter().filter(|action| self.members_ask(action)) {
            faults.extend(self.context_at_fault(action));
        }
        for action in SETTINGS.into_iter().filter(|action| self.members_ask(action)) {
            notes.extend(self.context_at_fault(action));
        }
        (faults.into_iter().map(|why| PolicyFault::new(SCHEMA, why)).collect(), notes)
    }

    /// The note for a set that lets members administer but gives no role all that it takes.
    pub(super) fn nobody_administers(&self) -> Option<String> {
        let can_be = ADMINISTERING.iter().all(|action| self.applies(action, self.names.account));
        (can_be && self.administering.is_empty()).then(|| {
            "no role manages the team: none is always allowed both to edit the team (`team:edit`) and to assign roles (`roles:assign`); only the system administrator can manage members".to_owned()
        })
    }

    /// What the roles may still do while suspended, as notes; none with a rule like the built-in
    /// one.
    #[must_use]
    pub fn allowed_while_suspended(&self) -> Vec<String> {
        let matrix = self.matrix();
        let of = |wanted: Cell| {
            let cells = matrix.rows.iter().flat_map(|row| {
                let cells = matrix.roles.iter().zip(&row.suspended);
                cells.filter(move |(_, cell)| **cell == wanted).map(move |(role, _)| (role, row))
            });
            let mut named: Vec<String> = Vec::new();
            let mut more = 0_usize;
            for (role, row) in cells {
                if named.len() < NAMED {
                    named.push(format!("`{role}` `{}` on `{}`", row.action, row.resource));
                } else {
                    more += 1;
                }
            }
            let rest = if more > 0 { format!(", and {more} more") } else { String::new() };
            (!named.is_empty()).then(|| format!("{}{rest}", named.join(", ")))
        };
        let user = self.names.name(self.names.user).map(ToString::to_string).unwrap_or_default();
        let rule = format!(
            "to deny them everything, add the rule `forbid (principal is {user}, action, resource) unless {{ principal.active }};` to the policies"
        );
        let allowed = of(Cell::Allowed)
            .map(|cells| format!("suspended members are still allowed: {cells}; {rule}"));
        let depends = of(Cell::Depends).map(|cells| {
            format!("suspended members may be allowed, an attribute decides: {cells}; {rule}")
        });
        allowed.into_iter().chain(depends).collect()
    }

    /// The required attributes of a type that management does not supply.
    fn lacking(
        &self,
        kind: usize,
        called: &str,
        supplied: fn(&str) -> bool,
    ) -> impl Iterator<Item = String> {
        let lacking = self.names.shape(kind).attributes.iter();
        lacking.filter(move |attribute| attribute.required && !supplied(&attribute.name)).map(
            move |Attribute { name, .. }| {
                format!(
                    "`{called}.{name}` is required, and the store does not supply it: management cannot ask, and no role could administer; declare it optional: `{name}?`"
                )
            },
        )
    }

    /// What management cannot supply of an action's context.
    fn context_at_fault(&self, action: &str) -> Vec<String> {
        let info = self.names.action_index(action).and_then(|at| self.names.actions.get(at));
        let attributes = info.map(|info| info.context.attributes.as_slice()).unwrap_or_default();
        let fault = |Attribute { name, kind, required, .. }: &Attribute| {
            if action == "roles:assign" && name == "role" {
                return (!can_hold_attribute(&self.names, name, kind)).then(|| {
                    "`context.role` of `roles:assign` is the role to give, which management sends by its id: declare it `role?: Role`".to_owned()
                });
            }
            required.then(|| {
                format!(
                    "`context.{name}` of `{action}` is required, and management does not send it: it cannot ask; declare it optional: `{name}?`"
                )
            })
        };
        attributes.iter().filter_map(fault).collect()
    }

    /// Whether members may ask this about an account or a member.
    fn members_ask(&self, action: &str) -> bool {
        [self.names.account, self.names.user].iter().any(|kind| self.applies(action, *kind))
    }

    fn applies(&self, action: &str, kind: usize) -> bool {
        let action = self.names.action_index(action);
        action.is_some_and(|action| self.slices.env(self.names.user, action, kind).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::PolicyFiles;
    use crate::engine::render;
    use crate::policy_folder;

    /// The shipped folder without guards and tests, with pieces of its schema exchanged.
    fn exchanged(pieces: &[(&str, &str)], left_out: &str, entities: &str) -> PolicyFiles {
        let shipped = policy_folder::embedded_policies();
        let mut files: Vec<(String, Vec<u8>)> = Vec::new();
        for (path, bytes) in shipped.iter() {
            if path.starts_with("tests/") || path.starts_with("guards/") || path == left_out {
                continue;
            }
            let mut text = String::from_utf8(bytes.to_vec()).unwrap();
            if path == SCHEMA {
                for (old, new) in pieces {
                    assert!(text.contains(old), "{old}");
                    text = text.replace(old, new);
                }
            }
            files.push((path.to_owned(), text.into_bytes()));
        }
        if !entities.is_empty() {
            files.push(("entities.json".to_owned(), entities.into()));
        }
        PolicyFiles::new(files)
    }

    fn load(pieces: &[(&str, &str)], left_out: &str, entities: &str) -> Result<Snapshot, String> {
        let files = exchanged(pieces, left_out, entities);
        Snapshot::load(&files, &[]).map_err(|faults| render(&faults))
    }

    #[test]
    fn a_set_that_management_cannot_ask_is_refused() {
        let people = "action \"team:view\", \"team:invite\", \"team:edit\", \"team:remove\" appliesTo {\n    principal: [User],\n    resource: [Account, User, Invite],";
        let in_context = format!("{people}\n    context: {{ ticket: String }},");
        for (old, new, named) in [
            ("joined: datetime,", "joined: datetime, dept: String,", "`User.dept`"),
            ("joined: datetime,", "joined: datetime, badge: { no: Long },", "`User.badge`"),
            (
                "entity Invite in [Account];",
                "entity Invite in [Account] { by: String };",
                "`Invite.by`",
            ),
            ("context: { role?: Role }", "context: { role?: Role, why: String }", "`context.why`"),
            ("context: { role?: Role }", "context: { role?: Set<Role> }", "`context.role`"),
            (people, in_context.as_str(), "`context.ticket` of `team:edit`"),
        ] {
            let said = load(&[(old, new)], "", "").expect_err(new);
            assert!(said.contains(named), "{new}: {said}");
        }
        for (old, new) in [
            ("joined: datetime,", "joined: datetime, dept?: String,"),
            ("entity Account;", "entity Account { plan?: String };"),
            ("entity Invite in [Account];", "entity Invite in [Account] { account: Account };"),
            ("context: { role?: Role }", "context: { role: Role, why?: String }"),
            ("context: { role?: Role }", "context: { role: String }"),
        ] {
            let set = load(&[(old, new)], "", "").unwrap_or_else(|said| panic!("{new}: {said}"));
            assert_eq!(set.administering().len(), 1, "{new}");
            let told = set.notes().concat();
            assert!(!told.contains("required") && !told.contains("administers"), "{new}: {told}");
        }
    }

    #[test]
    fn what_the_stored_accounts_have_is_noted() {
        let plan = [("entity Account;", "entity Account { plan: String };")];
        let stored = r#"[{"uid": {"type": "KWIC::Account", "id": "acme"}, "attrs": {"plan": "a"}, "parents": []}]"#;
        let set = load(&plan, "", stored).unwrap_or_else(|said| panic!("{said}"));
        assert!(set.notes().concat().contains("`Account.plan`"), "{:?}", set.notes());
        let old = "\"settings:view\", \"settings:edit\", \"billing:view\", \"billing:manage\" appliesTo {";
        let new = format!("{old} context: {{ why: String }},");
        let set = load(&[(old, &new)], "", "").unwrap_or_else(|said| panic!("{said}"));
        assert!(set.notes().concat().contains("`context.why` of `settings:edit`"));
    }

    #[test]
    fn a_set_without_a_rule_for_suspended_members_is_noted() {
        let shipped = load(&[], "", "").unwrap_or_else(|said| panic!("{said}"));
        assert_eq!(shipped.allowed_while_suspended(), [""; 0]);
        let rule = "rules/suspension.cedar";
        let open = load(&[], rule, "").unwrap_or_else(|said| panic!("{said}"));
        for row in &open.matrix().rows {
            assert_eq!(row.suspended, row.cells, "{} {}", row.action, row.resource);
        }
        let notes = open.allowed_while_suspended();
        let [note] = &notes[..] else { panic!("{notes:?}") };
        assert!(
            note.starts_with("suspended members are still allowed: `administrator` "),
            "{note}"
        );
        assert!(
            note.contains(" more; to deny them everything, add the rule `forbid (principal is KWIC::User, action, resource)"),
            "{note}"
        );
        assert!(note.len() < 1_500, "{note}");
    }

    #[test]
    fn a_set_whose_roles_do_not_administer_is_noted() {
        let set =
            load(&[], "roles/administrator.cedar", "").unwrap_or_else(|said| panic!("{said}"));
        assert!(set.notes().concat().contains("no role manages the team"), "{:?}", set.notes());
    }
}
