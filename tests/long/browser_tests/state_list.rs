//! The states of the console, and the way to each: a list for a browser to visit. The checks are
//! elsewhere.

use super::browser::key;
use crate::support::api_users::PASSWORD;

/// Printed by the demonstration beside its members.
pub const DEMO_PASSWORD: &str = "only for a look around";

/// A sidecar with its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// The demonstration, whose account manages the policies.
    Demo,
    /// Nobody was here yet.
    Fresh,
    /// One member, an administrator, and no mail.
    Alone,
    /// Mail has stopped, and there is a role that may look and change nothing.
    Halted,
}

/// One state of the console, and the way there.
pub struct State {
    pub name: &'static str,
    /// Who looks: a role of the demonstration, elsewhere the id of a member; nobody where empty.
    pub who: &'static str,
    /// A path, with places to be filled in: `{invite:NAME}`, `{member:NAME}` and `{token:NAME}` are
    /// ids, `{passkey}` is the viewer's; `{join:NAME}` is the link of an invitation,
    /// `{reset:NAME}` one to a new password, and `{setup}` the one to the first account.
    pub path: &'static str,
    pub way: &'static [Step],
}

/// One step on the way to a state.
#[derive(Clone, Copy)]
pub enum Step {
    Click(&'static str),
    Fill(&'static str, &'static str),
    /// Fills a field with the code that belongs to the key on the page.
    FillCode(&'static str),
    /// Fills a field with a recovery code that was not used yet.
    FillRecovery(&'static str),
    Choose(&'static str, &'static str),
    Keys(char),
    /// Text that is shown once a page has come.
    Sees(&'static str),
    /// Opens the page again and again, until it has this text.
    Comes(&'static str),
    /// The page says why a form was not taken.
    Refused,
    Width(u32),
    /// From here on, pages run no script.
    NoScript,
    Offline,
    /// Opens the page again.
    Again,
    /// Opens another page; as [`State::path`].
    Goes(&'static str),
    /// Opens the link of the mail to an address.
    Mail(&'static str),
    /// The viewer is signed in on another device too.
    Elsewhere,
    /// A command of the operator: somebody else changes something meanwhile.
    Meanwhile(&'static [&'static str]),
    /// Policies that cannot be taken are put into the folder.
    BreakPolicies,
    /// Policies by which a role gains access are put into the folder.
    WidenPolicies,
    /// Policies by which a role loses access go live.
    NarrowPolicies,
}

use Step::{
    Again, BreakPolicies, Choose, Click, Comes, Elsewhere, Fill, FillCode, FillRecovery, Goes,
    Keys, Mail, Meanwhile, NarrowPolicies, NoScript, Offline, Refused, Sees, WidenPolicies, Width,
};

const fn state(
    name: &'static str,
    who: &'static str,
    path: &'static str,
    way: &'static [Step],
) -> State {
    State { name, who, path, way }
}

pub const NOBODY: &str = "";
/// Has a second step, which is set up when this member first signs in.
pub const SECURED: &str = "contact_manager";
const ADMIN: &str = "administrator";
const OPERATOR: &str = "operator";
/// The longest name that is taken, and one letter more.
const LONG: &str = "Aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const TOO_LONG: &str = "Aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
/// Refused wherever the account is called `demo`.
const WEAK: &str = "demo demo demo demo";
const WRONG: &str = "something that is wrong";

/// All of them, those of one scene together, and in it those of one reader.
pub const SCENES: &[(Scene, &[State])] = &[
    (Scene::Demo, OUTSIDE),
    (Scene::Demo, TEAM),
    (Scene::Demo, INVITATIONS),
    (Scene::Demo, REST),
    (Scene::Demo, PERSONAL),
    (Scene::Fresh, FIRST),
    (Scene::Alone, LONELY),
    (Scene::Halted, HALTED),
];

/// A visitor.
const OUTSIDE: &[State] = &[
    state("sign-in", NOBODY, "/sign-in", &[]),
    state(
        "sign-in-refused",
        NOBODY,
        "/sign-in",
        &[
            Fill("Account", "demo"),
            Fill("Email address", "operator@demo.example"),
            Fill("Password", "something that is wrong"),
            Click("Sign in"),
            Sees("Password"),
        ],
    ),
    state("signed-out", NOBODY, "/signed-out", &[Sees("You've been signed out")]),
    state("not-found-outside", NOBODY, "/nowhere", &[Sees("This page does not exist")]),
    state("help-outside", NOBODY, "/help", &[]),
    state("set-up-done", NOBODY, "/setup", &[]),
    state("join", NOBODY, "/join", &[Sees("Link or code")]),
    state(
        "join-dead-link",
        NOBODY,
        "/join",
        &[NoScript, Fill("Link or code", "nonsense"), Click("Continue")],
    ),
    state("forgot", NOBODY, "/forgot", &[]),
    state(
        "forgot-sent",
        NOBODY,
        "/forgot",
        &[
            Fill("Account", "demo"),
            Fill("Email address", "nobody@demo.example"),
            Click("Send the link"),
            Sees("on its way"),
        ],
    ),
    state("reset", NOBODY, "/reset", &[]),
    state("confirm-email", NOBODY, "/confirm-email", &[]),
    state(
        "sign-in-faults",
        NOBODY,
        "/sign-in",
        &[
            Fill("Account", "Not A Slug"),
            Fill("Email address", "nobody@demo"),
            Fill("Password", WRONG),
            Keys(key::ENTER),
            Refused,
        ],
    ),
    state(
        "session-over",
        OPERATOR,
        "/me",
        &[
            NoScript,
            Meanwhile(&["member", "end-sessions", "demo-operator"]),
            Again,
            Sees("You are no longer signed in"),
        ],
    ),
    state("join-valid", NOBODY, "{join:Yusuf}", &[Sees("Join Demo")]),
    state(
        "join-weak-password",
        NOBODY,
        "{join:Yusuf}",
        &[Sees("Join Demo"), Fill("Choose a password", WEAK), Click("Join"), Refused],
    ),
    state("join-expired", NOBODY, "{join:Peter}", &[Sees("This invitation has expired")]),
    state(
        "join-asked-anew",
        NOBODY,
        "{join:Peter}",
        &[Click("Ask for a new invitation"), Sees("has been asked for one")],
    ),
    state("join-revoked", NOBODY, "{join:Mateo}", &[Sees("was revoked")]),
    state("join-accepted", NOBODY, "{join:Kiran}", &[Sees("was accepted already")]),
    state(
        "join-replaced",
        NOBODY,
        "/join",
        &[
            Meanwhile(&["invite", "resend", "ines.costa@demo.example"]),
            Goes("{join:Ines}"),
            Sees("There is a newer link"),
        ],
    ),
    state(
        "join-joined",
        NOBODY,
        "{join:Sofia}",
        &[
            Sees("Join Demo"),
            Fill("Choose a password", PASSWORD),
            Click("Join"),
            Sees("You have joined"),
        ],
    ),
    state(
        "forgot-refused",
        NOBODY,
        "/forgot",
        &[
            Fill("Account", "Not A Slug"),
            Fill("Email address", "nobody@demo.example"),
            Click("Send the link"),
            Refused,
        ],
    ),
    state("reset-link", NOBODY, "{reset:ravi.kumar@demo.example}", &[Sees("New password")]),
    state(
        "reset-weak-password",
        NOBODY,
        "{reset:ravi.kumar@demo.example}",
        &[Fill("New password", WEAK), Click("Save"), Refused],
    ),
    state(
        "reset-done",
        NOBODY,
        "{reset:ravi.kumar@demo.example}",
        &[Fill("New password", PASSWORD), Click("Save"), Sees("Your new password is set")],
    ),
    state(
        "reset-dead-link",
        NOBODY,
        "/reset#AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        &[Fill("New password", PASSWORD), Click("Save"), Refused],
    ),
    state(
        "confirm-email-dead-link",
        NOBODY,
        "/confirm-email#AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        &[Click("Confirm"), Refused],
    ),
];

/// Team Management, and each member.
const TEAM: &[State] = &[
    state("team", ADMIN, "/team", &[Sees("Team Management")]),
    state("team-without-script", ADMIN, "/team", &[NoScript, Sees("Chat Manager")]),
    state("team-sorted", ADMIN, "/team?sort=-last_active", &[]),
    state("team-found", ADMIN, "/team?search=operator", &[Sees("1 member found")]),
    state("team-none-found", ADMIN, "/team?search=nobodyatall", &[Sees("Nobody matches")]),
    state(
        "team-menu",
        ADMIN,
        "/team?search=operator",
        &[Click("Actions for Demo Operator"), Sees("View permissions")],
    ),
    state(
        "team-ticked",
        ADMIN,
        "/team?search=manager",
        &[Click("Select everybody on this page"), Sees("selected")],
    ),
    state(
        "team-menu-on-a-phone",
        ADMIN,
        "/team?search=operator",
        &[Width(320), Click("Actions for Demo Operator"), Sees("View permissions")],
    ),
    state(
        "team-offline",
        ADMIN,
        "/team?search=operator",
        &[Offline, Click("Invite member"), Sees("cannot be reached")],
    ),
    state("member", ADMIN, "/team/members/demo-operator", &[Sees("Not included")]),
    state("member-oneself", ADMIN, "/team/members/demo-administrator", &[Sees("You")]),
    state("member-edit", ADMIN, "/team/members/demo-operator/edit", &[Sees("First name")]),
    state(
        "member-edit-refused",
        ADMIN,
        "/team/members/demo-operator/edit",
        &[Fill("First name", TOO_LONG), Fill("Last name", TOO_LONG), Click("Save"), Sees("64")],
    ),
    state("member-role", ADMIN, "/team/members/demo-operator/role", &[Sees("Administrator")]),
    state(
        "member-role-difference",
        ADMIN,
        "/team/members/demo-operator/role",
        &[Click("Chat Manager"), Click("Continue"), Sees("Gains")],
    ),
    state("member-suspend", ADMIN, "/team/members/demo-operator/suspend", &[Sees("Suspend")]),
    state("member-remove", ADMIN, "/team/members/demo-operator/remove", &[Sees("Remove")]),
    state(
        "member-remove-dialog",
        ADMIN,
        "/team?search=operator",
        &[
            Click("Actions for Demo Operator"),
            Keys(key::END),
            Keys(key::ENTER),
            Sees("This cannot be undone"),
        ],
    ),
    state("member-reset-password", ADMIN, "/team/members/demo-operator/reset-password", &[]),
    state("member-end-sessions", ADMIN, "/team/members/demo-operator/end-sessions", &[]),
    state(
        "member-changed-meanwhile",
        ADMIN,
        "/team/members/demo-chat_manager/edit",
        &[
            Fill("First name", "Asha"),
            Meanwhile(&["member", "edit", "demo-chat_manager", "--last-name", "Changed"]),
            Click("Save"),
            Sees("changed"),
        ],
    ),
    state("member-unknown", ADMIN, "/team/members/nobody", &[]),
    state(
        "bulk-remove",
        ADMIN,
        "/team?search=manager",
        &[
            Click("Select everybody on this page"),
            Sees("selected"),
            Click("Remove"),
            Sees("To confirm"),
        ],
    ),
    state(
        "team-filtered",
        ADMIN,
        "/team?role=operator&status=active&two_step=on",
        &[Sees("Clear filters")],
    ),
    state("team-role-filter", ADMIN, "/team", &[Click("Role Any"), Sees("Template Manager")]),
    state("team-more", ADMIN, "/team", &[Click("More"), Sees("Invite several")]),
    state("team-second-page", ADMIN, "/team?sort=-joined", &[Click("Next page"), Sees("26–50")]),
    state(
        "team-saved",
        ADMIN,
        "/team?search=emily",
        &[
            Click("Actions for Emily Clarke"),
            Click("Edit details"),
            Fill("First name", "Emilia"),
            Click("Save"),
            Sees("Emilia Clarke's details were saved"),
        ],
    ),
    state(
        "team-menu-reasons",
        ADMIN,
        "/team?search=arjun",
        &[Click("Actions for Arjun Mehta"), Sees("Suspended: restore first")],
    ),
    state(
        "member-role-dialog",
        ADMIN,
        "/team?search=operator",
        &[Click("Actions for Demo Operator"), Click("Change role"), Sees("Role of Demo Operator")],
    ),
    state(
        "member-role-same",
        ADMIN,
        "/team/members/demo-operator/role",
        &[Click("Continue"), Refused],
    ),
    state(
        "member-suspended",
        ADMIN,
        "/team/members/{member:Arjun}",
        &[Sees("the live policies allow this member no action")],
    ),
    state(
        "member-restore",
        ADMIN,
        "/team/members/{member:Arjun}/restore",
        &[Sees("Restore Arjun Mehta?")],
    ),
    state(
        "member-not-possible",
        ADMIN,
        "/team/members/{member:Arjun}/reset-password",
        &[Sees("Restore Arjun Mehta first")],
    ),
    state("member-long-name", ADMIN, "/team/members/{member:Wolfeschlegel}", &[]),
    state(
        "member-reset-two-step",
        ADMIN,
        "/team/members/{member:Asha Rao}/reset-two-step",
        &[Sees("Turn on your own two-step verification first")],
    ),
    state(
        "member-reset-password-sent",
        ADMIN,
        "/team/members/{member:Divya}/reset-password",
        &[Click("Send the link"), Sees("is on its way to")],
    ),
    state(
        "member-remove-refused",
        ADMIN,
        "/team/members/{member:Asha Rao}/remove",
        &[Fill("To confirm, type the name", "Nobody"), Click("Remove Asha Rao"), Refused],
    ),
    state(
        "bulk-role",
        ADMIN,
        "/team/bulk?do=role&id=demo-operator&id=demo-chat_manager",
        &[Sees("Change the role of 2 members")],
    ),
    state(
        "bulk-suspend",
        ADMIN,
        "/team/bulk?do=suspend&id=demo-operator&id=demo-chat_manager",
        &[Sees("Suspend 2 members")],
    ),
    state(
        "bulk-remove-refused",
        ADMIN,
        "/team/bulk?do=remove&id=demo-operator&id=demo-chat_manager",
        &[Fill("To confirm, type the number", "7"), Click("Remove 2 members"), Refused],
    ),
    state("bulk-nobody", ADMIN, "/team/bulk?do=role", &[Sees("Select the members first")]),
    state(
        "bulk-done",
        ADMIN,
        "/team/bulk?do=suspend&id={member:Meera}&id={member:Arjun}",
        &[Click("Suspend 2 members"), Sees("Results")],
    ),
];

/// Invitations, made and open.
const INVITATIONS: &[State] = &[
    state("invitations", ADMIN, "/team?tab=invitations", &[]),
    state(
        "invitations-none-found",
        ADMIN,
        "/team?tab=invitations&search=nobodyatall",
        &[Sees("Nobody matches")],
    ),
    state("invite", ADMIN, "/team/invite", &[Sees("First name")]),
    state("invite-dialog", ADMIN, "/team", &[Click("Invite member"), Sees("First name")]),
    state(
        "invite-refused",
        ADMIN,
        "/team/invite",
        &[
            NoScript,
            Fill("First name", LONG),
            Fill("Last name", "Rao"),
            Fill("Email address", "operator@demo.example"),
            Click("Operator"),
            Click("Invite"),
            Sees("already has access"),
        ],
    ),
    state(
        "invite-dialog-refused",
        ADMIN,
        "/team",
        &[
            Click("Invite member"),
            Fill("First name", "Asha"),
            Fill("Last name", "Rao"),
            Fill("Email address", "operator@demo.example"),
            Click("Operator"),
            Click("Invite"),
            Sees("already has access"),
        ],
    ),
    state("invite-several", ADMIN, "/team/invite-several", &[Sees("People")]),
    state(
        "invite-several-checked",
        ADMIN,
        "/team/invite-several",
        &[
            Fill("People", "Asha,Rao,asha@demo.example,operator\nNobody,,x,y"),
            Click("Check"),
            Sees("Can be sent"),
        ],
    ),
    state(
        "invitation-over",
        ADMIN,
        "/team/invitations/{invite:Mateo}/resend",
        &[Sees("was revoked, and its link no longer works")],
    ),
    state(
        "invite-without-dot",
        ADMIN,
        "/team/invite-several",
        &[Fill("People", "Leo,Blanc,leo@example,operator"), Click("Check"), Sees("has no dot")],
    ),
    state("invitations-all", ADMIN, "/team?tab=invitations&state=all", &[Sees("Accepted")]),
    state(
        "invitations-without-script",
        ADMIN,
        "/team?tab=invitations",
        &[NoScript, Sees("Revoke")],
    ),
    state(
        "invitations-menu",
        ADMIN,
        "/team?tab=invitations",
        &[Click("Actions for Yusuf Demir"), Sees("Revoke")],
    ),
    state(
        "invitations-menu-on-a-phone",
        ADMIN,
        "/team?tab=invitations",
        &[Width(320), Click("Actions for Yusuf Demir"), Sees("Revoke")],
    ),
    state(
        "invitation-edit",
        ADMIN,
        "/team/invitations/{invite:Yusuf}/edit",
        &[Sees("Edit Yusuf Demir's invitation")],
    ),
    state(
        "invitation-edit-dialog",
        ADMIN,
        "/team?tab=invitations",
        &[Click("Actions for Yusuf Demir"), Click("Edit"), Sees("Edit Yusuf Demir's invitation")],
    ),
    state(
        "invitation-resend",
        ADMIN,
        "/team/invitations/{invite:Yusuf}/resend",
        &[Sees("Resend invitation to")],
    ),
    state(
        "invitation-resend-dialog",
        ADMIN,
        "/team?tab=invitations",
        &[Click("Actions for Yusuf Demir"), Click("Resend"), Sees("Resend invitation to")],
    ),
    state(
        "invitation-link",
        ADMIN,
        "/team/invitations/{invite:Yusuf}/link",
        &[Sees("invitation link")],
    ),
    state(
        "invitation-link-dialog",
        ADMIN,
        "/team?tab=invitations",
        &[Click("Actions for Yusuf Demir"), Click("Copy link"), Sees("invitation link")],
    ),
    state(
        "invitation-revoke",
        ADMIN,
        "/team/invitations/{invite:Yusuf}/revoke",
        &[Sees("Revoke Yusuf Demir's invitation?")],
    ),
    state(
        "invitation-revoke-dialog",
        ADMIN,
        "/team?tab=invitations",
        &[
            Click("Actions for Yusuf Demir"),
            Click("Revoke"),
            Sees("Revoke Yusuf Demir's invitation?"),
        ],
    ),
    state(
        "invitation-edit-refused",
        ADMIN,
        "/team/invitations/{invite:Yusuf}/edit",
        &[Fill("Email address", "operator@demo.example"), Click("Save"), Refused],
    ),
    state(
        "invitation-edited",
        ADMIN,
        "/team/invitations/{invite:Yusuf}/edit",
        &[Fill("First name", "Yusef"), Click("Save"), Sees("Yusef Demir")],
    ),
    state(
        "invitation-resent",
        ADMIN,
        "/team/invitations/{invite:Leila}/resend",
        &[Click("Resend"), Sees("leila.haddad@demo.example"), Sees("Last sent")],
    ),
    state(
        "invitation-resent-too-soon",
        ADMIN,
        "/team?tab=invitations",
        &[
            Meanwhile(&["invite", "resend", "grace.mwangi@demo.example"]),
            Goes("/team/invitations/{invite:Grace}/resend"),
            Click("Resend"),
            Refused,
        ],
    ),
    state(
        "invitation-link-shown",
        ADMIN,
        "/team/invitations/{invite:Tara}/link",
        &[Click("Show link"), Sees("You can see this link again")],
    ),
    state(
        "invitation-link-shown-in-dialog",
        ADMIN,
        "/team?tab=invitations",
        &[
            Click("Actions for Tara Bhatt"),
            Click("Copy link"),
            Click("Show link"),
            Sees("You can see this link again"),
        ],
    ),
    state(
        "invitation-revoked",
        ADMIN,
        "/team?tab=invitations",
        &[
            Click("Actions for Omar Farouk"),
            Click("Revoke"),
            Click("Revoke invitation"),
            Sees("was revoked"),
        ],
    ),
    state(
        "invitation-unknown",
        ADMIN,
        "/team/invitations/nothing/edit",
        &[Sees("This page does not exist")],
    ),
    state("invite-suggested-role", ADMIN, "/team/invite?role=operator", &[Sees("First name")]),
    state(
        "invite-near-miss",
        ADMIN,
        "/team/invite",
        &[Fill("Email address", "asha@gmial.com"), Keys(key::TAB), Sees("did you mean gmail.com")],
    ),
    state(
        "invite-made",
        ADMIN,
        "/team",
        &[
            Click("Invite member"),
            Fill("First name", "Nadia"),
            Fill("Last name", "Petit"),
            Fill("Email address", "nadia.petit@demo.example"),
            Click("Operator"),
            Click("Invite"),
            Sees("created"),
        ],
    ),
    state(
        "invite-several-refused",
        ADMIN,
        "/team/invite-several",
        &[Fill("People", " "), Click("Check"), Refused],
    ),
    state(
        "invite-several-sent",
        ADMIN,
        "/team/invite-several",
        &[
            Fill("People", "Leo,Blanc,leo.blanc@demo.example,operator\nNobody,,x,y"),
            Click("Check"),
            Sees("Can be sent"),
            Click("Invite 1 person"),
            Sees("Created"),
        ],
    ),
    state("join-as-another", ADMIN, "{join:Rekha}", &[Sees("You are signed in as somebody else")]),
];

/// Roles, tokens, audit, account, policies.
const REST: &[State] = &[
    state("roles", ADMIN, "/roles", &[]),
    state("roles-compare", ADMIN, "/roles/compare", &[]),
    state("roles-suggest", ADMIN, "/roles/suggest", &[]),
    state("roles-suggested", ADMIN, "/roles/suggest?do=chats:view&do=broadcasts:send", &[]),
    state("tokens", ADMIN, "/tokens", &[]),
    state("token-new", ADMIN, "/tokens/new", &[]),
    state(
        "token-made",
        ADMIN,
        "/tokens/new",
        &[
            Fill("Name", "walk"),
            Choose("Role", "Operator"),
            Fill("Days until it expires", "1"),
            Fill("Your password", DEMO_PASSWORD),
            Click("Create token"),
            Sees("Copy it now"),
        ],
    ),
    state("audit", ADMIN, "/audit", &[]),
    state("audit-of-one", ADMIN, "/audit?member=demo-operator", &[]),
    state("audit-nothing", ADMIN, "/audit?member=nobody", &[]),
    state("audit-verified", ADMIN, "/audit?verify=1", &[]),
    state("account", ADMIN, "/account", &[]),
    state("policies", ADMIN, "/policies", &[]),
    state("policies-try", ADMIN, "/policies/try", &[]),
    state("policies-who-may", ADMIN, "/policies/who-may", &[Sees("Resource (optional)")]),
    state(
        "policies-who-may-answered",
        ADMIN,
        "/policies/who-may?action=chats:assign&resource=chat:1",
        &[Sees("Allowed by policy")],
    ),
    state(
        "policies-who-may-wrong",
        ADMIN,
        "/policies/who-may?action=chats:assign&resource=template:1",
        &[Sees("does not apply")],
    ),
    state(
        "member-what-may",
        ADMIN,
        "/team/members/demo-operator/what-may",
        &[Sees("Allowed by policy")],
    ),
    state(
        "member-what-may-none",
        ADMIN,
        "/team/members/demo-operator/what-may?resource=template:1",
        &[Sees("No action is allowed on this")],
    ),
    state(
        "policies-tried",
        ADMIN,
        "/policies/try?member=demo-operator&action=broadcasts:send&resource=broadcast:1",
        &[],
    ),
    state("not-found", ADMIN, "/nowhere", &[Sees("This page does not exist")]),
    state("help", ADMIN, "/help", &[]),
    state(
        "roles-compare-none",
        ADMIN,
        "/roles/compare?search=spaceship",
        &[Sees("No action matches")],
    ),
    state(
        "token-new-refused",
        ADMIN,
        "/tokens/new",
        &[
            Fill("Name", "walk"),
            Choose("Role", "Operator"),
            Fill("Days until it expires", "0"),
            Fill("Your password", DEMO_PASSWORD),
            Click("Create token"),
            Refused,
        ],
    ),
    state(
        "token-revoke",
        ADMIN,
        "/tokens/{token:Nightly export}/revoke",
        &[Sees("Revoke the token")],
    ),
    state(
        "token-revoke-dialog",
        ADMIN,
        "/tokens",
        &[Click("Revoke Website contact form"), Sees("Revoke the token")],
    ),
    state(
        "token-revoked",
        ADMIN,
        "/tokens",
        &[
            Click("Revoke Website contact form"),
            Sees("Revoke the token"),
            Click("Revoke"),
            Sees("was revoked"),
        ],
    ),
    state("audit-of-an-event", ADMIN, "/audit?event=user_suspended", &[]),
    state("audit-older", ADMIN, "/audit", &[Click("Older entries"), Sees("Audit")]),
    state(
        "account-refused",
        ADMIN,
        "/account",
        &[Fill("Invitations expire after (hours)", "0"), Click("Save"), Refused],
    ),
    state(
        "account-changed-meanwhile",
        ADMIN,
        "/account",
        &[
            Fill("Name of the team", "Demonstration"),
            Meanwhile(&["account", "edit", "--name", "Demo team"]),
            Click("Save"),
            Refused,
            Sees("Current settings"),
        ],
    ),
    state("account-saved", ADMIN, "/account", &[Click("Save"), Sees("The settings were saved")]),
    state(
        "account-mail-tested",
        ADMIN,
        "/account",
        &[Click("Send a test mail"), Sees("The test mail to")],
    ),
    state("policies-files", ADMIN, "/policies", &[Click("Made from"), Sees("schema.cedarschema")]),
    state(
        "policies-loaded-again",
        ADMIN,
        "/policies",
        &[Click("Load the folder again"), Sees("Nothing changed")],
    ),
    state(
        "policies-try-wrong",
        ADMIN,
        "/policies/try?member=x&action=chats:view&resource=nonsense",
        &[Sees("Enter a type")],
    ),
    state(
        "policies-tried-allowed",
        ADMIN,
        "/policies/try?member=demo-operator&action=chats:view&resource=chat:1",
        &[Sees("Allowed")],
    ),
    state("not-used-that-way", ADMIN, "/sign-out", &[Sees("This did not work")]),
    state(
        "policies-held",
        ADMIN,
        "/policies",
        &[
            WidenPolicies,
            Click("Load the folder again"),
            Sees("The new policies wait"),
            Sees("Approve"),
        ],
    ),
    state(
        "policies-held-compared",
        ADMIN,
        "/policies",
        &[
            NarrowPolicies,
            WidenPolicies,
            Again,
            Click("Load the folder again"),
            Sees("Approve"),
            Click("See what would change"),
            Sees("Gains"),
        ],
    ),
    state(
        "policies-approved",
        ADMIN,
        "/policies",
        &[
            NarrowPolicies,
            WidenPolicies,
            Again,
            Click("Load the folder again"),
            Click("Approve"),
            Sees("The policies were loaded"),
            Sees("Roll back to set 1"),
        ],
    ),
    state(
        "policies-compared",
        ADMIN,
        "/policies/compare?old=1&new=live",
        &[NarrowPolicies, Again, Sees("Loses"), Sees("roles/operator.cedar")],
    ),
    state("policies-compare-choose", ADMIN, "/policies/compare", &[Sees("Choose a set")]),
    state(
        "policies-compare-unknown",
        ADMIN,
        "/policies/compare?old=live&new=99",
        &[Sees("no such set")],
    ),
    state(
        "policies-rollback-dialog",
        ADMIN,
        "/policies",
        &[NarrowPolicies, Again, Click("Roll back to set 1"), Sees("What would change")],
    ),
    state(
        "policies-rollback",
        ADMIN,
        "/policies/history/1/rollback",
        &[NoScript, NarrowPolicies, Again, Sees("What would change")],
    ),
    state(
        "policies-rollback-pin",
        ADMIN,
        "/policies/history/1/rollback?pin=1",
        &[NarrowPolicies, Again, Sees("Pin set 1?")],
    ),
    state(
        "policies-rolled-back",
        ADMIN,
        "/policies/history/1/rollback",
        &[NoScript, NarrowPolicies, Again, Click("Roll back to set 1"), Sees("rolled back to it")],
    ),
    state(
        "policies-rollback-is-live",
        ADMIN,
        "/policies/history/1/rollback",
        &[Meanwhile(&["policy", "rollback", "1", "--yes"]), Again, Sees("live already")],
    ),
    state(
        "policies-shadow",
        ADMIN,
        "/policies",
        &[
            NarrowPolicies,
            Meanwhile(&[
                "decide",
                "--subject",
                "user:demo-operator",
                "--action",
                "chats:respond",
                "--resource",
                "chat:1",
                "--account",
                "demo",
            ]),
            Comes("Allow it"),
        ],
    ),
    state(
        "policies-pinned",
        ADMIN,
        "/policies",
        &[Meanwhile(&["policy", "rollback", "1", "--pin", "--yes"]), Again, Sees("End the pin")],
    ),
    state(
        "policies-unpinned",
        ADMIN,
        "/policies",
        &[
            Meanwhile(&["policy", "rollback", "1", "--pin", "--yes"]),
            Again,
            Click("End the pin"),
            Sees("Load the folder again"),
        ],
    ),
    state(
        "policies-refused",
        ADMIN,
        "/policies",
        &[BreakPolicies, Meanwhile(&["policy", "reload"]), Again, Sees("forbid(")],
    ),
    state(
        "policies-load-refused",
        ADMIN,
        "/policies",
        &[BreakPolicies, Click("Load the folder again"), Sees("forbid(")],
    ),
    state("team-not-allowed", OPERATOR, "/team", &[Sees("Your role does not include this")]),
    state("invite-not-allowed", OPERATOR, "/team/invite", &[]),
    state("member-of-another", OPERATOR, "/team/members/demo-administrator", &[]),
    state("policies-check-not-allowed", OPERATOR, "/policies/check", &[]),
    state("policies-check", ADMIN, "/policies/check", &[]),
    state("me-passkey-new", ADMIN, "/me/passkeys/new", &[Sees("Add a passkey")]),
];

/// What is everybody's own.
const PERSONAL: &[State] = &[
    state("me", ADMIN, "/me", &[Sees("Where you are signed in")]),
    state("me-name", ADMIN, "/me/names", &[]),
    state("me-address", ADMIN, "/me/email", &[]),
    state("me-password", ADMIN, "/me/password", &[]),
    state("me-password-dialog", ADMIN, "/me", &[Click("Change password"), Sees("New password")]),
    state("me-two-step", ADMIN, "/me/two-step", &[]),
    state(
        "me-two-step-scan",
        ADMIN,
        "/me/two-step",
        &[Fill("Your password", DEMO_PASSWORD), Click("Continue"), Sees("Scan this")],
    ),
    state(
        "me-two-step-wrong-code",
        ADMIN,
        "/me/two-step",
        &[
            Fill("Your password", DEMO_PASSWORD),
            Click("Continue"),
            Sees("Scan this"),
            Fill("6-digit code", "000000"),
            Click("Turn on"),
            Sees("next code"),
        ],
    ),
    state("me-codes-not-possible", ADMIN, "/me/recovery-codes", &[Sees("Turn it on to get them")]),
    state("me-leave", ADMIN, "/me/leave", &[]),
    state(
        "me-name-refused",
        ADMIN,
        "/me/names",
        &[Fill("First name", TOO_LONG), Click("Save"), Refused],
    ),
    state("me-named", ADMIN, "/me/names", &[Click("Save"), Sees("Your name was changed")]),
    state(
        "me-address-refused",
        ADMIN,
        "/me/email",
        &[
            Fill("New address", "new.admin@demo.example"),
            Fill("Your password", WRONG),
            Click("Continue"),
            Refused,
        ],
    ),
    state(
        "me-password-refused",
        ADMIN,
        "/me/password",
        &[
            Fill("Current password", DEMO_PASSWORD),
            Fill("New password", WEAK),
            Click("Save"),
            Refused,
        ],
    ),
    state(
        "me-password-dialog-refused",
        ADMIN,
        "/me",
        &[
            Click("Change password"),
            Fill("Current password", WRONG),
            Fill("New password", PASSWORD),
            Click("Save"),
            Refused,
        ],
    ),
    state(
        "me-two-step-refused",
        ADMIN,
        "/me/two-step",
        &[Fill("Your password", WRONG), Click("Continue"), Refused],
    ),
    state("me-two-devices", ADMIN, "/me", &[Elsewhere, Again, Sees("Sign out all other devices")]),
    state(
        "me-other-devices-out",
        ADMIN,
        "/me",
        &[Elsewhere, Again, Click("Sign out all other devices"), Sees("on this device only")],
    ),
    state(
        "me-leave-refused",
        ADMIN,
        "/me/leave",
        &[Fill("Your password", WRONG), Click("Leave the team"), Refused],
    ),
    state(
        "me-two-step-codes",
        "broadcast_manager",
        "/me/two-step",
        &[
            Fill("Your password", DEMO_PASSWORD),
            Click("Continue"),
            Sees("Scan this"),
            FillCode("6-digit code"),
            Click("Turn on"),
            Sees("Your recovery codes"),
        ],
    ),
    state("me-two-step-on", SECURED, "/me", &[Sees("Recovery codes left")]),
    state("me-recovery-codes", SECURED, "/me/recovery-codes", &[Sees("Create new codes")]),
    state(
        "me-passkey-remove",
        SECURED,
        "/me/passkeys/{passkey}/remove",
        &[Sees("Remove the passkey Phone?")],
    ),
    state(
        "me-passkeys",
        SECURED,
        "/me/passkeys/{passkey}/remove",
        &[Click("Cancel"), Sees("Passkeys")],
    ),
    state(
        "me-passkey-removed",
        SECURED,
        "/me/passkeys/{passkey}/remove",
        &[
            Fill("Your password", DEMO_PASSWORD),
            FillRecovery("Code"),
            Click("Remove"),
            Sees("The passkey Phone was removed"),
        ],
    ),
    state(
        "me-two-step-off",
        SECURED,
        "/me/two-step/off",
        &[Sees("Turn off two-step verification?")],
    ),
    state(
        "me-two-step-off-refused",
        SECURED,
        "/me/two-step/off",
        &[Fill("Your password", DEMO_PASSWORD), Fill("Code", "000000"), Click("Turn off"), Refused],
    ),
    state(
        "sign-in-code",
        SECURED,
        "/sign-in",
        &[
            Fill("Account", "demo"),
            Fill("Email address", "contact_manager@demo.example"),
            Fill("Password", DEMO_PASSWORD),
            Click("Sign in"),
            Sees("Back to sign-in"),
        ],
    ),
    state(
        "sign-in-code-refused",
        SECURED,
        "/sign-in",
        &[
            Fill("Account", "demo"),
            Fill("Email address", "contact_manager@demo.example"),
            Fill("Password", DEMO_PASSWORD),
            Click("Sign in"),
            Sees("Back to sign-in"),
            Fill("Code", "000000"),
            Click("Sign in"),
            Refused,
        ],
    ),
    state(
        "me-recovery-codes-made",
        SECURED,
        "/me/recovery-codes",
        &[
            Fill("Your password", DEMO_PASSWORD),
            FillRecovery("Code"),
            Click("Create new codes"),
            Sees("Your recovery codes"),
        ],
    ),
    state(
        "me-address-asked",
        "chat_manager",
        "/me/email",
        &[
            Fill("New address", "chats@demo.example"),
            Fill("Your password", DEMO_PASSWORD),
            Click("Continue"),
            Sees("Two mails are on their way"),
        ],
    ),
    state(
        "confirm-email-link",
        "automation_manager",
        "/me/email",
        &[
            Fill("New address", "flows@demo.example"),
            Fill("Your password", DEMO_PASSWORD),
            Click("Continue"),
            Sees("Two mails are on their way"),
            Mail("flows@demo.example"),
            Sees("Confirm the new address"),
        ],
    ),
    state(
        "confirm-email-waits",
        "automation_manager",
        "/me/email",
        &[
            Fill("New address", "bots@demo.example"),
            Fill("Your password", DEMO_PASSWORD),
            Click("Continue"),
            Sees("Two mails are on their way"),
            Mail("bots@demo.example"),
            Click("Confirm"),
            Sees("that was sent to the old address"),
        ],
    ),
    state(
        "confirm-email-done",
        "template_manager",
        "/me/email",
        &[
            Fill("New address", "texts@demo.example"),
            Fill("Your password", DEMO_PASSWORD),
            Click("Continue"),
            Sees("Two mails are on their way"),
            Mail("texts@demo.example"),
            Click("Confirm"),
            Sees("that was sent to the old address"),
            Mail("template_manager@demo.example"),
            Click("Confirm"),
            Sees("is now texts@demo.example"),
        ],
    ),
    state(
        "me-left",
        "automation_manager",
        "/me/leave",
        &[Fill("Your password", DEMO_PASSWORD), Click("Leave the team"), Sees("You have left")],
    ),
];

/// The first account.
const FIRST: &[State] = &[
    state("set-up", NOBODY, "/setup", &[Sees("Link or code")]),
    state("set-up-link", NOBODY, "{setup}", &[Sees("Name of the team")]),
    state(
        "set-up-refused",
        NOBODY,
        "{setup}",
        &[
            Fill("Name of the team", "Acme"),
            Fill("First name", "Chief"),
            Fill("Last name", "Example"),
            Fill("Email address", "chief@example.org"),
            Fill("Choose a password", PASSWORD),
            Fill("Account", "NOT A SLUG"),
            Click("Create the account"),
            Refused,
        ],
    ),
    state(
        "set-up-welcome",
        NOBODY,
        "{setup}",
        &[
            Fill("Name of the team", "Acme"),
            Fill("First name", "Chief"),
            Fill("Last name", "Example"),
            Fill("Email address", "chief@example.org"),
            Fill("Choose a password", PASSWORD),
            Fill("Account", "acme"),
            Click("Create the account"),
            Sees("Welcome to Acme"),
        ],
    ),
];

/// An administrator alone, where no mail is sent.
const LONELY: &[State] = &[
    state("forgot-without-mail", NOBODY, "/forgot", &[Sees("No mail is sent here")]),
    state("team-alone", "chief", "/team", &[Sees("You're the only one here")]),
    state("invitations-none", "chief", "/team?tab=invitations", &[Sees("No pending invitations")]),
    state("tokens-none", "chief", "/tokens", &[Sees("No API tokens")]),
    state("account-without-mail", "chief", "/account", &[Sees("No mail is sent")]),
    state("audit-short", "chief", "/audit", &[]),
    state(
        "policies-seen",
        "chief",
        "/policies",
        &[Sees("Your system administrator changes these policies")],
    ),
    state(
        "invite-link",
        "chief",
        "/team/invite",
        &[
            Fill("First name", "Asha"),
            Fill("Last name", "Rao"),
            Fill("Email address", "asha@example.org"),
            Click("Operator"),
            Click("Invite"),
            Sees("You can see this link again"),
        ],
    ),
    state(
        "invite-link-in-dialog",
        "chief",
        "/team",
        &[
            Click("Invite member"),
            Fill("First name", "Ravi"),
            Fill("Last name", "Rao"),
            Fill("Email address", "ravi@example.org"),
            Click("Operator"),
            Click("Invite"),
            Sees("You can see this link again"),
        ],
    ),
];

/// Who may look and not change; mail that has stopped; a second step for everybody.
const HALTED: &[State] = &[
    state("team-read-only", "auditor", "/team", &[Sees("asha@example.org")]),
    state("invitations-read-only", "auditor", "/team?tab=invitations", &[Sees("Bo Waiting")]),
    state("member-read-only", "auditor", "/team/members/asha", &[Sees("Not included")]),
    state("member-oneself-read-only", "auditor", "/team/members/auditor", &[]),
    state("account-read-only", "auditor", "/account", &[Sees("can view these settings")]),
    state("audit-read-only", "auditor", "/audit", &[]),
    state("policies-read-only", "auditor", "/policies", &[]),
    state("team-edit-not-allowed", "auditor", "/team/members/asha/edit", &[]),
    state("team-mail-stopped", "chief", "/team", &[Sees("Mail is stopped")]),
    state("account-mail-stopped", "chief", "/account", &[Sees("Mail has been stopped")]),
    state(
        "account-mail-test-failed",
        "chief",
        "/account",
        &[Click("Send a test mail"), Sees("Failed")],
    ),
    state(
        "account-mail-resumed",
        "chief",
        "/account",
        &[Click("Resume mail"), Sees("Mail was resumed")],
    ),
    state(
        "team-enforced",
        "chief",
        "/team",
        &[
            Meanwhile(&["account", "edit", "--two-step", "on"]),
            Again,
            Sees("no two-step verification yet"),
        ],
    ),
    state(
        "me-enforced",
        "chief",
        "/me",
        &[
            Meanwhile(&["account", "edit", "--two-step", "on"]),
            Again,
            Sees("Your team requires it"),
        ],
    ),
    state(
        "join-enforced",
        NOBODY,
        "/join",
        &[
            Meanwhile(&["account", "edit", "--two-step", "on"]),
            Goes("{join:Bo}"),
            Sees("You set it up next"),
        ],
    ),
    state(
        "sign-in-set-up",
        NOBODY,
        "/sign-in",
        &[
            Meanwhile(&["account", "edit", "--two-step", "on"]),
            Fill("Account", "acme"),
            Fill("Email address", "asha@example.org"),
            Fill("Password", PASSWORD),
            Click("Sign in"),
            Sees("Scan this"),
        ],
    ),
    state(
        "sign-in-set-up-refused",
        NOBODY,
        "/sign-in",
        &[
            Meanwhile(&["account", "edit", "--two-step", "on"]),
            Fill("Account", "acme"),
            Fill("Email address", "asha@example.org"),
            Fill("Password", PASSWORD),
            Click("Sign in"),
            Sees("Scan this"),
            Fill("6-digit code", "000000"),
            Click("Turn on"),
            Refused,
        ],
    ),
    state(
        "sign-in-set-up-codes",
        NOBODY,
        "/sign-in",
        &[
            Meanwhile(&["account", "edit", "--two-step", "on"]),
            Fill("Account", "acme"),
            Fill("Email address", "asha@example.org"),
            Fill("Password", PASSWORD),
            Click("Sign in"),
            Sees("Scan this"),
            FillCode("6-digit code"),
            Click("Turn on"),
            Sees("Your recovery codes"),
        ],
    ),
];
