//! The rows of the table of calls, and how a request finds its own.

use super::{CALLS, Operation};
use crate::http::Method;
use crate::percent_encoding::decoded;

/// The permitted callers of a call. The services check what each of them may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Anybody: the authorization is in the call.
    Open,
    /// A member who is signed in, and the operator of the sidecar.
    Anyone,
    /// A member who is signed in.
    Member,
    /// The operator of the sidecar, on `admin.sock`.
    Operator,
}

/// The type of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyKind {
    /// Nothing, or an empty object.
    Empty,
    /// A JSON object.
    Json,
    /// A file, read piece by piece or whole.
    File,
}

/// One row of the table.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) operation: Operation,
    pub(super) method: Method,
    /// The path below `/api/v1`; `{id}` is one segment.
    pub(super) path: &'static str,
    pub(super) access: Access,
    pub(super) body: BodyKind,
}

/// The path in the table that matches, and the segment for `{id}`.
pub(super) fn place(path: &str) -> Option<(&'static str, String)> {
    let below = path.strip_prefix("/api/v1")?;
    CALLS.iter().find_map(|entry| Some((entry.path, matched(entry.path, below)?)))
}

fn matched(pattern: &str, path: &str) -> Option<String> {
    let mut id = String::new();
    let mut segments = path.split('/');
    for wanted in pattern.split('/') {
        let given = segments.next()?;
        match wanted {
            "{id}" if !given.is_empty() => id = decoded(given).unwrap_or_default(),
            _ if wanted == given => {}
            _ => return None,
        }
    }
    segments.next().is_none().then_some(id)
}

/// The call for a method and a path. HEAD is treated as GET; the response writer leaves out the
/// body.
pub(super) fn at(path: &str, method: Method) -> Option<&'static Endpoint> {
    let method = if method == Method::Head { Method::Get } else { method };
    CALLS.iter().find(|entry| entry.path == path && entry.method == method)
}

/// The methods of a path, for the `Allow` header.
pub(super) fn allowed(path: &str) -> String {
    let here = CALLS.iter().filter(|entry| entry.path == path);
    let words: Vec<&str> = here
        .map(|entry| match entry.method {
            Method::Get => "GET, HEAD",
            method => method.as_str(),
        })
        .collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str) -> Option<(&'static str, String)> {
        place(&format!("/api/v1{path}"))
    }

    #[test]
    fn a_path_names_a_place_and_an_id_is_decoded() {
        let id = |id: &str| id.to_owned();
        let places = [
            ("/accounts", ("/accounts", id(""))),
            ("/members/import", ("/members/import", id(""))),
            ("/members/m%401", ("/members/{id}", id("m@1"))),
            ("/members/a/suspend", ("/members/{id}/suspend", id("a"))),
            ("/members/%zz", ("/members/{id}", id(""))),
            ("/roles/compare", ("/roles/compare", id(""))),
            ("/roles/w", ("/roles/{id}", id("w"))),
        ];
        for (path, place) in places {
            assert_eq!(found(path), Some(place), "{path}");
        }
    }

    #[test]
    fn what_is_no_place_is_none() {
        for path in ["", "/", "/members/", "/members/a/", "/members/a/fly", "/members//suspend"] {
            assert_eq!(found(path), None, "{path}");
        }
        assert_eq!(place("/members"), None);
        assert_eq!(place("/api/v2/members"), None);
    }

    #[test]
    fn every_call_is_reached_by_its_own_path_and_method() {
        for entry in CALLS {
            let path = entry.path.replace("{id}", "xyz");
            let (place, _) = found(&path).unwrap();
            assert_eq!(place, entry.path, "a line above matches first");
            assert_eq!(at(place, entry.method).unwrap().operation, entry.operation);
        }
        assert_eq!(at("/members", Method::Head).unwrap().operation, Operation::MemberList);
        assert!(at("/members", Method::Put).is_none());
    }

    #[test]
    fn a_path_tells_its_methods() {
        assert_eq!(allowed("/members/{id}"), "GET, HEAD, PATCH, DELETE");
        assert_eq!(allowed("/sign-in"), "POST");
    }
}
