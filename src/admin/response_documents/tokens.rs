//! API tokens. The secret is present only in the response that creates the token.

use serde::Serialize;

use crate::app::App;
use crate::clock::rfc3339;
use crate::domain;
use crate::services::api_tokens::{IssuedToken, TokenWithOwner};

document! {
    pub(in crate::admin) struct ApiToken of(app: &App, token: &domain::ApiToken) {
        id: String = token.id.to_string(),
        name: String = token.name.as_str().to_owned(),
        role: String = token.role.to_string(),
        /// Whether the policies no longer have the role: the token does not work.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        role_removed: bool = !app.policies.load().has_role(&token.role),
        member: TokenOwner = TokenOwner { id: token.member.to_string(), name: None },
        created: String = rfc3339(token.created),
        expires: String = rfc3339(token.expires),
        used: Option<String> = token.used.map(rfc3339),
    }
}

/// The member that a token acts as.
#[derive(Debug, Serialize)]
struct TokenOwner {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

impl ApiToken {
    pub(in crate::admin) fn listed(app: &App, listed: TokenWithOwner) -> Self {
        let mut token = Self::of(app, &listed.token);
        token.member.name = listed.maker.map(|maker| maker.full_name());
        token
    }
}

/// A new token with its secret. Never printed.
#[derive(Serialize)]
pub(in crate::admin) struct ApiTokenMade {
    #[serde(flatten)]
    token: ApiToken,
    secret: String,
}

impl ApiTokenMade {
    pub(in crate::admin) fn of(app: &App, made: IssuedToken) -> Self {
        Self { token: ApiToken::of(app, &made.token), secret: made.secret }
    }
}
