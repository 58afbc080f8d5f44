//! One API call: its caller, its parameters and its target.
//!
//! Authenticates the caller; authorization is done by the services.

use std::mem;
use std::sync::Arc;

use super::if_match::Precondition;
use super::json_body::JsonBody;
use super::query_params::QueryParams;
use crate::app::App;
use crate::browser_security;
use crate::domain::{ApiTokenId, Failure, InviteId, Kind, MemberId, SessionId, Version, limits};
use crate::domain::{api_token, session};
use crate::http::{Peer, Reply, Request};
use crate::services::caller::{Caller, operator_only, person_needed};
use crate::services::client_info::ClientInfo;
use crate::services::permits::StorePermit;
use crate::services::session_auth::{self, COOKIE, SignedIn};
use crate::services::token_auth::{self, TokenHolder};
use crate::services::{accounts, api_tokens, invites, members};

pub(super) type ApiResult = Result<Reply, Failure>;

/// The caller.
#[derive(Clone, Debug)]
pub(super) enum RequestSource {
    /// The operator of the sidecar, by the user id of the connection.
    Sidecar { uid: u32 },
    /// A member, signed in.
    Member(SignedIn),
    /// A program, by an API token.
    Token(TokenHolder),
}

impl RequestSource {
    /// Authenticates the caller; counts as use of the session or the token.
    ///
    /// # Errors
    /// `Unauthenticated` `not_signed_in`, `session_ended`, `token_ended`.
    pub(super) fn of(app: &App, request: &Request) -> Result<Self, Failure> {
        if let Peer::Unix { uid } = request.peer {
            return Ok(Self::Sidecar { uid });
        }
        if let Some(secret) = bearer(request) {
            let holder = token_auth::authenticate(app, secret.trim());
            return holder.map(Self::Token).ok_or_else(api_token::ended);
        }
        if !request.has_cookie(COOKIE) {
            return Err(Failure::new(
                Kind::Unauthenticated,
                "not_signed_in",
                "not signed in: sign in at `/api/v1/sign-in` and send the cookie that it sets; a program sends `Authorization: Bearer` with its API token",
            ));
        }
        let signed_in =
            request.cookie(COOKIE).and_then(|token| session_auth::authenticate(app, token));
        signed_in.map(Self::Member).ok_or_else(session_auth::ended)
    }
}

/// Only the scheme `Bearer` is used: a proxy in front may have had its own `Authorization`.
fn bearer(request: &Request) -> Option<&str> {
    let value = request.header("authorization")?;
    let (scheme, secret) = value.split_once(' ').unwrap_or((value, ""));
    scheme.eq_ignore_ascii_case("bearer").then_some(secret)
}

pub(super) struct ApiRequest<'r> {
    pub(super) app: &'r Arc<App>,
    pub(super) request: &'r mut Request,
    pub(super) params: QueryParams,
    /// `None` if the call needs no authentication.
    pub(super) who: Option<RequestSource>,
    /// The decoded path segment for `{id}`; empty if it cannot be decoded.
    pub(super) id: String,
}

impl ApiRequest<'_> {
    /// Checks that no parameters are left.
    ///
    /// # Errors
    /// `Invalid` with every faulty parameter.
    pub(super) fn done(&mut self) -> Result<(), Failure> {
        mem::take(&mut self.params).done()
    }

    /// Finishes the parameters of a call about one account: returns the caller and the account. A
    /// session has its own; the operator of the sidecar names one.
    ///
    /// # Errors
    /// `Invalid` with every faulty parameter; what [`accounts::resolve_account`] says.
    pub(super) async fn caller(&mut self) -> Result<Caller, Failure> {
        match self.who.clone() {
            Some(RequestSource::Sidecar { uid }) => {
                let named = self.params.read_as("account", accounts::typed);
                self.done()?;
                Ok(Caller::Sidecar {
                    uid,
                    account: accounts::resolve_account(self.app, named).await?,
                })
            }
            Some(RequestSource::Member(signed_in)) => {
                self.done()?;
                Ok(Caller::Member(signed_in))
            }
            Some(RequestSource::Token(holder)) => {
                self.done()?;
                Ok(Caller::Token(holder))
            }
            None => Err(session_auth::ended()),
        }
    }

    /// Finishes the parameters of a call about the signed-in member.
    ///
    /// # Errors
    /// `Invalid` with every faulty parameter; `Denied` `session_needed` on `admin.sock`, and by an API token.
    pub(super) fn signed_in(&mut self) -> Result<SignedIn, Failure> {
        self.done()?;
        self.member()
    }

    /// The signed-in member.
    ///
    /// # Errors
    /// `Denied` `session_needed` on `admin.sock`, and by an API token.
    pub(super) fn member(&self) -> Result<SignedIn, Failure> {
        match &self.who {
            Some(RequestSource::Member(signed_in)) => Ok(signed_in.clone()),
            Some(RequestSource::Token(_)) => Err(person_needed()),
            _ => Err(Failure::new(
                Kind::Denied,
                "session_needed",
                "this call is about the signed-in member, and on `admin.sock` nobody is signed in: name a member with `kwic-team member`",
            )),
        }
    }

    /// Finishes the parameters of a call that is about all accounts.
    ///
    /// # Errors
    /// `Invalid` with every faulty parameter; `Denied` `operator_only`.
    pub(super) fn operator(&mut self) -> Result<StorePermit, Failure> {
        self.done()?;
        self.uid().map(StorePermit::sidecar)
    }

    /// The user id of the operator of the sidecar.
    ///
    /// # Errors
    /// `Denied` `operator_only`.
    pub(super) fn uid(&self) -> Result<u32, Failure> {
        match self.who {
            Some(RequestSource::Sidecar { uid }) => Ok(uid),
            _ => Err(operator_only()),
        }
    }

    /// The body; of limited size for callers without a session.
    ///
    /// # Errors
    /// As [`JsonBody::read`].
    pub(super) async fn form(&mut self) -> Result<JsonBody, Failure> {
        let most = match self.who {
            Some(_) => limits::ADMIN_BODY_BYTES_MAX,
            None => limits::OPEN_BODY_BYTES_MAX,
        };
        JsonBody::read(self.request, most).await
    }

    /// The client address of the call.
    pub(super) fn from(&self) -> ClientInfo {
        browser_security::client(self.app, self.request)
    }

    /// `If-Match`, if it is sent: a member can be removed or suspended quickly, without reading the
    /// record first.
    ///
    /// # Errors
    /// `Invalid` `if_match`.
    pub(super) fn expected(&self) -> Result<Option<Version>, Failure> {
        self.precondition().map(Precondition::expected)
    }

    /// `If-Match`, where it is required: nobody may overwrite what they have not seen.
    ///
    /// # Errors
    /// `Invalid` `if_match`; `PreconditionRequired` `if_match_missing`.
    pub(super) fn demanded(&self) -> Result<Option<Version>, Failure> {
        self.precondition()?.demanded()
    }

    fn precondition(&self) -> Result<Precondition, Failure> {
        Precondition::read(self.request.sole_header("if-match"))
    }

    /// The member that the path names. An invalid id is treated as an unknown one.
    ///
    /// # Errors
    /// `NotFound` `unknown_member`.
    pub(super) fn member_id(&self) -> Result<MemberId, Failure> {
        MemberId::parse(&self.id).map_err(|_| members::unknown())
    }

    /// The invite that the path names.
    ///
    /// # Errors
    /// `NotFound` `unknown_invite`.
    pub(super) fn invite_id(&self) -> Result<InviteId, Failure> {
        InviteId::parse(&self.id).ok_or_else(invites::unknown)
    }

    /// The API token that the path names.
    ///
    /// # Errors
    /// `NotFound` `unknown_token`.
    pub(super) fn api_token_id(&self) -> Result<ApiTokenId, Failure> {
        ApiTokenId::parse(&self.id).ok_or_else(api_tokens::unknown)
    }

    /// The session that the path names.
    ///
    /// # Errors
    /// `NotFound` `unknown_session`.
    pub(super) fn session_id(&self) -> Result<SessionId, Failure> {
        SessionId::parse(&self.id).ok_or_else(session::unknown)
    }
}
