//! The description of each call: what it does, takes and returns, and its refusals beyond the usual
//! ones.

use serde_json::{Value, json};

use super::request_schemas::{self, Inputs, json_body, some};
use super::response_schemas;
use super::schema_builder::{SchemaObject, flag, object, reference, text, word};
use crate::admin::Operation;
use crate::admin::{ACCEPTED, CREATED, OK};
use crate::admin::{audit, import_export, invites, members};
use crate::domain::limits;

/// The description of a call.
pub(super) struct OperationDoc {
    pub(super) summary: &'static str,
    pub(super) parameters: Vec<Value>,
    pub(super) body: Option<Value>,
    /// The status of success, and the response.
    pub(super) answer: (u16, Value),
    /// The status of the same response to a repeated call.
    pub(super) repeated: Option<u16>,
    pub(super) problems: &'static [u16],
    /// Takes an account on `admin.sock`.
    pub(super) of_account: bool,
}

impl OperationDoc {
    fn new(summary: &'static str, answer: Value) -> Self {
        let (parameters, body) = (Vec::new(), None);
        let answer = (OK, answer);
        let (repeated, problems) = (None, [].as_slice());
        Self { summary, parameters, body, answer, repeated, problems, of_account: false }
    }

    /// With a response of this schema.
    fn answering(summary: &'static str, name: &str) -> Self {
        Self::new(summary, response_schemas::answer(reference(name)))
    }

    fn of_account(self) -> Self {
        Self { of_account: true, ..self }
    }

    fn taking(self, schema: Value) -> Self {
        Self { body: Some(json_body(schema)), ..self }
    }

    fn with(mut self, parameter: Value) -> Self {
        self.parameters.push(parameter);
        self
    }

    fn answered(self, status: u16) -> Self {
        Self { answer: (status, self.answer.1), ..self }
    }

    fn repeatable(self) -> Self {
        Self { repeated: Some(OK), ..self }
    }

    fn refused(self, problems: &'static [u16]) -> Self {
        Self { problems, ..self }
    }

    fn header(mut self, name: &str, header: Value) -> Self {
        if let Some(headers) = self.answer.1.get_mut("headers").and_then(Value::as_object_mut) {
            headers.insert(name.to_owned(), header);
        }
        self
    }

    /// With the entity tag of the record.
    fn tagged(self) -> Self {
        let schema = json!({"type": "string", "pattern": "^\"[0-9]+\"$"});
        self.header("etag", json!({"required": true, "schema": schema}))
    }

    /// With a cookie in the request or the response.
    fn baking(self) -> Self {
        self.header("set-cookie", json!({"required": true, "schema": text()}))
    }

    /// Requires the version to change (`if-match`).
    fn of_version(self) -> Self {
        let problems = &[404, 409, 412, 428, 429];
        self.with(request_schemas::if_match(true)).refused(problems).tagged()
    }

    /// May wait until every node of a fleet has seen the change.
    fn waiting(self, inputs: &Inputs) -> Self {
        inputs.wait().into_iter().fold(self, Self::with)
    }

    /// Accepts the version to change (`if-match`).
    fn of_any_version(self) -> Self {
        self.with(request_schemas::if_match(false)).refused(&[409, 412, 429])
    }
}

/// Authorized by the token of a link, or without a session.
const BY_LINK: &[u16] = &[409, 410, 429];
/// Authorized by a ticket, between the password and the second factor.
const BY_TICKET: &[u16] = &[401, 409, 429];
/// Authorized by the password again.
const BY_PASSWORD: &[u16] = &[409, 429];

pub(super) fn about(operation: Operation, inputs: &Inputs) -> OperationDoc {
    use Operation as Op;
    let own = OperationDoc::answering;
    let of = |summary, name| OperationDoc::answering(summary, name).of_account();
    match operation {
        Op::SignIn => own("Sign in", "SignedIn")
            .taking(credentials().with("password", text()).schema())
            .refused(&[401, 409, 429])
            .header("set-cookie", json!({"required": false, "schema": text()})),
        Op::SignInSecondFactor => own("Complete a sign-in with the second factor", "Entered")
            .taking(by_ticket().with("code", text()).schema())
            .refused(BY_TICKET)
            .baking(),
        Op::SignInPasskey => own("Request a passkey challenge instead of sending a code", "PasskeyAsked")
            .taking(by_ticket().schema())
            .refused(BY_TICKET),
        Op::SignInPasskeyConfirm => own("Complete a sign-in with a passkey", "Entered")
            .taking(answer().with("ticket", text()).schema())
            .refused(BY_TICKET)
            .baking(),
        Op::SignInTwoStep => own(
            "Begin two-step set-up during a sign-in, where the account requires it",
            "Enrolment",
        )
        .taking(by_ticket().schema())
        .refused(BY_TICKET),
        Op::SignInTwoStepConfirm => {
            own("Confirm the new second factor with its first code, and sign in", "EnteredFirst")
                .taking(by_ticket().with("code", text()).schema())
                .refused(BY_TICKET)
                .baking()
        }
        Op::SignOut => own("Sign out", "SignedOut").baking(),
        Op::SetUp => own("Create the first account and its administrator", "FirstAccount")
            .taking(inputs.first_account())
            .answered(CREATED)
            .refused(BY_LINK),

        Op::Me => own("The signed-in member", "Me").tagged(),
        Op::MeEdit => own("Change my name", "MemberChanged")
            .taking(names().correction())
            .of_version(),
        Op::MeLeave => own("Leave the account for good", "Receipt")
            .taking(shown("password").schema())
            .refused(BY_PASSWORD)
            .baking(),
        Op::MeData => own("All data kept about the signed-in member", "MemberData"),
        Op::MePermissions => own("What I may do", "Permissions"),
        Op::MePassword => own("Change my password", "SessionsEnded")
            .taking(
                shown("current").with("password", request_schemas::new_password()).schema(),
            )
            .refused(BY_PASSWORD)
            .baking(),
        Op::MeEmail => own("Begin to change my address", "EmailChangeBegun")
            .taking(shown("password").with("email", request_schemas::email()).schema())
            .answered(ACCEPTED)
            .refused(BY_PASSWORD),
        Op::MeEmailConfirm => own("Confirm an address change from one of its two addresses", "EmailConfirmed")
            .taking(object().with("token", request_schemas::token()).schema())
            .refused(BY_LINK),
        Op::TwoStep => own("The state of my two-step verification", "TwoStep"),
        Op::TwoStepBegin => own("Begin to set up an authenticator app", "Enrolment")
            .taking(shown("password").schema())
            .refused(BY_PASSWORD),
        Op::TwoStepOff => own("Turn off my two-step verification", "SessionsEnded")
            .taking(shown("password").schema())
            .refused(BY_PASSWORD)
            .baking(),
        Op::TwoStepConfirm => own("Confirm the new app with its first code", "RecoveryCodes")
            .taking(object().with("code", text()).schema())
            .refused(BY_PASSWORD)
            .baking(),
        Op::RecoveryCodes => own("Create new recovery codes; the previous ones stop working", "RecoveryCodes")
            .taking(shown("password").schema())
            .refused(BY_PASSWORD),
        Op::PasskeyList => own("My passkeys", "PasskeyList"),
        Op::PasskeyBegin => own("Begin to add a passkey", "PasskeyAsked")
            .taking(shown("password").schema())
            .refused(BY_PASSWORD),
        Op::PasskeyConfirm => own("Add the passkey that was created", "PasskeyChanged")
            .taking(answer().with("name", request_schemas::name()).schema())
            .answered(CREATED)
            .refused(&[409]),
        Op::PasskeyRemove => own("Remove one of my passkeys", "PasskeyChanged")
            .taking(shown("password").schema())
            .refused(BY_PASSWORD),
        Op::MeSessions => own("My sessions", "SessionList"),
        Op::MeSessionsEnd => own("End all my other sessions", "SessionsEnded"),
        Op::MeSessionEnd => own("End one of my sessions", "SessionsEnded"),

        Op::PasswordReset => own("Request a password reset link", "ResetAsked")
            .taking(credentials().schema())
            .answered(ACCEPTED)
            .refused(&[429]),
        Op::PasswordResetConfirm => own("Set a new password with a reset link", "PasswordSet")
            .taking(
                object()
                    .with("token", request_schemas::token())
                    .with("password", request_schemas::new_password())
                    .schema(),
            )
            .refused(BY_LINK),
        Op::Recover => own("Create a recovery link for an administrator who cannot sign in", "Recovery")
            .taking(object().with("email", request_schemas::email()).may("account", request_schemas::slug()).schema())
            .refused(&[404, 409, 429]),

        Op::MemberList => of("One page of the members", "MemberList")
            .with(inputs.query("search", "Part of a name or an address.", text()))
            .with(inputs.query("role", "Only this role.", inputs.role()))
            .with(inputs.query("status", "Only this status.", words(&members::STATUSES)))
            .with(inputs.query(
                "two_step",
                "Only those with a second factor, or without.",
                words(&members::TWO_STEP),
            ))
            .with(inputs.query(
                "email",
                "The one member with this address; without `search`, `role`, `status` and `two_step`.",
                request_schemas::email(),
            ))
            .with(inputs.query(
                "sort",
                "The sort order, `email` by default; a leading `-` reverses it.",
                words(&members::SORTS),
            ))
            .with(inputs.query("after", "The `next` of the previous page.", text()))
            .with(inputs.limit()),
        Op::MemberCreate => of("Create a member", "MemberChanged")
            .taking(inputs.person().may("id", request_schemas::member_id()).schema())
            .answered(CREATED)
            .refused(&[409])
            .tagged(),
        Op::MembersImport => OperationDoc { body: Some(request_schemas::member_file()), ..of("Import members of a file, all or nothing", "Imported") }
            .refused(&[409]),
        Op::MembersExport => OperationDoc::new("Export all members", response_schemas::member_file())
            .of_account()
            .with(inputs.query("format", "CSV by default.", words(&import_export::FORMATS)))
            .with(inputs.query(
                "bom",
                "`true` writes a byte order mark before CSV, so that Excel reads it as UTF-8.",
                words(&import_export::MARKS),
            )),
        Op::MembersReview => of("Who has access and may not need it", "Review"),
        Op::MembersChange => of("Change several members, each independently", "MemberOutcomes")
            .taking(items(request_schemas::change(inputs.role())))
            .refused(&[409])
            .waiting(inputs),
        Op::MemberShow => of("One member", "SeenMember").tagged(),
        Op::MemberEdit => of("Change a member's name or role", "MemberChanged")
            .taking(
                names().may("email", request_schemas::email()).may("role", inputs.role()).correction(),
            )
            .of_version()
            .waiting(inputs),
        Op::MemberRemove => {
            of("Remove a member for good", "Receipt").of_any_version().waiting(inputs)
        }
        Op::MemberSuspend => {
            of("Suspend a member", "MemberChanged").of_any_version().tagged().waiting(inputs)
        }
        Op::MemberRestore => {
            of("Restore a suspended member", "MemberChanged").of_any_version().tagged()
        }
        Op::MemberErase => {
            of("Erase the personal data of a removed member", "Erased")
                .refused(&[409])
                .waiting(inputs)
        }
        Op::MemberData => of("All data kept about one member", "MemberData"),
        Op::MemberSessions => of("A member's sessions", "SessionList"),
        Op::MemberSessionsEnd => {
            of("End a member's sessions", "MemberSessionsEnded").of_any_version().waiting(inputs)
        }
        Op::MemberPasswordReset => {
            of("Send a member a link to a new password", "Reset").of_any_version()
        }
        Op::MemberTwoStepReset => {
            of("Reset a member's two-step verification; needs your own second factor", "MemberSessionsEnded")
                .taking(object().may("password", text()).may("code", text()).schema())
                .of_any_version()
        }
        Op::MemberPermissions => of("What a member may do", "Permissions"),
        Op::WhatMay => of("One page of the actions that a member may do on a resource, each with why", "ActionOfMemberList")
            .with(inputs.resource())
            .with(inputs.query("after", "The `next` of the previous page.", text()))
            .with(inputs.limit_to(limits::EXPLAINED_ITEMS_MAX)),
        Op::WhoMay => of("One page of the members who may do an action on a resource, each with why", "MemberWhoMayList")
            .with(inputs.action())
            .with(inputs.resource())
            .with(inputs.query("after", "The `next` of the previous page.", text()))
            .with(inputs.limit_to(limits::EXPLAINED_ITEMS_MAX)),

        Op::InviteList => of("One page of the invites, newest first", "InviteList")
            .with(inputs.query("search", "Part of a name or an address.", text()))
            .with(inputs.query("role", "Only this role.", inputs.role()))
            .with(inputs.query("state", "Only this state.", words(&invites::states())))
            .with(inputs.query("after", "The `next` of the previous page.", request_schemas::invite_cursor()))
            .with(inputs.limit()),
        Op::InviteSend => of("Invite somebody", "InviteChanged")
            .taking(inputs.person().schema())
            .with(request_schemas::idempotency_key())
            .answered(CREATED)
            .repeatable()
            .refused(&[409, 429])
            .tagged(),
        Op::InvitesSend => of("Invite several people, each independently", "InviteOutcomes")
            .taking(items(inputs.person().schema()))
            .refused(&[409, 429]),
        Op::InviteInspect => own("The invitation behind a link", "Inspected")
            .taking(object().with("token", request_schemas::token()).schema())
            .refused(BY_LINK),
        Op::InviteAccept => own("Accept an invitation by its link", "MemberChanged")
            .taking(
                object()
                    .with("token", request_schemas::token())
                    .with("password", request_schemas::new_password())
                    .schema(),
            )
            .answered(CREATED)
            .refused(BY_LINK),
        Op::InviteWant => own("Ask the inviter for a new link, with one that no longer works", "InviteWanted")
            .taking(object().with("token", request_schemas::token()).schema())
            .answered(ACCEPTED)
            .refused(BY_LINK),
        Op::InviteShow => of("One invite", "Invite").tagged(),
        Op::InviteEdit => of("Edit an invite", "InviteChanged")
            .taking(
                names().may("email", request_schemas::email()).may("role", inputs.role()).correction(),
            )
            .of_version(),
        Op::InviteRevoke => of("Revoke an invite", "InviteChanged").of_any_version().tagged(),
        Op::InviteResend => {
            of("Send a new link; the previous one stops working", "InviteChanged").of_any_version().tagged()
        }
        Op::InviteLink => {
            of("Show the current link of an invite", "InviteChanged").of_any_version().tagged()
        }

        Op::TokenList => of("One page of the API tokens", "ApiTokenList")
            .with(inputs.query("member", "Only those of this member.", request_schemas::member_id()))
            .with(inputs.query("after", "The `next` of the previous page.", request_schemas::token_cursor()))
            .with(inputs.limit()),
        Op::TokenCreate => of("Create an API token", "ApiTokenMade")
            .taking(inputs.api_token())
            .answered(CREATED)
            .refused(&[409, 429]),
        Op::TokenRevoke => {
            of("Revoke an API token", "ApiTokenChanged").refused(&[409]).waiting(inputs)
        }

        Op::AccountList => own("All accounts", "AccountList"),
        Op::AccountCreate => own("Create an account, and invite its administrator", "Founded")
            .taking(inputs.account())
            .answered(CREATED)
            .refused(&[409]),
        Op::AccountShow => of("The account", "Account").tagged(),
        Op::AccountEdit => of("Change the account's settings", "AccountChanged")
            .taking(request_schemas::account_edit())
            .of_version(),

        Op::RoleList => own("The roles", "RoleList"),
        Op::RoleCompare => own("Roles and actions side by side", "Comparison"),
        Op::RoleSuggest => own("The smallest role that allows all of these", "Suggestion")
            .taking(object().with("actions", inputs.actions()).schema()),
        Op::RoleShow => own("One role", "Role"),

        Op::Audit => of("One page of the audit log, oldest first", "EntryList")
            .with(inputs.query("member", "Only what was done to this member.", request_schemas::member_id()))
            .with(inputs.query("event", "Only this event, such as `user_deleted`.", words(&audit::events())))
            .with(inputs.query(
                "chain",
                "The store's own chain; for the operator of the sidecar.",
                word(&["store"]),
            ))
            .with(inputs.query("after", "The `next` of the previous page.", request_schemas::number_cursor()))
            .with(inputs.limit()),
        Op::AuditVerify => of("Verify the audit log", "ChainList"),
        Op::Events => OperationDoc::new(
            "Event stream of member changes: `begins`, then `member_changed` and `member_removed`",
            response_schemas::events(),
        )
        .of_account()
        .refused(&[429]),
        Op::MailStatus => of("The status of mail", "Mail"),
        Op::MailTest => of("Send a test mail", "MailTest")
            .taking(object().with("to", request_schemas::email()).schema())
            .refused(&[409, 429]),
        Op::MailResume => of("Resume mail", "Mail"),
        Op::MailBounce => OperationDoc {
            body: Some(request_schemas::mail_file()),
            ..own("Report a mail that bounced", "BounceTaken").answered(ACCEPTED)
        },

        Op::Backup => own("Create a backup in a new folder", "Backup")
            .taking(object().with("path", text()).schema())
            .answered(CREATED)
            .refused(&[409]),

        Op::FleetShow => own("The nodes that share a log", "Fleet").refused(&[404]),
        Op::FleetForget => {
            own("Forget a node that does not come back", "ForgottenNode").refused(&[404, 409])
        }

        Op::KeysActivate => own("Put the newest keys in use on all nodes", "KeysActivated")
            .refused(&[404, 409]),

        Op::Warnings => own("What the operator of the sidecar should fix", "WarningList"),

        Op::Policies => own("The live policies", "Policies"),
        Op::PolicyHistory => {
            own("One page of the sets that went live, were held or were refused, newest first", "PolicyHistoryEntryList")
                .with(inputs.query("after", "The `next` of the previous page.", request_schemas::number_cursor()))
                .with(inputs.limit())
        }
        Op::PolicySet => {
            own("A set in the history, with its files: `live`, `pending`, a number, or the first 12 digits of a digest", "PolicySet")
                .refused(&[404])
        }
        Op::PoliciesShadow => {
            own("The shadow policies, and where they answer otherwise than the live ones", "Shadow")
                .refused(&[404])
        }
        Op::PoliciesCheck => {
            own("Preview what loading the policy folder would change", "Reload")
                .refused(&[409, 422])
        }
        Op::PoliciesReload => own("Reload the policy folder", "Reload").refused(&[409, 422]),
        Op::PoliciesPublish => {
            let path = request_schemas::policy_file_path();
            let file = object().with("path", path).with("text", text()).schema();
            own("Publish policies to all nodes of a fleet (`policies.source` is `fleet`)", "PoliciesPublished")
                .taking(object().with("files", some(file, limits::POLICY_ENTRIES_MAX)).schema())
                .waiting(inputs)
                .refused(&[409, 413, 422])
        }
        Op::PoliciesApprove => own("Approve the policies that wait, since somebody would gain access by them", "Reload")
            .taking(object().with("digest", json!({"type": "string", "pattern": "^[0-9a-fA-F]{12,64}$"})).schema())
            .refused(&[409, 422]),
        Op::PoliciesRollback => own("Go back to a set in the history: into the policy folder, or pinned", "Reload")
            .taking(object().with("set", text()).may("pin", flag()).schema())
            .refused(&[404, 409, 422]),
        Op::PoliciesUnpin => own("End a pin, and load the policy folder", "Reload").refused(&[409, 422]),

        Op::OpenApi => OperationDoc::new("This document", response_schemas::answer(json!({"type": "object"}))),
    }
}

fn words<T>(words: &[(&'static str, T)]) -> Value {
    word(&words.iter().map(|(word, _)| *word).collect::<Vec<&str>>())
}

fn names() -> SchemaObject {
    object()
        .may("first_name", request_schemas::name())
        .may("last_name", request_schemas::last_name())
}

/// The proof of identity: the code only with a second factor.
fn shown(password: &'static str) -> SchemaObject {
    object().with(password, text()).may("code", text())
}

fn by_ticket() -> SchemaObject {
    object().with("ticket", text())
}

/// The response of an authenticator.
fn answer() -> SchemaObject {
    object().with("challenge", text()).with("credential", json!({"type": "object"}))
}

fn credentials() -> SchemaObject {
    object().with("account", request_schemas::slug()).with("email", request_schemas::email())
}

fn items(item: Value) -> Value {
    object().with("items", some(item, limits::BULK_ITEMS_MAX)).schema()
}
